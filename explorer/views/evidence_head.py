"""What the page Evidence counts under the thresholds in force, beside the suite's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import panel as pn

from explorer.model import records
from explorer.views.markup import Markup, render

if TYPE_CHECKING:
    import param

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
        model.param.watch(self._show, "suite_info")
        self._show()

    def _show(self, *_: param.parameterized.Event) -> None:
        model = self._model
        moved = bool(model.state.moved)
        own = model.ask("suite_info", **model.state.thresholds_of_suite._asdict()) if moved else None
        self._head.html = render(
            "evidence_head",
            counts=model.suite_info,
            absorbed=_counted(model.suite_info),
            own=None if own is None else _counted(records(own)[0]),
            decides="effect_margin" in model.state.movable,
            metric=model.manifest.method.metric if model.state.suite else "",
        )

    def __panel__(self) -> pn.viewable.Viewable:
        return self._head


def _counted(info: dict[str, Any] | None) -> int | None:
    """Return how many of the tested tokens are absorbed: those of which only the number was published left out."""
    if info is None or info["n_tested_tokens"] is None:
        return None
    return int(info["n_absorbed_tokens"] or 0) - int(info["n_absorbed_published"] or 0)
