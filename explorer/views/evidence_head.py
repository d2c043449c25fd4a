"""The head of the page Evidence: counts at the current thresholds, compared with the suite's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from explorer.format import metric_label
from explorer.views.markup import Markup, render
from explorer.views.view import View
from queries.schema import FRACTIONS

if TYPE_CHECKING:
    from explorer.model import ExplorerModel


class EvidenceHead(View):
    """Title and live counts.

    Parameters
    ----------
    model : ExplorerModel
    """

    answers = ("suite_info", "own_info")
    follows = ("suite", "metric", "moved", "movable")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._layout = self._head = Markup("page-head")
        self._show()

    def _show(self) -> None:
        self._head.html = counts_html(self._model, moves=True)


def counts_html(model: ExplorerModel, *, moves: bool) -> str:
    """Render how many tested tokens are absorbed and, if a visitor can move thresholds (`moves`), instructions."""
    shown = model.shown
    return render(
        "evidence_head",
        counts=model.suite_info,
        absorbed=_counted(model.suite_info),
        own=_counted(model.own_info) if shown.moved else None,
        decides=moves and "effect_margin" in shown.movable,
        metric=metric_label(shown.metric),
        counts_none=shown.metric in FRACTIONS,
    )


def _counted(info: dict[str, Any] | None) -> int | None:
    """Return the number of absorbed tested tokens, without those of which only the number was published."""
    if info is None or info["n_tested_tokens"] is None or info["n_absorbed_tokens"] is None:
        return None
    return int(info["n_absorbed_tokens"]) - int(info["n_absorbed_published"] or 0)
