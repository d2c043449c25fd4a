"""Title, suite picker, link, theme, and where the suite comes from."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import panel as pn

from explorer.views.markup import Markup, render

if TYPE_CHECKING:
    import param

    from explorer.model import ExplorerModel

_NAMED = ("duckdb", "panel", "holoviews", "bokeh")


class Header(pn.viewable.Viewer):
    """The line at the top of the page.

    Parameters
    ----------
    model : ExplorerModel
    on_page : bool
        Whether there is a page of its own, with an address to copy and a drawer to open.
    """

    def __init__(self, model: ExplorerModel, *, on_page: bool) -> None:
        super().__init__()
        self._model, self._on_page = model, on_page
        state = model.state
        self._bar = Markup(
            "header",
            on={"suite": self._choose, "dark": self._turn, "about": lambda _: self._about(is_open=True)},
        )
        self._dialog = Markup("about", on={"close": lambda _: self._about(is_open=False)})
        self._layout = pn.Column(self._bar, self._dialog, sizing_mode="stretch_width")
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
        self._bar.html = render("header", suites=suites, suite=state.suite, dark=state.dark, on_page=self._on_page)

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout
