"""The page Explore: one SAE and one concept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.latents.panel import LatentPanel
from explorer.views.arrange import Stack
from explorer.views.concept_graph import ConceptGraphView
from explorer.views.cosine import CosineView
from explorer.views.evidence_table import ConceptEvidence
from explorer.views.explanations import Explanations
from explorer.views.headline import Headline
from explorer.views.latent_lists import LatentLists

if TYPE_CHECKING:
    from collections.abc import Callable

    from explorer.model import ExplorerModel
    from explorer.views.view import View


class Explore(Stack):
    """The page.

    Parameters
    ----------
    model : ExplorerModel
    remember : callable
        Takes a name and a value to store for later visits.
    """

    parts = (Headline, CosineView, LatentLists, LatentPanel, ConceptGraphView, ConceptEvidence, Explanations)

    def __init__(self, model: ExplorerModel, remember: Callable[[str, str], None]) -> None:
        self._remember = remember
        super().__init__(model)

    def _make(self, part: type[View]) -> View:
        return Explanations(self._model, self._remember) if part is Explanations else super()._make(part)
