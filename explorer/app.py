"""One session: state, model and views, as a served page or as a layout for notebooks."""

from __future__ import annotations

import logging
from functools import cached_property, partial
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any

import panel as pn
from panel.io.resources import LOCAL_DIST, parse_template, patch_model_css

from explorer.capacity import limit_sessions
from explorer.compression import compress
from explorer.connections import limit_connections
from explorer.embed import EMBEDS
from explorer.embed_address import RequestedView, embed_query, parse_address
from explorer.figures import FigureRequest, FigureStyle, write_figures
from explorer.format import printable
from explorer.given_values import refusal_of
from explorer.guard import guard, is_checked
from explorer.latents.panel import LatentPanel
from explorer.log import log_failure
from explorer.model import QUESTIONS, ExplorerModel, choices_of
from explorer.named_questions import tables
from explorer.pages import Pages
from explorer.served import MayOpen
from explorer.session_limits import SESSION_SECONDS
from explorer.snapshot import snapshot_html
from explorer.state import ExplorerState
from explorer.store import acquire_store, without_folders
from explorer.text.tour_files import TourError
from explorer.theme import DARK, FONT, LIGHT, MONO, css_variables
from explorer.tours import enter_step
from explorer.views.background import in_thread
from explorer.views.browser import Browser, remembered, requested_query
from explorer.views.cell import Cell
from explorer.views.cite import Cite, Foot
from explorer.views.concepts import Concepts
from explorer.views.cosine import CosineView
from explorer.views.evidence_table import ConceptEvidence
from explorer.views.export import Export
from explorer.views.header import Header
from explorer.views.heat_map import HeatMapView
from explorer.views.help import Help
from explorer.views.k_sparse import KSparseView
from explorer.views.markup import STATIC, Markup, math_font, render, styles
from explorer.views.notices import Notices
from explorer.views.sae_scores import SaeScoresView
from explorer.views.selectors import Selectors
from explorer.views.sensitivity import SensitivityView
from explorer.views.tasks import Progress, Tasks
from explorer.views.thresholds import Thresholds
from explorer.views.tour import TourCard
from queries import QueryError, SuiteError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from bokeh.document import Document

    from explorer.served import Served
    from explorer.views.view import View
    from queries import Store

_LOG = logging.getLogger("explorer")


class Explorer(pn.viewable.Viewer):
    """The explorer for one store, and its single views, for notebooks.

    All views of one explorer share its state, so a tap in one changes the others.

    Parameters
    ----------
    store : Store
        From `open_store`; may be shared by any number of explorers.
    **state
        Initial values: suite, sae and concept (or layer, width, l0 and letter), latent, thresholds; see
        `ExplorerState`. Without `dark`, the theme follows the notebook.

    Attributes
    ----------
    state : ExplorerState
        Set its parameters to change the views.
    model : ExplorerModel
        The query results for the state, as DataFrames.
    notices : Notices
        Messages to the visitor.
    served : Served or None
        The served suites, if others may be opened from the page.
    """

    def __init__(self, store: Store, **state: Any) -> None:
        super().__init__()
        self.state = ExplorerState(choices_of(store), **state)
        self.model = ExplorerModel(store, self.state, Concepts, Pages)
        self.notices = Notices(self.model)
        self.served: Served | None = None
        self._follows_notebook = "dark" not in state
        self._dark_notebook: bool | None = None

    @cached_property
    def layout(self) -> pn.viewable.Viewable:
        """The whole explorer, for a notebook."""
        parts = self._parts(Browser(self.model, self.notices.refuse), on_page=False)
        # In a narrow cell the sidebar moves to the top, with its parts side by side.
        flow = {"flex-wrap": "wrap", "align-content": "flex-start", "gap": "16px 32px"}
        side = [
            pn.Column(parts[name], sizing_mode="stretch_width", styles={"flex": "1 1 200px", "min-width": "200px"})
            for name in ("choose", "concepts", "thresholds", "tasks")
        ]
        return self._cell(
            "layout",
            # The search results are above the elements below.
            pn.Column(parts["header"], sizing_mode="stretch_width", styles={"position": "relative", "z-index": "1"}),
            pn.Row(
                pn.Row(*side, sizing_mode="stretch_width", styles=flow | {"flex": "1 1 232px", "min-width": "232px"}),
                pn.Column(parts["main"], sizing_mode="stretch_width", styles={"flex": "999 1 800px", "min-width": "0"}),
                sizing_mode="stretch_width",
                styles=flow,
            ),
        )

    @cached_property
    def cosine(self) -> pn.viewable.Viewable:
        """The cosine plot: every latent against the concept's probe."""
        return self._single_view("cosine", CosineView, alone=True)

    @cached_property
    def k_sparse(self) -> pn.viewable.Viewable:
        """The scores of the k-sparse probes, with tau."""
        return self._single_view("k_sparse", KSparseView)

    @cached_property
    def scores(self) -> pn.viewable.Viewable:
        """Precision and recall over all SAEs of the suite."""
        return self._single_view("scores", SaeScoresView)

    @cached_property
    def heat_map(self) -> pn.viewable.Viewable:
        """Absorption rate, splits or F1 gap of every concept on every SAE."""
        return self._single_view("heat_map", HeatMapView)

    @cached_property
    def sensitivity(self) -> pn.viewable.Viewable:
        """The absorption rate by one of the thresholds."""
        return self._single_view("sensitivity", SensitivityView)

    @cached_property
    def evidence(self) -> pn.viewable.Viewable:
        """The tested tokens of the concept, with the values that decide their verdicts."""
        return self._single_view("evidence", ConceptEvidence)

    @cached_property
    def card(self) -> pn.viewable.Viewable:
        """Everything about the selected latent."""
        none = "Tap one in another view of this explorer, or set explorer.state.latent."
        return self._single_view("card", LatentPanel, when_none=none)

    def to_dataframe(self, answer: str) -> pd.DataFrame:
        """Return the complete table behind a view; a copy that may be modified.

        Parameters
        ----------
        answer : str
            Name of a table of `ExplorerModel`, for example "cosines", "concept_evidence" or "concept_rates".

        Raises
        ------
        ValueError
            If there is no such table, or none in this state.
        QueryError
            If the query fails.
        """
        if answer not in QUESTIONS:
            raise ValueError(f"there is no table {answer!r}; choose one of {', '.join(QUESTIONS)}")
        try:
            return self.model.whole(answer)
        except KeyError:
            of_latent, table = QUESTIONS[answer].of_latent, QUESTIONS[answer].table
            if table and table not in self.model.manifest.tables:
                needed = f"a suite that stores {table}"
            else:
                needed = "a selected latent: set state.latent" if of_latent else "an existing SAE"
            raise ValueError(f"the table {answer!r} needs {needed}") from None

    @property
    def tables(self) -> pd.DataFrame:
        """The queries that `explorer.ask` can run on the store; see `explorer.tables`."""
        return tables(self.model.store)

    def save_figure(
        self,
        name: str,
        path: Path | str,
        *,
        size: tuple[float, float] = (6, 3),
        font: str | None = None,
        font_size: float = 9,
        dpi: float = 300,
        dark: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Write a figure of the current state to a file.

        Parameters
        ----------
        name : str
            Name of the figure, for example "cosine": a key of `explorer.figures.FIGURES`.
        path : Path or str
            The file; ends with .svg or .png.
        size : tuple of float
            Width and height, inches.
        font : str, optional
            Font family as in CSS; by default, that of the page.
        font_size : float
            Size of all text in points.
        dpi : float
            Pixels per inch of a PNG.
        dark : bool
            Whether to use the dark theme.
        overwrite : bool
            Whether to replace an existing file.

        Raises
        ------
        FigureError
            If it cannot be written; the message is one line with the fix.
        """
        look = FigureStyle(size, font, font_size, dpi, dark)
        write_figures([FigureRequest(self.model.store, self.state, name, Path(path), look)], overwrite=overwrite)

    def template(self, reconnect_seconds: int = 0) -> pn.Template:
        """Return the explorer as a page, which tries to reconnect for `reconnect_seconds` after a disconnection."""
        browser = Browser(self.model, self.notices.refuse, reconnect_seconds)
        self.model.runner = in_thread
        return _page(
            {
                **self._parts(browser, on_page=True),
                "dialogs": self._dialogs_and_tour(),
                "browser": browser,
            }
        )

    def _dialogs_and_tour(self) -> pn.Column:
        """Create the dialogs of a page, and the card of the tours."""
        tour = TourCard(self.model, self.notices.refuse)
        return pn.Column(*_dialogs(self.model), Help(self.model, tour.start), tour)

    def _parts(self, browser: Browser, *, on_page: bool) -> dict[str, pn.viewable.Viewable | pn.viewable.Viewer]:
        """Create the parts of the page or layout."""
        progress = Progress(self.model, (remembered("tasks") or "").split("."))
        remember = browser.remember
        return {
            "header": Header(self.model, partial(snapshot_html, self.model.store), on_page=on_page, served=self.served),
            "choose": Selectors(self.state),
            # A template renames its roots; inside a column, the view keeps the name of its parameter.
            "concepts": pn.Column(Concepts(self.model), sizing_mode="stretch_width"),
            "thresholds": pn.Column(Thresholds(self.model), sizing_mode="stretch_width"),
            "tasks": Tasks(self.model, progress, remember),
            "main": pn.Column(self.notices, Pages(self.model, remember), sizing_mode="stretch_width"),
        }

    def _single_view(self, name: str, view: type[View], **options: Any) -> pn.viewable.Viewable:
        """Return a cell with one view, independent of the current page."""
        self.model.show(view)
        return self._cell(name, self.notices, view(self.model, **options))

    def _cell(self, name: str, *content: pn.viewable.Viewable | pn.viewable.Viewer) -> pn.viewable.Viewable:
        """Create the cell for the attribute `name`."""
        again = partial(self._copy_of_view, name)
        return Cell(self.model, *content, on_dark=self._follow_notebook, again=again).__panel__()

    def _copy_of_view(self, name: str) -> pn.viewable.Viewable:
        """Create a separate copy of the view `name` in the current state."""
        state = self.state
        values = {key: value for key, value in state.url_values().items() if value is not None}
        other = Explorer(self.model.store, **values, dark=state.dark)
        other.state.param.update(
            **{key: getattr(state, key) for key in ("brushed", "cosine_range", "tested_words", "seed")}
        )
        view: pn.viewable.Viewable = getattr(other, name)
        return view

    def _follow_notebook(self, dark: bool) -> None:  # noqa: FBT001 - reported by the browser
        """Follow changes of the notebook's theme; a theme chosen by the visitor is kept until the next change."""
        if self._follows_notebook and dark != self._dark_notebook:
            self._dark_notebook = self.state.dark = dark

    def __panel__(self) -> pn.viewable.Viewable:
        return self.layout


def prepare_process() -> None:
    """Install guard, limits and compression in this process; further calls have no effect."""
    guard()
    compress()
    limit_connections()
    limit_sessions()


def session(*paths: str, session_seconds: int = SESSION_SECONDS, served: Served | None = None) -> None:
    """Build the page of one browser session, as requested by its URL and cookies.

    Parameters
    ----------
    *paths : str
        Folders of suites; by default the embedded ones. All sessions share one store.
    session_seconds : int
        Seconds for which the server keeps a session without a browser.
    served : Served, optional
        The served suites, if others may be opened from the page.
    """
    prepare_process()
    document: Any = pn.state.curdoc
    if document is None:
        _requested_page(
            *paths, session_seconds=session_seconds, served=served
        )  # run as a plain script: built, but not shown
        return
    context = document.session_context
    if not is_checked(context.request):
        # The guard makes the browser repeat the request, and this session is never joined.
        document.add_next_tick_callback(lambda: context.session.request_expiration())  # noqa: PLW0108 - there is no session yet
        return
    # The page reconnects with its own script (views/browser.js) while its session exists; after that it shows that the
    # connection is lost, and its address contains the view.
    document.config.update(reconnect_session=False, notifications=None, notify_connection_status=False)
    try:
        if served and served.may_open is MayOpen.ANYTHING and not context.request.is_local_request:
            served = None  # an unknown proxy, or another site's host name that resolves to this machine
        page = _requested_page(*paths, session_seconds=session_seconds, served=served)
        with document.models.freeze():  # otherwise Bokeh traverses the models after each added part
            page.server_doc(document, title="Absorption Explorer", location=False)
        if context.request.path.endswith("/ws"):
            _load_styles_from_here(document)
    except Exception as error:  # noqa: BLE001 - otherwise Panel would show the traceback
        # The nonce is added last, and the guard does not send a page without one.
        log_failure("A page could not be built", error)


def _load_styles_from_here(document: Document) -> None:
    """Load the style sheets of models from this server, as the page's policy requires.

    Panel 1.9 and 1.10 do so only if the session is created by a request for a page, not by a websocket.
    """
    for root in document.roots:
        patch_model_css(root, dist_url=_panel_files())


def _panel_files() -> str:
    """Return the path of Panel's own files on this server, relative to the page and thus valid with any prefix."""
    return f"{pn.state.rel_path}/{LOCAL_DIST}" if pn.state.rel_path else LOCAL_DIST


def _requested_page(*paths: str, session_seconds: int, served: Served | None) -> pn.Template:
    """Build the requested page."""
    try:
        store, leave = acquire_store(*paths)
        if pn.state.curdoc is not None:
            pn.state.curdoc.on_session_destroyed(lambda _: leave())
        choices = choices_of(store)
    except (SuiteError, QueryError) as error:
        _LOG.error("%s", printable(str(error)))
        why = without_folders(str(error), paths)
        return _page({"message": Markup("message", html=render("empty", title="No suite is open", why=why))})
    asked = parse_address(requested_query())
    dark = remembered("dark") == "1" if asked.dark is None else asked.dark
    # Without the opening case: where an address names a part of it, the rest is what the suite begins with.
    state = ExplorerState(choices, latent=None)
    refused = state.from_query(asked.query)
    if asked.embed is not None:
        return _embed_page(store, asked, {**state.url_values(), "dark": dark}, refused, session_seconds)
    try:
        refused += enter_step(store, state, asked.query)
    except (QueryError, TourError) as error:
        state.tour = None
        refused.append(str(error))
    explorer = Explorer(store, **state.url_values(), dark=dark)
    explorer.notices.refuse(refused)
    explorer.served = served
    return explorer.template(session_seconds)


def _embed_page(
    store: Store, asked: RequestedView, values: Mapping[str, Any], refused: list[str], reconnect_seconds: int
) -> pn.Template:
    """Build a page with only the requested view."""
    name = str(asked.embed)
    embed = EMBEDS.get(name)
    if embed is None:
        why = f"{refusal_of('embed', name, EMBEDS)}."
        return _page({"message": Markup("message", html=render("empty", title="No such view", why=why))})
    state = ExplorerState(choices_of(store), **values)
    state.apply({"page": embed.page, **embed.state})
    model = ExplorerModel(store, state, embed.view)
    model.runner = in_thread
    notices = Notices(model)
    notices.refuse(refused)
    content = pn.Column(notices, embed.make(model), Foot(model, embed), sizing_mode="stretch_width")
    browser = Browser(model, notices.refuse, reconnect_seconds, embed_query(name, dark=asked.dark))
    chosen_dark = "" if asked.dark is None else str(int(asked.dark))
    return _page({"alone": content, "dialogs": _dialogs(model), "browser": browser}, chosen_dark=chosen_dark)


def _dialogs(model: ExplorerModel) -> pn.Column:
    """Create the dialogs of a served page."""
    return pn.Column(Export(model, shared=True), Cite(model, has_address=True))


class _Page(pn.Template):
    """Panel's template without the description of all parts, which Panel 1.9 and 1.10 create for each added part.

    That took a fifth of the time for building a page.
    """

    def __repr__(self) -> str:
        return type(self).__name__


def _page(parts: Mapping[str, pn.viewable.Viewable | pn.viewable.Viewer], *, chosen_dark: str = "") -> pn.Template:
    """Put parts into the page's template; the place of a missing part remains empty.

    `chosen_dark` is "1" or "0" if the address determines the theme.
    """
    # Panel caches parsed templates.
    page = _Page(parse_template((STATIC.parent / "templates" / "page.html").read_text(encoding="utf-8")))
    for name, part in parts.items():
        page.add_panel(name, part)
    variables = {
        "parts": list(parts),
        "nonce": token_urlsafe(16),
        "chosen_dark": chosen_dark,
        # Bokeh serves /favicon.ico without the prefix, but Panel requests it with the prefix.
        "app_favicon": f"{_panel_files()}images/favicon.ico",
        "font": FONT,
        "mono": MONO,
        "light": css_variables(LIGHT),
        "dark": css_variables(DARK),
        "styles": styles(),
        "math_font": math_font(),
        **{name: (STATIC / f"{name}.js").read_text(encoding="utf-8") for name in ("drawer", "guide")},
        "frame": (STATIC / "frame.css").read_text(encoding="utf-8"),
    }
    for name, value in variables.items():
        page.add_variable(name, value)
    return page
