"""The page Evidence: every tested token of the suite, with the values that decide its verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.views.arrange import Stack
from explorer.views.evidence_head import EvidenceHead
from explorer.views.evidence_table import SuiteEvidence
from explorer.views.latent_parts import LatentParts
from explorer.views.sensitivity import SensitivityView
from explorer.views.shares import SharesView

if TYPE_CHECKING:
    from explorer.model import ExplorerModel


class Evidence(Stack):
    """The page."""

    parts = (EvidenceHead, SensitivityView, SharesView, LatentParts, SuiteEvidence)

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._layout.margin = (0, 0, 24, 0)
