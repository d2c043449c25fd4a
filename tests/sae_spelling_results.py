"""Synthetic outputs of sae-spelling, with the layout and names of its experiments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from tests.result_files import save

if TYPE_CHECKING:
    from pathlib import Path

TESTED = "experiments/feature_absorption/first_letter/layer_3_width_16000_l0_59.parquet"
SECOND = "experiments/feature_absorption/first_letter/layer_4_width_65000_l0_21.parquet"
K_SPARSE = "experiments/k_sparse_probing/first_letter/layer_3_16000_59_auroc_f1.parquet"
METADATA = "experiments/k_sparse_probing/first_letter/layer_3_16000_59_metadata.parquet"
RAW = "experiments/k_sparse_probing/first_letter/layer_3_16000_59_raw_results.parquet"
ENCODER = "experiments/latent_evaluation/first_letter/layer_3_16000_59_auroc_f1.parquet"

K_VALUES = (*range(1, 16), 20, 50)
#: F1 by k; the last one stands for all further k.
F1 = {"a": [0.9, 0.91], "s": [0.81, 0.86, 0.87], "z": [0.7, 0.8, 0.9]}
#: Latents in rank order; further ones follow from 100 on.
RANKED = {"a": [12], "s": [6510, 77], "z": [5, 6, 7]}
EXAMPLES = {" tall": "\n tall has the first letter: T", " queen": "\n queen has the first letter: Q"}


def write_results(root: Path) -> Path:
    """Write the outputs for two SAEs, of which the second has no scores."""
    for name, frame in {
        TESTED: absorption(),
        SECOND: second_absorption(),
        K_SPARSE: k_sparse(),
        METADATA: metadata(),
        RAW: raw_results(),
        ENCODER: latent_evaluation(),
    }.items():
        save(root / name, frame)
    return root


def absorption() -> pd.DataFrame:
    s = {"letter": "s", "sample_portion": 0.5, "num_probe_true_positives": 40, "split_feats": [6510, 77]}
    a = {"letter": "a", "sample_portion": 1.0, "num_probe_true_positives": 20, "split_feats": [12]}
    return pd.DataFrame(
        [
            s | token_row(" short", top=(1085, -2.0, 0.3), second=(7, -0.5, 0.1), absorbed=True),
            s | token_row(" sun", top=(1085, -1.2, 0.3), second=(7, -0.8, 0.1), absorbed=False),
            s | token_row(" sea", top=(99, -3.0, 0.01), second=(7, -0.5, 0.1), absorbed=False),
            s | token_row(" saw", top=(1085, -3.0, 0.3), second=(7, -0.5, 0.1), absorbed=True, example=" queen"),
            a | token_row(" ant", top=(5, -1.5, 0.2), second=(7, -0.25, 0.1), absorbed=True),
        ]
    )


def second_absorption() -> pd.DataFrame:
    row = {"letter": "s", "sample_portion": 1.0, "num_probe_true_positives": 10, "split_feats": [60_000]}
    return pd.DataFrame([row | token_row(" six", top=(3, -0.5, 0.3), second=(4, -0.5, 0.3), absorbed=False)])


def token_row(
    token: str,
    *,
    top: tuple[int, float, float],
    second: tuple[int, float, float],
    absorbed: bool,
    example: str = " tall",
) -> dict[str, Any]:
    """Make one tested token; `top` and `second` are latent, effect and cosine."""
    ranked = (top, second, *((200 + n, 0.0, 0.0) for n in range(8)))
    return {
        "token": token,
        "prompt": f"{EXAMPLES[example]}\n{token} has the first letter:",
        "split_feat_acts": [0.0],
        "split_feat_probe_cos": [0.5],
        **dict(zip(("top_ablation_feat", "top_ablation_score", "top_ablation_feat_probe_cos"), top, strict=True)),
        **dict(
            zip(
                ("second_ablation_feat", "second_ablation_score", "second_ablation_feat_probe_cos"), second, strict=True
            )
        ),
        "ablation_scores": [effect for _, effect, _ in ranked],
        "ablation_feats": [latent for latent, _, _ in ranked],
        "ablation_feat_acts": [1.0] * len(ranked),
        "ablation_feat_probe_cos": [cosine for _, _, cosine in ranked],
        "is_absorption": absorbed,
    }


def ranked_rows() -> pd.DataFrame:
    """Return the tested tokens in the long form: one row per token and ranked latent."""
    per_token = ("letter", "token", "prompt", "sample_portion", "num_probe_true_positives", "split_feats")
    return pd.DataFrame(
        [
            {name: row[name] for name in per_token}
            | {
                "feat_order": order,
                "top_ablation_feat": row["top_ablation_feat"],
                "ablation_feat": row["ablation_feats"][order],
                "ablation_score": row["ablation_scores"][order],
                "ablation_feat_act": row["ablation_feat_acts"][order],
                "ablation_feat_probe_cos": row["ablation_feat_probe_cos"][order],
                # The long form repeats the verdict, which would count three times.
                "is_absorption": row["is_absorption"],
            }
            for row in absorption().to_dict("records")
            for order in range(3)
        ]
    )


def probe_scores(letter: str) -> dict[str, Any]:
    return {"letter": letter, "auc_probe": 0.99, "f1_probe": 0.95, "recall_probe": 0.94, "precision_probe": 0.96}


def k_sparse() -> pd.DataFrame:
    rows = []
    for letter, scores in F1.items():
        row = probe_scores(letter) | {"layer": 3, "sae_width": 16_000, "sae_l0": 59}
        for k in K_VALUES:
            f1 = scores[min(k, len(scores)) - 1]
            row |= {f"{score}_sparse_sae_{k}": f1 for score in ("auc", "f1", "recall", "precision")}
            row |= {f"{score}_sum_sparse_sae_{k}": 0.1 for score in ("auc", "f1", "recall", "precision")}
            row |= {f"sparse_sae_k_{k}_feats": feats(letter, k), f"sparse_sae_k_{k}_bias": 0.5}
        rows.append(row)
    return pd.DataFrame(rows)


def feats(letter: str, k: int) -> list[int]:
    return (RANKED[letter] + list(range(100, 150)))[:k]


def metadata() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"layer": 3, "sae_l0": 59, "sae_width": 16_000, "letter": letter, "k": k, "feats": feats(letter, k)}
            for letter in F1
            for k in K_VALUES
        ]
    )


def raw_results() -> pd.DataFrame:
    tokens = {" short": "s", " snow": "s", "apple": "a"}
    return pd.DataFrame(
        [
            {"token": token, "answer_letter": letter, "score_probe_s": 1.0, "sparse_sae_s_k_1_acts": [0.5]}
            for token, letter in tokens.items()
        ]
    )


def latent_evaluation() -> pd.DataFrame:
    rows = []
    for number, letter in enumerate(F1):
        row = probe_scores(letter) | {"sae_width": 16_000, "sae_l0": 59}
        for rank in range(5):
            row |= {f"{score}_sae_top_{rank}": 0.5 + number / 10 for score in ("auc", "f1", "recall", "precision")}
            row |= {
                f"sae_top_{rank}_feat": 1000 * number + rank,
                f"cos_probe_sae_enc_{letter.upper()}_top_{rank}": 0.9 - rank / 10,
                f"cos_probe_sae_dec_{letter.upper()}_top_{rank}": 0.5 - rank / 10,
            }
        rows.append(row)
    return pd.DataFrame(rows)
