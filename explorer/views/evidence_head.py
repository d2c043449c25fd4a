"""The head of the page Evidence: counts at the current thresholds, compared with the suite's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from explorer.format import metric_label
from explorer.views.markup import Markup, render
from explorer.views.view import View
from queries.schema import FRACTIONS

if TYPE_CHECKING:
    from explorer.model import ExplorerModel
    from explorer.state import Snapshot


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
        shown, counts = self._model.shown, self._model.suite_info
        own = num_absorbed(self._model.own_info) if shown.moved else None
        self._head.html = counts_html(
            shown, counts, absorbed=num_absorbed(counts), own=own, moves="effect_margin" in shown.movable
        )


def counts_html(
    shown: Snapshot, counts: dict[str, Any] | None, *, absorbed: float | None, own: int | None, moves: bool
) -> str:
    """Render how many of the suite's tested tokens are absorbed.

    Parameters
    ----------
    shown : Snapshot
    counts : dict or None
        The row of the query `suite_info`.
    absorbed : float or None
        The number of absorbed tokens (`num_absorbed`), or a placeholder for it; not stated if None.
    own : int or None
        The same at the suite's own thresholds.
    moves : bool
        Whether to say that the reader can move thresholds.
    """
    return render(
        "evidence_head",
        counts=counts,
        absorbed=absorbed,
        own=own,
        decides=moves,
        metric=metric_label(shown.metric),
        counts_none=shown.metric in FRACTIONS,
    )


def num_absorbed(info: dict[str, Any] | None) -> int | None:
    """Return the number of absorbed tested tokens, without those for which only a count was published."""
    if info is None or info["n_tested_tokens"] is None or info["n_absorbed_tokens"] is None:
        return None
    return int(info["n_absorbed_tokens"]) - int(info["n_absorbed_published"] or 0)
