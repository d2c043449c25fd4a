"""Synthetic results in absorption-atlas's format: letters and single concepts, for two language models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from tests.result_files import save
from tests.saebench_results import write_json

if TYPE_CHECKING:
    from pathlib import Path

GATE = "gate/gate_summary_l082.json"
EARLIER = "gate/gate_summary.json"
LAST = "last_letter/summary_l082.json"
ALL_LAST = "last_letter/probedir_l082.json"
CAPITAL = "is_capitalized/summary_l082.json"
DETAIL = "is_capitalized/absorption_detail_l082.parquet"
PROJECTIONS = "is_capitalized/probedir_l082.json"
SUFFIX = "suffix_ing/summary_l082.json"
OTHER_MODEL = "is_capitalized_9b/summary_l068.json"
SAE = "l12-w16000-l0-82"
SPLIT = [2768, 8366]
#: Rates of first letters; their mean is 0.125.
FIRST_RATES = {"a": 0.25, "s": 0.125, "z": 0.0}


def write_results(root: Path) -> Path:
    """Write the results of one SAE for each of two models."""
    write_one_model(root)
    capital = concept("is_capitalized", "{word} starts with a capital letter:")
    write_json(root / OTHER_MODEL, capital | {"layer": 20, "l0": 68, "main_feats": [5]})
    return root


def write_one_model(root: Path) -> Path:
    write_json(root / GATE, letters(FIRST_RATES) | {"thresholds": {"probe_cos": 0.025, "ablation_delta": 1.0}})
    write_json(root / EARLIER, letters({"a": 0.5}) | {"thresholds": {"probe_cos": 0.025, "ablation_delta": 1.0}})
    write_json(root / LAST, letters({"d": 0.1, "s": 0.3}, scaled=True) | {"property": "last_letter"})
    write_json(root / ALL_LAST, projections("last_letter"))
    write_json(root / CAPITAL, concept("is_capitalized", "{word} starts with a capital letter:"))
    save(root / DETAIL, detail())
    write_json(root / PROJECTIONS, projections("is_capitalized"))
    absorbed = {"absorption_rate": 3 / 0.5 / 100, "sample_portion": 0.5, "probe_true_positives": 100}
    write_json(root / SUFFIX, concept("suffix_ing", "{word} ends with -ing:") | absorbed)
    return root


def letters(rates: dict[str, float], *, scaled: bool = False) -> dict[str, Any]:
    """Return the rates of letters with 80 true positives each; with `scaled`, absorbed tokens are fractional."""
    return {
        "layer": 12,
        "width": 16000,
        "l0": 82,
        "max_prompts_per_letter": 200,
        "mean_absorption_rate": sum(rates.values()) / len(rates),
        "per_letter": [
            {
                "letter": letter,
                "absorption_rate": rate,
                "num_absorption": rate * 80 + 0.25 * scaled,
                "num_probe_true_positives": 80.0,
            }
            for letter, rate in rates.items()
        ],
        "device": "cuda",
    }


def concept(name: str, template: str) -> dict[str, Any]:
    return {
        "property": name,
        "template": template,
        "layer": 12,
        "width": 16000,
        "l0": 82,
        "word_token_pos": -7,
        "positives": 64852,
        "probe_auroc": 0.99,
        "ksparse_best_f1": 0.97,
        "ksparse_main_k": 2,
        "ksparse_f1_by_k": {"1": 0.75, "2": 0.95, "3": 0.96, "50": 0.97},
        "main_feats": SPLIT,
        "clean_latent": True,
        "probe_true_positives": 1000,
        "num_candidates": 9,
        "max_prompts_per_property": 200,
        "absorption_rate": 2 / 0.5 / 1000,
        "absorption_rate_by_iggap": {"0.5": 0.004, "1.0": 0.004},
        "sample_portion": 0.5,
        "num_sampled": 4,
        "funnel": {"sampled": 4, "main_silent": 3},
        "diagnostics": {"top_cos_max": 0.2},
    }


def projections(name: str) -> dict[str, Any]:
    return {
        "property": name,
        "n_candidates": 4,
        "n_main_silent": 3,
        "probedir_conditioned_rate": {"1.5": 0.75, "2.0": 0.5, "3.0": 0.125},
        "random_dir_control": {"1.5": 0.5, "2.0": 0.25, "3.0": 0.03},
    }


def detail() -> pd.DataFrame:
    """Return tested tokens: two absorbed, one below the effect margin, one on which a main latent fires."""
    return pd.DataFrame(
        {
            "token": [" Short", "Tall", " Wide", " Deep"],
            "main_silent": [True, True, True, False],
            "top_feat": [10, 11, 12, 13],
            "top_ablation": [-2.5, -1.5, -1.5, -9.0],
            "top_cos": [0.5, 0.025, 0.5, 0.5],
            "second_ablation": [-0.5, 0.0, -1.0, 0.0],
        }
    )
