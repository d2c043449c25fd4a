"""Checks that run with every measurement and stand in the suite's manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from measure.stages.candidates import SILENT
from queries.schema import letter_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from measure.config import Config

#: A probe with a lower F1 has failed: its letter is kept and named here.
_FAILED = 0.5


def make_checks(config: Config, loss: Mapping[str, Any], tables: Mapping[str, pa.Table]) -> dict[str, Any]:
    """Compute the checks, by what they are called in the page "About this suite"."""
    tested, measured, k_sparse = (tables[name].to_pydict() for name in ("tested_tokens", "measurements", "k_sparse"))
    f1 = np.array(measured["probe_f1"], float)
    names = np.array([*map(letter_of, measured["concept"])])
    failed = sorted(set(names[f1 < _FAILED].tolist()))
    checks = {
        "Perplexity of the model on held-out text": loss["perplexity"],
        "Perplexity by source": ", ".join(
            f"{name} {value:.0f}" for name, value in loss["perplexity_by_source"].items()
        ),
        "Mean F1 of the linear probes": float(f1.mean()),
        "Lowest F1 of a linear probe": f"{f1.min():.3f} ({names[f1.argmin()]})",
        "Letters whose probe fails (F1 below 0.5)": ", ".join(failed) or "none",
        "Largest fall of mean F1 from one k to the next": largest_fall(k_sparse),
        "Tested tokens": len(tested["token"]),
        "Tested tokens that are absorbed": int(np.sum(tested["is_absorption"])),
        "Verdicts that differ when recomputed from the stored scores": different_verdicts(config, tested),
    }
    if not tested["token"]:
        return checks
    for name, what in (("top", "top latent"), ("second", "runner-up")):
        attributed, true = (np.array(tested[column], float) for column in (f"{name}_effect", f"true_effect_{name}"))
        both = np.isfinite(attributed) & np.isfinite(true)
        # Where the word cannot be seen from the prompt's end, all effects are 0.
        if both.sum() > 1 and np.ptp(attributed[both]) > 0 and np.ptp(true[both]) > 0:
            checks[f"Correlation of attributed and true effect, {what}"] = float(
                np.corrcoef(attributed[both], true[both])[0, 1]
            )
    true = np.array(tested["true_effect_top"], float)[np.array(tested["is_absorption"], bool)]
    if len(true):
        checks["Mean true effect of absorbing latents, logits"] = float(true.mean())
        checks["Share of absorbed tokens with a true effect of at most -1"] = float((true <= -1).mean())
    return checks


def different_verdicts(config: Config, tested: Mapping[str, list[Any]]) -> int:
    """Count the stored verdicts that do not follow from the stored scores, as a float32 file has them."""
    if not tested["token"]:
        return 0
    top, second, cosine = (
        np.nan_to_num(np.array(tested[name], float)).astype(np.float32)
        for name in ("top_effect", "second_effect", "top_cosine")
    )
    silent = np.array([max(values) < SILENT for values in tested["split_activations"]])
    method = config.method
    verdict = (
        silent
        & (top <= 0)
        & (np.abs(top) - np.abs(second) >= method.effect_margin)
        & (cosine >= method.cosine_threshold)
    )
    return int((verdict != np.array(tested["is_absorption"])).sum())


def largest_fall(k_sparse: Mapping[str, list[Any]]) -> float:
    """Return the most that mean F1 falls by from one k to the next."""
    k, f1 = np.array(k_sparse["k"]), np.array(k_sparse["f1"], float)
    means = [f1[k == value].mean() for value in np.unique(k)]
    return float(max(0.0, -np.diff(means).min(initial=0.0)))
