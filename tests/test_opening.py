"""Without an address, a suite opens on the absorbing latent that illustrates absorption best."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from explorer import open_store
from explorer.model import choices_of
from explorer.state import ExplorerState
from explorer.store import SWEEPS
from queries import check_suite
from queries.opening import store_opening
from queries.suite import read_manifest
from queries.writer import save_manifest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite with an illustrative case."""
    folder = tmp_path_factory.mktemp("opening") / "illustrative"
    shutil.copytree(SWEEPS, folder)
    save_manifest(folder, read_manifest(folder).model_copy(update={"name": "illustrative"}))
    store_opening(folder)
    return folder


def test_opening_case_absorbs_several_words_and_fires_on_few_others(suite: Path) -> None:
    assert check_suite(suite) == []
    tested = pd.read_parquet(suite / "tested_tokens.parquet")
    latents = pd.read_parquet(suite / "latents.parquet", columns=["sae", "latent", "num_vocab_tokens"])
    absorbed = tested[tested["is_absorption"]].groupby(["sae", "concept", "top_latent"]).size().rename("number")
    cases = absorbed.reset_index().rename(columns={"top_latent": "latent"}).merge(latents, on=["sae", "latent"])
    several = cases[cases["number"] >= 4]
    best = several.loc[(several["number"] / several["num_vocab_tokens"]).idxmax()]
    with open_store(suite) as store:
        assert choices_of(store)["illustrative"].opening == best[["sae", "concept", "latent"]].to_dict()


def test_addresses_without_a_case_open_the_opening_case(suite: Path) -> None:
    with open_store(SWEEPS, suite) as store:
        choices = choices_of(store)
    case = choices["illustrative"].opening
    state = ExplorerState(choices, suite="illustrative")
    assert {name: getattr(state, name) for name in case} == case
    state.from_query("?page=atlas&suite=illustrative")
    assert {name: getattr(state, name) for name in case} == case
    # If an address names any part of the case, the rest is not set.
    for query in ("sae=l4-w2048-l0-6", "concept=first-letter.b", "latent=", "layer=4", "letter=b"):
        state.from_query(f"?suite=illustrative&{query}")
        assert state.latent is None, query
    # The embedded suite stores the same case; a suite without one opens without a latent.
    assert choices[SWEEPS.name].opening == case
    assert ExplorerState({SWEEPS.name: choices[SWEEPS.name]._replace(opening={})}).latent is None
