"""One session: state, model and views put together, as a served page or as a bare layout."""

from __future__ import annotations

import logging
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import panel as pn

from explorer.model import ExplorerModel, choices_of
from explorer.pages.atlas import atlas_page
from explorer.pages.compare import compare_page
from explorer.pages.evidence import evidence_page
from explorer.pages.explore import explore_page
from explorer.pages.switch import Switch
from explorer.snapshot import snapshot_html
from explorer.state import ExplorerState
from explorer.store import shared_store
from explorer.theme import DARK, FONT, LIGHT, MONO, css_variables
from explorer.views.browser import Browser, remembered, requested_query
from explorer.views.export import Export
from explorer.views.header import Header
from explorer.views.letters import Letters
from explorer.views.markup import STATIC, Markup, render, styles
from explorer.views.notices import Notices
from explorer.views.selectors import Selectors
from explorer.views.tasks import Progress, Tasks
from explorer.views.thresholds import Thresholds
from queries import SuiteError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queries import Store

_LOG = logging.getLogger("explorer")


class Explorer(pn.viewable.Viewer):
    """The explorer over one store.

    Parameters
    ----------
    store : Store
        From `open_store`; may be shared by any number of explorers.
    **state
        Starting values: suite, layer, width, l0, letter, latent, thresholds.

    Attributes
    ----------
    state : ExplorerState
        Set its parameters to move the views.
    model : ExplorerModel
        The answers that the state calls for, as DataFrames.
    notices : Notices
        What the reader should know.
    """

    def __init__(self, store: Store, **state: Any) -> None:
        super().__init__()
        self.state = ExplorerState(choices_of(store), **state)
        self.model = ExplorerModel(store, self.state)
        self.notices = Notices(self.model)
        self._browser = Browser(self.model, self.notices.refuse)
        self._progress = Progress(self.model, (remembered("tasks") or "").split("."))
        remember = self._browser.remember
        opened = ["absorption"] if remembered("open") is None else (remembered("open") or "").split(".")
        self._parts: dict[str, pn.viewable.Viewable | pn.viewable.Viewer] = {
            "header": Header(self.model, partial(snapshot_html, store)),
            "export": pn.Column(Export(self.model)),
            "choose": Selectors(self.state),
            # A template renames its roots; inside a column the strip keeps the name of its parameter.
            "letters": pn.Column(Letters(self.model), sizing_mode="stretch_width"),
            "thresholds": pn.Column(Thresholds(self.model), sizing_mode="stretch_width"),
            "tasks": Tasks(self.model, self._progress, remember),
            "main": pn.Column(
                self.notices,
                Switch(
                    self.state,
                    "page",
                    {
                        "explore": lambda: explore_page(self.model, opened=opened, remember=remember),
                        "compare": lambda: compare_page(self.model),
                        "atlas": lambda: atlas_page(self.model),
                        "evidence": lambda: evidence_page(self.model),
                    },
                ),
                sizing_mode="stretch_width",
            ),
        }

    @cached_property
    def layout(self) -> pn.viewable.Viewable:
        """The explorer without a page around it, as a notebook shows it."""
        parts = self._parts
        side = pn.Column(
            parts["choose"], parts["letters"], parts["thresholds"], parts["tasks"], width=232, margin=(0, 24, 0, 0)
        )
        return pn.Column(
            parts["header"],
            parts["export"],
            pn.Row(side, parts["main"], sizing_mode="stretch_width"),
            sizing_mode="stretch_width",
        )

    def template(self) -> pn.Template:
        """Make the explorer a page of its own."""
        return _page({**self._parts, "browser": self._browser})

    def __panel__(self) -> pn.viewable.Viewable:
        return self.layout


def session(*paths: str) -> pn.Template:
    """Build what one browser session is served: the view that its URL and its cookies ask for.

    Parameters
    ----------
    *paths : str
        Folders of suites; without any, the embedded one. All sessions share one store.
    """
    try:
        store = shared_store(*paths)
    except SuiteError as error:
        _LOG.error("%s", error)
        return _page({"message": Markup("message", html=render("empty", title="No suite is open", why=str(error)))})
    wanted = ExplorerState(choices_of(store))
    refused = wanted.from_query(requested_query())
    explorer = Explorer(store, **wanted.url_values(), dark=remembered("dark") == "1")
    explorer.notices.refuse(refused)
    return explorer.template()


def _page(parts: Mapping[str, pn.viewable.Viewable | pn.viewable.Viewer]) -> pn.Template:
    """Put parts into the page's template; a part that is not there leaves its place empty."""
    page = pn.Template((STATIC.parent / "templates" / "page.html").read_text(encoding="utf-8"))
    for name, part in parts.items():
        page.add_panel(name, part)
    variables = {
        "parts": list(parts),
        "font": FONT,
        "mono": MONO,
        "light": css_variables(LIGHT),
        "dark": css_variables(DARK),
        "styles": styles(),
    }
    for name, value in variables.items():
        page.add_variable(name, value)
    return page
