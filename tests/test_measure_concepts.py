"""Families of concepts: a measurement of three of them, the decisions behind it, and unsuitable files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import pytest
import torch

from explorer.app import Explorer
from explorer.format import number
from explorer.headline import headline, why_none_absorbs
from explorer.model import records
from explorer.store import open_store
from explorer.views.markup import Markup
from explorer.views.small_multiples import ConceptMultiples, SaeMultiples
from measure.concepts import read_rows
from measure.config import read_config
from measure.errors import MeasureError
from measure.models.loading import open_model
from measure.plan import family_settings
from measure.preflight import check_all
from measure.scores import bootstrap_weights, f1_samples, interval, mean_samples, score, wilson_low
from measure.spelling import log_odds, spelling_metric
from measure.stages.ablation import Word, ablate
from measure.stages.erasure import Erasure, answers_erased, change
from measure.stages.gate import GateInputs, gate_of
from measure.stages.k_sparse import by_fold, cross_fit, training_curve
from measure.stages.splits import num_split_latents
from measure.stages.vocabulary import assign_folds, load_vocabulary, read_vocabulary
from measure.tokenizer import Tokenizer
from queries import check_suite
from queries.suite import read_manifest
from tests.concept_families import LETTERS, TEMPLATE, write_csv, write_measurement
from tests.measure_command import run
from tests.small_measurement import backend
from tests.toy_language import ToyModel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

RNG = np.random.RandomState(0)
THRESHOLDS: dict[str, Any] = {"tau": 0.03, "cosine_threshold": 0.025, "effect_margin": 0.001}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Model, SAE and families."""
    place = tmp_path_factory.mktemp("concepts")
    write_measurement(place)
    yield place
    open_model.cache_clear()


@pytest.fixture(scope="module")
def suite(folder: Path) -> Path:
    """The suite of the three families."""
    result = run(folder / "tiny.toml", "--to", folder / "tiny", "--work", folder / "work")
    assert result.exit_code == 0, result.output
    # The contents of each family are printed before anything is computed.
    lines = result.stderr.splitlines()
    assert any(line.startswith("answer: 724 words: two ") for line in lines)
    assert any(line.startswith("sound: 724 words: vowel 249, a-or-b 116, none ") for line in lines)
    return folder / "tiny"


@pytest.fixture(scope="module")
def measured(suite: Path) -> pd.DataFrame:
    """Its measurements, by concept and metric."""
    return pd.read_parquet(suite / "measurements.parquet").set_index(["concept", "metric"])


def test_several_families_are_in_one_suite(suite: Path, measured: pd.DataFrame) -> None:
    assert check_suite(suite) == []
    families = {family.family: family for family in read_manifest(suite).families}
    assert list(families) == ["answer", "sound", "first-letter"]
    assert (families["answer"].prompt, len(families["answer"].answers)) == (TEMPLATE, 2)
    assert [family.exclusive for family in families.values()] == [True, False, True]
    concepts = pd.read_parquet(suite / "concepts.parquet").set_index("concept")
    # Of two labels only the positive one is measured; labels without words are no concepts.
    expected = {"answer.one", "sound.vowel", "sound.a-or-b", *(f"first-letter.{letter}" for letter in LETTERS)}
    assert set(concepts.index) == expected == set(measured.index.get_level_values("concept"))
    assert concepts.loc["answer.one", "phrase"] == "is answered with one"
    pairs = pd.read_parquet(suite / "token_concepts.parquet").groupby("token_id")["concept"].agg(set)
    # Words on "a" have several labels of one family.
    assert pairs.map({"sound.vowel", "sound.a-or-b"}.issubset).any()
    prompts = pd.read_parquet(suite / "prompts.parquet").set_index("prompt_id")["template"]
    tested = pd.read_parquet(suite / "tested_tokens.parquet")
    of_answers = tested[tested["concept"] == "answer.one"]
    assert set(prompts[of_answers["prompt_id"]]) == {TEMPLATE}
    assert set(prompts[tested.loc[tested["concept"].str.startswith("sound"), "prompt_id"]]) == {"{token}"}


def test_concept_with_answers_is_measured_by_ablation(suite: Path, measured: pd.DataFrame) -> None:
    by_ablation = measured.loc["answer.one", "ig_ablation"]
    assert pd.isna(by_ablation["undefined"])
    # It has few words, so all are tested, not a fifth of them.
    words = pd.read_parquet(suite / "concepts.parquet").set_index("concept").loc["answer.one", "num_tokens"]
    assert words < 500
    assert by_ablation["num_probe_true_positives"] > words / 2
    assert (by_ablation["model_accuracy"], by_ablation["num_right"]) == (1, by_ablation["num_probe_true_positives"])
    assert by_ablation["erasure_effect"] < 0
    tested = pd.read_parquet(suite / "tested_tokens.parquet").query("concept == 'answer.one'")
    ablated = tested[tested["metric"] == "ig_ablation"]
    assert len(ablated) == by_ablation["num_tested"] > 0
    assert set(ablated["model_answer"]) == {"one"}
    # With two answers, the log odds and the metric are the difference of their logits.
    np.testing.assert_allclose(ablated["answer_log_odds"], ablated["answer_metric"], atol=1e-4)
    assert ablated["erasure_effect"].notna().all()
    rate = ablated["is_absorption"].sum() / by_ablation["sample_portion"] / by_ablation["num_probe_true_positives"]
    assert by_ablation["rate_low"] <= rate <= by_ablation["rate_high"]
    assert by_ablation["right_rate"] == pytest.approx(rate)
    checks = read_manifest(suite).provenance.checks
    assert checks["answer: Verdicts that differ when recomputed from the stored scores"] == 0
    assert (
        "10%: "
        in checks["answer: Absorbed tokens at a margin of a share of the effect of erasing the probe's direction"]
    )


def test_undefined_rates_have_a_reason_and_are_not_0(suite: Path, measured: pd.DataFrame) -> None:
    undefined = measured["undefined"].dropna()
    assert undefined["sound.a-or-b", "ig_ablation"] == "the family has no answers, so the model is not asked"
    assert ("sound.a-or-b", "full") not in undefined
    # Several latents share the vowels, and none represents them.
    assert undefined["sound.vowel", "full"].startswith("no latent stands for it: the best has an F1 of 0.5")
    assert undefined["first-letter.a", "ig_ablation"].startswith("the model answers correctly for 0% of its words")
    assert measured.loc[undefined.index, ["num_candidates", "random_rate", "rate_low"]].isna().all(axis=None)
    (sae,) = read_manifest(suite).saes
    asked = {"suite": "tiny", "sae": sae.id, **THRESHOLDS}
    with open_store(suite) as store:
        for tau in (0.03, 0.3):
            known = asked | {"family": "sound", "concept": None, "tau": tau}
            for metric, concepts in (("full", ["sound.a-or-b"]), ("fraction", ["sound.a-or-b"]), ("ig_ablation", [])):
                rows = store.fetch("summary", **known | {"metric": metric}).set_index("concept")
                assert rows.index[rows["absorption_rate"].notna()].tolist() == concepts
                assert rows.index[rows["undefined"].isna()].tolist() == concepts
                assert rows.loc["sound.vowel", ["num_absorbed", "num_tested"]].isna().all()
                means = store.fetch(
                    "sae_means",
                    **{name: known[name] for name in ("suite", "family", *THRESHOLDS)},
                    scope="suite",
                    mean_policy="all_concepts",
                    metric=metric,
                )
                assert means["num_concepts"].tolist() == [len(concepts)]
        summary = store.fetch("summary", **asked | {"family": "sound", "concept": "sound.vowel", "metric": "full"})
    sentence = headline(summary.iloc[0].to_dict(), "vowel", "concept", metric="full")
    assert "Absorption is undefined here, because no latent stands for it: the best has" in sentence
    assert why_none_absorbs(summary.iloc[0].to_dict()).startswith("Absorption is undefined here, because")


def test_small_plots_omit_undefined_absorbing_latents(suite: Path) -> None:
    with open_store(suite) as store:
        for by, view in (("l0", SaeMultiples), ("concept", ConceptMultiples)):
            for concept, metric, expected in (
                ("answer.one", "ig_ablation", True),
                ("answer.one", "fraction", False),
                ("sound.vowel", "full", False),
            ):
                model = Explorer(store, page="compare", compare_by=by, concept=concept, metric=metric).model
                layout = cast("Any", view(model)).__panel__()
                assert model.concepts is not None
                row = next(row for row in records(model.concepts) if row["concept"] == concept)
                (head,) = (part.html for part in layout.select(Markup) if 'aria-current="true"' in part.html)
                counts = dict(re.findall(r'class="role (split|absorbing)"><span class="sr">[^<]*</span>([^<]*)<', head))
                numbers = {part: row[f"num_{part}_latents"] for part in ("split", "absorbing")}
                assert counts == {part: number(count, 0) for part, count in numbers.items()}
                assert (numbers["absorbing"] is not None) == expected
                assert expected or counts["absorbing"] == "–"


def test_concepts_without_a_prompt_are_measured_by_projection(suite: Path, measured: pd.DataFrame) -> None:
    for metric in ("full", "fraction"):
        row = measured.loc["sound.a-or-b", metric]
        assert 0 < row["random_rate"] < 1
        assert row["rate_low"] < row["rate_high"]
    fraction = measured.loc["sound.a-or-b", "fraction"]
    assert fraction["rate_low"] < fraction["absorption_fraction"] < fraction["rate_high"]
    tested = pd.read_parquet(suite / "tested_tokens.parquet").query("concept == 'sound.a-or-b'")
    assert len(tested) == fraction["num_tested"]
    assert set(tested["metric"]) == {"full"}


def test_group_interval_is_shown_at_its_own_thresholds_only(suite: Path, measured: pd.DataFrame) -> None:
    manifest = read_manifest(suite)
    own = manifest.method.model_dump(include={"tau", "cosine_threshold", "effect_margin"})
    asked = {"suite": "tiny", "sae": manifest.saes[0].id, "family": "sound", "concept": "sound.a-or-b"}
    with open_store(suite) as store:
        for metric in ("full", "fraction"):
            stored = measured.loc["sound.a-or-b", metric]
            (here,) = store.fetch("summary", **asked, **own, metric=metric).to_dict("records")
            assert [here["rate_low"], here["rate_high"]] == stored[["rate_low", "rate_high"]].tolist()
        (moved,) = store.fetch("summary", **asked, **own | {"cosine_threshold": 0.5}, metric="full").to_dict("records")
    # At another threshold it is Wilson's interval of the counts.
    assert 0 <= moved["rate_low"] <= moved["absorption_rate"] <= moved["rate_high"]
    assert moved["rate_high"] != measured.loc[("sound.a-or-b", "full"), "rate_high"]


def test_groups_share_a_fold_and_are_tested_by_probes_trained_without_them(suite: Path, folder: Path) -> None:
    assert suite
    for file in (folder / "work" / "vocabulary").iterdir():
        vocabulary = load_vocabulary(file)
        folds, groups = vocabulary.grouping
        assert pd.Series(folds).groupby(groups).nunique().max() == 1
        assert pd.Series(groups).groupby([text.strip().lower() for text in vocabulary.texts]).nunique().max() == 1
        for place in vocabulary.family.measured:
            number = vocabulary.labels[:, place].sum()
            if not vocabulary.too_few(place):
                assert vocabulary.crosses(place)
                spread = np.bincount(folds[vocabulary.labels[:, place]], minlength=5)
                assert np.ptp(spread) <= max(3, 0.1 * number)
                assert vocabulary.is_test[vocabulary.labels[:, place]].all()


def test_second_run_repeats_no_task(suite: Path, folder: Path) -> None:
    again = run(folder / "tiny.toml", "--to", suite, "--work", folder / "work", "--dry-run")
    assert again.stdout.startswith("0 of ")
    assert "first-letter: 724 words: A 92, I 67" in again.stdout


# Computations, on cases computed by hand.


def test_groups_are_distributed_evenly_over_labels() -> None:
    labels = np.zeros((1000, 3), bool)
    labels[:600, 0], labels[600:640, 1], labels[630:660, 2] = True, True, True
    groups = np.arange(1000) // 2
    folds = assign_folds(groups, labels, 5, seed=1)
    assert all(len(set(folds[groups == group])) == 1 for group in range(500))
    assert np.bincount(folds[labels[:, 0]]).tolist() == [120] * 5
    for label in (1, 2):
        assert np.ptp(np.bincount(folds[labels[:, label]], minlength=5)) <= 4
    assert np.ptp(np.bincount(folds)) <= 10
    assert (assign_folds(groups, labels, 5, seed=1) == folds).all()
    assert (assign_folds(groups, labels, 5, seed=2) != folds).any()


def test_split_latents_must_gain_more_than_tau_and_than_an_error() -> None:
    curve = {1: 0.5, 2: 0.6, 3: 0.7, 4: 0.72}
    assert num_split_latents(curve, 0.03) == 3
    assert num_split_latents(curve, 0.03, dict.fromkeys(curve, 0.02)) == 3
    assert num_split_latents(curve, 0.03, {2: 0.02, 3: 0.15, 4: 0.02}) == 2
    assert num_split_latents(curve, 0.03, {2: 0.1, 3: 0, 4: 0}) == 1  # not more than an error


def test_random_labels_are_not_found_by_cross_fitting() -> None:
    """With nearly as many latents as words, a fit finds the training words and no others."""
    columns = RNG.rand(120, 50).astype(np.float32)
    truth = RNG.rand(120) > 0.7
    folds = np.arange(120) % 5
    fitted = cross_fit(columns, truth, folds, range(5), np.arange(50), [50], balanced=False)
    (whole,) = cross_fit(columns, truth, folds, [5], np.arange(50), [50], balanced=False)
    crossed = by_fold([probes[50] for probes in fitted], columns, folds)
    seen = columns.astype(float) @ whole[50].weights + whole[50].bias
    always = 2 * truth.mean() / (1 + truth.mean())
    assert score(seen, truth).f1 > always + 0.2 > score(crossed, truth).f1 + 0.1
    curve = training_curve(columns, truth, folds, np.arange(120), np.arange(50), [1, 2, 3], balanced=False)
    assert list(curve.f1) == list(curve.errors) == [1, 2, 3]
    assert max(curve.f1.values()) < always + 0.1


def test_training_curve_rises_with_a_latent_that_helps_on_training_words() -> None:
    truth = np.arange(400) % 4 == 0
    half = truth & (np.arange(400) % 8 == 0)
    columns = np.column_stack([half, truth & ~half, RNG.rand(400) > 0.5]).astype(np.float32)
    curve = training_curve(
        columns, truth, np.arange(400) // 4 % 5, np.arange(400), np.arange(3), [1, 2, 3], balanced=False
    )
    assert [curve.f1[1], curve.f1[2]] == pytest.approx([2 / 3, 1])
    assert num_split_latents(curve.f1, 0.03, curve.errors) == 2


def test_bootstrap_samples_groups() -> None:
    groups = np.repeat(np.arange(50), 8)
    weights = bootstrap_weights(groups, 300, seed=0)
    assert weights.shape == (300, 400)
    assert (weights.reshape(300, 50, 8) == weights.reshape(300, 50, 8)[:, :, :1]).all()
    assert weights.mean() == pytest.approx(1, abs=0.02)
    # Eight identical words count as one: the standard deviation is larger by the square root of eight.
    values = (np.arange(50) % 5 == 0)[groups].astype(float)
    together, apart = (mean_samples(values, each, 0) for each in (groups, np.arange(400)))
    assert together.std() / apart.std() == pytest.approx(8**0.5, rel=0.15)
    low, high = interval(together)
    assert low < 0.2 < high
    assert np.isnan(interval(np.full(3, np.nan))).all()
    # If all words are correct, so is every sample.
    assert wilson_low(3, 3) == pytest.approx(0.438, abs=1e-3)
    assert wilson_low(0, 20) == pytest.approx(0)
    predicted = np.column_stack([values > 0, values == 0])
    f1 = f1_samples(predicted, values > 0, groups, 0)
    assert (f1[:, 0] == 1).all()
    assert (f1[:, 1] == 0).all()


def test_metrics_allow_several_right_answers() -> None:
    logits = torch.tensor([[3.0, 1.0, 0.0, -1.0]])
    first = torch.tensor([0])
    assert spelling_metric(logits, first).item() == pytest.approx(3 - 0)
    assert log_odds(logits, first).item() == pytest.approx(3 - np.log(np.exp([1, 0, -1]).sum()))
    right = torch.tensor([[True, True, False, False]])
    assert spelling_metric(logits, first, right=right).item() == pytest.approx(3 + 0.5)
    assert log_odds(logits, first, right=right).item() == pytest.approx(3 - np.log(1 + np.exp(-1)))
    two = logits[:, :2]
    assert spelling_metric(two, first).item() == log_odds(two, first).item() == 2


def test_erasing_a_direction_replaces_the_projection_by_that_of_others() -> None:
    model = ToyModel(linear=False)
    direction = np.zeros(6, np.float32)
    direction[2] = 1
    how = Erasure(direction, 0.25)
    words = torch.tensor([3, 9])
    right = torch.nn.functional.one_hot(torch.tensor([4, 4]), 26).bool()
    logits = answers_erased(model, None, how, 0, None, words)  # type: ignore[arg-type]
    changed = change(logits, right, 4)
    stream = model.embedding[words].clone()
    before = spelling_metric(model.answer(stream), torch.tensor([4, 4]))
    stream[:, 2] = 0.25
    expected = spelling_metric(model.answer(stream), torch.tensor([4, 4])) - before
    torch.testing.assert_close(changed, expected)
    # The same together with the ablation of a word's latents.
    tested = [Word(int(word), 4, np.array([0]), np.ones(1, np.float32), right[0].numpy(), how) for word in words]
    found = list(ablate(model, None, None, tested, torch.randn(2, 6), layer=0, steps=2))  # type: ignore[arg-type]
    np.testing.assert_allclose([one.erased for one in found], expected.numpy(), atol=1e-5)
    odds = log_odds(model.answer(model.embedding[words]), torch.tensor([4, 4]))
    np.testing.assert_allclose([one.log_odds for one in found], odds.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("known", "projection", "ablation"),
    [
        ({}, None, None),
        (
            {"too_few": "it has 3 words, fewer than 20"},
            "it has 3 words, fewer than 20",
            "it has 3 words, fewer than 20",
        ),
        ({"probe_f1": 0.59}, "F1 of 0.590, below 0.6", "F1 of 0.590, below 0.6"),
        ({"probe_f1": 0.7, "shuffled_f1": 0.66, "probe_error": 0.03}, "shuffled labels (0.660)", "shuffled labels"),
        ({"main_f1": 0.304}, "no latent stands for it: the best has an F1 of 0.304", "no latent stands for it"),
        ({"main_f1": 0.5, "always_f1": 0.48, "main_error": 0.02}, "always saying yes (0.480)", "always saying yes"),
        ({"asked": None}, None, "the family has no answers, so the model is not asked"),
        ({"asked": 0}, None, "the model was asked for none of its words"),
        (
            {"accuracy": 0.5, "least_accuracy": 0.4, "chance": 0.45},
            None,
            "for 50% of its words, which is not",
        ),
        (
            {"erased": -0.1, "low": -0.3, "high": 0.1},
            None,
            "metric by -0.10 logits (-0.30 to +0.10), so it has no causal",
        ),
        ({"erased": np.nan, "low": np.nan, "high": np.nan}, None, "the probe finds none of the words"),
    ],
)
def test_gates_decide_which_rates_are_defined(
    known: dict[str, Any], projection: str | None, ablation: str | None
) -> None:
    gate = gate_of(GateInputs()._replace(**known))
    for why, expected in ((gate.projection, projection), (gate.ablation, ablation)):
        assert (why is None) == (expected is None)
        assert expected is None or expected in (why or "")


# Unsuitable files.

_WORDS = [(" the", "a"), (" of", "b"), (" in", "a")]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("token,label\n the,a\n the,a\n", r"line 3: ' the' has the label 'a' twice \(line 2, too\); remove one"),
        ("token,label\n the,\n the,a\n", "line 3: ' the' has no label and one"),
        ("token,label,group\n the,a,x\n the,b,y\n", "line 3: ' the' has another group than in line 2"),
        ("token,label,split\n the,a,test\n of,b,\n", "line 3: ' of' has no split, others have one"),
        ("token,label,split\n the,a,dev\n", "line 2: split is 'dev'; give train or test"),
        (
            "token,label,group,split\n the,a,x,test\n of,b,x,train\n",
            "line 3: group 'x' is for train, in line 2 for test",
        ),
        ("token,label,split\n the,a,test\nThe,b,train\n", "line 3: group 'the' is for train, in line 2 for test"),
        ("token;label\n the;a\n", "its first line is 'token;label'; it needs the columns token,label"),
        ("word,label\n the,a\n", "it needs the columns token,label"),
        ("token,label,rank\n the,a,3\n", "may have group,split"),
        ("token,label\n the\n", "line 2: has 1 fields, not 2"),
        ("token,label\n ,a\n", "line 2: has no token"),
        ("", "its first line is ''"),
        ("token,label\n", "has no words; give some"),
        ('token,label\n the,"a\nb"\n', r"line 3: label 'a\\nb' holds what cannot be shown"),
        (f"token,label\n the,{'x' * 300}\n", "line 2: has a label of 300 characters, 200 at most; shorten it"),
        ('token,label\n"' + "x" * 200_000 + '",a\n', "line 2: no CSV"),
    ],
)
def test_contradictory_lines_are_named(tmp_path: Path, content: str, why: str) -> None:
    (tmp_path / "words.csv").write_text(content, "utf-8")
    with pytest.raises(MeasureError, match=rf"words\.csv: {why}" if why.startswith("line") else why) as caught:
        read_rows(tmp_path / "words.csv")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le"])
def test_other_encodings_are_named(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "words.csv").write_text("token,label\n café,a\n", encoding)
    with pytest.raises(MeasureError, match=r"words\.csv: is not in UTF-8 .*; save it in UTF-8"):
        read_rows(tmp_path / "words.csv")
    # The byte order mark that Excel writes is not part of the first column's name.
    (tmp_path / "words.csv").write_text("token,label\n café,a\n", "utf-8-sig")
    assert [row[1:] for row in read_rows(tmp_path / "words.csv")] == [(" café", "a", "café", "")]


def configured(folder: Path, settings: str) -> Path:
    text = (folder / "tiny.toml").read_text("utf-8")
    before, _, after = text.partition("[[concepts]]")
    (folder / "bad.toml").write_text(f"{before}{settings}\n[[text]]{after.partition('[[text]]')[2]}", "utf-8")
    return folder / "bad.toml"


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [text for _, text in Tokenizer(backend(), 0).words()]


@pytest.mark.parametrize(
    ("settings", "labels", "why"),
    [
        ("", ["a", "b"], "has two labels, 'a' and 'b', of which one is measured; say which by positive = 'a'"),
        ('positive = "c"', ["a", "b"], "say which by positive = 'a'"),
        ('positive = "a"', ["a", "b", "c"], "is no family of a yes and a no"),
        ("", ["a"], "all its words have the label 'a'; give words without it, too"),
        ("", [""], "none of its words has a label; give some"),
        ("", ["Noun!", "noun", "verb"], "labels 'Noun!' and 'noun' are the same id"),
        ("", ["+", "a", "b"], "label '\\+' gives no id"),
        ('templates = ["{token}:"]\nanswers = { a = "x", b = "y" }', ["a", "b", "c"], "label 'c' has no answer"),
        (
            'templates = ["{token}:"]\nanswers = { a = "x", b = "y", c = "z", d = "v" }',
            ["a", "b", "c"],
            "no word has the label 'd'",
        ),
        (
            'templates = ["{token}:"]\nanswers = { a = "the", b = "the same", c = "of" }',
            ["a", "b", "c"],
            "concepts: bad: the answers ' the' and ' the same' begin with the same token, .* give other answers",
        ),
        (
            'templates = ["{token}:"]\nanswers = { a = "A", b = "A", c = "C" }',
            ["a", "b", "c"],
            "the answers ' A' and ' A' begin with the same token, .* give other answers",
        ),
        ('templates = ["{token}:"]\nanswers = { a = "x" }', ["a", ""], "has one label, so there is no wrong answer"),
        ('answers = { a = "x", b = "y" }', ["a", "b"], "there are answers and no prompt; give templates"),
        ('templates = ["no place"]', ["a", "b", "c"], "'no place' needs {token} once"),
        ('phrase = "is so"', ["a", "b", "c"], "phrase 'is so' needs {label}"),
        ('parents = { a = "b" }', ["a", "b", "c"], "'.*' has the label 'a' and not its parent 'b'; give it both"),
        ('parents = { a = "d" }', ["a", "b", "c"], "no word has the label 'd' of the configuration's parents"),
        ('parents = { a = "b", b = "a" }', ["a", "b", "c"], "label '[ab]' is above itself"),
    ],
)
def test_unsuitable_families_are_named_before_computing(
    folder: Path, texts: list[str], settings: str, labels: Sequence[str], why: str
) -> None:
    words = [(text, labels[place % len(labels)]) for place, text in enumerate(texts)]
    write_csv(folder / "bad.csv", words)
    _assert_refused(folder, f'[[concepts]]\nfamily = "bad"\nfile = "bad.csv"\n{settings}', why)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ('family = "second-letter"', "'second-letter' is not built in .first-letter, last-letter.; give the file"),
        ('family = "first-letter"\nfile = "sounds.csv"', "'first-letter' is built in, remove file"),
        ('family = "first-letter"\npositive = "a"', "'first-letter' is built in and has its own positive"),
        ('family = "sound"\nfile = "none.csv"', "none.csv: no such file or folder"),
        (f'family = "sound"\nfile = "{"x" * 300}.csv"', "xxx.csv: File name too long; fix its path"),
        (
            'family = "Sound"\nfile = "sounds.csv"',
            "concepts.0.family: only small letters, digits, underscores",
        ),
        (
            f'family = "{"x" * 201}"\nfile = "sounds.csv"',
            "concepts.0.family: String should have at most 200 characters",
        ),
        (f'family = "sound"\nfile = "sounds.csv"\ntitle = "{"x" * 10_001}"', "String should have at most 10000"),
        ('family = "sound"\nfile = "sounds.csv"\n[[concepts]]\nfamily = "sound"\nfile = "sounds.csv"', "occurs twice"),
        ('family = "few"\nfile = "few.csv"', "no label has enough words .a: it has 2 words, fewer than 20"),
    ],
)
def test_invalid_configurations_are_named(folder: Path, settings: str, why: str) -> None:
    write_csv(folder / "few.csv", [*_WORDS, (" is", "c")])
    _assert_refused(folder, f"[[concepts]]\n{settings}", why)


def test_words_without_a_needed_space_are_refused_with_a_hint(folder: Path, texts: list[str]) -> None:
    tokenizer = Tokenizer(backend(), 0)
    bare = [text[1:] for text in texts if len(tokenizer.encode(text)) == 1 < len(tokenizer.encode(text[1:]))][:40]
    write_csv(folder / "bare.csv", [(word, "ab"[place % 2]) for place, word in enumerate(bare)])
    why = f"none of its words is one token of the model .*; with a space before it, as in ' {bare[0]}', it is one"
    _assert_refused(folder, '[[concepts]]\nfamily = "bare"\nfile = "bare.csv"\npositive = "a"', why)


def _assert_refused(folder: Path, settings: str, why: str) -> None:
    model = open_model((folder / "model").resolve(), "float32")
    with pytest.raises(MeasureError, match=why) as caught:
        check_all(read_config(configured(folder, settings)), folder, model)
    assert "\n" not in str(caught.value)


def test_label_of_all_words_is_refused(folder: Path, texts: list[str]) -> None:
    write_csv(folder / "all.csv", [(text, label) for text in texts for label in ("word", "ab"[len(text) % 2])])
    why = "all.csv: all its words have the label 'word'; give words without it, too"
    _assert_refused(folder, '[[concepts]]\nfamily = "all"\nfile = "all.csv"', why)


def test_label_may_have_a_parent(folder: Path, texts: list[str]) -> None:
    rows = [(text, label) for place, text in enumerate(texts) for label in (["b", "a"] if place % 3 else ["c"])]
    write_csv(folder / "kinds.csv", rows)
    config = configured(folder, '[[concepts]]\nfamily = "kind"\nfile = "kinds.csv"\nparents = { a = "b" }')
    settings = family_settings(read_config(config).concepts[0], folder)
    family = read_vocabulary(Tokenizer(backend(), 0), concepts=settings).family
    found = {family.concept(place): family.parent(place) for place in range(3)}
    assert found == {"kind.a": "kind.b", "kind.b": None, "kind.c": None}


def test_words_of_several_tokens_are_omitted_and_reported(folder: Path, texts: list[str]) -> None:
    words = [(text, "ab"[place % 2]) for place, text in enumerate(texts)]
    write_csv(folder / "some.csv", [*words, (" antidisestablishment", "long"), (" the of", "a"), (" it was", "")])
    settings = '[[concepts]]\nfamily = "some"\nfile = "some.csv"\npositive = "a"'
    config = read_config(configured(folder, settings))
    found, lost = check_all(config, folder, open_model((folder / "model").resolve(), "float32"))
    assert found.startswith(f"some: {len(texts)} words: ")
    expected = f"3 of {len(texts) + 3} words are no single token of the model and are omitted (' antidis"
    assert expected in lost
    assert "and with them the labels 'long'" in lost


def test_labels_with_few_words_are_omitted_and_reported(folder: Path, texts: list[str]) -> None:
    words = [(text, "ab"[place % 2] if place > 6 else "rare") for place, text in enumerate(texts)]
    write_csv(folder / "rare.csv", words)
    config = read_config(configured(folder, '[[concepts]]\nfamily = "rare"\nfile = "rare.csv"'))
    lines = check_all(config, folder, open_model((folder / "model").resolve(), "float32"))
    assert lines[1:] == ["rare.rare: not measured, because it has 7 words, fewer than 20"]


def test_given_split_is_used(folder: Path, texts: list[str]) -> None:
    is_test = {text.strip().lower(): place % 3 == 0 for place, text in enumerate(texts)}
    split = ["test" if is_test[text.strip().lower()] else "train" for text in texts]
    rows = [(text, "ab"[place % 2], "", split[place]) for place, text in enumerate(texts)]
    write_csv(folder / "split.csv", rows, ("token", "label", "group", "split"))
    config = read_config(configured(folder, '[[concepts]]\nfamily = "split"\nfile = "split.csv"\npositive = "b"'))
    tokenizer = open_model((folder / "model").resolve(), "float32").tokenizer
    vocabulary = read_vocabulary(tokenizer, concepts=family_settings(config.concepts[0], folder))
    given = dict(zip(texts, (row[3] == "test" for row in rows), strict=True))
    assert vocabulary.is_test.tolist() == [given[text] for text in vocabulary.texts]
    assert not vocabulary.crosses(1)
    assert set(vocabulary.train) == set(np.flatnonzero(~vocabulary.is_test))
    assert set(vocabulary.grouping[0][vocabulary.train]) == {1, 2, 3, 4}
