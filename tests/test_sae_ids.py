"""Ids of SAEs: their components, their uniqueness, and their independence of the order of files."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queries.manifest import Sae
from queries.manifest_1 import former_id, former_key
from queries.sae_ids import sae_ids, sorted_saes
from queries.schema import ID_PATTERN

AT: dict[str, Any] = {"layer": 8, "width": 16_000}


@pytest.mark.parametrize(
    ("saes", "expected"),
    [
        ([AT | {"l0": 19.7}], "l8-w16000-l0-20"),
        ([AT | {"l0": 60.2, "l0_nominal": 59}], "l8-w16000-l0-59"),
        ([AT], "l8-w16000"),
        ([{}], "sae"),
        (
            [AT | {"architecture": name, "l0": 20} for name in ("topk", "BatchTopK")],
            "l8-w16000-topk-l0-20 l8-w16000-batchtopk-l0-20",
        ),
        (
            [AT | {"hook": f"blocks.8.{name}"} for name in ("hook_mlp_out", "attn.hook_z")],
            "l8-mlp_out-w16000 l8-attn.z-w16000",
        ),
        ([AT | {"l0": 20, "seed": seed} for seed in (0, 2)], "l8-w16000-l0-20-s0 l8-w16000-l0-20-s2"),
        ([AT | {"l0": l0} for l0 in (19.7, 20.4, 20)], "l8-w16000-l0-19.7 l8-w16000-l0-20.4 l8-w16000-l0-20"),
        ([AT | {"title": title} for title in ("a/x 1/z", "a/y/z")], "l8-w16000-x-1 l8-w16000-y"),
        ([AT | {"title": title} for title in ("\u00e9", "\u00fc")], "l8-w16000 l8-w16000-2"),
        # Only equal ids get further attributes.
        ([AT | {"seed": 0}, {"layer": 9, "seed": 0}, AT | {"seed": 1}], "l8-w16000-s0 l9 l8-w16000-s1"),
    ],
)
def test_ids_contain_the_distinguishing_attributes(saes: list[dict[str, Any]], expected: str) -> None:
    assert sae_ids(saes) == expected.split()


FACTS = st.fixed_dictionaries(
    {},
    optional={
        "layer": st.integers(0, 2),
        "width": st.sampled_from([512, 16_000]),
        "l0": st.floats(0, 3),
        "architecture": st.sampled_from(["topk", "TopK", "gated ", "..", ""]),
        "hook": st.sampled_from(["blocks.0.hook_resid_post", "x"]),
        "seed": st.integers(0, 2),
        "title": st.text(max_size=8),
    },
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(saes=st.lists(FACTS, max_size=12), data=st.data())
def test_ids_are_unique_and_valid_file_names(saes: list[dict[str, Any]], data: st.DataObject) -> None:
    ids = sae_ids(saes)
    assert len(set(ids)) == len(saes)
    assert all(re.fullmatch(ID_PATTERN, name) for name in ids)
    # The ids of SAEs with distinct titles do not depend on their order.
    titled = [sae | {"title": f"t{place}"} for place, sae in enumerate(saes)]
    order = data.draw(st.permutations(range(len(titled))))
    assert sae_ids([titled[place] for place in order]) == [sae_ids(titled)[place] for place in order]


@given(st.integers(0, 99), st.integers(0, 10**6), st.integers(-9, 999))
def test_ids_of_the_first_layout_contain_layer_width_and_l0(layer: int, width: int, l0: int) -> None:
    assert former_key(former_id(layer, width, l0)) == (layer, width, l0)
    if l0 >= 0:
        assert sae_ids([{"layer": layer, "width": width, "l0": l0}]) == [former_id(layer, width, l0)]


def test_saes_are_sorted_by_their_known_attributes() -> None:
    saes = [
        Sae(sae="f"),
        Sae(sae="e", layer=12),
        Sae(sae="d", layer=8, hook="b"),
        Sae(sae="c", layer=8, hook="a", architecture="topk", width=512, l0=30.0),
        Sae(sae="b", layer=8, hook="a", architecture="topk", width=512, l0=7.0, seed=1),
        Sae(sae="a", layer=8, hook="a", architecture="topk", width=512, l0=7.0, seed=0),
        Sae(sae="z", layer=8, hook="a", architecture="gated", width=1024),
    ]
    assert [sae.id for sae in sorted_saes(saes)] == ["z", "a", "b", "c", "d", "e", "f"]
