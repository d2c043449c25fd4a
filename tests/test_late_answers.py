"""While queries run, the page keeps its contents; then all new results appear at once."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from bokeh.document import Document
from bokeh.models import ColumnDataSource, Plot
from panel.io.state import set_curdoc

from explorer import app
from explorer.app import Explorer
from explorer.plots.small_cosine import small_cosine_plot
from explorer.saes import ATTRIBUTES
from explorer.tours import _RENDERED, rendered_tours
from explorer.views.act import one_act
from explorer.views.headline import Headline
from explorer.views.markup import Markup
from explorer.views.tour import TourCard
from queries import Store
from queries.schema import concept_id
from tests.browser import wait_for
from tests.explore import open_view, wait_query
from tests.in_process import serving
from tests.questions import sae_id
from tests.tiny_suite import write_tiny_suite
from tests.unmeasured import list_letters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pandas as pd

    from tests.browser import PageOpener

SAES = ((0, 1000, 10), (0, 1000, 40), (0, 4000, 40), (3, 1000, 10), (3, 4000, 40))
#: Components that show the choice itself, at once.
CHOOSERS = {
    *(
        *ATTRIBUTES,
        "concept",
        "page",
        "same",
        "badge",
        "label",
        "thresholds",
        "brand",
        "header",
        "tasks",
        "search",
        "notices",
    ),
    "choice",
}

PAGES: dict[str, dict[str, Any]] = {
    "explore": {"page": "explore"},
    "sweep": {"page": "compare", "compare_by": "l0"},
    "layers": {"page": "compare", "compare_by": "layer"},
    "concepts": {"page": "compare", "compare_by": "concept"},
    "pair": {"page": "compare", "compare_by": "pair"},
    "atlas": {"page": "atlas"},
    "evidence": {"page": "evidence"},
    "learn": {"page": "learn", "learn_step": 5},
}
S = {"concept": concept_id("s")}
WALK: list[dict[str, Any]] = [
    {"latent": 65, "facet_latent": 65},
    {"concept": concept_id("t")},
    {"concept": concept_id("x")},  # which was not measured
    {"concept": concept_id("s"), "latent": 66},
    {"layer": 3},
    {"width": 4000},
    {"sae": sae_id(0, 1000, 40)},
    {"cosine_threshold": 0.3},
    {"effect_margin": 2.0},
    {"evidence_verdict": "absorbed"},
    {"sensitivity_of": "tau"},
    {"dark": True},
    {"tau": 0.1},
    {"scope": "all", "mean_policy": "all_concepts"},
    {"suite": "twin"},
    {"page": "evidence"},
    {"concept": concept_id("a"), "l0": 10},
]


class AsideStore(Store):
    """Records the queries that the page's own thread runs."""

    asked_here: list[str]
    page: threading.Thread | None = None

    def fetch(self, name: str, /, **params: Any) -> pd.DataFrame:
        if threading.current_thread() is self.page:
            self.asked_here.append(name)
        return super().fetch(name, **params)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsideStore]:
    root = tmp_path_factory.mktemp("suites")
    tiny = list_letters(write_tiny_suite(root / "tiny", saes=SAES, dashboards=True), "x")
    with AsideStore(tiny, write_tiny_suite(root / "twin", name="twin", seed=1, saes=SAES[:2])) as store:
        yield store


@pytest.fixture
def store(opened: AsideStore) -> Iterator[AsideStore]:
    opened.asked_here = []
    yield opened
    opened.page = None


class Held:
    """An explorer whose results arrive when a test releases them."""

    def __init__(self, store: Store, **state: Any) -> None:
        self.explorer = Explorer(store, **S | state)
        self.document = Document()
        self.document.add_root(self.explorer.layout.get_root(self.document))
        self.explorer.model.runner = self._hold
        self._out: list[tuple[Callable[[], Any], Callable[[Any], None]]] = []

    def _hold(self, ask: Callable[[], Any], take: Callable[[Any], None], on_delay: Callable[[], None]) -> None:
        self._out.append((ask, take))
        on_delay()

    def act(self, act: Callable[[], object]) -> None:
        with set_curdoc(self.document), one_act():
            act()

    def change(self, **values: Any) -> None:
        self.act(lambda: self.explorer.state.apply(values))

    def answer(self) -> None:
        """Release all results, and those of subsequent queries."""
        while self._out:
            out, self._out = self._out, []
            for ask, take in out:
                with ThreadPoolExecutor(1) as aside:
                    answers = aside.submit(ask).result()
                self.act(lambda: take(answers))  # noqa: B023 - done at once

    def markups(self, name: str = "") -> list[Markup]:
        return [
            part
            for part in self.explorer.layout.select(Markup)
            if isinstance(part, Markup) and name in ("", part.css_name)
        ]

    def drawn(self) -> Counter[str]:
        """Return the texts of the page, except controls, and the data of each plot."""
        written = [f"{part.css_name}: {part.html}" for part in self.markups() if part.css_name not in CHOOSERS]
        return Counter([*written, *map(_written, self.document.select({"type": Plot}))])


def _written(figure: Any) -> str:
    sources = sorted(
        repr({name: np.asarray(values).tolist() for name, values in sorted(source.data.items())})
        for source in figure.select(ColumnDataSource)
    )
    return f"{figure.name} {sources}"


@pytest.mark.parametrize("page", PAGES)
def test_displayed_contents_belong_to_one_state(page: str, store: AsideStore) -> None:
    held = Held(store, **PAGES[page])
    store.page = threading.current_thread()
    for change in (*WALK, PAGES[page]):
        before = held.drawn()
        held.change(**change)
        if held.explorer.model.waiting:
            assert held.drawn() == before, change
        held.answer()
        assert not held.explorer.model.waiting
    assert store.asked_here == []
    store.page = None
    chosen = held.explorer.state.url_values()
    at_once = Held(store, dark=True, **{name: value for name, value in chosen.items() if value is not None})
    assert [*(at_once.drawn() - held.drawn())] == []


def test_failed_view_does_not_leave_the_page_waiting(store: AsideStore, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(store)

    def fail(_: Headline) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Headline, "_show", fail)
    held.change(concept=concept_id("t"))
    assert held.explorer.model.waiting
    with pytest.raises(ZeroDivisionError):
        held.answer()
    assert not held.explorer.model.waiting


def test_queries_of_used_views_run_in_the_background(store: AsideStore) -> None:
    sae = sae_id(*SAES[-1])  # the one with dashboards
    evident = store.fetch("cosines", suite="tiny", sae=sae, concept=concept_id("s")).nlargest(1, "cosine")
    held = Held(store, sae=sae, latent=int(evident["latent"].iloc[0]))
    part = {name: held.markups(name)[0] for name in ("search", "tester", "evidence", "original")}
    store.page = threading.current_thread()

    def act(name: str, action: str, value: Any) -> str:
        """Return what is shown before and after the results arrive."""
        before = part[name].html
        held.act(lambda: part[name]._handle_msg({"action": action, "value": value}))
        assert part[name].html == before
        held.answer()
        assert part[name].html != before
        return part[name].html

    assert "Nothing begins with" in act("search", "search", [1, "nowhere"])
    assert 'class="bars"' in act("evidence", "open", "0")
    assert 'class="results"' in act("tester", "pack", "concept")
    assert "short" in act("tester", "test", {"words": "short nowhere"})
    assert "<iframe" in act("original", "original", "")
    # Only the result of the last query is shown.
    for nth, text in enumerate(("a", "sh"), start=2):
        held.act(lambda: part["search"]._handle_msg({"action": "search", "value": [nth, text]}))  # noqa: B023 - done at once
    held.answer()
    assert 'data-answers="3"' in part["search"].html
    # Outdated plots do not link to latents of another concept.
    held.change(concept=concept_id("t"))
    lists, graph = held.markups("latents")[0], held.explorer.state
    held.act(lambda: lists._handle_msg({"action": "latent", "value": "65"}))
    held.answer()
    assert graph.latent is None
    assert store.asked_here == []


def test_tours_are_rendered_in_the_background(store: AsideStore) -> None:
    held = Held(store)
    card = TourCard(held.explorer.model, lambda _: None).__panel__()
    assert isinstance(card, Markup)
    (tour, *_) = [rendered.name for rendered in rendered_tours(store, "tiny") if rendered.steps]
    _RENDERED.clear()
    store.asked_here, store.page = [], threading.current_thread()
    held.change(tour=tour)
    assert (card.html, held.explorer.model.waiting) == ("", True)
    held.answer()
    assert "1 of" in card.html
    held.act(lambda: card._handle_msg({"action": "tour-next", "value": None}))
    held.answer()
    assert "2 of" in card.html
    # Another suite during the tour renders its own tour.
    held.change(suite="twin")
    held.answer()
    assert not held.explorer.model.waiting
    assert store.asked_here == []


def test_removed_plots_are_not_drawn(store: AsideStore, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: Counter[str] = Counter()

    def noted(*frames: Any, **how: Any) -> Any:
        drawn[how["name"]] += 1
        return small_cosine_plot(*frames, **how)

    monkeypatch.setattr("explorer.views.small_multiples.small_cosine_plot", noted)
    held = Held(store, page="compare", layer=0)
    for layer in (3, 0, 3, 0):
        held.change(layer=layer)
        held.answer()
        drawn.clear()
        held.change(concept=concept_id("t" if held.explorer.state.label == "S" else "s"))
        held.answer()
        assert drawn == {f"cosine-{sae_id(*sae)}": 1 for sae in SAES if sae[0] == layer}


@pytest.mark.browser
def test_removed_models_do_not_accumulate(
    open_page: PageOpener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any number of changes, server and browser have as many models as after the first one."""
    suite = write_tiny_suite(tmp_path / "tiny", saes=SAES, dashboards=True)
    made: list[Explorer] = []

    class Kept(Explorer):
        def __init__(self, *args: Any, **state: Any) -> None:
            super().__init__(*args, **state)
            made.append(self)

    monkeypatch.setattr(app, "Explorer", Kept)
    app.prepare_process()
    with serving(lambda: app.session(str(suite))) as served:
        page = open_view(open_page, f"{served.url}/dashboard?letter=s")
        page.evaluate(_NO_LATE_TIMERS)
        (session,) = served.context.sessions
        (explorer,) = made
        sizes = []
        for _ in range(3):
            for shown in PAGES.values():
                for here in (S | {"latent": 65}, {"layer": 3}, {"layer": 0, "concept": concept_id("t")}):
                    served.run(_change(session.document, partial(explorer.state.apply, shown | here)))
            # An action of the visitor, whose response the browser receives.
            page.locator("html").press("ArrowLeft")
            wait_query(page, {"letter": "s"})
            wait_for(page, _ARE_FIGURES_UNIQUE)
            sizes.append(len(session.document.models))
        assert sizes[1] == sizes[2], sizes
        made.clear()
        page.goto("about:blank")


#: BokehJS itself removes old models 30 s after the last change; a visitor's next change comes sooner.
_NO_LATE_TIMERS = """() => {
  const own = window.setTimeout
  window.setTimeout = (act, delay, ...rest) => delay < 30000 ? own(act, delay, ...rest) : 0
}"""
#: Whether figure names are unique in the browser; otherwise one of them was removed from the page.
_ARE_FIGURES_UNIQUE = """() => {
  const figures = [...Bokeh.documents[0].all_models].filter((model) => model.type === "Figure")
  return new Set(figures.map((figure) => figure.name)).size === figures.length
}"""


async def _change(document: Document, act: Callable[[], object]) -> None:
    done = asyncio.Event()

    def change() -> None:
        with one_act():
            act()
        done.set()

    document.add_next_tick_callback(change)
    await done.wait()
