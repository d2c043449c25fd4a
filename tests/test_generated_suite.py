"""A suite of many concepts in six families, some of them difficult to display, and of SAEs of five architectures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from explorer.app import Explorer
from explorer.snapshot import snapshot_html
from explorer.state import COMPARED_CONCEPTS, PAGES
from explorer.views.concepts import concept_cells, strip_html
from explorer.views.headline import sentence_html
from explorer.views.markup import Markup
from queries import Store, check_suite
from tests.explore import wait_ready
from tests.generated_suite import ARCHITECTURES, FAMILIES, HARD_LABELS, concepts, write_generated_suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.browser import PageOpener, Server

NUMBER = 260
HARD = [f"thing.hard-{nth}" for nth in range(len(HARD_LABELS))]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated") / "generated"
    return write_generated_suite(folder, number=NUMBER, widths=(256,), l0s=(7, 14))


@pytest.fixture(scope="module")
def store(suite: Path) -> Iterator[Store]:
    with Store(suite) as opened:
        yield opened


@pytest.fixture(scope="module")
def explorer(store: Store) -> Explorer:
    explorer = Explorer(store)
    assert explorer.layout
    return explorer


def written(explorer: Explorer) -> str:
    """Return all texts that the explorer's components have rendered."""
    parts: list[Any] = explorer.layout.select(Markup)
    return "\n".join(part.html for part in parts)


def test_missing_parent_is_the_only_problem(suite: Path) -> None:
    (problem,) = check_suite(suite)
    assert (problem.table, problem.column) == ("concepts", "parent")
    assert problem.message == "is a concept that the suite does not list"


def test_kind_names_and_links_its_parent(explorer: Explorer) -> None:
    state = explorer.state
    state.apply({"page": "explore", "concept": "thing.0100"})
    assert "a kind of thing 10" in re.sub("<[^>]*>", "", sentence_html(explorer.model, live=False))
    parts: list[Any] = explorer.layout.select(Markup)
    (headline,) = (part for part in parts if part.css_name == "headline")
    assert ">thing 10</button>" in headline.html
    headline._handle_msg({"action": "concept", "value": "thing.0010"})
    assert state.concept == "thing.0010"
    # No parent is shown if there is none, or if the suite does not list it.
    for concept in ("thing.0010", HARD[0], "first-letter.s"):
        state.apply({"concept": concept})
        assert "a kind of" not in headline.html


@pytest.mark.parametrize("concept", HARD)
def test_any_label_is_shown_unchanged_on_every_page(explorer: Explorer, concept: str) -> None:
    label = HARD_LABELS[HARD.index(concept)]
    for page in PAGES:
        for part in ("l0", "concept", "pair") if page == "compare" else ("l0",):
            assert explorer.state.apply({"page": page, "concept": concept, "compare_by": part}) == []
            assert explorer.model.error == ""
            html = written(explorer)
            assert "<script>" not in html
            assert not re.search(r"<b>bold", html)
    explorer.state.page = "explore"
    assert explorer.state.label == label


def test_families_are_switched_and_large_ones_are_searchable_lists(explorer: Explorer) -> None:
    state, model = explorer.state, explorer.model
    shown = {}
    for family in FAMILIES:
        assert state.apply({"family": family.family}) == []
        assert state.family == family.family
        cells = concept_cells(model.concepts, "absorption rate")
        html = strip_html(cells, chosen=state.concept, noun=state.noun)
        shown[family.family] = ("list" if 'class="list"' in html else "grid", len(cells))
    num_things = sum(kind.family == "thing" for kind in concepts(NUMBER))
    assert shown == {
        "first-letter": ("grid", 26),
        "last-letter": ("grid", 26),
        "suffix": ("list", 40),
        "capital": ("grid", 2),
        "pos": ("list", 16),
        "thing": ("list", num_things),
    }
    assert model.concepts is not None
    assert concept_cells(model.concepts[:0], "absorption rate") == []
    cells = concept_cells(model.concepts, "absorption rate")
    assert strip_html(cells, chosen=state.concept, noun="kind").count('role="radio"') == 60
    found = strip_html(cells, chosen=state.concept, noun="kind", typed="thing 12")
    names = re.findall(r'<bdi class="name"[^>]*>([^<]*)</bdi>', found)
    assert names == ["thing 12", *(f"thing 12{digit}" for digit in range(10))]
    # The selected concept is visible although it is far down.
    assert 'data-concept="thing.0140"' in strip_html(cells, chosen="thing.0140", noun="kind")


def test_equal_labels_are_found_with_their_families(store: Store) -> None:
    found = store.fetch(
        "search",
        suite="generated",
        sae=store.fetch("saes")["sae"].iloc[0],
        search="noun",
        metric="ig_ablation",
        tau=0.03,
        cosine_threshold=0.025,
        effect_margin=1.0,
    )
    concepts_found = found.loc[found["kind"] == "concept", "concept"].tolist()
    assert concepts_found[:2] == ["pos.noun", "thing.hard-4"]


def test_compare_limits_the_concepts_and_states_the_limit(explorer: Explorer) -> None:
    explorer.state.apply({"page": "compare", "compare_by": "concept", "concept": "thing.0100"})
    assert len(explorer.state.compared_concepts) == COMPARED_CONCEPTS
    assert "thing.0100" in explorer.state.compared_concepts
    total = sum(kind.family == "thing" for kind in concepts(NUMBER))
    assert f"with the probe of 60 of {total} kinds" in written(explorer)


def test_architectures_are_compared_at_the_nearest_measured_l0(explorer: Explorer) -> None:
    explorer.state.apply({"page": "compare", "compare_by": "architecture", "concept": "first-letter.a", "l0": 14})
    saes = {sae.id: sae for sae in explorer.state.saes}
    compared = [saes[sae] for sae in explorer.state.compared]
    assert [sae.architecture for sae in compared] == sorted(ARCHITECTURES)
    assert {sae.l0 for sae in compared} == {14}


def test_snapshot_contains_part_of_a_large_family_with_a_note(store: Store) -> None:
    page = snapshot_html(store, concept="thing.0100")
    total = sum(kind.family == "thing" for kind in concepts(NUMBER))
    assert f"{total - 60} more kinds were measured on this SAE" in page
    assert '"thing.0100"' in page


@pytest.mark.browser
@pytest.mark.parametrize("page", ["explore", "compare", "atlas", "evidence", "learn"])
def test_long_labels_and_titles_fit_a_phone(
    open_page: PageOpener, serve: Callable[..., Server], suite: Path, page: str
) -> None:
    opened = open_page(f"{serve(suite).url}/dashboard?page={page}&concept={HARD[0]}", width=390, height=844)
    wait_ready(opened)
    assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
