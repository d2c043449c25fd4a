"""The model: which queries a change runs, how results arrive, failures, and the headline."""

from __future__ import annotations

import re
from collections import Counter
from operator import attrgetter
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from explorer.headline import headline
from explorer.model import QUESTIONS, ExplorerModel, choices_of
from explorer.pages import Pages
from explorer.request import Request
from explorer.state import ExplorerState
from explorer.views.concepts import Concepts
from queries import QueryError, Store, catalog
from queries.schema import concept_id
from tests.questions import THRESHOLDS, ask, sae_id
from tests.tiny_sae import LETTERS
from tests.tiny_suite import write_tiny_suite
from tests.unmeasured import list_letters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SAES = ((0, 1000, 10), (0, 1000, 40), (3, 4000, 40))

OF_CONCEPT = {"summary", "cosines", "split_latents", "absorbing_latents", "k_sparse", "evidence"}
OF_SAE = OF_CONCEPT | {"concept_counts"}
OF_LATENT = {
    *("latent_facts", "latent_contexts", "latent_logits", "latent_histogram", "latent_roles", "latent_cosines"),
    *("latent_dashboard", "latent_kin", "random_tokens", "absorbed_tokens"),
}


#: Queries that run once, for all suites.
OF_STORE = {"saes", "concepts", "families", "metrics"}


class RecordingStore(Store):
    """Records its queries; can be configured to fail, or to call a function during a query."""

    asked: list[str]
    broken: frozenset[str] = frozenset()
    on_fetch: Callable[[str, dict[str, Any]], object] | None = None

    def fetch(self, name: str, /, **params: Any) -> pd.DataFrame:
        if name not in OF_STORE:
            self.asked.append(name)
        if self.on_fetch:
            self.on_fetch(name, params)
        if name in self.broken:
            message = f"The question {name!r} failed: broken for a test."
            raise QueryError(message)
        return super().fetch(name, **params)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordingStore]:
    root = tmp_path_factory.mktemp("suites")
    folders = [
        list_letters(write_tiny_suite(root / "tiny", saes=SAES, dashboards=True), "x"),
        write_tiny_suite(root / "twin", name="twin", seed=1, saes=SAES[:1], cosines=False),
    ]
    with RecordingStore(*folders) as store:
        yield store


@pytest.fixture
def store(opened: RecordingStore) -> Iterator[RecordingStore]:
    opened.asked = []
    yield opened
    opened.broken = frozenset()
    opened.on_fetch = None


@pytest.fixture
def model(store: RecordingStore) -> ExplorerModel:
    made = ExplorerModel(store, ExplorerState(choices_of(store), letter="s"), Concepts, Pages)
    store.asked.clear()
    return made


def split_of(model: ExplorerModel) -> list[int]:
    assert model.split_latents is not None
    return model.split_latents["latent"].tolist()


def changes_of(model: ExplorerModel) -> list[set[str]]:
    """Collect, from now on, the sets of results that arrive together."""
    changes: list[set[str]] = []
    model.param.watch(lambda *events: changes.append({event.name for event in events}), list(QUESTIONS))
    return changes


# --- Which queries run ---------------------------------------------------------------------------------------------


def test_start_queries_everything_except_latents(store: RecordingStore) -> None:
    model = ExplorerModel(store, ExplorerState(choices_of(store), letter="s"), Concepts, Pages)
    assert Counter(store.asked) == Counter(OF_SAE | {"sae_scores"})
    assert model.latent_facts is model.latent_roles is None
    assert model.error == ""


CHANGES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "concept": ({"concept": concept_id("t")}, OF_CONCEPT),
    "sae": ({"sae": sae_id(0, 1000, 40)}, OF_SAE),
    "sae of another layer": ({"sae": sae_id(3, 4000, 40)}, OF_SAE),
    "tau": ({"tau": 0.1}, OF_SAE - {"cosines"}),
    "cosine_threshold": (
        {"cosine_threshold": 0.1},
        {"concept_counts", "summary", "absorbing_latents", "evidence"},
    ),
    "effect_margin": ({"effect_margin": 2.0}, {"concept_counts", "summary", "absorbing_latents", "evidence"}),
    "main_latent_by": ({"main_latent_by": "k_sparse"}, {"sae_scores"}),
    "several": ({"concept": concept_id("t"), "main_latent_by": "k_sparse"}, OF_CONCEPT | {"sae_scores"}),
    "suite": ({"suite": "twin"}, OF_SAE | {"sae_scores"}),
    "dark": ({"dark": True}, set()),
    "cosine_view": ({"cosine_view": "rank"}, set()),
    "k_sparse_score": ({"k_sparse_score": "auc"}, set()),
    "cosine_range": ({"cosine_range": (0.1, 0.2)}, set()),
    "seed": ({"seed": 4}, set()),
    "the same again": ({"concept": concept_id("s"), "sae": sae_id(0, 1000, 10)}, set()),
}
#: Equivalent values: attributes of SAEs, and a letter.
APPLIED: dict[str, tuple[dict[str, Any], set[str]]] = {
    "letter": ({"letter": "t"}, OF_CONCEPT),
    "l0": ({"l0": 40}, OF_SAE),
    "layer": ({"layer": 3}, OF_SAE),
    "letter and L0 again": ({"letter": "s", "l0": 10}, set()),
}


@pytest.mark.parametrize(
    ("way", "change"),
    [
        *(("set", name) for name in CHANGES),
        # For `apply`, a seed is an attribute of an SAE.
        *(("apply", name) for name in CHANGES | APPLIED if name != "seed"),
    ],
)
def test_change_runs_exactly_the_affected_queries(
    model: ExplorerModel, store: RecordingStore, change: str, way: str
) -> None:
    values, expected = (CHANGES | APPLIED)[change]
    changes = changes_of(model)
    asked = store.asked
    if way == "apply":
        assert model.state.apply(values) == []
    else:
        model.state.param.update(**values)
    assert Counter(asked) == Counter(expected)
    # All results arrive as one change: no view combines results of two concepts.
    assert len(changes) == bool(expected)
    if expected:
        assert {QUESTIONS[name].query for name in changes[0]} <= expected


def test_latent_queries_its_card_only(model: ExplorerModel, store: RecordingStore) -> None:
    changes = changes_of(model)
    model.state.latent = split_of(model)[0]
    assert Counter(store.asked) == Counter(OF_LATENT)
    assert len(changes) == 1
    assert model.latent_facts is not None
    assert model.latent_roles is not None
    assert model.latent_roles["split_rank"].tolist() == [1]

    store.asked.clear()
    model.state.tau = 0.1
    assert Counter(store.asked) == Counter(OF_SAE - {"cosines"} | {"latent_roles", "latent_kin", "absorbed_tokens"})

    store.asked.clear()
    model.state.latent = None
    assert store.asked == []
    assert model.latent_facts is model.latent_roles is model.latent_contexts is None


def test_page_runs_its_own_queries_only(model: ExplorerModel, store: RecordingStore) -> None:
    of_page: list[tuple[dict[str, Any], set[str]]] = [
        ({"page": "compare"}, {"compared_cosines", "compared_counts"}),
        ({"concept": concept_id("t")}, {"compared_cosines", "compared_counts"}),
        ({"tau": 0.1}, {"concept_counts", "compared_cosines", "compared_counts"}),
        ({"compare_by": "layer"}, {"compared_cosines", "compared_counts"}),  # for other SAEs
        ({"compare_by": "concept"}, {"sae_cosines"}),
        ({"compare_by": "pair"}, {"pair_concepts", "pair_rates", "pair_tokens"}),
        ({"concept": concept_id("a")}, {"pair_tokens"}),
        ({"compare_by": "splitting"}, {"splitting_tree"}),
        # For a concept other than the requested one.
        ({"compare_by": "l0"}, {"compared_cosines", "compared_counts"}),
        ({"page": "atlas"}, {"sae_means", "concept_rates"}),
        ({"mean_policy": "all_concepts"}, {"sae_means"}),
        ({"page": "compare"}, set()),
        ({"page": "explore"}, OF_CONCEPT),
        ({"page": "atlas"}, set()),
    ]
    for values, expected in of_page:
        store.asked.clear()
        model.state.param.update(**values)
        assert Counter(store.asked) == Counter(expected), values
    assert model.error == ""


def test_concept_change_drops_the_latent_with_the_same_change(model: ExplorerModel, store: RecordingStore) -> None:
    model.state.latent = split_of(model)[0]
    store.asked.clear()
    changes = changes_of(model)
    model.state.concept = concept_id("t")
    assert Counter(store.asked) == Counter(OF_CONCEPT)
    assert len(changes) == 1
    assert model.latent_facts is None


def test_kept_latent_is_not_queried_again(model: ExplorerModel, store: RecordingStore) -> None:
    latent = split_of(model)[0]
    model.state.latent = latent
    store.asked.clear()
    changes = changes_of(model)
    model.state.apply({"concept": concept_id("t"), "latent": latent})
    assert Counter(store.asked) == Counter(OF_CONCEPT | {"latent_kin", "random_tokens", "absorbed_tokens"})
    assert len(changes) == 1
    assert model.latent_facts is not None


@pytest.mark.parametrize(
    "page",
    [
        {"page": "explore"},
        *({"page": "compare", "compare_by": by} for by in ("l0", "layer", "concept", "pair", "splitting")),
        {"page": "atlas"},
        {"page": "evidence"},
    ],
    ids=lambda page: "-".join(page.values()),
)
def test_results_belong_to_the_state(model: ExplorerModel, store: RecordingStore, page: dict[str, str]) -> None:
    model.state.apply({"layer": 0, "l0": 40, "letter": "t"})
    model.state.latent = split_of(model)[1]
    store.asked.clear()
    model.state.apply(page)
    state = model.state
    values = vars(state.snapshot())
    assert state.compared_sae is not None
    assert state.compared_sae.id == sae_id(0, 1000, 10)
    assert state.sae == sae_id(0, 1000, 40)
    values |= {"other_suite": state.suite, "other_sae": state.compared_sae.id}
    at = state.snapshot()
    shown = {name for view in (*Concepts.on_show(at), *Pages.on_show(at)) for name in view.answers}
    assert shown
    for name in shown:
        question = QUESTIONS[name]
        reads = {name: source and attrgetter(source)(state) for name, source in question.reads.items()}
        expected = ask(store, question.query, values | reads)
        answer = getattr(model, name)
        if not question.record:
            pd.testing.assert_frame_equal(answer, expected)
        elif expected.empty:
            assert answer is None
        else:
            assert list(answer) == list(expected.columns)
            for column, value in answer.items():
                stored = expected[column].iloc[0]
                known = isinstance(stored, np.ndarray) or not pd.isna(stored)
                assert np.array_equal(value, stored) if known else value is None
    assert model.sae_record is not None
    assert {
        "layer": 0,
        "l0": 40.25,
        "l0_nominal": 40,
        "n_latents": 1024,
        "canonical": False,
    }.items() <= model.sae_record.items()


# --- Failures ------------------------------------------------------------------------------------------------------


def test_unmeasured_concept_is_not_an_error(model: ExplorerModel) -> None:
    model.state.concept = concept_id("x")
    assert "x" not in LETTERS
    assert model.summary is None
    for frame in (model.cosines, model.split_latents, model.absorbing_latents, model.k_sparse):
        assert frame is not None
        assert frame.empty
    assert model.error == ""


def test_failure_is_reported_and_cleared_by_the_next_success(model: ExplorerModel, store: RecordingStore) -> None:
    store.broken = frozenset({"cosines"})
    model.state.concept = concept_id("t")
    assert model.error == "The question 'cosines' failed: broken for a test."
    assert model.cosines is None
    assert len(split_of(model)) == 3, "what could be answered is"

    # Any action of the visitor retries the failed query.
    store.asked.clear()
    model.state.main_latent_by = "k_sparse"
    assert Counter(store.asked) == Counter({"cosines", "sae_scores"})
    assert model.error

    store.broken = frozenset()
    model.state.effect_margin = 2.0
    assert model.error == ""
    assert model.cosines is not None
    assert len(model.cosines) == 1024


def test_going_back_clears_a_failure(model: ExplorerModel, store: RecordingStore) -> None:
    """The former result was removed after the failure, so going back must run the query again."""
    store.broken = frozenset({"cosines"})
    model.state.concept = concept_id("t")
    store.broken = frozenset()
    model.state.concept = concept_id("s")
    assert model.error == ""
    assert model.cosines is not None
    assert len(model.cosines) == 1024


def test_late_results_are_dropped(model: ExplorerModel, store: RecordingStore) -> None:
    """While the first query for T runs, the visitor chooses A."""
    moved: list[str] = []

    def move_on(name: str, params: dict[str, Any]) -> None:
        if params.get("concept") == concept_id("t") and not moved:
            moved.append(name)
            model.state.concept = concept_id("a")

    store.on_fetch = move_on
    changes = changes_of(model)
    model.state.concept = concept_id("t")
    assert moved
    assert len(changes) == 1
    state = model.state
    expected = store.fetch("split_latents", suite="tiny", sae=state.sae, concept=concept_id("a"), tau=state.tau)
    pd.testing.assert_frame_equal(model.split_latents, expected)
    assert model.summary is not None
    assert model.summary["num_tested"] == 6


def test_late_failure_is_dropped(model: ExplorerModel, store: RecordingStore) -> None:
    def move_on(name: str, params: dict[str, Any]) -> None:
        if name == "summary" and params["concept"] == concept_id("t"):
            model.state.concept = concept_id("a")
            message = "too late to matter"
            raise QueryError(message)

    store.on_fetch = move_on
    model.state.concept = concept_id("t")
    assert model.error == ""
    assert model.summary is not None


def test_newer_change_cancels_older_queries(model: ExplorerModel, store: RecordingStore) -> None:
    """Events may be handled in several threads, and the queries of one event run in several threads."""
    moved, one = Event(), Lock()

    def wait_for_the_newer(_: str, params: dict[str, Any]) -> None:
        if params.get("concept") == concept_id("t") and one.acquire(blocking=False):
            newer.start()
            newer.join(60)
            moved.set()

    model.state.concept = concept_id("a")
    of_a = model.summary
    model.state.concept = concept_id("b")
    store.on_fetch = wait_for_the_newer
    newer = Thread(target=setattr, args=[model.state, "concept", concept_id("a")])
    store.asked.clear()
    model.state.concept = concept_id("t")
    assert moved.is_set()
    assert Counter(store.asked) == Counter([*OF_CONCEPT, *OF_CONCEPT]), "each asks once"
    assert model.state.concept == concept_id("a")
    assert model.summary == of_a
    assert model.error == ""


def test_failed_queries_can_be_retried(model: ExplorerModel, store: RecordingStore) -> None:
    store.broken = frozenset({"cosines"})
    model.state.concept = concept_id("t")
    assert "broken for a test" in model.error
    assert model.cosines is None
    store.broken = frozenset()
    store.asked.clear()
    model.retry()
    assert store.asked == ["cosines"]
    assert model.error == ""
    assert model.cosines is not None


def test_state_change_by_a_watcher_takes_effect(model: ExplorerModel) -> None:
    model.param.watch(lambda *_: setattr(model.state, "concept", concept_id("b")), "summary")
    model.state.concept = concept_id("t")
    assert model.state.concept == concept_id("b")
    assert len(split_of(model)) == 1


def test_view_queries_use_the_shown_state_and_own_parameters(model: ExplorerModel, store: RecordingStore) -> None:
    latent, main_latent = split_of(model)[1], split_of(model)[0]
    model.state.latent = latent
    answers: list[pd.DataFrame | None] = []
    asked = {"words": [" short", "short", "nowhere"], "main_latent": main_latent}
    model.ask(Request(model), "word_activations", answers.append, **asked)
    store.broken = frozenset({"word_activations"})
    model.ask(Request(model), "word_activations", answers.append, **asked)
    found, failed = answers
    assert found is not None
    assert found["token"].tolist() == [" short", "short"]
    assert failed is None
    assert "word_activations" in model.error
    model.state.concept = concept_id("t")
    assert model.error == ""


def test_another_seed_draws_other_random_words(model: ExplorerModel) -> None:
    model.state.latent = split_of(model)[0]
    drawn = model.random_tokens
    model.state.seed += 1
    others = model.random_tokens
    assert drawn is not None
    assert others is not None
    of_concept = [set(frame.loc[frame["of_concept"], "token"]) for frame in (drawn, others)]
    assert of_concept[0] == of_concept[1], "there are no more than these"
    assert drawn["token"].tolist() != others["token"].tolist()


def test_suite_without_saes_or_cosines_is_no_error(tmp_path: Any, store: RecordingStore) -> None:
    blind = ExplorerModel(store, ExplorerState(choices_of(store), suite="twin", letter="s"), Concepts, Pages)
    assert blind.cosines is not None
    assert blind.cosines.empty
    assert blind.summary is not None
    assert blind.error == ""
    with Store(write_tiny_suite(tmp_path / "none", saes=())) as empty:
        model = ExplorerModel(empty, ExplorerState(choices_of(empty)), Concepts, Pages)
        model.state.concept = concept_id("s")
        assert all(getattr(model, name) is None for name in QUESTIONS)
        assert model.sae_record is None
        assert model.manifest.saes == []


def test_every_parameter_is_documented() -> None:
    assert [name for name in ExplorerModel.param if name != "name" and not ExplorerModel.param[name].doc] == []
    # A query's parameters are read from the state by name.
    for question in QUESTIONS.values():
        names = catalog()[question.query].params
        assert all(hasattr(ExplorerState, name) for name in names), question.query


# --- The headline --------------------------------------------------------------------------------------------------

SUMMARY: dict[str, Any] = {
    "main_latent": 65,
    "split_latents": [65],
    "num_split_latents": 1,
    "stored_split": True,
    "num_probe_true_positives": 800,
    "num_true_positives": 600,
    "num_split_silent": 150,
    "num_candidates": 120,
    "num_tested": 120,
    "sample_portion": 1.0,
    "num_absorbed": 24,
    "num_absorbing_latents": 7,
    "absorption_rate": 0.03,
    "rate_low": 0.0202,
    "rate_high": 0.0443,
}


def numbers_of(sentence: str) -> list[float]:
    return [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", sentence)]


def test_headline_for_one_split_latent() -> None:
    assert headline(SUMMARY, "L", "letter") == (
        "Latent 65 finds 75% of the L words that the probe finds. On 120 of the words it misses, it does not fire at"
        " all; 24 of these are absorbed by 7 other latents: absorption rate 3.0% (2.0–4.4)."
    )


def test_headline_for_several_split_latents() -> None:
    sentence = headline(SUMMARY | {"split_latents": np.array([65, 7, 1234])}, "L", "letter")
    assert sentence.startswith("Latents 65, 7 and 1234 together find 75% of the L words that the probe finds.")
    assert "On 120 of the words they miss, they do not fire at all;" in sentence


def test_headline_where_nothing_is_absorbed() -> None:
    none = {"num_absorbed": 0, "num_absorbing_latents": 0, "absorption_rate": 0.0, "rate_low": 0.0, "rate_high": 0.004}
    sentence = headline(SUMMARY | none, "L", "letter")
    assert "none of these is absorbed" in sentence
    assert numbers_of(sentence) == [65, 75, 120, 0.0, 0.0, 0.4]


def test_headline_for_a_single_word_and_latent() -> None:
    one = {"num_absorbed": 1, "num_absorbing_latents": 1, "num_candidates": 1, "num_tested": 1}
    assert "1 of these is absorbed by 1 other latent:" in headline(SUMMARY | one, "L", "letter")


def test_headline_where_there_is_nothing_to_absorb() -> None:
    none = {"num_candidates": 0, "num_tested": 0, "num_absorbed": 0, "num_absorbing_latents": 0, "absorption_rate": 0.0}
    sentence = headline(SUMMARY | none, "Q", "letter")
    assert sentence.endswith("No Q word that only the probe finds leaves it silent: nothing to absorb.")
    several = headline(SUMMARY | none | {"split_latents": [1, 2]}, "Q", "letter")
    assert several.endswith("leaves them all silent: nothing to absorb.")


def test_headline_states_the_sample() -> None:
    """A rate refers to all candidates, the number of absorbed tokens to tested ones."""
    sampled = {
        "num_split_silent": 1200,
        "num_candidates": 1200,
        "num_tested": 200,
        "sample_portion": 1 / 6,
        "absorption_rate": 0.18,
    }
    sentence = headline(SUMMARY | sampled, "L", "letter")
    assert "On 1,200 of the words it misses, it does not fire at all (200 tested); 24 of these are absorbed" in sentence
    assert "absorption rate 18.0%" in sentence


def test_headline_where_nothing_was_measured() -> None:
    assert headline(None, "X", "letter") == "Nothing was measured for X on this SAE. Choose a letter with a count."


def test_headline_without_counts_claims_none() -> None:
    unknown = {name: None for name in SUMMARY if name.startswith(("num_", "rate_", "absorption_rate"))}
    seen = unknown | {"num_tested": 6, "num_absorbed": 2, "num_absorbing_latents": 1}
    sentence = headline(SUMMARY | seen, "L", "letter")
    assert sentence == (
        "Latent 65 stands for the letter L."
        " 6 words were tested for absorption; 2 of these are absorbed by 1 other latent."
    )
    assert headline(SUMMARY | {"num_true_positives": None}, "L", "letter").startswith(
        "Latent 65 stands for the letter L."
    )


def test_headline_with_nothing_tested_and_nothing_counted() -> None:
    unknown = {"num_candidates": None, "num_tested": 0, "num_absorbed": 0, "num_absorbing_latents": 0}
    assert "nothing to absorb" not in headline(SUMMARY | unknown, "L", "letter")


def test_headline_at_another_tau_omits_counts_of_the_stored_split() -> None:
    """The counts refer to the stored split latents; for others they are unknown."""
    sentence = headline(SUMMARY | {"split_latents": [65, 7], "stored_split": False}, "L", "letter")
    assert "share the letter L" in sentence
    assert "75%" not in sentence
    assert "does not fire" not in sentence
    assert "24" in sentence


def test_headline_without_split_latents_states_that() -> None:
    sentence = headline(SUMMARY | {"split_latents": [], "num_split_latents": 0, "stored_split": True}, "L", "letter")
    assert sentence.startswith("No split latent is known for L.")
    assert "fire" not in sentence


def test_headlines_of_the_tiny_suite_are_true(model: ExplorerModel) -> None:
    """Every number in every sentence is one of the summary's."""
    for letter in LETTERS:
        for tau in (0.03, 0.0):
            model.state.apply({"concept": concept_id(letter), "tau": tau})
            summary = model.summary
            assert summary is not None
            sentence = headline(summary, letter.upper(), "letter")
            split = summary["split_latents"].tolist()
            numbers = numbers_of(sentence)
            assert numbers[: len(split)] == split
            true = [
                *(summary[name] for name in ("num_candidates", "num_tested", "num_absorbed", "num_absorbing_latents")),
                round(100 * summary["num_true_positives"] / summary["num_probe_true_positives"]),
                *(round(100 * summary[name], 1) for name in ("absorption_rate", "rate_low", "rate_high")),
            ]
            assert set(numbers[len(split) :]) <= set(true)
            assert ("none of these is absorbed" in sentence) == (summary["num_absorbed"] == 0 < summary["num_tested"])
            sampled = summary["stored_split"] and summary["num_tested"] < summary["num_candidates"]
            assert ("tested)" in sentence) == sampled
    assert THRESHOLDS["tau"] == model.state.thresholds_of_suite.tau
