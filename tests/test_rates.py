"""Absorption over all SAEs, compared with an independent computation from the parquet files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from explorer import open_store
from explorer.saes import Sae, suggest_other
from explorer.store import SWEEPS
from queries import Store
from queries.schema import concept_id, letter_of
from tests.questions import DECIDING, FAMILY
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", params=["tiny", "embedded"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The tiny suite samples some letters, and has letters without candidates; the embedded one is real."""
    tiny = request.param == "tiny"
    with Store(write_tiny_suite(tmp_path_factory.mktemp("rates") / "tiny")) if tiny else open_store(SWEEPS) as opened:
        yield opened


def raw(store: Store, table: str) -> pd.DataFrame:
    (suite,) = store.suites.values()
    return pd.read_parquet(f"{suite.root}/{table}.parquet")


def rates_by_hand(store: Store) -> pd.DataFrame:
    """Count the published verdicts per letter, divide by the sampled portion and the probe's true positives.

    Of further seeds, only the counts are stored.
    """
    absorbed = raw(store, "tested_tokens").groupby(["sae", "concept"])["is_absorption"].sum()
    letters = raw(store, "measurements").set_index(["sae", "concept"])
    letters["absorbed"] = absorbed.reindex(letters.index).fillna(letters["num_absorbed"]).fillna(0)
    letters["rate"] = letters["absorbed"] / letters["sample_portion"] / letters["num_probe_true_positives"]
    return letters.reset_index()


@pytest.mark.parametrize("policy", ["with_candidates", "all_concepts"])
def test_means_agree_with_pandas(store: Store, policy: str) -> None:
    (suite,) = store.suites
    letters = rates_by_hand(store)
    assert (letters["num_candidates"] == 0).any()
    counted = letters[letters["num_candidates"] > 0] if policy == "with_candidates" else letters
    by_hand = counted.groupby("sae")["rate"].agg(["mean", "std", "count"])
    answer = store.fetch(
        "sae_means", suite=suite, family=FAMILY, scope="suite", mean_policy=policy, **DECIDING
    ).set_index("sae")
    np.testing.assert_allclose(answer["absorption_rate"], by_hand["mean"].reindex(answer.index), rtol=1e-9)
    np.testing.assert_allclose(answer["absorption_sd"], by_hand["std"].reindex(answer.index), rtol=1e-9)
    assert answer["num_concepts"].tolist() == by_hand["count"].reindex(answer.index).tolist()
    counted_splits = letters["split_latents"].map(len, na_action="ignore").fillna(letters["num_split_latents"])
    splits = letters.assign(splits=counted_splits.astype(float)).groupby("sae")["splits"].mean()
    np.testing.assert_allclose(answer["num_split_latents"], splits.reindex(answer.index), rtol=1e-12)
    tokens = raw(store, "tested_tokens")
    absorbing = tokens[tokens["is_absorption"]].groupby("sae")["top_latent"].nunique()
    absorbing = absorbing.reindex(tokens["sae"].unique()).fillna(0).reindex(answer.index)
    pd.testing.assert_series_equal(
        answer["num_absorbing_latents"], absorbing, check_dtype=False, check_names=False, check_index_type=False
    )
    assert answer["num_absorbed"].tolist() == letters.groupby("sae")["absorbed"].sum().reindex(answer.index).tolist()


def test_mean_policies_differ(store: Store) -> None:
    (suite,) = store.suites
    means = {
        policy: store.fetch("sae_means", suite=suite, family=FAMILY, scope="suite", mean_policy=policy, **DECIDING)[
            "absorption_rate"
        ]
        for policy in ("with_candidates", "all_concepts")
    }
    assert (means["with_candidates"] >= means["all_concepts"]).all()
    assert (means["with_candidates"] > means["all_concepts"]).any()


def test_spread_over_seeds_is_known_at_the_suites_own_thresholds_only(store: Store) -> None:
    (suite,) = store.suites
    saes = pd.DataFrame([sae.model_dump() for sae in store.suites[suite].manifest.saes])
    saes["own"] = saes["repeat_of"].fillna(saes["sae"])
    saes = saes[saes["own"].isin(saes["repeat_of"])]
    own_of = saes.set_index("sae")["own"]
    (root,) = (opened.root for opened in store.suites.values())
    repeats, tested = (pd.read_parquet(f"{root}/{name}.parquet") for name in ("measurements", "tested_tokens"))
    counted = tested.groupby(["sae", "concept"])["is_absorption"].sum().rename("counted")
    repeats = repeats.merge(saes[["sae", "own", "seed"]], on="sae").join(counted, on=["sae", "concept"])
    repeats["num_absorbed"] = repeats["num_absorbed"].fillna(repeats["counted"]).fillna(0)
    repeats["rate"] = repeats["num_absorbed"] / repeats["sample_portion"] / repeats["num_probe_true_positives"]
    for policy, counted in (("all_concepts", repeats), ("with_candidates", repeats[repeats["num_candidates"] > 0])):
        by_seed = counted.groupby(["own", "seed"])["rate"].mean().groupby("own")
        answer = store.fetch(
            "sae_means", suite=suite, family=FAMILY, scope="suite", mean_policy=policy, **DECIDING
        ).set_index("sae")
        for name, by_hand in (("seed_low", by_seed.min()), ("seed_high", by_seed.max()), ("num_seeds", by_seed.size())):
            found = answer[name].dropna().astype(float)
            assert set(found.index) == set(saes["sae"]), "a spread stands at each of the seeds"
            np.testing.assert_allclose(found, by_hand.reindex(own_of[found.index]), rtol=1e-12)
        assert (answer["seed_high"].dropna() <= 1).all()
    moved = store.fetch(
        "sae_means", suite=suite, family=FAMILY, scope="suite", mean_policy=policy, **DECIDING | {"tau": 0.05}
    )
    assert moved["seed_low"].isna().all()


def test_cells_agree_with_pandas_and_with_wilson(store: Store) -> None:
    (suite,) = store.suites
    by_hand = rates_by_hand(store).set_index(["sae", "concept"])
    cells = store.fetch("concept_rates", suite=suite, family=FAMILY, scope="suite", **DECIDING).set_index(
        ["sae", "concept"]
    )
    assert len(cells) == len(by_hand)
    by_hand = by_hand.reindex(cells.index)
    np.testing.assert_allclose(cells["absorption_rate"], by_hand["rate"], rtol=1e-9)
    # Wilson (1927), z = 1.959964
    z, n, p = 1.959964, by_hand["num_probe_true_positives"] * by_hand["sample_portion"], by_hand["rate"]
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    np.testing.assert_allclose(cells["rate_low"], (middle - reach).clip(lower=0), atol=1e-4)
    np.testing.assert_allclose(cells["rate_high"], (middle + reach).clip(upper=1), atol=1e-4)


def test_gained_and_lost_tokens_match_the_files(store: Store) -> None:
    (suite,) = store.suites
    tokens = raw(store, "tested_tokens").query("is_absorption")
    saes = store.fetch("saes").query("repeat_of.isna()")["sae"]
    this, other = saes.iloc[0], saes.iloc[-1]
    pair: dict[str, Any] = {"suite": suite, "sae": this, "other_suite": suite, "other_sae": other}
    answer = store.fetch("pair_concepts", **pair, family=FAMILY, **DECIDING).set_index("concept")
    assert answer["label"].tolist() == [letter_of(concept).upper() for concept in answer.index]
    sets = {key: group.groupby("concept")["token"].agg(set) for key, group in tokens.groupby("sae")}
    for concept, row in answer.iterrows():
        mine, theirs = (sets[key].get(concept, set()) if key in sets else set() for key in (this, other))
        assert (row["num_gained"], row["num_lost"]) == (len(theirs - mine), len(mine - theirs))
        listed = store.fetch("pair_tokens", **pair, concept=str(concept), **DECIDING)
        assert set(listed.loc[listed["latent"].isna(), "token"]) == theirs - mine
        assert set(listed.loc[listed["other_latent"].isna(), "token"]) == mine - theirs


def test_reduced_cosines_keep_every_extreme(store: Store) -> None:
    (suite,) = store.suites
    sae = store.fetch("saes").query("cosines").iloc[-1]
    of_s = {"suite": suite, "concept": concept_id("s")}
    whole = store.fetch("cosines", **of_s, sae=sae["sae"])
    others = [concept_id("t"), concept_id("s")]
    for frame in (
        store.fetch("compared_cosines", **of_s, compared=[sae["sae"]], **DECIDING),
        store.fetch("sae_cosines", suite=suite, sae=sae["sae"], compared_concepts=others, **DECIDING).query(
            "concept == 'first-letter.s'"
        ),
    ):
        assert frame["part"].notna().any()
        frame = frame[frame["part"].isna()]  # noqa: PLW2901 - the line alone
        assert len(frame) <= 900
        exact = whole.set_index("latent")["cosine"]
        assert (exact.loc[frame["latent"]].to_numpy() == frame["cosine"].to_numpy()).all()
        assert set(whole.nlargest(20, "cosine")["latent"]) & set(frame["latent"])
        stretch = max(int(sae["n_latents"]) // 400, 1)
        peaks = whole.groupby(whole["latent"] // stretch)["cosine"].max()
        kept = frame.groupby(frame["latent"] // stretch)["cosine"].max()
        pd.testing.assert_series_equal(kept, peaks, check_names=False)


def test_suggested_sae_has_the_nearest_l0_of_another_width() -> None:
    saes = [
        Sae(f"sae-{number}", layer=layer, width=width, l0=l0)
        for number, (layer, width, l0) in enumerate(((0, 16, 10), (0, 16, 50), (0, 65, 12), (0, 65, 60), (1, 65, 10)))
    ]
    assert suggest_other(saes, saes[0]) == saes[2]
    assert suggest_other(saes, saes[1]) == saes[3]
    # With one width, the nearest L0 of the layer; for a layer with a single SAE, none.
    assert suggest_other(saes[:2], saes[0]) == saes[1]
    assert suggest_other(saes, saes[4]) is None
    assert suggest_other([], None) is None
