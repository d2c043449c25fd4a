"""Title, suite picker, search, link, snapshot, theme, presentation and help."""

from __future__ import annotations

from functools import cache, partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import panel as pn

from explorer.files import in_pieces
from explorer.served import MayOpen
from explorer.views.background import in_background
from explorer.views.markup import Markup, render
from explorer.views.open_another import OpenAnother
from explorer.views.search import Search

if TYPE_CHECKING:
    from collections.abc import Callable

    import param

    from explorer.model import ExplorerModel
    from explorer.served import Served
    from explorer.views.background import Caller

_NAMED = ("duckdb", "panel", "holoviews", "bokeh")
#: The search field is centred if the parts on both sides leave enough room.
_BAR_STYLE = """
:host {
  display: grid; gap: 16px;
  grid-template-columns: minmax(max-content, 1fr) minmax(160px, 400px) minmax(max-content, 1fr);
}
@media (max-width: 720px) { :host { grid-template-columns: minmax(0, 1fr) auto auto; gap: 4px; } }
"""


class Header(pn.viewable.Viewer):
    """The header of the page.

    Parameters
    ----------
    model : ExplorerModel
    make_snapshot : callable
        Takes the state as keyword arguments, and `progress`; returns a snapshot or raises ValueError with the reason.
    on_page : bool
        Whether it is on the explorer's page, with an address to copy and a drawer to open.
    served : Served, optional
        The served suites, if others may be opened from the page.
    """

    def __init__(
        self,
        model: ExplorerModel,
        make_snapshot: Callable[..., str],
        *,
        on_page: bool,
        served: Served | None = None,
    ) -> None:
        super().__init__()
        self._another = OpenAnother(served) if served and served.may_open is not MayOpen.NOTHING else None
        self._model, self._make_snapshot, self._on_page = model, make_snapshot, on_page
        self._percent: int | None = None  # progress of the snapshot that is being created
        state = model.state
        self._brand = Markup("brand", on={"suite": self._choose})
        self._tools = Markup(
            "header",
            on={
                "snapshot": self._take_snapshot,
                "dark": self._turn,
                "present": lambda _: model.state.apply({"present": True}),
                "another": lambda _: self._open_another(),
            },
        )
        bar = pn.Row(
            self._brand, Search(model), self._tools, sizing_mode="stretch_width", margin=0, stylesheets=[_BAR_STYLE]
        )
        self._layout = pn.Column(bar, *filter(None, [self._another]), sizing_mode="stretch_width")
        state.param.watch(self._show, ["suite", "dark"])
        self._show()

    def _choose(self, suite: str) -> None:
        self._model.state.apply({"suite": suite})

    def _turn(self, _: object) -> None:
        self._model.state.dark = not self._model.state.dark

    def _take_snapshot(self, _: object) -> None:
        """Create the snapshot in the background, show its progress, and send it to the browser."""
        if self._percent is not None:
            return
        state = self._model.state
        values = {name: value for name, value in state.url_values().items() if value is not None}
        name = f"{state.suite}_{state.sae}_snapshot.html"

        def work(caller: Caller) -> None:
            def show(_: str, done: int, total: int) -> None:
                caller.run_in_session(partial(self._show_progress, 100 * done // total))

            try:
                page = self._make_snapshot(progress=show, **values)
            except ValueError as error:
                caller.run_in_session(partial(self._show_failure, str(error)))
            else:
                self._tools.send_file(name, in_pieces(page.encode()), "text/html", caller)
            finally:
                caller.run_in_session(partial(self._show_progress, None))

        self._show_progress(0)
        in_background(work)

    def _show_failure(self, why: str) -> None:
        self._model.error = f"No snapshot was created: {why}"

    def _show_progress(self, percent: int | None) -> None:
        self._percent = percent
        self._show()

    def _open_another(self) -> None:
        if self._another:
            self._another.ask()

    def _show(self, *_: param.parameterized.Event) -> None:
        state = self._model.state
        self._brand.html = render("brand", suites=self._model.suite_titles, suite=state.suite, on_page=self._on_page)
        self._tools.html = render(
            "header",
            dark=state.dark,
            percent=self._percent,
            on_page=self._on_page,
            opens_another=self._another is not None,
        )

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout


@cache
def versions() -> str:
    """Return the versions of the libraries on which the display depends."""
    return ", ".join(f"{name} {version(name)}" for name in _NAMED)
