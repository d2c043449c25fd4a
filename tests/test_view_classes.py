"""The declarations of view classes are complete, and hidden views are not updated."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from explorer import Explorer, model
from explorer.latents.tester import WordTester
from explorer.model import QUESTIONS, ExplorerModel, choices_of
from explorer.pages import Pages
from explorer.pages.compare import Comparison
from explorer.pages.learn import Lessons
from explorer.plots.small_cosine import small_cosine_plot
from explorer.state import ExplorerState, Snapshot
from explorer.views.arrange import Stack, Switch
from explorer.views.concepts import Concepts
from explorer.views.evidence_table import EvidenceTable
from explorer.views.explanations import Prose
from explorer.views.headline import Headline
from explorer.views.markup import Markup
from explorer.views.small_multiples import SaeMultiples, SmallMultiples
from explorer.views.tasks import Progress
from explorer.views.view import View
from queries import Store, catalog
from queries.schema import concept_id
from tests.questions import sae_id
from tests.tiny_suite import write_tiny_suite
from tests.unmeasured import list_letters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SAES = ((0, 1000, 10), (0, 1000, 40), (0, 4000, 40), (3, 1000, 10))
#: Base classes, which no page shows.
BASES = {Stack, Switch, EvidenceTable, SmallMultiples}
WALK: tuple[dict[str, Any], ...] = (
    {"letter": "t", "latent": 65, "facet_latent": 65, "tested_words": [" short"]},
    {"letter": "x"},
    {"layer": 3, "letter": "s"},
    {"layer": 0, "tau": 0.1, "cosine_threshold": 0.1, "effect_margin": 2.0},
    {"cosine_view": "distribution", "cosine_range": (0.1, 0.2), "evidence_verdict": "absorbed"},
)


def classes(of: type[View] = View) -> set[type[View]]:
    """List the subclasses of a class that are not base classes."""
    return {found for sub in of.__subclasses__() for found in ({sub} - BASES) | classes(sub)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = write_tiny_suite(tmp_path_factory.mktemp("suites") / "tiny", saes=SAES, dashboards=True)
    with Store(list_letters(folder, "x")) as opened:
        yield opened


def made(store: Store, *views: type[View], **values: Any) -> ExplorerModel:
    return ExplorerModel(store, ExplorerState(choices_of(store), **{"letter": "s"} | values), *views)


def on_show(at: Snapshot) -> set[type[View]]:
    return {*Concepts.on_show(at), *Pages.on_show(at)}


def every_page() -> Iterator[dict[str, Any]]:
    for page in Pages.options:
        for part in Comparison.options if page == "compare" else ["l0"]:
            for step in Lessons.options if page == "learn" else ["1"]:
                yield {"page": page, "compare_by": part, "learn_step": int(step)}


def is_named(name: str, view: type[View], state: ExplorerState) -> bool:
    """Return whether a view declares an attribute that it reads, or all attributes that it is derived from."""
    if name in (*view.answers, *view.follows, "present"):  # presentations enlarge all plots
        return True
    of_class = vars(ExplorerState).get(name)
    return isinstance(of_class, property) and all(
        is_named(source, view, state) for source in sources(of_class, state) - {name}
    )


def sources(derived: property, state: ExplorerState) -> set[str]:
    """List the attributes of the state that a property is derived from."""
    read: set[str] = set()

    class Noting:
        def __getattr__(self, name: str) -> Any:
            if name in state.param or isinstance(vars(ExplorerState).get(name), property):
                read.add(name)
            elif name == "_of":
                # The options of a suite follow from its name.
                return state._of
            return getattr(state, name)

    derived.fget(Noting())  # type: ignore[misc]
    assert read, "it would follow from nothing"
    return read


def test_declared_names_exist(store: Store) -> None:
    """Every query result is shown by some view, and every view by some page."""
    state = made(store).state
    known = vars(state.snapshot())
    for view in classes():
        assert QUESTIONS.keys() >= set(view.answers), view
        assert known.keys() >= set(view.follows), view
    assert {name for view in classes() for name in view.answers} == QUESTIONS.keys()
    assert list(Pages.options) == state.param.page.objects
    assert [None, *Comparison.options] == state.param.compare_by.objects
    shown = set()
    for values in every_page():
        state.param.update(**values)
        shown |= on_show(state.snapshot())
    assert shown == classes()


def test_model_does_not_depend_on_pages() -> None:
    tree = ast.parse(Path(model.__file__).read_text("utf-8"))
    words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    words |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    words |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg}
    pages = {"page", "part", "compare_by", *Pages.options} - {"token"}  # also the name of a parameter of queries
    assert not words & (pages - catalog().keys())


def test_views_read_and_contain_only_what_they_declare(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """All query results that `_show` reads are in `answers`, and all attributes of the state in `follows`."""
    showing: list[type[View]] = []
    read: dict[type[View], set[str]] = defaultdict(set)
    built: set[type[View]] = set()

    def noted(of: Any, names: Callable[[], set[str]]) -> None:
        get = of.__getattribute__

        def getattribute(self: Any, name: str) -> Any:
            if showing and name in names():
                read[showing[-1]].add(name)
            return get(self, name)

        monkeypatch.setattr(of, "__getattribute__", getattribute)

    def watched(view: Any) -> None:
        show, begin = view._show, view.__init__

        def shown(self: View) -> None:
            showing.append(type(self))
            show(self)
            showing.pop()

        def init(self: View, *args: Any, **options: Any) -> None:
            built.add(type(self))
            showing.append(View)  # reads during construction do not count for its parent
            begin(self, *args, **options)
            showing.pop()

        monkeypatch.setattr(view, "_show", shown)
        monkeypatch.setattr(view, "__init__", init)

    for view in {*classes(), *BASES}:
        watched(view)
    monkeypatch.setattr(Progress, "_on_act", lambda *_: None)  # which reads the state of all views
    attributes = set(vars(made(store).state.snapshot()))
    noted(ExplorerModel, lambda: set(QUESTIONS))
    noted(Snapshot, lambda: attributes)
    monkeypatch.setattr("explorer.views.explanations.remembered", lambda _: "absorption.splitting.decision.scores")
    shown: set[type[View]] = {Concepts}
    explorer = Explorer(store, letter="s")
    _ = explorer.layout
    for page in every_page():
        for values in ({}, *WALK):
            assert explorer.state.apply({**page, **values}) == []
        shown |= on_show(explorer.model.shown)
        assert built == shown
    assert shown == classes()
    state = made(store).state
    unnamed = {view: {name for name in read[view] if not is_named(name, view, state)} for view in shown}
    assert {view: names for view, names in unnamed.items() if names} == {}


@pytest.mark.parametrize("view", [Headline, Prose])
def test_hidden_views_are_updated_once_shown(store: Store, view: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(view, "_show", lambda self: shown.append(self._model.shown.concept))
    of = made(store, Pages, page="explore")
    _ = view(of, "absorption") if view is Prose else view(of)
    shown.clear()
    of.state.page = "atlas"
    of.state.concept = concept_id("t")
    of.state.concept = concept_id("l")
    assert shown == []
    of.state.page = "explore"
    assert shown == [concept_id("l")]
    of.state.page = "atlas"
    of.state.page = "explore"
    assert shown == [concept_id("l")]


def test_single_view_is_queried_on_any_page(store: Store) -> None:
    of = made(store, Pages, page="atlas")
    assert of.summary is None
    of.show(Headline)
    assert of.summary is not None
    assert of.cosines is None
    assert of.shows(Headline)
    assert not made(store, Headline).shows(Pages)


def test_plots_are_redrawn_only_if_their_data_change(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def noted(*frames: Any, **how: Any) -> Any:
        drawn.append(how["name"])
        return small_cosine_plot(*frames, **how)

    monkeypatch.setattr("explorer.views.small_multiples.small_cosine_plot", noted)
    of = made(store, SaeMultiples)
    layout: Any = SaeMultiples(of).__panel__()
    layout.get_root()
    every = [f"cosine-{sae_id(*sae)}" for sae in SAES if sae[0] == 0]
    assert sorted(drawn) == every
    drawn.clear()
    of.state.sae = sae_id(0, 1000, 40)  # another SAE is marked as current in the titles
    assert drawn == []
    current = [part.html for part in layout.select(Markup) if 'aria-current="true"' in part.html]
    assert len(current) == 1
    assert "L0 40" in current[0]
    of.state.dark = True
    assert sorted(drawn) == every
    drawn.clear()
    of.state.concept = concept_id("t")
    assert sorted(drawn) == every


def test_new_random_words_keep_the_tested_ones_and_their_results(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    of = made(store, Pages)
    assert of.split_latents is not None
    of.state.latent = int(of.split_latents["latent"].iloc[0])
    tester: Any = WordTester(of).__panel__()
    tester._handle_msg({"action": "pack", "value": "concept"})
    asked: list[str] = []
    fetch = store.fetch

    def noted(name: str, /, **params: Any) -> Any:
        asked.append(name)
        return fetch(name, **params)

    monkeypatch.setattr(store, "fetch", noted)
    of.state.seed += 1
    assert asked == ["random_tokens"]
    assert 'class="results"' in tester.html
