"""The state: what can be chosen, what a change takes with it, and its form in the URL."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlencode

import param
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from explorer.state import ExplorerState, SaeId, SuiteChoices, Thresholds, choose_sae
from tests.questions import sae_id

ALPHA = [
    SaeId(0, 1000, 10, 1024),
    SaeId(0, 1000, 40, 1024, canonical=True),
    SaeId(0, 4000, 10, 4096),
    SaeId(0, 4000, 90, 4096),
    SaeId(3, 1000, 40, 1024),
    SaeId(3, 1000, 90, 1024, canonical=True),
    SaeId(5, 4000, 20, 4096),
]
BETA = [SaeId(3, 1000, 40, 1024), SaeId(3, 8000, 15, 8192)]
ALPHA, BETA = ([sae._replace(id=sae_id(*sae.key)) for sae in saes] for saes in (ALPHA, BETA))
CHOICES = {
    "alpha": SuiteChoices(ALPHA),
    "beta": SuiteChoices(BETA, Thresholds(tau=0.05, cosine_threshold=0.1, effect_margin=2.0)),
}


def sae_of(state: ExplorerState) -> tuple[Any, Any, Any]:
    return (state.layer, state.width, state.l0)


# --- Narrowing -----------------------------------------------------------------------------------------------------


def test_starts_at_the_first_suite_and_its_canonical_sae() -> None:
    state = ExplorerState(CHOICES)
    assert (state.suite, *sae_of(state)) == ("alpha", 0, 1000, 40)
    assert state.sae == ALPHA[1]
    assert state.param.layer.objects == [0, 3, 5]
    assert state.param.width.objects == [1000, 4000]
    assert state.param.l0.objects == [10, 40]


@pytest.mark.parametrize(
    ("start", "change", "expected"),
    [
        ((0, 1000, 40), {"layer": 3}, (3, 1000, 40)),  # width and L0 are there: kept, though another L0 is canonical
        ((0, 1000, 10), {"layer": 3}, (3, 1000, 90)),  # the L0 is not: the canonical one
        ((0, 1000, 40), {"width": 4000}, (0, 4000, 10)),  # none is canonical: the first
        ((0, 1000, 10), {"width": 4000}, (0, 4000, 10)),
        ((0, 1000, 40), {"layer": 5}, (5, 4000, 20)),  # neither is there
        ((5, 4000, 20), {"layer": 0}, (0, 4000, 10)),
        ((0, 1000, 40), {"suite": "beta"}, (3, 1000, 40)),
    ],
)
def test_each_choice_narrows_the_next(
    start: tuple[int, int, int], change: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    names = ("layer", "width", "l0")
    for through_apply in (False, True):
        state = ExplorerState(CHOICES, **dict(zip(names, start, strict=True)))
        if through_apply:
            assert state.apply(change) == []
        else:
            state.param.update(**change)
        assert sae_of(state) == expected
        saes = CHOICES[state.suite].saes
        assert state.param.layer.objects == sorted({sae.layer for sae in saes})
        assert state.param.width.objects == sorted({sae.width for sae in saes if sae.layer == state.layer})
        assert state.param.l0.objects == [sae.l0 for sae in saes if sae[:2] == expected[:2]]


def test_what_cannot_be_chosen_cannot_be_set() -> None:
    state = ExplorerState(CHOICES)
    impossible = {"suite": "gamma", "layer": 1, "width": 8000, "l0": 90, "letter": "ä"}
    for name, value in (*impossible.items(), ("latent", -1), ("latent", 99_999)):
        before = state.url_values()
        with pytest.raises(ValueError, match=name):
            setattr(state, name, value)
        assert state.url_values() == before


def test_nearest_sae_names_what_could_have_been_chosen() -> None:
    sae, options = choose_sae(ALPHA, layer=5, width=1000, l0=40)
    assert sae == ALPHA[6]
    assert options == {"layer": [0, 3, 5], "width": [4000], "l0": [20]}
    assert choose_sae([]) == (None, {"layer": [], "width": [], "l0": []})


@pytest.mark.parametrize("choices", [{}, {"empty": SuiteChoices()}])
def test_nothing_to_choose_from(choices: dict[str, SuiteChoices]) -> None:
    state = ExplorerState(choices)
    assert state.sae is None
    assert (state.suite, *sae_of(state)) == (next(iter(choices), None), None, None, None)
    assert state.apply({"letter": "s", "layer": 3}) == ["layer = '3' does not exist here (there is nothing)"]
    assert state.letter == "s"
    # What such a state says of itself can be taken over, as a session does from its URL.
    again = ExplorerState(choices, **state.url_values())
    assert again.url_values() == state.url_values()
    assert again.from_query(state.to_query()) == []


def test_suite_without_saes_can_be_left_and_entered() -> None:
    state = ExplorerState(CHOICES | {"empty": SuiteChoices()}, letter="s", latent=7)
    assert state.apply({"suite": "empty"}) == []
    assert (state.sae, state.layer, state.latent) == (None, None, None)
    assert state.apply({"suite": "beta"}) == []
    assert sae_of(state) == (3, 1000, 40)


# --- What a change takes with it -----------------------------------------------------------------------------------

MOVES = ({"letter": "s"}, {"l0": 10}, {"width": 4000}, {"layer": 3}, {"suite": "beta"})


@pytest.mark.parametrize("move", MOVES, ids=lambda move: next(iter(move)))
def test_selection_is_forgotten_elsewhere(move: dict[str, Any]) -> None:
    for through_apply in (False, True):
        state = ExplorerState(CHOICES, latent=7)
        state.cosine_range = (0.1, 0.2)
        if through_apply:
            state.apply(move)
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
    state.param.watch(lambda *_: seen.append(state.latent), ["suite", "layer", "width", "l0", "letter", "latent"])
    assert state.apply(move | {"latent": latent}) == []
    assert state.latent == latent
    # Nobody sees it go and come back: what views hold on it would be lost.
    assert set(seen) == {latent}
    assert state.cosine_range is None, "a brush belongs to the plot that it was made in"


def test_latent_set_with_a_letter_is_kept() -> None:
    state = ExplorerState(CHOICES, latent=7)
    state.param.update(letter="s", latent=8)
    assert (state.letter, state.latent) == ("s", 8)


@pytest.mark.parametrize(
    "change",
    [{"dark": True}, {"seed": 3}, {"cosine_view": "rank"}, {"tau": 0.1}, {"letter": "a"}, {"cosine_range": (0.2, 0.3)}],
    ids=lambda change: next(iter(change)),
)
def test_selection_stays_where_it_was_made(change: dict[str, Any]) -> None:
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
    assert (state.letter, state.latent) == ("s", None)
    # It counts what the SAE that is asked for has, not the one before.
    assert state.apply({"latent": 4000, "width": 4000}) == []
    assert state.latent == 4000


def test_only_given_values_are_refused() -> None:
    state = ExplorerState(CHOICES, width=4000, latent=4000)
    # A latent that the smaller SAE lacks was not asked for, nor was the width that went with the layer.
    assert state.apply({"width": 1000}) == []
    assert state.latent is None
    assert ExplorerState(CHOICES, width=4000).apply({"layer": 3}) == []
    refused = ExplorerState(CHOICES, layer=5).apply({"layer": 0, "l0": "many"})
    assert refused == ["l0 = 'many' is not a whole number"]


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
    expected = {"suite": "beta", "layer": 3, "width": 8000, "l0": 15, "letter": "s", "latent": 5000, "tau": 0.2}
    assert expected.items() <= state.url_values().items()
    seen.clear()
    state.suite = "alpha"
    # Whoever looks, sees an SAE of the suite shown, its thresholds, and no latent of another.
    assert {(values["tau"], values["latent"]) for values in seen} == {(0.03, None)}
    assert all((values["layer"], values["width"], values["l0"]) == (3, 1000, 90) for values in seen)


def test_refused_starting_values_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"letter = 'ß' .*; layer = '99' does not exist here \(there is 0, 3, 5\)$"):
        ExplorerState(CHOICES, letter="ß", layer=99)
    with pytest.raises(ValueError, match="'colour' is not known here"):
        ExplorerState(CHOICES, colour="red")


# --- The URL -------------------------------------------------------------------------------------------------------

#: The same examples at every run; drawing the first text takes a second.
DETERMINISTIC = settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def options_of(name: str) -> st.SearchStrategy[Any]:
    """Choose one of a switch's options, or several where it takes several."""
    options = list(ExplorerState.param[name].objects)
    if not isinstance(ExplorerState.param[name], param.ListSelector):
        return st.sampled_from(options)
    return st.sets(st.sampled_from(options)).map(lambda chosen: [one for one in options if one in chosen])


#: Switches with a fixed choice.
SWITCHES = {
    name: options_of(name)
    for name in ExplorerState.URL_KEYS
    if isinstance(ExplorerState.param[name], param.Selector) and name not in ("suite", "layer", "width", "l0")
}
#: The SAE compared with is chosen, and taken or refused in a link, as a whole.
OTHER = ("other_layer", "other_width", "other_l0")
#: Every value that a state can have, and that its URL carries.
STATES = st.one_of(
    [
        st.fixed_dictionaries(
            {
                **SWITCHES,
                "suite": st.just(suite),
                "layer": st.just(sae.layer),
                "width": st.just(sae.width),
                "l0": st.just(sae.l0),
                "latent": st.none() | st.integers(0, sae.n_latents - 1),
                "tau": st.floats(0, 1),
                "cosine_threshold": st.floats(-1, 1),
                "effect_margin": st.floats(0, 100),
                "other": st.none() | st.sampled_from(choices.saes),
            }
        ).map(lambda values: values | dict(zip(OTHER, values.pop("other") or (None,) * 3, strict=False)))
        for suite, choices in CHOICES.items()
        for sae in choices.saes
    ]
)


@DETERMINISTIC
@given(here=STATES, there=STATES)
def test_url_carries_the_state_from_anywhere_to_anywhere(here: dict[str, Any], there: dict[str, Any]) -> None:
    state, other = ExplorerState(CHOICES, **here), ExplorerState(CHOICES, **there)
    assert here == {name: state.url_values()[name] for name in here}
    assert other.from_query(f"?{state.to_query()}") == []
    assert other.url_values() == state.url_values()
    assert other.to_query() == state.to_query()


def test_links_of_old_go_on_working_and_are_rewritten() -> None:
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


def test_what_an_id_says_is_said_once_and_what_it_does_not_name_is_refused() -> None:
    state = ExplorerState(CHOICES)
    assert state.from_query("sae=l3-w1000-l0-90&l0=40&concept=first-letter.q&letter=r") == [
        "l0 = '40' is left out, for sae says it",
        "letter = 'r' is left out, for concept says it",
    ]
    assert (state.layer, state.width, state.l0, state.letter) == (3, 1000, 90, "q")
    refused = state.from_query("sae=nowhere&concept=suffix.ing&other_sae=l9-w9-l0-9&facet_concept=Q")
    assert sorted(sentence.partition(" (there is ")[0] for sentence in refused) == [
        "concept = 'suffix.ing' does not exist here",
        "facet_concept = 'Q' does not exist here",
        "other_sae = 'l9-w9-l0-9' does not exist here",
        "sae = 'nowhere' does not exist here",
    ]
    assert (state.layer, state.width, state.l0, state.letter) == (3, 1000, 90, "a")
    # An id is one of its suite.
    assert state.from_query("suite=beta&sae=l3-w8000-l0-15") == []
    assert (state.suite, state.l0) == ("beta", 15)


def test_url_names_thresholds_and_switches_only_where_they_were_changed() -> None:
    state = ExplorerState(CHOICES)
    start = "page=explore&suite=alpha&sae=l0-w1000-l0-40&concept=first-letter.a"
    assert state.to_query() == start
    state.param.update(latent=7, tau=0.1, cosine_view="rank")
    assert state.to_query() == f"{start}&latent=7&tau=0.1&cosine_view=rank"
    state.param.update(latent=None, tau=0.03, cosine_view="index")
    assert state.to_query() == start
    state.param.update(dark=True, seed=5, cosine_range=(0.1, 0.2))
    assert state.to_query() == start
    # The suite's own thresholds are no change, those of another are.
    state.apply({"suite": "beta"})
    assert "tau" not in state.to_query()
    state.tau = 0.03
    assert dict(parse_qsl(state.to_query()))["tau"] == "0.03"


def test_what_a_link_says_beside_is_named() -> None:
    state = ExplorerState(CHOICES)
    # As links to the explorer of the paper's authors have it.
    assert state.from_query("layer=5&sae_width=4000&sae_l0=20&letter=s") == []
    assert sae_of(state) == (5, 4000, 20)
    assert state.from_query("letter=t&utm_source=mail&dark=True") == ["nothing here is called 'utm_source', 'dark'"]
    # The last counts.
    for twice in ("letter=s&letter=t", "layer=5&width=1000&sae_width=4000", "facet_layer=3&facet_layer=5"):
        name = twice.split("=")[-2].split("&")[-1].removeprefix("sae_")
        (refused,) = state.from_query(twice)
        assert refused.startswith(f"{name} = ")
        assert "is given a second time, as" in refused
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


def test_url_without_a_value_means_its_start() -> None:
    state = ExplorerState(CHOICES, letter="s", latent=7, tau=0.2, cosine_view="rank")
    assert state.from_query("?letter=T") == []
    assert (state.letter, state.latent, state.tau, state.cosine_view) == ("t", None, 0.03, "index")
    assert state.from_query("suite=beta&latent=") == []
    assert (state.suite, state.tau, state.letter) == ("beta", 0.05, "a")
    assert state.from_query("suite=nonsense&tau=0.5") == [
        "suite = 'nonsense' does not exist here (there is alpha, beta)"
    ]
    assert (state.suite, state.tau, state.cosine_threshold) == ("beta", 0.5, 0.1)


NUMBERS: dict[str, type] = {
    **dict.fromkeys(("layer", "width", "l0", "latent", *OTHER, "evidence_page"), int),
    **dict.fromkeys(("facet_layer", "facet_width", "facet_l0", "facet_latent"), int),
    **dict.fromkeys(("tau", "cosine_threshold", "effect_margin"), float),
}


def meant(name: str, text: str) -> Any:
    """Return the value that a text of the URL stands for; something like nothing else where it stands for none."""
    if name == "evidence_descending":
        return {"True": True, "False": False}.get(text, text)
    if name == "evidence_columns":
        return text.split(".") if text else []
    if name in ("letter", "facet_letter"):
        return text.lower()
    if name not in NUMBERS:
        return text
    with suppress(ValueError):
        return NUMBERS[name](text)
    return object() if text else None


#: Texts that nearly are values, and any other.
TEXTS = st.sampled_from(
    [
        *("", "0", "3", "5", "40", "1000", "8000", "7", "4095", "-1", "1.5", "nan", "inf", "1e999", "1e5", " 3 ", "٣"),
        *("9" * 400, "1_000", "0x10", "None", "true", "s", "S", "alpha", "beta", "rank", "auc", "explore", "a'b"),
        *("<script>alert(1)</script>", "\0", "%00", "a&b=c", "\n"),
    ]
) | st.text(max_size=20)


@DETERMINISTIC
@given(
    values=st.dictionaries(st.sampled_from([*ExplorerState.URL_KEYS, "name", "dark", "seed", "param"]), TEXTS),
    start=STATES,
)
def test_any_text_in_the_url_is_taken_or_named(values: dict[str, str], start: dict[str, Any]) -> None:
    state = ExplorerState(CHOICES, **start)
    unnamed = {"dark": state.dark, "seed": state.seed, "name": state.name}
    sentences = state.from_query(urlencode(values))
    for name, text in values.items():
        said = [sentence for sentence in sentences if name in sentence.partition(" = ")[0].split(", ")]
        if name not in ExplorerState.URL_KEYS:
            assert not said
            assert f"'{name}'" in sentences[-1]
            continue
        taken = meant(name, text)
        if name in OTHER and said:
            assert getattr(state, name) is None
        else:
            assert (getattr(state, name) == taken) == (not said), (name, text, said)
            assert len(said) <= 1
    assert len(sentences) <= len(values)
    assert all(len(sentence) < 500 for sentence in sentences)
    assert unnamed == {name: getattr(state, name) for name in unnamed}
    assert state.sae in CHOICES[state.suite].saes
    assert state.sae
    assert state.latent is None or state.latent < state.sae.n_latents
    # Whatever it came from, the state can be linked to.
    assert ExplorerState(CHOICES).from_query(state.to_query()) == []


@pytest.mark.parametrize("name", ["layer", "l0", "latent", "tau", "other_l0"])
@pytest.mark.parametrize("text", ["nan", "-inf", "1e999", "9" * 400, "9" * 5000, "0x10", "1,5", "--1", "s"])
def test_text_that_is_no_number_is_named_shortly(name: str, text: str) -> None:
    state = ExplorerState(CHOICES)
    before = state.url_values()
    (sentence,) = state.from_query(urlencode({name: text}))
    shown = text if len(text) < 40 else f"{text[:40]}..."
    assert sentence.startswith(f"{name} = {shown!r} is ")
    assert state.url_values() == before


@DETERMINISTIC
@given(st.text())
def test_any_query_is_survived(query: str) -> None:
    state = ExplorerState(CHOICES)
    state.from_query(query)
    assert state.sae in CHOICES[state.suite].saes


def test_every_parameter_says_what_it_is() -> None:
    undocumented = [name for name in ExplorerState.param if name != "name" and not ExplorerState.param[name].doc]
    assert undocumented == []
    assert set(ExplorerState.URL_KEYS) <= set(ExplorerState.param)
