"""Kin of latents: what is stored, what is asked of it, and the splitting tree."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch

from measure.stages import kin
from queries import Store, check_suite
from tests.questions import DECIDING
from tests.related_saes import CONCEPT, SAES, WORDS, draw, kin_of, write_related_saes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

OF_CONCEPT = {"suite": "related", "concept": CONCEPT, **DECIDING}
#: Latents of an SAE that the tree has at least, where there are so many.
LEAST = 8


@pytest.fixture(scope="module")
def related(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = write_related_saes(tmp_path_factory.mktemp("kin") / "related")
    assert check_suite(folder) == []
    with Store(folder) as store:
        yield store


def words(places: Sequence[int]) -> list[str]:
    return [WORDS[place] for place in places]


# --- The stage -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [1, 7, 10**6])
def test_nearest_latents_are_those_of_all_in_whatever_pieces(pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    directions, others = rng.normal(size=(9, 6)).astype(np.float32), rng.normal(size=(40, 6)).astype(np.float32)
    others[3] = 0  # a dead latent may have no direction
    monkeypatch.setattr(kin, "_COSINES", pieces * len(directions))
    latents, cosines = kin.nearest_latents(torch.from_numpy(directions), torch.from_numpy(7 * others))
    lengths = np.maximum(np.linalg.norm(others, axis=1), 1e-9)
    every = directions @ others.T / np.linalg.norm(directions, axis=1)[:, None] / lengths
    assert latents.tolist() == np.argsort(-every, axis=1)[:, :5].tolist()
    np.testing.assert_allclose(cosines, -np.sort(-every, axis=1)[:, :5], atol=1e-6)
    few, _ = kin.nearest_latents(torch.from_numpy(directions), torch.from_numpy(others[:2]))
    assert few.shape == (9, 2)


def test_overlap_is_the_share_of_the_words_on_which_either_fires() -> None:
    def overlap(words: list[int], others: list[int]) -> tuple[float | None, int, list[int]]:
        strengths = np.array(others) % 4 + 1.0
        share, number, strongest = kin.overlap_of(np.array(words), np.array(others), strengths)
        return share, number, strongest.tolist()

    assert overlap([1, 2, 3], [2, 3, 4, 5]) == (0.4, 2, [3, 2])
    assert overlap([], [2]) == (0.0, 0, [])
    assert overlap([], []) == (None, 0, [])
    assert overlap([*range(20)], [*range(20)]) == (1.0, 20, [3, 7, 11, 15, 19])


# --- Questions, a second way ---------------------------------------------------------------------------------------


def test_kin_of_a_latent_with_what_they_are_for_the_concept(related: Store) -> None:
    rows = pd.DataFrame(kin_of(draw()))
    for latent in (3, 1, 7):  # split, silent, absorbing
        found = related.fetch("latent_kin", sae="w16", latent=latent, **OF_CONCEPT)
        expected = rows[(rows["sae"] == "w16") & (rows["latent"] == latent)]
        assert found["other_sae"].tolist() == [name for name in SAES for _ in range(5) if name != "w16"]
        for name in ("other_latent", "rank", "num_shared_words"):
            assert found[name].tolist() == expected[name].tolist()
        for name in ("cosine", "overlap"):
            np.testing.assert_allclose(found[name].astype(float), expected[name].astype(float), atol=1e-6)
        assert [*map(list, found["shared_words"])] == [*map(words, expected["shared_words"])]
        for row in found.itertuples():
            _, split, absorbing = SAES[row.other_sae]
            assert row.split_rank == (split.index(row.other_latent) + 1 if row.other_latent in split else 0)
            assert row.num_absorbed == int(row.other_latent in absorbing)


def tree_of(rows: pd.DataFrame, saes: Sequence[str]) -> dict[tuple[str, int], tuple[int | None, float | None]]:
    """Build the splitting tree by loops: parent and product of cosines of each latent."""
    level: dict[int, float] = {SAES[saes[0]][1][0]: 1.0}
    tree: dict[tuple[str, int], tuple[int | None, float | None]] = {(saes[0], next(iter(level))): (None, 1.0)}
    for former, sae in itertools.pairwise(saes):
        best: dict[int, tuple[float, int]] = {}
        near = rows[(rows["sae"] == former) & (rows["other_sae"] == sae) & (rows["cosine"] > 0)]
        for row in near[near["latent"].isin(level)].itertuples():
            strength = level[row.latent] * row.cosine
            if row.other_latent not in best or strength > best[row.other_latent][0]:
                best[row.other_latent] = (strength, row.latent)
        ordered = sorted(best, key=lambda latent: -best[latent][0])
        _, split, absorbing = SAES[sae]
        kept = [latent for place, latent in enumerate(ordered) if place < LEAST or latent in (*split, *absorbing)]
        level = {latent: best[latent][0] for latent in kept}
        tree |= {(sae, latent): (best[latent][1], best[latent][0]) for latent in kept}
        tree |= {(sae, latent): (None, None) for latent in split if latent not in kept and level}
    return tree


@pytest.mark.parametrize("saes", [["w16", "w64", "w200"], ["w16", "w200"], ["w200", "w64"], ["w64"]])
def test_the_splitting_tree_follows_from_the_kin(related: Store, saes: list[str]) -> None:
    found = related.fetch("splitting_tree", tree_saes=saes, **OF_CONCEPT)
    rows = pd.DataFrame(kin_of(draw()))
    expected = tree_of(rows, saes)
    assert {*zip(found["sae"], found["latent"], strict=True)} == {*expected}
    stored = rows.set_index(["sae", "latent", "other_sae", "other_latent"])
    for row in found.itertuples():
        parent, strength = expected[row.sae, row.latent]
        assert row.level == saes.index(row.sae) + 1
        assert (None if pd.isna(row.parent) else row.parent) == parent
        assert (None if pd.isna(row.strength) else row.strength) == pytest.approx(strength, abs=1e-6)
        _, split, absorbing = SAES[row.sae]
        assert row.split_rank == (split.index(row.latent) + 1 if row.latent in split else 0)
        assert (row.num_absorbed, row.num_absorbing) == (int(row.latent in absorbing), len(absorbing))
        assert row.num_words == (draw()[row.sae].activations[:, row.latent] > 0).sum()
        assert row.has_kin
        if parent is not None:
            near: Any = stored.loc[(saes[row.level - 2], parent, row.sae, row.latent)]
            assert row.cosine == pytest.approx(near["cosine"], abs=1e-6)
            assert row.num_shared_words == near["num_shared_words"]
            assert list(row.shared_words) == words(near["shared_words"])


def test_a_tree_ends_where_no_kin_are_stored(tmp_path: Path) -> None:
    some = [row for row in kin_of(draw()) if row["other_sae"] != "w200"]
    with Store(write_related_saes(tmp_path / "related", kin=some)) as store:
        found = store.fetch("splitting_tree", tree_saes=[*SAES], **OF_CONCEPT)
        wide = found[found["sae"] == "w200"]
        # Its split latent stands there alone, so that it is not taken for one that nothing splits into.
        assert wide["latent"].tolist() == [150]
        assert wide["parent"].isna().all()
        assert wide["has_kin"].tolist() == [False]
        assert found.loc[found["sae"] == "w64", "has_kin"].all()
    with Store(write_related_saes(tmp_path / "none", kin=[])) as store:
        found = store.fetch("splitting_tree", tree_saes=[*SAES], **OF_CONCEPT)
        assert found["parent"].isna().all()
        assert not found.loc[found["level"] > 1, "has_kin"].any()
        assert store.fetch("latent_kin", sae="w16", latent=3, **OF_CONCEPT).empty
