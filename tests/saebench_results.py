"""Synthetic results and tables of SAEBench's absorption evaluation, with its layout and names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pandas as pd

from tests.result_files import save

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: An SAE with all files.
FULL = ("gemma-scope-2b-pt-res", "layer_5/width_16k/average_l0_34")
#: An SAE with results of an older version only.
OLD = ("saebench_gemma-2-2b_width-2pow12", "blocks.12.hook_resid_post__trainer_1")
COMMIT = "c0f54314bc8a8eba515c056e4d1175902f0f7f95"

_JOINED = "gemma-scope-2b-pt-res_layer_5/width_16k/average_l0_34"
_TABLES = "artifacts/absorption"
TESTED = f"{_TABLES}/feature_absorption/{_JOINED}/layer_5_{_JOINED}.parquet"
METRICS = f"{_TABLES}/k_sparse_probing/{_JOINED}/layer_5_{_JOINED}_metrics.parquet"
METADATA = f"{_TABLES}/k_sparse_probing/{_JOINED}/layer_5_{_JOINED}_metadata.parquet"
RAW = f"{_TABLES}/k_sparse_probing/{_JOINED}/layer_5_{_JOINED}_raw_results.parquet"
RECORDS = f"{_TABLES}/{_JOINED.replace('/', '_')}_k_sparse_probing.json"

K_VALUES = range(1, 11)
#: F1 by k; the last one stands for all further k.
F1 = {"a": [0.9, 0.91], "q": [0.4], "s": [0.7, 0.8, 0.81]}
RANKED = {"a": [3], "q": [9], "s": [1, 2]}


def results_file(sae: tuple[str, str], kind: str = "absorption") -> str:
    return f"eval_results/{kind}/{'_'.join(sae).replace('/', '_')}_eval_results.json"


def write_results(root: Path) -> Path:
    """Write the results of two SAEs, and the tables of the first."""
    write_json(root / results_file(FULL), absorption(FULL, [detail("a", 4, 1, 1, 0.25), detail("s", 5, 2, 2, 0.3)]))
    write_json(root / results_file(FULL, "core"), core(FULL, 34.4))
    old = absorption(OLD, [detail("s", 10, 3, 2, 0.2), detail("t", 8, 0, 1, 0.0)])
    for name in ("sae_bench_commit_hash", "sae_lens_version", "sae_cfg_dict", "eval_result_unstructured"):
        del old[name]
    write_json(root / results_file(OLD), old)
    save(root / TESTED, tested_tokens())
    save(root / METRICS, metrics())
    save(root / METADATA, metadata())
    save(
        root / RAW,
        pd.DataFrame({"token": [" short", " zoo"], "answer_letter": ["s", "z"], "score_probe_s": [1.0, 0.0]}),
    )
    write_json(root / RECORDS, records())
    return root


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def edit_json(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Rewrite a JSON file with the result of `change`, or its modified argument if that returns None."""
    content = json.loads(path.read_text(encoding="utf-8"))
    changed = change(content)
    write_json(path, content if changed is None else changed)


def detail(letter: str, true_positives: int, absorbed: int, split: int, fraction: float) -> dict[str, Any]:
    return {
        "first_letter": letter,
        "mean_absorption_fraction": fraction,
        "full_absorption_rate": absorbed / true_positives,
        "num_full_absorption": absorbed,
        "num_probe_true_positives": true_positives,
        "num_split_features": split,
    }


def absorption(sae: tuple[str, str], details: list[dict[str, Any]], **config: Any) -> dict[str, Any]:
    """Return the results of one SAE; `config` updates its configuration."""
    return {
        "eval_type_id": "absorption_first_letter",
        "eval_config": {"model_name": "gemma-2-2b", "f1_jump_threshold": 0.03, "max_k_value": 10},
        "eval_id": "made up",
        "datetime_epoch_millis": 1741454503938,
        "eval_result_metrics": {"mean": {"mean_full_absorption_score": 0.5}},
        "eval_result_details": details,
        "sae_bench_commit_hash": COMMIT,
        "sae_lens_id": sae[1],
        "sae_lens_release_id": sae[0],
        "sae_lens_version": "5.5.2",
        "sae_cfg_dict": {
            "architecture": "jumprelu",
            "d_in": 2304,
            "d_sae": 16384,
            "model_name": "gemma-2-2b",
            "hook_name": "blocks.5.hook_resid_post",
            "hook_layer": 5,
            "neuronpedia_id": "gemma-2-2b/5-gemmascope-res-16k",
            **config,
        },
        "eval_result_unstructured": None,
    }


def core(sae: tuple[str, str], l0: float | None) -> dict[str, Any]:
    return {
        "eval_type_id": "core",
        "eval_config": {"model_name": "gemma-2-2b"},
        "eval_result_metrics": {"sparsity": {"l0": l0, "l1": 190.4}},
        "eval_result_details": [{"index": 0, "feature_density": 0.0}],
        "sae_lens_id": sae[1],
        "sae_lens_release_id": sae[0],
    }


def tested_tokens() -> pd.DataFrame:
    """Return every probe true positive; q has too poor a probe to be in the results."""
    s = {"letter": "s", "num_probe_true_positives": 5, "split_feats": [1, 2]}
    a = {"letter": "a", "num_probe_true_positives": 4, "split_feats": [3]}
    q = {"letter": "q", "num_probe_true_positives": 2, "split_feats": [9]}
    return pd.DataFrame(
        [
            *(s | token_row(token, silent=True, absorbed=True, fraction=0.75) for token in (" short", " sun")),
            *(s | token_row(token, silent=False, absorbed=False, fraction=0.0) for token in (" sea", " saw", " six")),
            a | token_row(" ant", silent=True, absorbed=True, fraction=1.0),
            *(a | token_row(token, silent=False, absorbed=False, fraction=0.0) for token in (" air", " arm", " axe")),
            q | token_row(" quiz", silent=True, absorbed=True, fraction=0.5),
            q | token_row(" queen", silent=True, absorbed=False, fraction=0.0),
        ]
    )


def token_row(token: str, *, silent: bool, absorbed: bool, fraction: float) -> dict[str, Any]:
    latents = [700, 701, *range(702, 710)]
    return {
        "token": token,
        "prompt": f"\n tall has the first letter: T\n{token} has the first letter:",
        "split_feat_acts": [0.0 if silent else 2.0],
        "split_feat_probe_cos": [0.5],
        "top_projection_feat": 700,
        "top_probe_projection": 8.0,
        "top_projection_feat_probe_cos": 0.5,
        "second_projection_feat": 701,
        "second_probe_projection": 4.0,
        "second_projection_feat_probe_cos": 0.25,
        "probe_projections": [8.0, 4.0, *[0.0] * 8],
        "projection_feats": latents,
        "projection_feat_acts": [16.0, 16.0, *[0.0] * 8],
        "projection_feat_probe_cos": [0.5, 0.25, *[0.0] * 8],
        "absorption_fraction": fraction,
        "is_full_absorption": absorbed,
    }


def feats(letter: str, k: int) -> list[int]:
    return (RANKED[letter] + list(range(100, 110)))[:k]


def metrics() -> pd.DataFrame:
    rows = []
    for letter, scores in F1.items():
        row: dict[str, Any] = {"auc_probe": 0.99, "f1_probe": 0.95, "recall_probe": 0.94, "precision_probe": 0.96}
        row |= {"letter": letter, "layer": 5, "sae_name": _JOINED}
        for k in K_VALUES:
            f1 = scores[min(k, len(scores)) - 1]
            row |= {f"{score}_sparse_sae_{k}": f1 for score in ("auc", "f1", "recall", "precision")}
            row |= {f"{score}_sum_sparse_sae_{k}": 0.1 for score in ("auc", "f1", "recall", "precision")}
            row[f"sparse_sae_k_{k}_feats"] = feats(letter, k)
        rows.append(row)
    return pd.DataFrame(rows)


def metadata() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"layer": 5, "sae_name": _JOINED, "letter": letter, "k": k, "feats": feats(letter, k)}
            for letter in F1
            for k in K_VALUES
        ]
    )


def records() -> list[dict[str, Any]]:
    """Return the metrics as in their JSON file, with split latents and their number less one."""
    return [
        row | {"split_feats": RANKED[row["letter"]], "num_split_features": len(RANKED[row["letter"]]) - 1}
        for row in metrics().to_dict("records")
    ]


def old_detail(true_positives: float, absorbed: int, split: int) -> dict[str, Any]:
    """Return a letter's numbers as SAEBench called them before January 2025."""
    return {
        "num_absorption": absorbed,
        "absorption_rate": absorbed / true_positives,
        "num_probe_true_positives": true_positives,
        "num_split_features": split,
    }


#: Made-up results of two letters in each form that SAEBench ever gave them, the oldest first.
RELEASE, ID = "gemma-scope-2b-pt-res", "layer_3/width_16k/average_l0_59"
_OLD = {"a": old_detail(100.0, 25, 2), "b": old_detail(80.0, 8, 1)}
_MEANS = {"mean_absorption_rate": 0.175, "mean_num_split_features": 1.5}
_CONFIG = {"model_name": "gemma-2-2b", "layer": 3, "f1_jump_threshold": 0.02, "random_seed": 42}
_OF_OCTOBER = {"custom_eval_config": _CONFIG | {"selected_saes_dict": {RELEASE: [ID]}}}
_ONE = {
    "eval_instance_id": "made up",
    "sae_lens_release": RELEASE,
    "sae_lens_id": ID,
    "eval_type_id": "absorption",
    "sae_bench_version": COMMIT,
    "eval_config": _CONFIG,
    "eval_results": {f"absorption_first_letter_{letter}": numbers for letter, numbers in _OLD.items()} | _MEANS,
}
_TODAY = absorption((RELEASE, ID), [{"first_letter": letter} | numbers for letter, numbers in _OLD.items()])
_TODAY["eval_config"] |= {"f1_jump_threshold": 0.02}
FORMS: dict[str, tuple[str, Any]] = {
    "letters by SAE": (
        "gemma-2-2b_layer_3_eval_results.json",
        {
            "custom_eval_results": {
                ID: {
                    letter: {
                        "num_feature_splits" if name == "num_split_features" else name: number
                        for name, number in numbers.items()
                    }
                    for letter, numbers in _OLD.items()
                }
            }
        }
        | _OF_OCTOBER,
    ),
    "named letters by SAE": (
        "gemma-2-2b_layer_3_eval_results.json",
        {"custom_eval_results": {ID: _ONE["eval_results"]}} | _OF_OCTOBER,
    ),
    "one SAE": ("one_eval_results.json", _ONE),
    "SAEs by name": ("all_eval_results.json", {f"{RELEASE}_{ID}": _ONE}),
    "details": (
        "details_eval_results.json",
        {name: value for name, value in _TODAY.items() if name not in ("sae_cfg_dict", "eval_result_unstructured")},
    ),
    "details and configuration": ("described_eval_results.json", _TODAY),
    "full absorption": (
        "today_eval_results.json",
        _TODAY | {"eval_result_details": [detail("a", 100, 25, 2, 0.3), detail("b", 80, 8, 1, 0.2)]},
    ),
}
