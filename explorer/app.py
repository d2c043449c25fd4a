"""One session: state, model and views put together, as a served page or as a bare layout."""

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
from explorer.embed_address import WantedView, alone, wanted
from explorer.figures import Look, Wanted, write_figures
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
from explorer.store import use, without_folders
from explorer.text.tour_files import TourError
from explorer.theme import DARK, FONT, LIGHT, MONO, css_variables
from explorer.tours import enter
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
    """The explorer over one store, and each of its views by itself, for notebooks.

    All views of one explorer share its state: a tap in one moves the others.

    Parameters
    ----------
    store : Store
        From `open_store`; may be shared by any number of explorers.
    **state
        Starting values: suite, sae and concept (or layer, width, l0 and letter), latent, thresholds; see
        `ExplorerState`. Without `dark`, the theme of the notebook is followed.

    Attributes
    ----------
    state : ExplorerState
        Set its parameters to move the views.
    model : ExplorerModel
        The answers that the state calls for, as DataFrames.
    notices : Notices
        What the reader should know.
    served : Served or None
        Where other suites may be opened from the page.
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
        """The whole explorer without a page around it, as a notebook shows it."""
        parts = self._parts(Browser(self.model, self.notices.refuse), on_page=False)
        # In a narrow cell the choices move from the side to the top, next to each other.
        flow = {"flex-wrap": "wrap", "align-content": "flex-start", "gap": "16px 32px"}
        side = [
            pn.Column(parts[name], sizing_mode="stretch_width", styles={"flex": "1 1 200px", "min-width": "200px"})
            for name in ("choose", "concepts", "thresholds", "tasks")
        ]
        return self._cell(
            "layout",
            # What a search finds lies over what follows.
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
        return self._alone("cosine", CosineView, alone=True)

    @cached_property
    def k_sparse(self) -> pn.viewable.Viewable:
        """The scores of the k-sparse probes, with tau."""
        return self._alone("k_sparse", KSparseView)

    @cached_property
    def scores(self) -> pn.viewable.Viewable:
        """Precision and recall over all SAEs of the suite."""
        return self._alone("scores", SaeScoresView)

    @cached_property
    def heat_map(self) -> pn.viewable.Viewable:
        """Absorption rate, splits or F1 gap of every concept on every SAE."""
        return self._alone("heat_map", HeatMapView)

    @cached_property
    def sensitivity(self) -> pn.viewable.Viewable:
        """The absorption rate by one of the thresholds."""
        return self._alone("sensitivity", SensitivityView)

    @cached_property
    def evidence(self) -> pn.viewable.Viewable:
        """The tested tokens of the concept, each with what decided on it."""
        return self._alone("evidence", ConceptEvidence)

    @cached_property
    def card(self) -> pn.viewable.Viewable:
        """All that is known of the selected latent."""
        none = "Tap one in another view of this explorer, or set explorer.state.latent."
        return self._alone("card", LatentPanel, when_none=none)

    def to_dataframe(self, answer: str) -> pd.DataFrame:
        """Return the table behind a view, whole; a copy that may be changed.

        Parameters
        ----------
        answer : str
            Name of a table of `ExplorerModel`, as in "cosines", "concept_evidence", "concept_rates".

        Raises
        ------
        ValueError
            Where there is no such table, or none in this state.
        QueryError
            Where the question fails.
        """
        if answer not in QUESTIONS:
            raise ValueError(f"there is no table {answer!r}; there is {', '.join(QUESTIONS)}")
        try:
            return self.model.whole(answer)
        except KeyError:
            of_latent, table = QUESTIONS[answer].of_latent, QUESTIONS[answer].table
            if table and table not in self.model.manifest.tables:
                needed = f"a suite that stores {table}"
            else:
                needed = "a selected latent: set state.latent" if of_latent else "an SAE that is there"
            raise ValueError(f"the table {answer!r} needs {needed}") from None

    @property
    def tables(self) -> pd.DataFrame:
        """The questions that can be asked of the store with `explorer.ask`; see `explorer.tables`."""
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
        """Write a figure to a file, drawn from the state as it is now.

        Parameters
        ----------
        name : str
            Name of the figure, as in "cosine"; the keys of `explorer.figures.FIGURES`.
        path : Path or str
            The file; ends with .svg or .png.
        size : tuple of float
            Width and height, inches.
        font : str, optional
            Family, as CSS has it; the page's where none is given.
        font_size : float
            Of all text, points.
        dpi : float
            Pixels to an inch of a PNG.
        dark : bool
            Whether in the dark theme.
        overwrite : bool
            Whether to replace a file that is there.

        Raises
        ------
        FigureError
            Where it cannot be written; one line that names the fix.
        """
        look = Look(size, font, font_size, dpi, dark)
        write_figures([Wanted(self.model.store, self.state, name, Path(path), look)], overwrite=overwrite)

    def template(self, reconnect_seconds: int = 0) -> pn.Template:
        """Make the explorer a page of its own, which tries for so long to reconnect after its connection was cut."""
        browser = Browser(self.model, self.notices.refuse, reconnect_seconds)
        self.model.aside = in_thread
        return _page(
            {
                **self._parts(browser, on_page=True),
                "dialogs": self._guided(),
                "browser": browser,
            }
        )

    def _guided(self) -> pn.Column:
        """Make the dialogs of a page, and the tours over it."""
        tour = TourCard(self.model, self.notices.refuse)
        return pn.Column(*_dialogs(self.model), Help(self.model, tour.start), tour)

    def _parts(self, browser: Browser, *, on_page: bool) -> dict[str, pn.viewable.Viewable | pn.viewable.Viewer]:
        """Make the parts of which the whole consists."""
        progress = Progress(self.model, (remembered("tasks") or "").split("."))
        remember = browser.remember
        return {
            "header": Header(self.model, partial(snapshot_html, self.model.store), on_page=on_page, served=self.served),
            "choose": Selectors(self.state),
            # A template renames its roots; inside a column the strip keeps the name of its parameter.
            "concepts": pn.Column(Concepts(self.model), sizing_mode="stretch_width"),
            "thresholds": pn.Column(Thresholds(self.model), sizing_mode="stretch_width"),
            "tasks": Tasks(self.model, progress, remember),
            "main": pn.Column(self.notices, Pages(self.model, remember), sizing_mode="stretch_width"),
        }

    def _alone(self, name: str, view: type[View], **options: Any) -> pn.viewable.Viewable:
        """Show a view by itself, whatever page is shown."""
        self.model.show(view)
        return self._cell(name, self.notices, view(self.model, **options))

    def _cell(self, name: str, *content: pn.viewable.Viewable | pn.viewable.Viewer) -> pn.viewable.Viewable:
        """Make what a cell shows for an attribute of that name."""
        again = partial(self._again, name)
        return Cell(self.model, *content, on_dark=self._follow_notebook, again=again).__panel__()

    def _again(self, name: str) -> pn.viewable.Viewable:
        """Make the view under a name again, by itself, in the state as it is now."""
        state = self.state
        values = {key: value for key, value in state.url_values().items() if value is not None}
        other = Explorer(self.model.store, **values, dark=state.dark)
        other.state.param.update(
            **{key: getattr(state, key) for key in ("brushed", "cosine_range", "tested_words", "seed")}
        )
        view: pn.viewable.Viewable = getattr(other, name)
        return view

    def _follow_notebook(self, dark: bool) -> None:  # noqa: FBT001 - what the browser tells
        """Turn dark as the notebook does; what the reader turned since then stays until the notebook turns again."""
        if self._follows_notebook and dark != self._dark_notebook:
            self._dark_notebook = self.state.dark = dark

    def __panel__(self) -> pn.viewable.Viewable:
        return self.layout


def prepare_process() -> None:
    """Guard, limit and compress what this process serves; a second call changes nothing."""
    guard()
    compress()
    limit_connections()
    limit_sessions()


def session(*paths: str, session_seconds: int = SESSION_SECONDS, served: Served | None = None) -> None:
    """Build what one browser session is served: the view that its URL and its cookies ask for.

    Parameters
    ----------
    *paths : str
        Folders of suites; without any, the embedded ones. All sessions share one store.
    session_seconds : int
        How long the server keeps a session that no browser is connected to.
    served : Served, optional
        Where other suites may be opened from the page.
    """
    prepare_process()
    document: Any = pn.state.curdoc
    if document is None:
        _requested(*paths, session_seconds=session_seconds, served=served)  # a plain script: made, and shown to nobody
        return
    context = document.session_context
    if not is_checked(context.request):
        # The guard has the browser ask again, and nobody joins this session.
        document.add_next_tick_callback(lambda: context.session.request_expiration())  # noqa: PLW0108 - there is no session yet
        return
    # The page reconnects by itself (views/browser.js), and only for as long as its session is there; then it says that
    # the connection is lost: its own address has the view.
    document.config.update(reconnect_session=False, notifications=None, notify_connection_status=False)
    try:
        if served and served.may_open is MayOpen.ANYTHING and not context.request.is_local_request:
            served = None  # a proxy that nobody told of, or another site's name that leads here
        page = _requested(*paths, session_seconds=session_seconds, served=served)
        with document.models.freeze():  # else Bokeh looks for models after each part that is added
            page.server_doc(document, title="Absorption Explorer", location=False)
        if context.request.path.endswith("/ws"):
            _load_styles_from_here(document)
    except Exception as error:  # noqa: BLE001 - whatever it is, Panel would show its traceback
        # The page gets its nonce last: the guard sends none without one.
        log_failure("A page could not be built", error)


def _load_styles_from_here(document: Document) -> None:
    """Have the style sheets of models come from this server, as the page's policy has it.

    Panel 1.9 and 1.10 do so only where a request for a page builds the session, not where a websocket does.
    """
    for root in document.roots:
        patch_model_css(root, dist_url=_panel_files())


def _panel_files() -> str:
    """Return where this server has Panel's own files, relative to the page: a prefix stands before both."""
    return f"{pn.state.rel_path}/{LOCAL_DIST}" if pn.state.rel_path else LOCAL_DIST


def _requested(*paths: str, session_seconds: int, served: Served | None) -> pn.Template:
    """Make the page that is asked for."""
    try:
        store, leave = use(*paths)
        if pn.state.curdoc is not None:
            pn.state.curdoc.on_session_destroyed(lambda _: leave())
        choices = choices_of(store)
    except (SuiteError, QueryError) as error:
        _LOG.error("%s", printable(str(error)))
        why = without_folders(str(error), paths)
        return _page({"message": Markup("message", html=render("empty", title="No suite is open", why=why))})
    asked = wanted(requested_query())
    dark = remembered("dark") == "1" if asked.dark is None else asked.dark
    state = ExplorerState(choices)
    refused = state.from_query(asked.query)
    if asked.embed is not None:
        return _alone(store, asked, {**state.url_values(), "dark": dark}, refused, session_seconds)
    try:
        refused += enter(store, state, asked.query)
    except (QueryError, TourError) as error:
        state.tour = None
        refused.append(str(error))
    explorer = Explorer(store, **state.url_values(), dark=dark)
    explorer.notices.refuse(refused)
    explorer.served = served
    return explorer.template(session_seconds)


def _alone(
    store: Store, asked: WantedView, values: Mapping[str, Any], refused: list[str], reconnect_seconds: int
) -> pn.Template:
    """Make a page of the one view that is asked for, without what stands around it."""
    name = str(asked.embed)
    embed = EMBEDS.get(name)
    if embed is None:
        why = f"{refusal_of('embed', name, EMBEDS)}."
        return _page({"message": Markup("message", html=render("empty", title="No such view", why=why))})
    state = ExplorerState(choices_of(store), **values)
    state.apply({"page": embed.page, **embed.state})
    model = ExplorerModel(store, state, embed.view)
    model.aside = in_thread
    notices = Notices(model)
    notices.refuse(refused)
    content = pn.Column(notices, embed.make(model), Foot(model, embed), sizing_mode="stretch_width")
    browser = Browser(model, notices.refuse, reconnect_seconds, alone(name, dark=asked.dark))
    chosen_dark = "" if asked.dark is None else str(int(asked.dark))
    return _page({"alone": content, "dialogs": _dialogs(model), "browser": browser}, chosen_dark=chosen_dark)


def _dialogs(model: ExplorerModel) -> pn.Column:
    """Make the dialogs that the buttons of a served page open."""
    return pn.Column(Export(model, shared=True), Cite(model, has_address=True))


class _Page(pn.Template):
    """Panel's template, without the description of all its parts that Panel 1.9 and 1.10 write as each is added.

    That took a fifth of the time in which a page is made.
    """

    def __repr__(self) -> str:
        return type(self).__name__


def _page(parts: Mapping[str, pn.viewable.Viewable | pn.viewable.Viewer], *, chosen_dark: str = "") -> pn.Template:
    """Put parts into the page's template; a part that is not there leaves its place empty.

    `chosen_dark` is "1" or "0" where the address decides on the theme.
    """
    # Panel keeps what it has parsed.
    page = _Page(parse_template((STATIC.parent / "templates" / "page.html").read_text(encoding="utf-8")))
    for name, part in parts.items():
        page.add_panel(name, part)
    variables = {
        "parts": list(parts),
        "nonce": token_urlsafe(16),
        "chosen_dark": chosen_dark,
        # Bokeh serves /favicon.ico without the prefix, where Panel asks for it with one.
        "app_favicon": f"{_panel_files()}images/favicon.ico",
        "font": FONT,
        "mono": MONO,
        "light": css_variables(LIGHT),
        "dark": css_variables(DARK),
        "styles": styles(),
        "math_font": math_font(),
        "guide": (STATIC / "guide.js").read_text(encoding="utf-8"),
        "frame": (STATIC / "frame.css").read_text(encoding="utf-8"),
    }
    for name, value in variables.items():
        page.add_variable(name, value)
    return page
