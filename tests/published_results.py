"""Synthetic results in the layout of the published explorer's data folder, with unsorted rows and extra columns."""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from queries.schema import LETTERS

if TYPE_CHECKING:
    from pathlib import Path

SAES = ((4, 64, 7), (8, 64, 9))
N_LATENTS = 64
SHOWN = "asz"
K_VALUES = (*range(1, 16), 20, 50)


def write_published_results(root: Path) -> Path:
    """Write the same results every time; `root` must not exist."""
    _Results(root).write()
    return root


def ranked_rows(tested: pd.DataFrame) -> pd.DataFrame:
    """Return tested tokens in the long form, one row per token and ranked latent; the first rank has the verdict."""
    lists = ["ablation_feats", "ablation_scores", "ablation_feat_acts", "ablation_feat_probe_cos"]
    rows = tested.explode(lists).reset_index(drop=True)
    rows["feat_order"] = rows.groupby(["layer", "sae_width", "sae_l0", "letter", "token"]).cumcount()
    first = rows["feat_order"] == 0
    return rows.assign(
        is_absorption=rows["is_absorption"] | ~first,  # would be counted if ranks were read as tokens
        ablation_feat=rows["top_ablation_feat"].where(first, rows["ablation_feats"]).astype(int),
        top_ablation_score=rows["top_ablation_score"].where(first, rows["ablation_scores"]).astype(float),
        ablation_feat_act=rows["ablation_feat_acts"].astype(float),
        ablation_feat_probe_cos=rows["ablation_feat_probe_cos"].astype(float),
    ).drop(columns=["top_ablation_feat", "top_ablation_feat_probe_cos", *lists[:3]])


class _Results:
    """Draws results and writes them in the published layout, with unsorted rows and extra columns."""

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
        return self.rng.uniform(size=shape).astype(np.float32).tolist()

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
                    **{name: 9 - place + row for place, name in enumerate(counts)},
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
                    "split_feats": ranked[:1],
                    "sparse_sae_50_feats": ranked,
                }
                for key in self.letter_keys
                for ranked in [self.ids(50)]
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
