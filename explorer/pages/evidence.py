"""Evidence: every tested token of the suite, and what decided on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panel as pn

from explorer.views.evidence_head import EvidenceHead
from explorer.views.evidence_table import EvidenceTable
from explorer.views.latent_parts import LatentParts
from explorer.views.sensitivity import SensitivityView

if TYPE_CHECKING:
    from explorer.model import ExplorerModel


def evidence_page(model: ExplorerModel) -> pn.viewable.Viewable:
    """Arrange the page."""
    return pn.Column(
        EvidenceHead(model),
        SensitivityView(model),
        LatentParts(model),
        EvidenceTable(model, "suite_evidence"),
        margin=(0, 0, 24, 0),
        sizing_mode="stretch_width",
    )
