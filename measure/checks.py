"""Checks that run with every measurement and stand in the suite's manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from measure.concepts import BUILT_IN
from measure.stages.ablation import decides
from measure.stages.candidates import SILENT
from measure.stages.projections import LEAST_SHARE
from queries.schema import family_of, letter_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from measure.config import Config

#: A probe with a lower F1 has failed: its letter is kept and named here.
_FAILED = 0.5
#: Margins that are tried, as shares of the effect of erasing the probe's direction.
_SHARES = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
#: What a word's projection on the probe is shared out to, and the whole.
_PARTS = ("main", "absorbing", "total")
#: Letters that SAEBench needs (`min_feats_for_eval`).
_ENOUGH = 20


def make_checks(config: Config, loss: Mapping[str, Any], tables: Mapping[str, pa.Table]) -> dict[str, Any]:
    """Compute the checks, by what they are called in the page "About this suite".

    Those of each family of concepts are named after it where there are several.
    """
    checks = {
        "Perplexity of the model on held-out text": loss["perplexity"],
        "Perplexity by source": ", ".join(
            f"{name} {value:.0f}" for name, value in loss["perplexity_by_source"].items()
        ),
    }
    families = sorted({family_of(concept) for concept in tables["measurements"]["concept"].to_pylist()})
    for family in families:
        of_family = {
            name: table.filter(pc.starts_with(table["concept"], f"{family}.")) if len(families) > 1 else table
            for name, table in tables.items()
            if name in ("measurements", "k_sparse", "tested_tokens")
        }
        before = f"{family}: " if len(families) > 1 else ""
        noun = "Letters" if family in BUILT_IN else "Concepts"
        checks |= {f"{before}{name}": value for name, value in _of_family(config, of_family, noun).items()}
    return checks


def _of_family(config: Config, tables: Mapping[str, pa.Table], noun: str) -> dict[str, Any]:
    """Compute the checks of the concepts of a family."""
    rows, measurements = tables["tested_tokens"], tables["measurements"]
    tested, full = (_of_metric(rows, metric).to_pydict() for metric in ("ig_ablation", "full"))
    measured = measurements.filter(
        pc.and_(pc.equal(measurements["metric"], "ig_ablation"), pc.is_valid(measurements["probe_f1"]))
    ).to_pydict()
    k_sparse = tables["k_sparse"].to_pydict()
    f1 = np.array(measured["probe_f1"], float)
    names = np.array([*map(letter_of, measured["concept"])])
    failed = sorted(set(names[f1 < _FAILED].tolist()))
    checks = {
        "Mean F1 of the linear probes": float(f1.mean()),
        "Lowest F1 of a linear probe": f"{f1.min():.3f} ({names[f1.argmin()]})",
        f"{noun} whose probe fails (F1 below 0.5)": ", ".join(failed) or "none",
        "Largest fall of mean F1 from one k to the next": largest_decrease(k_sparse),
        "Tested tokens": len(tested["token"]),
        "Tested tokens that are absorbed": int(np.sum(tested["is_absorption"])),
        "Verdicts that differ when recomputed from the stored scores": different_verdicts(config, tested)
        + different_projections(config, full),
        **projection_shares(rows.select([f"{name}_projection" for name in _PARTS]).to_pydict()),
        **_left_out(config, f1, names, noun),
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
    return checks | relative_margins(config, tested)


def relative_margins(config: Config, tested: Mapping[str, list[Any]]) -> dict[str, str]:
    """Count the tokens that would be absorbed if the margin were a share of what erasing the probe's direction does.

    A margin of one logit is calibrated to 26 letters; a share means the same whatever the answers are.
    """
    top, second, cosine, erased = (
        np.array(tested.get(name, []), float)
        for name in ("top_effect", "second_effect", "top_cosine", "erasure_effect")
    )
    if not np.isfinite(erased).any():
        return {}
    may = _silent(tested) & (erased < 0)
    known, threshold = (top, np.nan_to_num(second), cosine), config.method.cosine_threshold
    numbers = {
        share: int((may & decides(*known, margin=share * np.abs(erased), cosine_threshold=threshold)).sum())
        for share in _SHARES
    }
    name = "Absorbed tokens at a margin of a share of the effect of erasing the probe's direction"
    return {name: ", ".join(f"{share:.0%}: {number:,}" for share, number in numbers.items())}


def _of_metric(table: pa.Table, metric: str) -> pa.Table:
    return table.filter(pc.equal(table["metric"], metric))


def projection_shares(rows: Mapping[str, list[Any]]) -> dict[str, float]:
    """Say who carries the probe's direction at the true positives, on average: soft absorption.

    Split latents, the absorbing latents that SAEBench counts, neither (other latents, biases, the SAE's error). Words
    whose projection is not positive have nothing to share out, and are omitted.
    """
    main, absorbing, total = (np.array(rows[f"{name}_projection"], float) for name in _PARTS)
    known = total > 0
    if not known.any():
        return {}
    carried, taken = (float((part[known] / total[known]).mean()) for part in (main, absorbing))
    return {
        "Share of the projection on the probe that split latents carry, mean over true positives": carried,
        "Share that absorbing latents carry (three at most)": taken,
        "Share that neither carry": 1 - carried - taken,
    }


def _left_out(config: Config, f1: np.ndarray, names: np.ndarray, noun: str) -> dict[str, str]:
    """Name the letters that are not measured by projection because their probe is poor, and if too few are left."""
    least = config.method.min_probe_f1
    if not least:
        return {}
    poor = sorted(set(names[f1 <= least].tolist()))
    left = len(set(names.tolist())) - len(poor)
    enough = "" if left >= _ENOUGH else f"; {left} are left, SAEBench measures no model with fewer than {_ENOUGH}"
    return {f"{noun} not measured by projection (probe F1 of {least} or less)": (", ".join(poor) or "none") + enough}


def _silent(rows: Mapping[str, list[Any]]) -> np.ndarray:
    """Tell on which tokens every split latent is silent."""
    return np.array([max(values) < SILENT for values in rows["split_activations"]])


def different_projections(config: Config, full: Mapping[str, list[Any]]) -> int:
    """Count the stored verdicts by projection that do not follow from the stored scores, as a float32 file has them."""
    if not full["token"]:
        return 0
    top, total, cosine = (
        np.array(full[name], float).astype(np.float32) for name in ("top_projection", "total_projection", "top_cosine")
    )
    carries = (total >= 0) & (top >= LEAST_SHARE * total) & (cosine >= config.method.cosine_threshold)
    return int(((_silent(full) & carries) != np.array(full["is_absorption"])).sum())


def different_verdicts(config: Config, tested: Mapping[str, list[Any]]) -> int:
    """Count the stored verdicts that do not follow from the stored scores, as a float32 file has them."""
    if not tested["token"]:
        return 0
    top, second, cosine = (
        np.nan_to_num(np.array(tested[name], float)).astype(np.float32)
        for name in ("top_effect", "second_effect", "top_cosine")
    )
    method = config.method
    limits = {"margin": method.effect_margin, "cosine_threshold": method.cosine_threshold}
    verdict = _silent(tested) & decides(top, second, cosine, **limits)
    return int((verdict != np.array(tested["is_absorption"])).sum())


def largest_decrease(k_sparse: Mapping[str, list[Any]]) -> float:
    """Return the most that mean F1 falls by from one k to the next."""
    k, f1 = np.array(k_sparse["k"]), np.array(k_sparse["f1"], float)
    means = [f1[k == value].mean() for value in np.unique(k)]
    return float(max(0.0, -np.diff(means).min(initial=0.0)))
