"""Explore: one SAE, one letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panel as pn

from explorer.latents.panel import LatentPanel
from explorer.views.cosine import CosineView
from explorer.views.evidence_table import EvidenceTable
from explorer.views.explanations import Explanations
from explorer.views.headline import Headline
from explorer.views.latent_lists import LatentLists
from explorer.views.letter_graph import LetterGraphView

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from explorer.model import ExplorerModel


def explore_page(
    model: ExplorerModel, *, opened: Collection[str], remember: Callable[[str, str], None]
) -> pn.viewable.Viewable:
    """Arrange the page.

    Parameters
    ----------
    model : ExplorerModel
    opened : collection of str
        Explanations that are open.
    remember : callable
        Takes a name and a value to keep for later visits.
    """
    return pn.Column(
        Headline(model),
        CosineView(model),
        LatentLists(model),
        LatentPanel(model),
        LetterGraphView(model),
        EvidenceTable(model, "letter_evidence"),
        Explanations(model, opened, remember),
        sizing_mode="stretch_width",
    )
