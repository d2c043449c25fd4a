"""The embedded suite of architectures: small, complete, redistributable, and its rates recomputed independently."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from explorer import open_store
from explorer.store import ARCHITECTURES, EMBEDDED
from queries import check_suite
from queries.suite import read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queries import Store

#: Limit for all embedded suites together.
MAX_BYTES = 60_000_000


def read(name: str) -> pd.DataFrame:
    return pd.read_parquet(ARCHITECTURES / f"{name}.parquet")


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with open_store(ARCHITECTURES) as opened:
        yield opened


def test_suite_is_valid_small_and_redistributable() -> None:
    assert check_suite(ARCHITECTURES) == []
    files = [file for folder in EMBEDDED for file in folder.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= MAX_BYTES
    corpus = read_manifest(ARCHITECTURES).provenance.corpus
    shipped = {record["source"] for record in corpus if record["contexts_shipped"]}
    assert set(read("contexts")["source"]) <= shipped
    notices = (ARCHITECTURES / "LICENSES.txt").read_text("utf-8")
    assert all(source in notices.lower() for source in shipped)


def test_architectures_share_training_data_and_have_three_seeds_each() -> None:
    saes = read("saes")
    seeds = saes.groupby("architecture")["seed"].agg(sorted).to_dict()
    assert seeds.keys() == {"BatchTopK", "JumpReLU", "Matryoshka BatchTopK", "TopK"}
    assert all(each == [0, 1, 2] for each in seeds.values())
    assert saes[["layer", "width", "tokens_seen"]].drop_duplicates().shape[0] == 1
    # "Matched L0" refers to the L0 measured on held-out text.
    assert saes["l0"].between(6, 8).all()


def test_concepts_belong_to_five_families_and_have_parents() -> None:
    concepts = read("concepts")
    assert set(concepts["family"]) == {"first-letter", "suffix", "capitals", "part-of-speech", "kind"}
    parents = concepts.dropna(subset=["parent"]).set_index("concept")["parent"]
    assert parents["kind.animal"] == "kind.living-thing"
    assert parents["kind.living-thing"] == "kind.physical-entity"
    words = read("token_concepts").groupby("concept")["token_id"].agg(set)
    assert all(words[concept] <= words[parent] for concept, parent in parents.items())


def test_every_latent_with_a_role_has_the_data_of_its_card() -> None:
    tested, own = read("tested_tokens"), read("saes").query("repeat_of.isna()")["sae"]
    absorbing = tested.loc[tested["is_absorption"], ["sae", "top_latent"]].drop_duplicates()
    measured = read("measurements")
    split = (
        measured.loc[measured["sae"].isin(own), ["sae", "split_latents"]]
        .explode("split_latents")
        .dropna()
        .drop_duplicates()
    )
    playing = {*absorbing.itertuples(index=False, name=None), *split.itertuples(index=False, name=None)}
    assert len(playing) > 100
    contexts = read("contexts").groupby(["sae", "latent"]).size()
    for name in ("logits", "histograms", "latents"):
        assert playing <= set(read(name)[["sae", "latent"]].itertuples(index=False, name=None)), name
    # A latent that fires on few words of the text has fewer contexts.
    assert (contexts.reindex(list(playing)).fillna(0) >= 8).mean() > 0.9


@pytest.mark.parametrize("family", ["first-letter", "suffix", "kind"])
def test_rates_by_ablation_are_recomputed_from_the_tested_tokens(store: Store, family: str) -> None:
    asked = {"suite": ARCHITECTURES.name, "family": family, "scope": "suite", "metric": "ig_ablation"}
    method = read_manifest(ARCHITECTURES).method
    thresholds = {name: getattr(method, name) for name in ("tau", "cosine_threshold", "effect_margin")}
    found = store.fetch("concept_rates", **asked, **thresholds).set_index(["sae", "concept"])["absorption_rate"]
    measured = read("measurements").query("metric == 'ig_ablation'").set_index(["sae", "concept"])
    tested = read("tested_tokens").query("metric == 'ig_ablation'")
    lead = tested["top_effect"].abs() - tested["second_effect"].fillna(0).abs()
    absorbed = (
        (tested["top_effect"] <= 0)
        & (lead >= thresholds["effect_margin"])
        & (tested["top_cosine"] >= thresholds["cosine_threshold"])
    )
    counts = absorbed.groupby([tested["sae"], tested["concept"]]).sum()
    own, compared = set(read("saes").query("repeat_of.isna()")["sae"]), 0
    for key, rate in found.items():
        row = measured.loc[key]
        if key[0] not in own:
            # Further seeds have counts only.
            assert pd.isna(rate) == (pd.isna(row["num_absorbed"]) and bool(row["num_candidates"] != 0)), key
        elif pd.isna(row["undefined"]) and row["num_tested"]:
            expected = counts.get(key, 0) / row["sample_portion"] / row["num_probe_true_positives"]
            np.testing.assert_allclose(rate, expected, rtol=1e-6, err_msg=str(key))
            compared += 1
        elif not pd.isna(row["undefined"]):
            assert pd.isna(rate), key
    assert compared or family != "first-letter"
