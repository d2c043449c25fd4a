"""The converter of the smollm2-135m results, on results of the same layout made up here."""

# ruff: noqa: S608 - the only values in statements are paths and column names of this file

from __future__ import annotations

import json
import shutil
from itertools import product
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from ingest.smollm2 import K_VALUES, main
from queries.schema import LETTERS, TABLES
from queries.suite import read_suite

if TYPE_CHECKING:
    from pathlib import Path

SAES = ((4, 64, 7), (8, 64, 9))
N_LATENTS = 64
SHOWN = "asz"
_SAE = "layer, sae_width AS width, sae_l0 AS l0"

#: What each table must hold, asked of the results themselves.
EXPECTED = {
    "letters": f"SELECT {_SAE}, letter, s.split_feats, num_probe_true_positives, num_true_positives, num_split_silent,"
    " num_false_negatives, num_tested, sample_portion, f1_probe, precision_probe, recall_probe, auc_probe"
    " FROM {sae_split_feats} AS s JOIN {k_sparse_results} USING (layer, sae_width, sae_l0, letter)",
    "k_sparse": " UNION ALL ".join(
        f"SELECT {_SAE}, letter, {k}, sparse_sae_50_feats[{k}], f1_sparse_sae_{k}, precision_sparse_sae_{k},"
        f" recall_sparse_sae_{k}, auc_sparse_sae_{k} FROM {{k_sparse_results}}"
        for k in K_VALUES
    ),
    "encoder_top": " UNION ALL ".join(
        f"SELECT {_SAE}, letter, {i}, sae_top_{i}_feat, cos_sae_top_{i}, dec_cos_sae_top_{i}, precision_sae_top_{i},"
        f" recall_sae_top_{i}, f1_sae_top_{i}, auc_sae_top_{i} FROM {{top_feat_precision_recall}}"
        for i in range(3)
    ),
    "tested_tokens": f"SELECT {_SAE}, letter, token, token_id, prompt_id, split_feat_acts, split_feat_probe_cos,"
    " top_ablation_feat, top_ablation_score, top_ablation_feat_probe_cos,"
    " second_ablation_feat, second_ablation_score, second_ablation_feat_probe_cos,"
    " ablation_feats, ablation_scores, ablation_feat_acts, ablation_feat_probe_cos,"
    " nullif(true_ablation_top, 'nan'), true_ablation_second, spelling_metric, model_letter, model_correct,"
    " probe_logit, num_active_latents, is_absorption FROM {feature_absorption_results}",
    "tokens": "SELECT token_id, token, letter, is_test, model_letter, model_metric FROM {english_tokens}",
    "latents": f"SELECT {_SAE}, latent, density_text, max_act_text, mean_act_text, num_vocab_tokens, num_test_tokens,"
    " max_act_vocab, enc_dec_cos, top_letter, top_letter_cos FROM {latent_stats}",
    "contexts": f"SELECT {_SAE}, latent, rank, activation, window_tokens, window_acts, window_pos, source"
    " FROM {latent_examples}",
    "logits": f"SELECT {_SAE}, latent, raised_tokens, raised_logits, lowered_tokens, lowered_logits"
    " FROM {latent_logits}",
    "histograms": f"SELECT {_SAE}, latent, 0, max_act_text, counts FROM {{latent_histograms}}",
    "token_activations": f"SELECT {_SAE}, latent, token_ids, activations FROM {{latent_token_activations}}",
    "prompts": "SELECT prompt_id, template, test_accuracy FROM {prompts}",
}


class _Results:
    """Draws results and writes them as published, rows in no order and with columns that a suite leaves out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rng = np.random.default_rng(0)
        self.letter_keys = [
            {"layer": layer, "sae_width": width, "sae_l0": l0, "letter": letter}
            for (layer, width, l0), letter in product(SAES, SHOWN)
        ]
        self.latent_keys = [
            {"layer": layer, "sae_width": width, "sae_l0": l0, "latent": latent}
            for (layer, width, l0), latent in product(SAES, range(N_LATENTS))
        ]

    def draw(self, *shape: int) -> Any:
        return self.rng.normal(size=shape).astype(np.float32).tolist()

    def ids(self, number: int) -> list[int]:
        return self.rng.permutation(N_LATENTS)[:number].tolist()

    def save(self, stem: str, rows: list[dict[str, Any]]) -> None:
        frame = pd.DataFrame([rows[place] for place in self.rng.permutation(len(rows))])
        frame["unused"] = 1
        floats = frame.select_dtypes("float64").columns
        frame.astype(dict.fromkeys(floats, "float32")).to_parquet(self.root / f"{stem}.parquet", index=False)

    def write(self) -> None:
        self.root.mkdir()
        self._letters()
        self._tested()
        self._latents()
        templates = [{"prompt_id": i, "template": f"{i}: {{token}}", "test_accuracy": i / 4} for i in range(3)]
        self.save("prompts", templates)
        for (layer, width, l0), letter in product(SAES, LETTERS):
            path = self.root / f"probe_sae_cos_sims/layer_{layer}/width_{width}/l0_{l0}/letter_{letter}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, arr_0=np.array(self.draw(N_LATENTS), np.float32))
        (self.root / "LICENSES.txt").write_text("notices", encoding="utf-8")
        (self.root / "manifest.json").write_text(json.dumps(_manifest()), encoding="utf-8")

    def _letters(self) -> None:
        scores = ("f1", "precision", "recall", "auc")
        counts = (
            "num_probe_true_positives",
            "num_true_positives",
            "num_split_silent",
            "num_false_negatives",
            "num_tested",
        )
        self.save(
            "sae_split_feats",
            [
                {
                    **key,
                    "split_feats": self.ids(2),
                    **{name: place + row for place, name in enumerate(counts)},
                    "sample_portion": 0.25,
                }
                for row, key in enumerate(self.letter_keys)
            ],
        )
        suffixes = ["probe", *(f"sparse_sae_{k}" for k in K_VALUES)]
        self.save(
            "k_sparse_results",
            [
                {
                    **key,
                    **{f"{score}_{suffix}": self.draw() for score, suffix in product(scores, suffixes)},
                    "split_feats": [0],
                    "sparse_sae_50_feats": self.ids(50),
                }
                for key in self.letter_keys
            ],
        )
        self.save(
            "top_feat_precision_recall",
            [
                {
                    **key,
                    **{f"sae_top_{i}_feat": latent for i, latent in enumerate(self.ids(3))},
                    **{
                        f"{kind}_sae_top_{i}": self.draw() for kind, i in product(("cos", "dec_cos", *scores), range(3))
                    },
                }
                for key in self.letter_keys
            ],
        )

    def _tested(self) -> None:
        tokens = [" short", 's"q', "s,c", "s\nn"]
        rows = []
        for (row, token), key in product(enumerate(tokens), self.letter_keys):
            top, second = self.ids(2)
            rows.append(
                {
                    **key,
                    "token": token,
                    "token_id": row,
                    "prompt_id": row % 3,
                    "split_feat_acts": [0.0, 0.0],
                    "split_feat_probe_cos": self.draw(2),
                    "top_ablation_feat": top,
                    "second_ablation_feat": second,
                    **{f"{rank}_ablation_{part}": self.draw() for rank, part in product(("top", "second"), ("score",))},
                    **{f"{rank}_ablation_feat_probe_cos": self.draw() for rank in ("top", "second")},
                    "ablation_feats": self.ids(row + 2),
                    **{f"ablation_{part}": self.draw(row + 2) for part in ("scores", "feat_acts", "feat_probe_cos")},
                    "true_ablation_top": float("nan") if row == 1 else self.draw(),
                    "true_ablation_second": None if row == 2 else self.draw(),
                    "spelling_metric": self.draw(),
                    "model_letter": "s",
                    "model_correct": row % 2 == 0,
                    "probe_logit": self.draw(),
                    "num_active_latents": row + 5,
                    "is_absorption": row == 0,
                }
            )
        self.save("feature_absorption_results", rows)
        self.save(
            "english_tokens",
            [
                {
                    "token": token,
                    "letter": "s",
                    "is_test": token_id != 1,
                    "token_id": token_id,
                    "model_letter": None if token_id == 1 else "s",
                    "model_metric": None if token_id == 1 else self.draw(),
                }
                for token_id, token in enumerate(tokens)
            ],
        )

    def _latents(self) -> None:
        floats = ("density_text", "max_act_text", "mean_act_text", "max_act_vocab", "enc_dec_cos", "top_letter_cos")
        self.save(
            "latent_stats",
            [
                {
                    **key,
                    **{name: self.draw() for name in floats},
                    "num_vocab_tokens": key["latent"],
                    "num_test_tokens": key["latent"] // 2,
                    "top_letter": "s",
                }
                for key in self.latent_keys
            ],
        )
        some = self.latent_keys[::5]
        self.save(
            "latent_examples",
            [
                {
                    **key,
                    "rank": rank,
                    "activation": 3.0 - rank,
                    "window_tokens": [" a", "<b>", "é😀"],
                    "window_acts": self.draw(3),
                    "window_pos": rank,
                    "source": "devil",
                    "left": "dropped",
                }
                for key, rank in product(some, range(3))
            ],
        )
        logits = ("raised_logits", "lowered_logits")
        texts = {"raised_tokens": [" x", "y"], "lowered_tokens": ["\n", "'"]}
        self.save("latent_logits", [{**key, **texts, **{name: self.draw(2) for name in logits}} for key in some])
        self.save("latent_histograms", [{**key, "max_act_text": self.draw(), "counts": [1, 0, 7]} for key in some])
        fires = [{"token_ids": self.ids(row % 4), "activations": self.draw(row % 4)} for row in range(len(some))]
        self.save("latent_token_activations", [key | fire for key, fire in zip(some, fires, strict=True)])


def _manifest() -> dict[str, Any]:
    sae = {
        "l0_measured": 6.5,
        "variance_explained": 0.9,
        "ce_loss_recovered": 0.8,
        "dead_fraction": 0,
        "tokens_seen": 12,
    }
    checks = (
        "rows flagged flag_mismatch tested_tokens_all_in_test_split max_cosine_difference_all_saes corr_ig_true_top"
        " corr_ig_true_second largest_drop_of_mean_F1_between_neighbouring_k absorbed_mean_true_effect"
        " absorbed_true_effect_at_most_minus_1"
    )
    return {
        "name": "made-up",
        "model": "m",
        "model_licence": "Apache-2.0",
        "d_model": 8,
        "num_layers": 12,
        "metric": "ig_ablation",
        "tau": 0.04,
        "thresholds": {"cos": 0.03, "margin": 1.5},
        "saes": [
            {"layer": layer, "sae_width": width, "sae_l0": l0, "hook": f"blocks.{layer}", **sae}
            for layer, width, l0 in reversed(SAES)
        ],
        "corpus": [{"source": "devil", "licence": "public domain"}],
        "checks": dict.fromkeys(checks.split(), 1),
        "checks_bf16": {"flag_margin_changes": 0},
        "perplexity": {"ppl": 41.9},
        "date": "2026-11-22",
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results") / "published"
    _Results(root).write()
    return root


@pytest.fixture(scope="module")
def converted(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("data") / "deep" / "made-up"
    assert main([str(results), "--to", str(target)]) == 0
    return target


@pytest.mark.parametrize("name", EXPECTED)
def test_tables_hold_the_published_values(results: Path, converted: Path, name: str) -> None:
    paths = {path.stem: f"'{path}'" for path in results.glob("*.parquet")}
    expected, actual = EXPECTED[name].format(**paths), f"FROM '{converted}/{name}.parquet'"
    with duckdb.connect() as connection:
        key = ", ".join(TABLES[name].key)
        # The suite's column types are put on both sides; what was float32 must come out unchanged.
        connection.execute(f"CREATE TABLE expected AS {actual} LIMIT 0; INSERT INTO expected {expected}")
        wanted = connection.execute(f"FROM expected ORDER BY {key}").fetchall()
        assert connection.execute(actual).fetchall() == wanted
    assert wanted


def test_cosines_hold_the_published_arrays(results: Path, converted: Path) -> None:
    for layer, width, l0 in SAES:
        file = converted / f"cosines/layer={layer}/width={width}/l0={l0}/cosines.parquet"
        frame = pd.read_parquet(file, columns=["letter", "latent", "cosine"], partitioning=None)
        assert len(frame) == N_LATENTS * len(LETTERS)
        for letter, rows in frame.groupby("letter"):
            published = np.load(results / f"probe_sae_cos_sims/layer_{layer}/width_{width}/l0_{l0}/letter_{letter}.npz")
            np.testing.assert_array_equal(rows["latent"], np.arange(N_LATENTS))
            np.testing.assert_array_equal(rows["cosine"], published["arr_0"])


def test_manifest_says_what_was_published(results: Path, converted: Path) -> None:
    manifest = read_suite(converted).manifest
    assert (manifest.name, manifest.title, manifest.model.licence) == ("made-up", "SmolLM2-135M", "Apache-2.0")
    assert (manifest.method.tau, manifest.method.cosine_threshold, manifest.method.effect_margin) == (0.04, 0.03, 1.5)
    assert [sae.key for sae in manifest.saes] == list(SAES)
    assert all(sae.n_latents == N_LATENTS and sae.cosines and sae.loss_recovered == 0.8 for sae in manifest.saes)
    assert manifest.tables["k_sparse"].rows == len(SAES) * len(SHOWN) * len(K_VALUES)
    assert manifest.tables["cosines"].rows == len(SAES) * len(LETTERS) * N_LATENTS
    assert str(results) not in (converted / "manifest.json").read_text("utf-8")
    assert (converted / "LICENSES.txt").read_text("utf-8") == "notices"


COSINES = "probe_sae_cos_sims/layer_8/width_64/l0_9/letter_q.npz"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        *((name, None, "missing") for name in ("prompts.parquet", "LICENSES.txt", "manifest.json", COSINES)),
        ("latent_logits.parquet", b"PAR1 no more", "not a readable parquet file"),
        (COSINES, b"PK\x03\x04 no more", "not a readable array"),
        ("manifest.json", b"{}", "KeyError 'name'"),
        ("manifest.json", b"{", "JSONDecodeError"),
    ],
)
def test_bad_results_are_named_and_leave_nothing_behind(  # noqa: PLR0917 - fixtures come by name
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None, reason: str
) -> None:
    source, target = tmp_path / "source", tmp_path / "data" / "suite"
    shutil.copytree(results, source)
    if content is None:
        (source / name).unlink()
    else:
        (source / name).write_bytes(content)
    assert main([str(source), "--to", str(target)]) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"{source / name}: {reason}")
    assert message.count("\n") == 1
    assert not list(tmp_path.glob("data/*")) + list(tmp_path.glob("data/.*"))


def test_missing_column_is_named(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "source"
    shutil.copytree(results, source)
    pd.read_parquet(source / "latent_stats.parquet").drop(columns="enc_dec_cos").to_parquet(
        source / "latent_stats.parquet"
    )
    assert main([str(source), "--to", str(tmp_path / "suite")]) == 1
    assert capsys.readouterr().err.startswith(f"{source / 'latent_stats.parquet'}: column 'enc_dec_cos' is missing")


def test_existing_suite_is_replaced_only_by_force_and_only_by_a_whole_one(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, source = tmp_path / "data" / "suite", tmp_path / "source"
    shutil.copytree(results, source)
    target.mkdir(parents=True)
    (target / "mine").touch()

    assert main([str(source), "--to", str(target)]) == 1
    assert "--force" in capsys.readouterr().err
    (source / COSINES).rename(source / "elsewhere")
    assert main([str(source), "--to", str(target), "--force"]) == 1
    assert [path.name for path in target.iterdir()] == ["mine"]

    (source / "elsewhere").rename(source / COSINES)
    assert main([str(source), "--to", str(target), "--force"]) == 0
    assert read_suite(target).name == "made-up"
    assert not (target / "mine").exists()
    assert list(target.parent.iterdir()) == [target]
