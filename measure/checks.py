"""Checks that run with every measurement; their results are stored in the suite's manifest."""

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

#: A probe with a lower F1 has failed: its letter stays in the suite, and a check names it.
_FAILED = 0.5
#: Effect margins to compare, as shares of the effect of erasing the probe's direction.
_SHARES = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
#: A word's projection on the probe: that of its split latents, of its absorbing latents, and of the whole stream.
_PROJECTIONS = ("main", "absorbing", "total")
#: Minimum number of letters that SAEBench requires (`min_feats_for_eval`).
_MIN_CONCEPTS = 20


def make_checks(config: Config, loss: Mapping[str, Any], tables: Mapping[str, pa.Table]) -> dict[str, Any]:
    """Compute the checks, by their names on the page "About this suite".

    If there are several families of concepts, each family's checks begin with its name.
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
        **projection_shares(rows.select([f"{name}_projection" for name in _PROJECTIONS]).to_pydict()),
        **_omitted_concepts(config, f1, names, noun),
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
    """Count the absorbed tokens if the effect margin were a share of the effect of erasing the probe's direction.

    A margin of one logit is calibrated to 26 letters; a share is comparable between families of concepts.
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
    """Divide the projection on the probe among its sources, as a mean over true positives: soft absorption.

    The sources are the split latents, the absorbing latents that SAEBench counts, and the rest (other latents, biases,
    the SAE's error). Words without a positive projection are omitted.
    """
    main, absorbing, total = (np.array(rows[f"{name}_projection"], float) for name in _PROJECTIONS)
    known = total > 0
    if not known.any():
        return {}
    by_split, by_absorbing = (float((part[known] / total[known]).mean()) for part in (main, absorbing))
    return {
        "Share of the projection on the probe that split latents carry, mean over true positives": by_split,
        "Share that absorbing latents carry (three at most)": by_absorbing,
        "Share that neither carry": 1 - by_split - by_absorbing,
    }


def _omitted_concepts(config: Config, f1: np.ndarray, names: np.ndarray, noun: str) -> dict[str, str]:
    """List the letters not measured by projection because their probe is poor; note if too few letters remain."""
    least = config.method.min_probe_f1
    if not least:
        return {}
    poor = sorted(set(names[f1 <= least].tolist()))
    left = len(set(names.tolist())) - len(poor)
    note = "" if left >= _MIN_CONCEPTS else f"; {left} remain, SAEBench requires at least {_MIN_CONCEPTS}"
    return {f"{noun} not measured by projection (probe F1 of {least} or less)": (", ".join(poor) or "none") + note}


def _silent(rows: Mapping[str, list[Any]]) -> np.ndarray:
    """Return a mask of the tokens on which every split latent is silent."""
    return np.array([max(values) < SILENT for values in rows["split_activations"]])


def different_projections(config: Config, full: Mapping[str, list[Any]]) -> int:
    """Count the verdicts by projection that differ from those recomputed from scores rounded to float32."""
    if not full["token"]:
        return 0
    top, total, cosine = (
        np.array(full[name], float).astype(np.float32) for name in ("top_projection", "total_projection", "top_cosine")
    )
    carries = (total >= 0) & (top >= LEAST_SHARE * total) & (cosine >= config.method.cosine_threshold)
    return int(((_silent(full) & carries) != np.array(full["is_absorption"])).sum())


def different_verdicts(config: Config, tested: Mapping[str, list[Any]]) -> int:
    """Count the verdicts by ablation that differ from those recomputed from scores rounded to float32."""
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
    """Return the largest decrease of mean F1 from one k to the next; 0 if it never decreases."""
    k, f1 = np.array(k_sparse["k"]), np.array(k_sparse["f1"], float)
    means = [f1[k == value].mean() for value in np.unique(k)]
    return float(max(0.0, -np.diff(means).min(initial=0.0)))
