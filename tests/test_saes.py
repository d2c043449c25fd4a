"""SAEs for visitors: selected by attributes, named, and compared."""

from __future__ import annotations

from typing import Any

import pytest

from explorer.saes import (
    ATTRIBUTES,
    Sae,
    axis_attributes,
    choose,
    counterparts,
    distinguishing_attributes,
    l0_distance,
    labelled,
    matches,
    suggest_other,
    value_label,
    value_labels,
    values_of,
)


def made(name: str, layer: int | None = 0, width: int | None = 1000, l0: float | None = 10, **more: Any) -> Sae:
    return Sae(name, layer=layer, width=width, l0=l0, **more)


#: Two layers; two hooks in the first layer, two architectures at the first hook, and so on.
TREE = [
    made("a", hook="resid_post", architecture="TopK", l0=10),
    made("b", hook="resid_post", architecture="TopK", l0=40),
    made("c", hook="resid_post", architecture="TopK", width=4000, l0=11, seed=0),
    made("d", hook="resid_post", architecture="TopK", width=4000, l0=11, seed=1),
    made("e", hook="resid_post", architecture="JumpReLU", l0=20),
    made("f", hook="mlp_out", architecture="Gated", width=8000, l0=90),
    made("g", layer=5, hook="mlp_out", architecture="TopK", l0=40),
]

# --- Choosing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requested", "chosen"),
    [
        ({}, "a"),
        ({"layer": 5}, "g"),
        ({"layer": 5, "hook": "resid_post", "l0": 10}, "g"),  # the layer takes precedence over the others
        ({"hook": "mlp_out"}, "f"),
        ({"hook": "mlp_out", "architecture": "TopK"}, "f"),
        ({"architecture": "JumpReLU", "width": 4000}, "e"),
        ({"l0": 40}, "b"),
        ({"width": 4000}, "c"),
        ({"width": 4000, "seed": 1}, "d"),
        ({"width": 4000, "seed": 7}, "c"),
        ({"width": 4000, "sae": "d"}, "c"),  # they differ by seed, and the first seed is the first option
        ({"layer": 99, "width": 7}, "a"),
    ],
)
def test_each_attribute_narrows_the_next(requested: dict[str, Any], chosen: str) -> None:
    sae, options = choose(TREE, requested)
    assert sae is not None
    assert sae.id == chosen
    assert tuple(options) == (*ATTRIBUTES, "sae")
    left = TREE
    for name in ATTRIBUTES:
        # The options of an attribute are those left by the attributes before it.
        assert options[name] == values_of(left, name)
        left = [other for other in left if getattr(other, name) == getattr(sae, name)]
    assert options["sae"] == [other.id for other in left]


def test_every_sae_can_be_selected_by_its_attributes() -> None:
    for sae in TREE:
        assert choose(TREE, {name: getattr(sae, name) for name in ATTRIBUTES} | {"sae": sae.id})[0] == sae


def test_without_saes_nothing_is_chosen() -> None:
    assert choose([], {"layer": 3}) == (None, {name: [] for name in (*ATTRIBUTES, "sae")})


def test_missing_l0_becomes_the_canonical_or_the_nearest_one() -> None:
    saes = [made(str(l0), l0=l0) for l0 in (10, 40, 160)]
    for requested, nearest in ((12, "10"), (19, "10"), (22, "40"), (70, "40"), (90, "160"), (9999, "160"), (0, "10")):
        # The nearest is determined by ratios: 22 is closer to 40 than to 10.
        assert choose(saes, {"l0": requested})[0] == saes[[10, 40, 160].index(int(nearest))], requested
    hosted = [sae._replace(canonical=sae.id == "160") for sae in saes]
    assert choose(hosted, {"l0": 12})[0] == hosted[2]
    assert choose(hosted, {})[0] == hosted[2]
    assert choose(hosted, {"l0": 40})[0] == hosted[1], "the requested L0 takes precedence"
    assert choose(saes, {})[0] == saes[0]


def test_l0_may_be_rounded_as_in_links() -> None:
    saes = [made("low", l0=12.65), made("high", l0=13.43)]
    assert choose(saes, {"l0": 13})[0] == saes[0], "the first of those that are written so"
    assert choose(saes, {"l0": 13.43})[0] == saes[1]
    assert choose([*saes, made("whole", l0=13)], {"l0": 13})[0].id == "whole"  # type: ignore[union-attr]
    assert matches(12.65, 13)
    assert not matches(12.65, 12)
    assert not matches(13, 12.65), "an L0 that is called 13 is no other"


def test_unknown_l0s_are_selected_by_negative_numbers() -> None:
    """In old links, -1 means the first, -2 the second."""
    saes = [made("known", l0=10), *(made(f"unknown-{nth}", l0=None) for nth in (1, 2, 3))]
    for l0, chosen in ((-1, "unknown-1"), (-2, "unknown-2"), (-3, "unknown-3"), (-9, "unknown-1")):
        sae, options = choose(saes, {"l0": l0})
        assert sae is not None
        assert sae.id == chosen
        assert options["l0"] == [10, None]
        assert options["sae"] == ["unknown-1", "unknown-2", "unknown-3"]
    # An id selects one of several equal SAEs; an unknown L0 is kept if it was selected.
    assert choose(saes, {"l0": None, "sae": "unknown-3"})[0] == saes[3]
    # If all L0s are known, a negative one is ignored; if none is, there is no nearest.
    assert choose(saes[:1], {"l0": -1})[0] == saes[0]
    assert choose(saes[1:], {"l0": 40})[0] == saes[1]
    assert matches(None, -1)
    assert not matches(None, 0)
    assert not matches(-1, None)


def test_known_values_are_preferred_by_default() -> None:
    known, unknown = made("known", l0=10, seed=0, canonical=True), made("unknown", l0=None, seed=0)
    assert choose([known, unknown], {})[0] == known
    assert choose([known, known._replace(id="other", seed=None)], {})[0] == known


# --- Names ---------------------------------------------------------------------------------------------------------


def test_labels_contain_the_distinguishing_attributes() -> None:
    (lone,) = labelled([made("lone", hook="resid_post", architecture="TopK", seed=3)])
    assert (lone.label, lone.short) == ("layer 0, 1k latents, L0 10", "0 · 1k · 10")
    named = labelled(TREE)
    assert named[0].label == "layer 0, resid_post, TopK, 1k latents, L0 10"
    assert named[0].short == "0 · resid_post · TopK · 1k · 10"
    assert named[3].label == "layer 0, resid_post, TopK, 4k latents, L0 11, seed 1"
    assert distinguishing_attributes(TREE) == list(ATTRIBUTES)
    assert distinguishing_attributes([]) == []


def test_axis_labels_omit_shared_attributes() -> None:
    plain = [made("a", l0=10), made("b", l0=40)]
    assert axis_attributes(plain) == ["layer", "width", "l0"]
    both = [sae._replace(architecture=name) for sae, name in zip(plain, ("TopK", "Gated"), strict=True)]
    # Shared attributes are omitted if others differ.
    assert axis_attributes(both) == ["architecture", "l0"]
    assert [sae.short for sae in labelled(both)] == ["TopK · 10", "Gated · 40"]


def test_labels_are_unique_for_equal_attributes() -> None:
    alike = [
        made("run-1", title="first run"),
        made("run-2", title="second run"),
        made("run-3"),
        made("other", l0=40, title="told by its L0"),
    ]
    named = labelled(alike)
    assert [sae.label for sae in named] == [
        "layer 0, 1k latents, L0 10 (first run)",
        "layer 0, 1k latents, L0 10 (second run)",
        "layer 0, 1k latents, L0 10 (run-3)",
        "layer 0, 1k latents, L0 40",
    ]
    assert [sae.short for sae in named] == ["first run", "second run", "run-3", "0 · 1k · 40"]
    assert [sae._replace(label="", short="") for sae in named] == alike


def test_labels_are_unique_for_close_l0s() -> None:
    for l0s in ((12.61, 12.64), (26.5071, 26.5072), (160.41, 160.44)):
        named = labelled([made(str(l0), l0=l0) for l0 in l0s])
        assert len({sae.label for sae in named}) == len({sae.short for sae in named}) == len(l0s), l0s
    assert list(value_labels("l0", [12.61, 12.64, 40]).values()) == ["12.61", "12.64", "40"]


def test_unknown_values_are_labelled_unknown() -> None:
    (sae,) = labelled([made("x", layer=None, width=None, l0=None)])
    assert sae.label == "layer unknown, unknown width, L0 unknown"
    assert sae.short == "unknown · unknown · unknown"
    assert [value_label(name, None) for name in ATTRIBUTES] == ["unknown"] * len(ATTRIBUTES)
    (least,) = labelled([made("y", counted=False)])
    assert "at least 1k latents" in least.label


# --- Others --------------------------------------------------------------------------------------------------------


def test_suggested_sae_differs_in_one_attribute_only() -> None:
    saes = [
        made("this", architecture="TopK", l0=20),
        made("l0 only", architecture="TopK", l0=21),
        made("width", architecture="TopK", width=4000, l0=90),
        made("architecture", architecture="Gated", l0=25),
        made("both", architecture="Gated", width=4000, l0=20),
        made("elsewhere", layer=3, architecture="TopK", l0=20),
    ]
    suggested = suggest_other(saes, saes[0])
    assert suggested is not None
    assert suggested.id == "architecture", "of those that differ in one, the one at the nearest L0"
    assert suggest_other([saes[0], saes[1], saes[5]], saes[0]) == saes[1], "what differs in L0 only comes last"
    assert suggest_other([saes[0], saes[1], saes[4]], saes[0]) == saes[4]
    assert suggest_other([saes[0], saes[5]], saes[0]) is None
    assert suggest_other(saes, None) is None
    # In another suite, the most similar SAE of any layer comes first.
    assert suggest_other(saes[1:], saes[0], in_layer=False) == saes[1]
    assert suggest_other([saes[5]], saes[0], in_layer=False) == saes[5]


def test_measured_l0s_are_compared() -> None:
    this = made("this", l0=50, l0_measured=20.0)
    near, far = made("near", width=4000, l0=90, l0_measured=21.0), made("far", width=4000, l0=50, l0_measured=60.0)
    assert suggest_other([this, far, near], this) == near
    assert l0_distance(this, near) < l0_distance(this, far)
    assert l0_distance(this, this) == 0
    unknown, other = made("?", l0=None), made("??", l0=None)
    assert l0_distance(unknown, other) == 0
    assert l0_distance(unknown, this) == float("inf")


def test_every_value_of_an_attribute_has_a_counterpart() -> None:
    saes = [
        made("this", l0=20, seed=0),
        made("same value", l0=21, seed=0),
        *(made(f"3-{l0}", layer=3, l0=l0, seed=0) for l0 in (5, 22, 300)),
        made("3-other width", layer=3, width=4000, l0=20, seed=0),
        made("7", layer=7, width=4000, l0=90, seed=1),
    ]
    found = counterparts(saes, saes[0], "layer")
    # One per layer, itself for its own; SAEs with equal other attributes first, then by L0.
    assert [sae.id for sae in found] == ["this", "3-22", "7"]
    assert [sae.id for sae in counterparts(saes, saes[0], "width")] == ["this", "3-other width"]
    assert counterparts(saes[:1], saes[0], "hook") == saes[:1]
    # Further seeds of another architecture may be closer in L0, but may lack cosines.
    seeds = [
        made("own", l0=20, seed=0),
        *(made(f"topk-{seed}", architecture="TopK", l0=22 - seed, seed=seed) for seed in (0, 1, 2)),
    ]
    assert [sae.id for sae in counterparts(seeds, seeds[0], "architecture")] == ["own", "topk-0"]
    assert [sae.id for sae in counterparts(seeds, seeds[3], "architecture")] == ["own", "topk-2"]
    assert suggest_other(seeds, seeds[0]) == seeds[1]
    for name in ATTRIBUTES:
        for sae in saes:
            beside = counterparts(saes, sae, name)
            assert sae in beside
            assert values_of(beside, name) == values_of(saes, name)
            assert len(beside) == len(values_of(saes, name))
