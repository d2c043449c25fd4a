"""Title, suite picker, search, link, theme, and where the suite comes from."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import panel as pn

from explorer.views.markup import Markup, render
from explorer.views.search import Search

if TYPE_CHECKING:
    import param

    from explorer.model import ExplorerModel

_NAMED = ("duckdb", "panel", "holoviews", "bokeh")
#: The search keeps the middle, as far as what stands beside it leaves it there.
_BAR_STYLE = """
:host {
  display: grid; gap: 16px;
  grid-template-columns: minmax(max-content, 1fr) minmax(160px, 400px) minmax(max-content, 1fr);
}
@media (max-width: 720px) { :host { grid-template-columns: minmax(0, 1fr) auto auto; gap: 4px; } }
"""


class Header(pn.viewable.Viewer):
    """The line at the top of the page.

    Parameters
    ----------
    model : ExplorerModel
    """

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__()
        self._model = model
        state = model.state
        self._brand = Markup("brand", on={"suite": self._choose})
        self._tools = Markup("header", on={"dark": self._turn, "about": lambda _: self._about(is_open=True)})
        self._dialog = Markup("about", on={"close": lambda _: self._about(is_open=False)})
        bar = pn.Row(
            self._brand, Search(model), self._tools, sizing_mode="stretch_width", margin=0, stylesheets=[_BAR_STYLE]
        )
        self._layout = pn.Column(bar, self._dialog, sizing_mode="stretch_width")
        state.param.watch(self._show, ["suite", "dark"])
        self._show()

    def _choose(self, suite: str) -> None:
        self._model.state.apply({"suite": suite})

    def _turn(self, _: object) -> None:
        self._model.state.dark = not self._model.state.dark

    def _about(self, *, is_open: bool) -> None:
        versions = ", ".join(f"{name} {version(name)}" for name in _NAMED)
        self._dialog.html = render("about", open=is_open, manifest=self._model.manifest, versions=versions)

    def _show(self, *_: param.parameterized.Event) -> None:
        state = self._model.state
        suites: dict[str, Any] = {
            name: suite.manifest.title or name for name, suite in self._model.store.suites.items()
        }
        self._brand.html = render("brand", suites=suites, suite=state.suite)
        self._tools.html = render("header", dark=state.dark)

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout
