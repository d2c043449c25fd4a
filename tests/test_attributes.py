"""Attributes of SAEs: each that distinguishes SAEs can be selected, compared, coloured, sorted by and linked to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from explorer.app import Explorer
from explorer.saes import ATTRIBUTES, TITLES, value_labels
from explorer.views.atlas import Atlas
from explorer.views.compare_head import parts_of
from explorer.views.evidence_table import SuiteEvidence
from explorer.views.selectors import Selectors
from queries import Store
from queries.manifest import FORMAT_VERSION, Manifest, Method, Model, Sae
from queries.schema import TABLES
from queries.writer import write_suite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST: dict[str, Any] = {
    "layer": 3,
    "hook": "blocks.3.hook_resid_post",
    "architecture": "TopK",
    "width": 1000,
    "l0": 10.2,
    "seed": 0,
    "variance_explained": 0.7,
}
#: One SAE differs from the first in each attribute.
OTHERS: dict[str, Any] = {
    "layer": 5,
    "hook": "blocks.3.hook_mlp_out",
    "architecture": "JumpReLU",
    "width": 4000,
    "l0": 40.6,
    "seed": 1,
}
CONCEPT = "suffix.ing"


def write(folder: Path, saes: list[Sae]) -> Path:
    """Write a suite with one number per SAE."""
    write_suite(
        folder,
        Manifest(
            format_version=FORMAT_VERSION,
            name=folder.name,
            model=Model(name="none"),
            method=Method(metric="ig_ablation"),
            saes=saes,
            tables={},
        ),
        {
            "concepts": pa.Table.from_pylist(
                [{"concept": CONCEPT, "family": "suffix", "label": "-ing", "phrase": "ends in -ing", "position": 0}]
            ),
            "measurements": pa.Table.from_pylist(
                [
                    {
                        "sae": sae.id,
                        "concept": CONCEPT,
                        "metric": "ig_ablation",
                        "num_probe_true_positives": 100,
                        "num_candidates": 50,
                        "num_absorbed": 10 + place,
                    }
                    for place, sae in enumerate(saes)
                ]
            ),
        },
    )
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    saes = [Sae(sae="first", n_latents=1024, **FIRST)]
    saes += [Sae(sae=name, n_latents=1024, **FIRST | {name: value}) for name, value in OTHERS.items()]
    with Store(write(tmp_path_factory.mktemp("attributes") / "several", saes)) as opened:
        yield opened


@pytest.fixture
def explorer(store: Store) -> Explorer:
    return Explorer(store, sae="first")


def shown(name: str, value: Any) -> Any:
    """Return a value as displayed in the sidebar: a hook without its block."""
    return value.rpartition("hook_")[2] if name == "hook" else value


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attribute_selects_an_sae_also_from_a_link(explorer: Explorer, name: str) -> None:
    assert explorer.state.apply({name: shown(name, OTHERS[name])}) == []
    assert explorer.state.sae == name
    assert explorer.state.from_query(f"sae=first&{name}={shown(name, OTHERS[name])}") == [
        f"{name} = '{shown(name, OTHERS[name])}' is omitted, for sae says it"
    ]
    assert explorer.state.from_query(f"{name}={shown(name, OTHERS[name])}") == []
    assert explorer.state.sae == name


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attribute_has_a_group_in_the_sidebar(explorer: Explorer, name: str) -> None:
    layout: Any = Selectors(explorer.state).__panel__()
    (chooser,) = (part for part in layout if part.css_name == name)
    assert f">{TITLES[name]}</button>" in chooser.html.partition("</h2>")[0]
    expected = value_labels(name, [shown(name, FIRST[name]), shown(name, OTHERS[name])]).values()
    assert sorted(re.findall(rf'data-action="{name}" data-value="(.*?)"', chooser.html)) == sorted(expected)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_saes_are_compared_by_an_attribute(explorer: Explorer, name: str) -> None:
    explorer.state.apply({"page": "compare", "compare_by": name})
    assert {"first", name} <= set(explorer.state.compared)
    assert name in ("l0", "width") or name in parts_of(explorer.model.shown)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_evidence_is_filtered_by_an_attribute(explorer: Explorer, name: str) -> None:
    explorer.model.show(SuiteEvidence)
    title, options = SuiteEvidence(explorer.model)._facets()[f"facet_{name}"]
    assert title == TITLES[name]
    assert set(options) == {shown(name, FIRST[name]), shown(name, OTHERS[name])}
    explorer.state.apply({f"facet_{name}": shown(name, OTHERS[name])})
    assert explorer.state.facet_saes == [name]


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_atlas_distinguishes_saes_by_an_attribute(explorer: Explorer, name: str) -> None:
    explorer.state.apply({"page": "atlas", "told_by": name, "cell_order": name})
    atlas = Atlas(explorer.model)
    overlay = atlas.drawing("absorption-vs-variance-explained")().draw()
    points = overlay.Points.I.dframe()
    of = dict(zip(points["sae"], points["colour"] + points["marker"], strict=True))
    assert of[name] != of["first"]
    assert f'data-value="{name}"' in atlas._table.html


def test_shared_attributes_are_listed_in_a_line(tmp_path: Path) -> None:
    folder = write(tmp_path / "one", [Sae(sae="first", n_latents=1024, **FIRST)])
    with Store(folder) as store:
        badge = Selectors(Explorer(store).state)._badge.html
        for words in ("Layer 3", "Hook resid_post", "Architecture TopK", "Width 1k", "L0 10.2", "Seed 0"):
            assert words in badge


def test_saes_without_attributes_are_distinguished_by_title(tmp_path: Path) -> None:
    saes = [Sae(sae=f"sae-{nth}", title=f"run {nth}", n_latents=1024) for nth in range(3)]
    with Store(write(tmp_path / "unnamed", saes)) as store:
        explorer = Explorer(store)
        assert [sae.label for sae in explorer.state.saes] == [
            f"layer unknown, unknown width, L0 unknown (run {nth})" for nth in range(3)
        ]
        assert "run 2" in Selectors(explorer.state)._same.html
        assert explorer.state.apply({"sae": "sae-2"}) == []
        explorer.state.page = "atlas"
        assert explorer.model.error == ""


def test_every_attribute_is_a_column_of_the_contract() -> None:
    assert set(ATTRIBUTES) <= {column.name for column in TABLES["saes"].columns}
