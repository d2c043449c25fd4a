"""The state: valid choices, dependent changes, and its form in the URL."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import param
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from explorer import Explorer
from explorer.concepts import Concept, Family
from explorer.saes import ATTRIBUTES, Sae, values_of
from explorer.state import FACETS, ExplorerState, SuiteChoices, Thresholds
from queries import Store
from queries.schema import LETTERS, concept_id
from tests.questions import sae_id
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from pathlib import Path


def made(layer: int, width: int, l0: int, n_latents: int, *, canonical: bool = False) -> Sae:
    known = {"layer": layer, "width": width, "l0": l0, "n_latents": n_latents, "canonical": canonical}
    return Sae(sae_id(layer, width, l0), hook="resid_post", architecture="JumpReLU", **known)  # type: ignore[arg-type]


ALPHA = [
    made(0, 1000, 10, 1024),
    made(0, 1000, 40, 1024, canonical=True),
    made(0, 4000, 10, 4096),
    made(0, 4000, 90, 4096),
    made(3, 1000, 40, 1024),
    made(3, 1000, 90, 1024, canonical=True),
    made(5, 4000, 20, 4096),
]
BETA = [made(3, 1000, 40, 1024), made(3, 8000, 15, 8192)]
FAMILIES = {"first-letter": Family("first-letter", "First letters", "letter")}
CONCEPTS = {
    concept_id(letter): Concept(concept_id(letter), "first-letter", letter.upper(), f"starts with {letter.upper()}")
    for letter in LETTERS
}
CHOICES = {
    "alpha": SuiteChoices(ALPHA, CONCEPTS, FAMILIES),
    "beta": SuiteChoices(BETA, CONCEPTS, FAMILIES, Thresholds(tau=0.05, cosine_threshold=0.1, effect_margin=2.0)),
}


def sae_of(state: ExplorerState) -> tuple[Any, Any, Any]:
    return tuple(getattr(state.chosen_sae, name, None) for name in ("layer", "width", "l0"))  # type: ignore[return-value]


# --- Narrowing -----------------------------------------------------------------------------------------------------


def test_initial_state_is_the_canonical_sae_of_the_first_suite() -> None:
    state = ExplorerState(CHOICES)
    assert (state.suite, state.sae, *sae_of(state)) == ("alpha", "l0-w1000-l0-40", 0, 1000, 40)
    assert state.chosen_sae == ALPHA[1]
    assert (state.concept, state.label, state.family, state.noun) == (concept_id("a"), "A", "first-letter", "letter")
    assert state.options["layer"] == [0, 3, 5]
    assert state.options["width"] == [1000, 4000]
    assert state.options["l0"] == [10, 40]
    assert state.param.sae.objects == [sae.id for sae in ALPHA]
    assert state.param.concept.objects == list(CONCEPTS)


@pytest.mark.parametrize(
    ("start", "change", "expected"),
    [
        (
            (0, 1000, 40),
            {"layer": 3},
            (3, 1000, 40),
        ),  # width and L0 exist and are kept, although another L0 is canonical
        ((0, 1000, 10), {"layer": 3}, (3, 1000, 90)),  # the L0 does not exist: the canonical one
        ((0, 1000, 40), {"width": 4000}, (0, 4000, 90)),  # none is canonical: the nearest
        ((0, 1000, 10), {"width": 4000}, (0, 4000, 10)),
        ((0, 1000, 40), {"layer": 5}, (5, 4000, 20)),  # neither exists
        ((5, 4000, 20), {"layer": 0}, (0, 4000, 10)),
        ((0, 1000, 40), {"suite": "beta"}, (3, 1000, 40)),
        ((0, 1000, 10), {"sae": "l3-w1000-l0-40"}, (3, 1000, 40)),
    ],
)
def test_each_choice_narrows_the_next(
    start: tuple[int, int, int], change: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    names = ("layer", "width", "l0")
    for way in ("apply", "link", "set"):
        state = ExplorerState(CHOICES, **dict(zip(names, start, strict=True)))
        assert state.sae == sae_id(*start)
        if way == "apply":
            assert state.apply(change) == []
        elif way == "link":
            assert state.from_query(urlencode(change)) == []
        elif not {*change} & {*names}:
            state.param.update(**change)
        else:
            continue  # an attribute is not a parameter
        assert sae_of(state) == expected
        assert state.sae == sae_id(*expected)
        saes = CHOICES[state.suite].saes
        assert state.options["layer"] == sorted({sae.layer for sae in saes if sae.layer is not None})
        assert state.options["width"] == sorted(
            {sae.width for sae in saes if sae.layer == expected[0] and sae.width is not None}
        )
        assert state.options["l0"] == [sae.l0 for sae in saes if (sae.layer, sae.width) == expected[:2]]


def test_unavailable_values_cannot_be_set() -> None:
    state = ExplorerState(CHOICES)
    impossible = {"suite": "gamma", "sae": "l1-w1000-l0-10", "concept": "first-letter.ä"}
    for name, value in (*impossible.items(), ("latent", -1), ("latent", 99_999)):
        before = state.url_values()
        with pytest.raises(ValueError, match=name):
            setattr(state, name, value)
        assert state.url_values() == before
    attributes = {"layer": 1, "hook": "mlp_out", "architecture": "TopK", "width": 8000, "l0": 90, "seed": 7}
    assert tuple(attributes) == ATTRIBUTES
    for name, value in attributes.items():
        before = state.url_values()
        (refused,) = state.apply({name: value})
        assert refused.startswith(f"{name} = '{value}' does not exist here (there is ")
        assert state.url_values() == before


@pytest.mark.parametrize("choices", [{}, {"empty": SuiteChoices()}])
def test_state_without_choices_is_empty(choices: dict[str, SuiteChoices]) -> None:
    state = ExplorerState(choices)
    assert state.sae is state.chosen_sae is state.concept is state.chosen_concept is None
    assert (state.suite, *sae_of(state)) == (next(iter(choices), None), None, None, None)
    assert state.apply({"letter": "s", "layer": 3}) == [
        "layer = '3' does not exist here (there is nothing)",
        "concept = 'first-letter.s' does not exist here (there is nothing)",
    ]
    assert state.concept is None
    # The query of such a state can be applied, as a session does with its URL.
    again = ExplorerState(choices, **state.url_values())
    assert again.url_values() == state.url_values()
    assert again.from_query(state.to_query()) == []


def test_suite_without_saes_can_be_left_and_entered() -> None:
    state = ExplorerState(CHOICES | {"empty": SuiteChoices()}, letter="s", latent=7)
    assert state.apply({"suite": "empty"}) == []
    assert (state.sae, state.chosen_sae, state.concept, state.latent) == (None, None, None, None)
    assert state.apply({"suite": "beta"}) == []
    assert sae_of(state) == (3, 1000, 40)
    assert state.concept == concept_id("a")


# --- Dependent changes ---------------------------------------------------------------------------------------------

PLACES = ({"concept": concept_id("s")}, {"sae": "l3-w1000-l0-90"}, {"suite": "beta"})
MOVES = (*PLACES, {"letter": "s"}, {"l0": 10}, {"width": 4000}, {"layer": 3})


@pytest.mark.parametrize("move", MOVES, ids=lambda move: next(iter(move)))
def test_selection_is_cleared_elsewhere(move: dict[str, Any]) -> None:
    for through_apply in (False, True) if move in PLACES else (True,):
        state = ExplorerState(CHOICES, latent=7)
        state.cosine_range = (0.1, 0.2)
        if through_apply:
            assert state.apply(move) == []
        else:
            state.param.update(**move)
        assert state.latent is None
        assert state.cosine_range is None


@pytest.mark.parametrize("latent", [7, 8])
@pytest.mark.parametrize("move", MOVES, ids=lambda move: next(iter(move)))
def test_latent_given_with_a_move_is_kept(move: dict[str, Any], latent: int) -> None:
    state = ExplorerState(CHOICES, latent=7)
    state.cosine_range = (0.1, 0.2)
    seen = []
    state.param.watch(lambda *_: seen.append(state.latent), ["suite", "sae", "concept", "latent"])
    assert state.apply(move | {"latent": latent}) == []
    assert state.latent == latent
    # It is not cleared in between, because views would discard their contents.
    assert set(seen) == {latent}
    assert state.cosine_range is None, "a brush belongs to the plot that it was made in"


def test_latent_set_with_a_concept_is_kept() -> None:
    state = ExplorerState(CHOICES, latent=7)
    state.param.update(concept=concept_id("s"), latent=8)
    assert (state.concept, state.latent) == (concept_id("s"), 8)


@pytest.mark.parametrize(
    "change",
    [
        {"dark": True},
        {"seed": 3},
        {"cosine_view": "rank"},
        {"tau": 0.1},
        {"concept": concept_id("a")},
        {"cosine_range": (0.2, 0.3)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_selection_is_kept_for_other_changes(change: dict[str, Any]) -> None:
    state = ExplorerState(CHOICES, latent=7, cosine_range=(0.1, 0.2))
    state.param.update(**change)
    assert state.latent == 7
    assert state.cosine_range == change.get("cosine_range", (0.1, 0.2))


def test_latent_out_of_range_is_refused() -> None:
    state = ExplorerState(CHOICES, latent=7)
    assert state.apply({"latent": 1023}) == []
    assert state.apply({"latent": 1024, "letter": "s"}) == [
        "latent = '1024' does not exist here (this SAE has 1,024 latents)"
    ]
    assert (state.concept, state.latent) == (concept_id("s"), None)
    # The limit is that of the requested SAE, not of the former one.
    assert state.apply({"latent": 4000, "width": 4000}) == []
    assert state.latent == 4000


def test_only_given_values_are_refused() -> None:
    state = ExplorerState(CHOICES, width=4000, latent=4000)
    # Neither the latent that the smaller SAE lacks nor the width of the former layer was requested.
    assert state.apply({"width": 1000}) == []
    assert state.latent is None
    assert ExplorerState(CHOICES, width=4000).apply({"layer": 3}) == []
    refused = ExplorerState(CHOICES, layer=5).apply({"layer": 0, "l0": "many"})
    assert refused == ["l0 = 'many' is not a number"]


def test_thresholds_follow_the_suite() -> None:
    state = ExplorerState(CHOICES, tau=0.2)
    assert state.moved
    state.suite = "beta"
    assert (state.tau, state.cosine_threshold, state.effect_margin) == (0.05, 0.1, 2.0)
    assert not state.moved
    state.apply({"suite": "alpha", "effect_margin": 2.0})
    assert (state.tau, state.cosine_threshold, state.effect_margin) == (0.03, 0.025, 2.0)
    assert state.moved
    state.apply({"suite": "alpha"})
    assert state.effect_margin == 2.0, "the suite stayed the same"


def test_several_values_are_one_change() -> None:
    state = ExplorerState(CHOICES, latent=7)
    seen: list[dict[str, Any]] = []
    state.param.watch(lambda *_: seen.append(state.url_values()), list(state.URL_KEYS))
    state.apply({"suite": "beta", "width": 8000, "letter": "s", "latent": 5000, "tau": 0.2, "cosine_view": "rank"})
    assert all(values == state.url_values() for values in seen)
    expected = {"suite": "beta", "sae": "l3-w8000-l0-15", "concept": concept_id("s"), "latent": 5000, "tau": 0.2}
    assert expected.items() <= state.url_values().items()
    seen.clear()
    state.suite = "alpha"
    # At any time the SAE, the thresholds and the latent belong to the shown suite.
    assert {(values["tau"], values["latent"]) for values in seen} == {(0.03, None)}
    assert {values["sae"] for values in seen} == {"l3-w1000-l0-90"}


def test_invalid_initial_values_are_an_error() -> None:
    with pytest.raises(
        ValueError, match=r"^layer = '99' .* \(there is 0, 3, 5\); concept = 'first-letter.ß' does not exist"
    ):
        ExplorerState(CHOICES, letter="ß", layer=99)
    with pytest.raises(ValueError, match="'colour' is not known here"):
        ExplorerState(CHOICES, colour="red")


# --- The URL -------------------------------------------------------------------------------------------------------

#: The same examples at every run; drawing the first text takes a second.
DETERMINISTIC = settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def options_of(name: str) -> st.SearchStrategy[Any]:
    """Choose one of a switch's options, or several if it accepts several."""
    # Options of other metrics are reset if there is only one metric.
    options = [one for one in ExplorerState.param[name].objects if one not in ("projection", "fraction", "disagree")]
    if not isinstance(ExplorerState.param[name], param.ListSelector):
        return st.sampled_from(options)
    return st.sets(st.sampled_from(options)).map(lambda chosen: [one for one in options if one in chosen])


#: Switches with a fixed choice.
SWITCHES = {
    name: options_of(name)
    for name in ExplorerState.URL_KEYS
    if isinstance(ExplorerState.param[name], param.Selector) and name not in ("suite", "sae", "concept", "metric")
}
#: The SAE compared with, of this suite or another.
OTHER = ("other_suite", "other_sae")


def others_of(suite: str) -> list[tuple[str | None, str | None]]:
    """Return the state's list of SAEs that can be compared with an SAE."""
    return [(None, None)] + [
        (None if name == suite else name, sae) for name, there in CHOICES.items() for sae in [x.id for x in there.saes]
    ]


#: All values that a state can have and its URL contains.
STATES = st.one_of(
    [
        st.fixed_dictionaries(
            {
                **SWITCHES,
                "suite": st.just(suite),
                "sae": st.just(sae.id),
                "concept": st.sampled_from(list(CONCEPTS)),
                "latent": st.none() | st.integers(0, sae.n_latents - 1),
                "tau": st.floats(0, 1),
                "cosine_threshold": st.floats(-1, 1),
                "effect_margin": st.floats(0, 100),
                "other": st.sampled_from(others_of(suite)),
                **{f"facet_{name}": st.none() | st.sampled_from(values_of(choices.saes, name)) for name in ATTRIBUTES},
                "facet_concept": st.none() | st.sampled_from(list(CONCEPTS)),
            }
        ).map(lambda values: values | dict(zip(OTHER, values.pop("other"), strict=True)))
        for suite, choices in CHOICES.items()
        for sae in choices.saes
    ]
)


@DETERMINISTIC
@given(here=STATES, there=STATES)
def test_url_restores_any_state_from_any_other(here: dict[str, Any], there: dict[str, Any]) -> None:
    state, other = ExplorerState(CHOICES, **here), ExplorerState(CHOICES, **there)
    assert here == {name: state.url_values()[name] for name in here}
    assert other.from_query(f"?{state.to_query()}") == []
    assert other.url_values() == state.url_values()
    assert other.to_query() == state.to_query()


def test_former_links_work_and_are_rewritten() -> None:
    state = ExplorerState(CHOICES)
    former = "page=compare&layer=3&width=1000&l0=90&letter=Q&compare_by=pair&other_layer=5&other_width=4000&other_l0=20"
    assert state.from_query(f"{former}&facet_letter=s") == []
    newest = (
        "page=compare&suite=alpha&sae=l3-w1000-l0-90&concept=first-letter.q&compare_by=pair&other_sae=l5-w4000-l0-20"
        "&facet_concept=first-letter.s"
    )
    assert state.to_query() == newest
    other = ExplorerState(CHOICES)
    assert other.from_query(newest) == []
    assert other.url_values() == state.url_values()


def test_going_back_restores_the_metric() -> None:
    movable = {"ig_ablation": ("tau",), "full": ("tau",)}
    state = ExplorerState({"alpha": SuiteChoices(ALPHA, CONCEPTS, FAMILIES, movable=movable)})
    before = state.to_query()
    assert state.apply({"metric": "full"}) == []
    assert "metric=full" in state.to_query()
    assert state.from_query(before) == []
    assert (state.metric, state.to_query()) == ("ig_ablation", before)


#: Former links and arguments, with their meaning.
FORMER: dict[tuple[tuple[str, Any], ...], dict[str, Any]] = {
    (("letter", "s"),): {"concept": concept_id("s")},
    (("letter", "S"),): {"concept": concept_id("s")},
    (("facet_letter", "T"),): {"facet_concept": concept_id("t")},
    (("layer", 3),): {"sae": "l3-w1000-l0-40"},
    (("width", 4000),): {"sae": "l0-w4000-l0-90"},
    (("l0", 10),): {"sae": "l0-w1000-l0-10"},
    (("layer", 3), ("width", 1000), ("l0", 90)): {"sae": "l3-w1000-l0-90"},
    (("other_layer", 5), ("other_width", 4000), ("other_l0", 20)): {"other_sae": "l5-w4000-l0-20"},
    (("compare_by", "letter"),): {"compare_by": "concept"},
    (("mean_policy", "all_letters"),): {"mean_policy": "all_concepts"},
    **{(("evidence_sort", name),): {"evidence_sort": "sae"} for name in ("layer", "width", "l0")},
    (("facet_layer", 3), ("facet_width", 1000), ("facet_l0", 40)): {
        "facet_layer": 3,
        "facet_width": 1000,
        "facet_l0": 40,
        "facet_saes": ["l3-w1000-l0-40"],
    },
}
#: Keys that only addresses had, such as those of the explorer of the paper's authors.
FORMER_LINKS: dict[tuple[tuple[str, Any], ...], dict[str, Any]] = {
    (("sae_width", 4000),): {"sae": "l0-w4000-l0-90"},
    (("sae_l0", 10),): {"sae": "l0-w1000-l0-10"},
    (("other_layer", ""), ("other_width", ""), ("other_l0", "")): {"other_sae": None},
}


@pytest.mark.parametrize("former", FORMER | FORMER_LINKS, ids=lambda former: urlencode(dict(former)))
def test_former_keys_and_values_keep_their_meaning(former: tuple[tuple[str, Any], ...]) -> None:
    values, meant = dict(former), (FORMER | FORMER_LINKS)[former]
    linked = ExplorerState(CHOICES)
    assert linked.from_query(urlencode(values)) == []
    ways = [linked]
    if former in FORMER:
        applied = ExplorerState(CHOICES)
        assert applied.apply(values) == []
        ways += [applied, ExplorerState(CHOICES, **values)]
    for state in ways:
        assert {name: getattr(state, name) for name in meant} == meant
        # It is written with the current keys, which have the same meaning.
        written = dict(parse_qsl(state.to_query()))
        assert written.keys() <= {*ExplorerState.URL_KEYS}
        again = ExplorerState(CHOICES)
        assert again.from_query(state.to_query()) == []
        assert again.url_values() == state.url_values()


@pytest.mark.parametrize("other", [{"other_layer": 3}, {"other_layer": 9, "other_width": 9, "other_l0": 9}])
def test_missing_saes_of_former_links_are_refused(other: dict[str, int]) -> None:
    state = ExplorerState(CHOICES, other_sae="l5-w4000-l0-20")
    (refused,) = state.apply(other)
    assert refused.startswith("other_sae = ")
    assert "does not exist here (there is l0-w1000-l0-10, " in refused
    assert state.other_sae is None
    assert "None" not in refused


def test_former_arguments_open_an_explorer(tmp_path: Path) -> None:
    """Negative L0s meant the first, second ... SAE of unknown L0."""
    saes = ((0, 1000, 10), (3, 1000, -2), (3, 1000, -1))
    with Store(write_tiny_suite(tmp_path / "tiny", saes=saes)) as store:
        old = {"layer": 3, "width": 1000, "letter": "t", "compare_by": "letter", "mean_policy": "all_letters"}
        for l0, sae in ((-1, "l3-w1000"), (-2, "l3-w1000-2")):
            other = {"other_layer": 3, "other_width": 1000, "other_l0": -3 - l0}
            state = Explorer(store, **old, l0=l0, **other, evidence_sort="width", facet_letter="s").state
            assert (state.sae, state.concept) == (sae, concept_id("t"))
            assert {state.sae, state.other_sae} == {"l3-w1000", "l3-w1000-2"}
            assert (state.compare_by, state.mean_policy, state.evidence_sort) == ("concept", "all_concepts", "sae")
            assert state.facet_concept == concept_id("s")
            assert ExplorerState({"tiny": state._choices["tiny"]}).from_query(state.to_query()) == []
        with pytest.raises(ValueError, match="'letters' is not known here"):
            Explorer(store, letters="t")


def test_attributes_beside_an_id_are_omitted_or_refused() -> None:
    state = ExplorerState(CHOICES)
    assert state.from_query("sae=l3-w1000-l0-90&l0=40&concept=first-letter.q&letter=r") == [
        "l0 = '40' is omitted, for sae says it",
        "letter = 'r' is omitted, for concept says it",
    ]
    assert (*sae_of(state), state.label) == (3, 1000, 90, "Q")
    refused = state.from_query("sae=nowhere&concept=suffix.ing&other_sae=l9-w9-l0-9&facet_concept=Q")
    assert sorted(sentence.partition(" (there is ")[0] for sentence in refused) == [
        "concept = 'suffix.ing' does not exist here",
        "facet_concept = 'Q' does not exist here",
        "other_sae = 'l9-w9-l0-9' does not exist here",
        "sae = 'nowhere' does not exist here",
    ]
    assert (*sae_of(state), state.label) == (3, 1000, 90, "Q")
    # An id refers to its suite.
    assert state.from_query("suite=beta&sae=l3-w8000-l0-15") == []
    assert (state.suite, *sae_of(state)) == ("beta", 3, 8000, 15)


def test_url_contains_only_changed_thresholds_and_switches() -> None:
    state = ExplorerState(CHOICES)
    start = "page=explore&suite=alpha&sae=l0-w1000-l0-40&concept=first-letter.a"
    assert state.to_query() == start
    state.param.update(latent=7, tau=0.1, cosine_view="rank")
    assert state.to_query() == f"{start}&latent=7&tau=0.1&cosine_view=rank"
    state.param.update(latent=None, tau=0.03, cosine_view="index")
    assert state.to_query() == start
    state.param.update(dark=True, seed=5, cosine_range=(0.1, 0.2))
    assert state.to_query() == start
    # The suite's own thresholds are not in the URL, those of another suite are.
    state.apply({"suite": "beta"})
    assert "tau" not in state.to_query()
    state.tau = 0.03
    assert dict(parse_qsl(state.to_query()))["tau"] == "0.03"


def test_redundant_parts_of_a_link_are_named() -> None:
    state = ExplorerState(CHOICES)
    # The keys of links to the explorer of the paper's authors.
    assert state.from_query("layer=5&sae_width=4000&sae_l0=20&letter=s") == []
    assert sae_of(state) == (5, 4000, 20)
    assert state.from_query("letter=t&utm_source=mail&dark=True") == ["there is nothing called 'utm_source', 'dark'"]
    # The last value is used.
    for twice in ("letter=s&letter=t", "layer=5&width=1000&sae_width=4000", "facet_layer=3&facet_layer=5"):
        name = twice.split("=")[-2].split("&")[-1].removeprefix("sae_")
        (refused,) = state.from_query(twice)
        assert refused.startswith(f"{name} = ")
        assert "is repeated, as" in refused
    assert state.from_query("letter=s&letter=s") == []
    assert state.from_query("facet_latent=4096") == [
        "facet_latent = '4096' does not exist here (no SAE of this suite has more than 4,096 latents)"
    ]
    assert state.facet_latent is None
    assert state.from_query("facet_latent=4095") == []
    assert "None" not in state.from_query("facet_letter=7")[0]
    (many,) = state.from_query(urlencode({f"{number}" * 100: "" for number in range(50)}))
    assert len(many) < 500
    for facet, there in (("facet_layer", "0, 3, 5"), ("facet_width", "1000, 4000"), ("facet_l0", "10, 40, 90, 20")):
        assert state.from_query(f"{facet}=77") == [f"{facet} = '77' does not exist here (there is {there})"]
        assert getattr(state, facet) is None
    assert state.from_query("latent=-1") == ["latent = '-1' is out of range (at least 0)"]
    state.latent = 7
    with pytest.raises(ValueError, match="latent = '99999' does not exist here"):
        state.latent = 99_999
    assert state.latent is None


def test_url_without_a_value_means_its_default() -> None:
    state = ExplorerState(CHOICES, letter="s", latent=7, tau=0.2, cosine_view="rank")
    assert state.from_query("?letter=T") == []
    assert (state.label, state.latent, state.tau, state.cosine_view) == ("T", None, 0.03, "index")
    assert state.from_query("suite=beta&latent=") == []
    # The concept is kept, as the SAE is.
    assert (state.suite, state.tau, state.label) == ("beta", 0.05, "T")
    assert state.from_query("suite=nonsense&tau=0.5") == [
        "suite = 'nonsense' does not exist here (there is alpha, beta)"
    ]
    assert (state.suite, state.tau, state.cosine_threshold) == ("beta", 0.5, 0.1)


NUMBERS: dict[str, type] = {
    **dict.fromkeys(("layer", "width", "seed", "latent", "evidence_page"), int),
    **dict.fromkeys(("facet_layer", "facet_width", "facet_seed", "facet_latent"), int),
    **dict.fromkeys(("l0", "facet_l0", "tau", "cosine_threshold", "effect_margin"), float),
    **dict.fromkeys(("learn_step", "learn_latents", "toy_seed", "tour_step"), int),
    **dict.fromkeys(("absorption", "hedging", "toy_parent", "toy_child", "toy_alone", "toy_sparsity"), float),
}
#: Keys of the location; an empty text keeps the current one.
PLACE = ("sae", "concept", "letter", "family", *ATTRIBUTES)


def meant(name: str, text: str) -> Any:
    """Return the value of a text in the URL, or a unique object if it is invalid."""
    special = {
        **dict.fromkeys(("evidence_descending", "present"), {"True": True, "False": False}.get(text, text)),
        "evidence_columns": text.split(".") if text else [],
        "letter": f"first-letter.{text.lower()}",
    }
    if name in special:
        return special[name]
    if not text and name in (*NUMBERS, *FACETS, *OTHER):
        return None
    with suppress(ValueError):
        return NUMBERS.get(name, str)(text)
    return object()


def shown_by(state: ExplorerState, name: str) -> Any:
    """Return a state's value for a key of a link."""
    if name in ATTRIBUTES:
        return getattr(state.chosen_sae, name)
    return state.concept if name == "letter" else getattr(state, name)


#: Texts that are nearly valid values, and arbitrary ones.
TEXTS = st.sampled_from(
    [
        *("", "0", "3", "5", "40", "1000", "8000", "7", "4095", "-1", "1.5", "nan", "inf", "1e999", "1e5", " 3 ", "٣"),
        *("9" * 400, "1_000", "0x10", "None", "true", "s", "S", "alpha", "beta", "rank", "auc", "explore", "a'b"),
        *("<script>alert(1)</script>", "\0", "%00", "a&b=c", "\n"),
    ]
) | st.text(max_size=20)


READ = (*ExplorerState.URL_KEYS, *ATTRIBUTES, "letter", "family")


@DETERMINISTIC
@given(values=st.dictionaries(st.sampled_from([*READ, "name", "dark", "param"]), TEXTS), start=STATES)
def test_any_text_in_the_url_is_accepted_or_named(values: dict[str, str], start: dict[str, Any]) -> None:
    state = ExplorerState(CHOICES, **start)
    unnamed = {"dark": state.dark, "name": state.name}
    sentences = state.from_query(urlencode(values))
    for name, text in values.items():
        called = "concept" if name == "letter" and "concept" not in values else name
        messages = [sentence for sentence in sentences if sentence.partition(" = ")[0] == called]
        if name not in READ:
            assert not messages
            assert f"'{name}'" in sentences[-1]
            continue
        assert len(messages) <= 1
        says_it = {**dict.fromkeys(ATTRIBUTES, "sae"), "letter": "concept", "family": "concept"}.get(name)
        if says_it in values:
            assert messages[0].endswith(f"is omitted, for {says_it} says it")
        elif name == "family" and "letter" in values:
            continue  # the letter takes precedence
        elif name in (*PLACE, "metric") and not text:
            assert not messages
        elif name == "other_sae" and messages:
            assert state.other_sae is None
        elif name == "other_suite" and text == state.suite:
            assert (state.other_suite, messages) == (None, [])
        else:
            assert (shown_by(state, name) == meant(name, text)) == (not messages), (name, text, messages)
    assert len(sentences) <= len(values)
    assert all(len(sentence) < 500 for sentence in sentences)
    assert unnamed == {name: getattr(state, name) for name in unnamed}
    assert state.chosen_sae in CHOICES[state.suite].saes
    assert state.chosen_sae
    assert state.latent is None or state.latent < state.chosen_sae.n_latents
    # Any resulting state can be linked to.
    assert ExplorerState(CHOICES).from_query(state.to_query()) == []


@pytest.mark.parametrize("name", ["layer", "l0", "latent", "tau", "seed", "facet_l0"])
@pytest.mark.parametrize("text", ["nan", "-inf", "1e999", "9" * 400, "9" * 5000, "0x10", "1,5", "--1", "s"])
def test_invalid_numbers_are_named_briefly(name: str, text: str) -> None:
    state = ExplorerState(CHOICES)
    before = state.url_values()
    (sentence,) = state.from_query(urlencode({name: text}))
    shown = text if len(text) < 40 else f"{text[:40]}..."
    assert sentence.startswith(f"{name} = {shown!r} is ")
    assert state.url_values() == before


@DETERMINISTIC
@given(st.text())
def test_any_query_is_handled(query: str) -> None:
    state = ExplorerState(CHOICES)
    state.from_query(query)
    assert state.chosen_sae in CHOICES[state.suite].saes


def test_every_parameter_is_documented() -> None:
    undocumented = [name for name in ExplorerState.param if name != "name" and not ExplorerState.param[name].doc]
    assert undocumented == []
    assert set(ExplorerState.URL_KEYS) <= set(ExplorerState.param)


# --- Compare -------------------------------------------------------------------------------------------------------


def test_compare_starts_with_an_attribute_of_several_saes() -> None:
    def start(saes: list[Sae]) -> ExplorerState:
        return ExplorerState({"one": SuiteChoices(saes, CONCEPTS, FAMILIES)})

    sweep = [sae._replace(cosines=True) for sae in ALPHA[:3]]
    assert start(sweep).comparison == "l0"
    assert start(sweep).compared == [sae.id for sae in sweep]
    others = [sweep[0], sweep[0]._replace(id="topk", architecture="TopK")]
    assert start(others).comparison == "architecture"
    assert start(others).compared == [sae.id for sae in others]
    assert start([sweep[0], sweep[0]._replace(id="deep", layer=9)]).comparison == "layer"
    # Two SAEs can be compared without cosines, and there is always a default.
    assert start(ALPHA).comparison == "pair"
    assert start(sweep[:1]).comparison == "l0"
    assert start([ALPHA[0], ALPHA[0]._replace(id="seed", seed=1, repeat_of=ALPHA[0].id)]).comparison == "l0"
    chosen = start(others)
    chosen.apply({"compare_by": "l0"})
    assert (chosen.comparison, chosen.compared) == ("l0", [chosen.sae])
    assert "compare_by=l0" in chosen.to_query()
