"""What the page Evidence counts under the thresholds in force, beside the suite's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panel as pn

from explorer.views.markup import Markup, render
from explorer.views.on_change import on_change

if TYPE_CHECKING:
    from explorer.model import ExplorerModel


class EvidenceHead(pn.viewable.Viewer):
    """Title and live counts.

    Parameters
    ----------
    model : ExplorerModel
    """

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__()
        self._model = model
        self._head = Markup("page-head")
        on_change(model, self._show, answers=["suite_info", "own_info"], shown=["differs_from_paper"])
        self._show()

    def _show(self) -> None:
        model = self._model
        self._head.html = render(
            "evidence_head",
            counts=model.suite_info,
            published=(model.own_info or {}).get("n_absorbed_tokens"),
            differs=model.shown.differs_from_paper,
            metric=model.manifest.method.metric if model.shown.suite else "",
        )

    def __panel__(self) -> pn.viewable.Viewable:
        return self._head
