"""Rows of the tables `tested_tokens` (one per true positive of a probe) and `measurements` (per concept and metric)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from measure.scores import interval, mean_samples
from measure.stages.ablation import KEPT, is_absorption
from measure.stages.projections import LEAST_COSINE, MOST_ABSORBING
from queries.schema import FRACTION, FRACTION_0_3, FRACTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from measure.config import MethodPart
    from measure.scores import Scores
    from measure.sparse import Sparse
    from measure.stages.ablation import Effects, Tested
    from measure.stages.candidates import Candidates
    from measure.stages.gate import Gate
    from measure.stages.projections import ConceptProjections, Projections
    from measure.stages.prompts import Chosen
    from measure.stages.vocabulary import Vocabulary

#: Latents per ablated word that are stored for their projection, in addition to those stored for their effect.
_BY_PROJECTION = 3
_BOOTSTRAP_SEED = 305
#: The versions of SAEBench whose rules are applied: the current one, and the last one with the former fraction.
_SAEBENCH, _FORMER_SAEBENCH = "0.6.0", "0.4.0"
#: The metrics by projection: full absorption and both versions of the absorption fraction.
_BY_PROJECTION_RULES: tuple[dict[str, Any], ...] = (
    {"metric": "full", "metric_version": _SAEBENCH},
    {"metric": FRACTION, "metric_version": _SAEBENCH},
    {"metric": FRACTION_0_3, "metric_version": _FORMER_SAEBENCH},
)


def tested_rows(
    tested: Tested,
    projected: Mapping[int, ConceptProjections],
    activations: Sparse,
    vocabulary: Vocabulary,
    chosen: Chosen,
    *,
    split: Mapping[int, tuple[np.ndarray, np.ndarray]],
    cosines: Sequence[np.ndarray],
    unit_projections: Sequence[np.ndarray],
    logits: np.ndarray,
    first_prompt: int,
    effect_margin: float,
    cosine_threshold: float,
) -> list[dict[str, Any]]:
    """Make the rows of the table `tested_tokens`, one per true positive of the probes.

    Rows of ablated words have effects and projections, and the verdict of the ablation; all others have projections
    and the verdict of full absorption.

    Parameters
    ----------
    tested : Tested
    projected : mapping of int to ConceptProjections
        By concept.
    activations : Sparse
        On the test words in the prompts that they are tested in, (test words, latents).
    vocabulary : Vocabulary
    chosen : Chosen
    split : mapping of int to pair of numpy.ndarray
        By concept, the split latents and all latents that are split latents at some other tau. The latter are stored
        so that verdicts can be recomputed at that tau.
    cosines : sequence of numpy.ndarray
        Per fold, cosines of decoder rows with the fold's probes, (concepts, latents).
    unit_projections : sequence of numpy.ndarray
        Per fold, the projection of one unit of each latent on the fold's probes, (latents, concepts).
    logits : numpy.ndarray
        Scores of the probes on the test words in the prompts that they are tested in, (test words, concepts).
    first_prompt : int
        Id of the family's first prompt in the suite.
    effect_margin, cosine_threshold : float
    """
    effects = dict(zip(zip(tested.words.tolist(), tested.letters.tolist(), strict=True), tested.effects, strict=True))
    rows = []
    folds, right = vocabulary.test_folds, vocabulary.labels
    for letter, judged in projected.items():
        absorbed = judged.found.fully_absorbed(cosine_threshold)
        test_positions = vocabulary.test_positions(judged.words).tolist()
        for place, (word, at) in enumerate(zip(judged.words.tolist(), test_positions, strict=True)):
            latents, values = activations.row(at)
            if not len(latents):
                # Without active latents there is no top latent, and none can absorb.
                continue
            of_word, fold = effects.get((word, letter)), int(folds[at])
            projections = values * unit_projections[fold][latents, letter]
            of_probe = cosines[fold][letter]
            own, possible = split[letter]
            strength = dict(zip(latents.tolist(), values.tolist(), strict=True))
            row = {
                "concept": vocabulary.family.concept(letter),
                "token": str(vocabulary.texts[word]),
                "token_id": int(vocabulary.ids[word]),
                "prompt_id": first_prompt + int(chosen.tested_in[at]),
                "split_activations": [strength.get(latent, 0.0) for latent in own.tolist()],
                "split_cosines": of_probe[own].tolist(),
                "probe_logit": float(logits[at, letter]),
                "num_active_latents": len(latents),
                **_projections(judged.found, place),
            }
            kept = _stored_latents(projections, of_word, of_probe[latents], np.isin(latents, possible))
            row |= {
                "latents": latents[kept].tolist(),
                "activations": values[kept].tolist(),
                "cosines": of_probe[latents[kept]].tolist(),
                "projections": projections[kept].tolist(),
            }
            if of_word is None:
                row |= {
                    "metric": "full",
                    "top_latent": int(judged.found.top[place]),
                    "top_cosine": float(judged.found.top_cosine[place]),
                    "is_absorption": bool(absorbed[place]),
                }
            else:
                row |= _ablated(of_word, latents, kept, of_probe)
                row |= {
                    "model_answer": vocabulary.family.names[of_word.answer],
                    "model_correct": bool(right[word, of_word.answer]),
                }
                row["is_absorption"] = is_absorption(
                    split_activations=np.array(row["split_activations"]),
                    top_effect=row["top_effect"],
                    second_effect=row["second_effect"],
                    top_cosine=row["top_cosine"],
                    effect_margin=effect_margin,
                    cosine_threshold=cosine_threshold,
                )
            rows.append(row)
    return rows


def _projections(found: Projections, place: int) -> dict[str, float]:
    return {
        "top_projection": float(found.top_projection[place]),
        "main_projection": float(found.main[place]),
        "absorbing_projection": float(found.absorbing[place]),
        "latents_projection": float(found.latents[place]),
        "total_projection": float(found.total[place]),
    }


def _stored_latents(
    projections: np.ndarray, effects: Effects | None, cosines: np.ndarray, possible: np.ndarray
) -> np.ndarray:
    """Choose the latents of a word that are stored, by ascending effect or, without effects, by descending projection.

    They are those with the largest effects and projections, those that are split latents at some tau, and the others
    with the largest projections that may absorb. With these, the absorption fraction can be computed at any tau.
    """
    by_projection = np.argsort(-projections, kind="stable")
    if effects is None:
        chosen, order = by_projection[:KEPT], -projections
    else:
        chosen, order = np.argsort(-np.abs(effects.effects), kind="stable")[:KEPT], effects.effects
        chosen = np.union1d(chosen, by_projection[:_BY_PROJECTION])
    may_absorb = ~possible & (projections > 0) & (cosines >= LEAST_COSINE)
    absorbing = by_projection[may_absorb[by_projection]][:MOST_ABSORBING]
    chosen = np.union1d(np.union1d(chosen, absorbing), np.flatnonzero(possible))
    return chosen[np.argsort(order[chosen], kind="stable")]


def _ablated(found: Effects, latents: np.ndarray, kept: np.ndarray, cosines: np.ndarray) -> dict[str, Any]:
    """Return the columns with the results of a word's ablation."""
    order = np.argsort(found.effects, kind="stable")
    top = order[0]
    second = order[1] if len(order) > 1 and found.effects[order[1]] < 0 else None
    return {
        "metric": "ig_ablation",
        "top_latent": int(latents[top]),
        "top_effect": float(found.effects[top]),
        "top_cosine": float(cosines[latents[top]]),
        "second_latent": None if second is None else int(latents[second]),
        "second_effect": 0.0 if second is None else float(found.effects[second]),
        "second_cosine": None if second is None else float(cosines[latents[second]]),
        "effects": found.effects[kept].tolist(),
        "true_effect_top": found.true_top,
        "true_effect_second": None if second is None else found.true_second,
        "answer_metric": found.metric,
        "answer_log_odds": found.log_odds,
        "erasure_effect": _known(found.erased),
    }


def measurements_of(
    place: int,
    vocabulary: Vocabulary,
    chosen: Chosen,
    split: np.ndarray,
    candidates: Candidates,
    judged: ConceptProjections | None,
    gate: Gate | None,
    probe: Scores,
    rows: list[dict[str, Any]],
    random_cosines: np.ndarray,
    method: MethodPart,
) -> list[dict[str, Any]]:
    """Make the rows of the table `measurements` of one concept, one per metric.

    As in SAEBench, metrics by projection have no row for a concept whose probe has an F1 of `min_probe_f1` or less; the
    metric by ablation always has one. If the gate rejects a metric, its row states the reason.

    Parameters
    ----------
    place : int
        Index of the concept.
    vocabulary : Vocabulary
    chosen : Chosen
    split : numpy.ndarray
        The split latents.
    candidates : Candidates
    judged : ConceptProjections or None
        None if the gate rejected the metrics by projection.
    gate : Gate or None
        None if the family has no gate.
    probe : Scores
    rows : list of dict
        The result of `tested_rows`.
    random_cosines : numpy.ndarray
        Cosines of decoder rows with random directions, (directions, latents).
    method : MethodPart
    """
    concept = vocabulary.family.concept(place)
    same = {
        "concept": concept,
        "split_latents": split.tolist(),
        "num_probe_true_positives": candidates.num_probe_true_positives,
        "num_true_positives": candidates.num_true_positives,
        "num_split_silent": candidates.num_split_silent,
        **{f"probe_{name}": value for name, value in probe._asdict().items()},
        **(gate.facts if gate else {}),
    }
    mine = [row for row in rows if row["concept"] == concept]
    ablated = [row for row in mine if row["metric"] == "ig_ablation"]
    if gate and gate.ablation:
        by_ablation: dict[str, Any] = {"metric": "ig_ablation", "undefined": gate.ablation}
    else:
        by_ablation = {
            "metric": "ig_ablation",
            "num_candidates": candidates.num_candidates,
            "num_tested": len(candidates.tested),
            "sample_portion": candidates.sample_portion,
            "num_absorbed": sum(row["is_absorption"] for row in ablated),
            "random_rate": _ablation_by_chance(ablated, candidates, random_cosines, method),
        }
        if gate and judged:
            by_ablation |= _by_groups(ablated, candidates.sample_portion, judged, vocabulary, chosen)
    if judged is None:
        undefined = {"undefined": gate and gate.projection}
        return [same | by_ablation, *(same | rule | undefined for rule in _BY_PROJECTION_RULES)]
    if probe.f1 <= method.min_probe_f1:
        return [same | by_ablation]
    found = judged.found
    values = (found.fully_absorbed(method.cosine_threshold), found.fractions(), found.fractions_0_3())
    by_chance = (judged.random_full, judged.random_fraction, judged.random_fraction_0_3)
    tested = {"num_candidates": len(mine), "num_tested": len(mine), "sample_portion": 1.0}
    measurements = [same | by_ablation]
    for rule, of_words, random_rate in zip(_BY_PROJECTION_RULES, values, by_chance, strict=True):
        row = same | tested | rule | {"random_rate": _known(random_rate)}
        if rule["metric"] in FRACTIONS:
            row["absorption_fraction"] = float(of_words.mean()) if len(of_words) else None
        else:
            row["num_absorbed"] = int(of_words.sum())
        if gate:
            row |= _interval(of_words, judged.words, vocabulary)
        measurements.append(row)
    return measurements


def undefined_measurements(concept: str, gate: Gate) -> list[dict[str, Any]]:
    """Make the rows of a concept for which no k-sparse probe could be fitted."""
    metrics = {"ig_ablation": gate.ablation} | {rule["metric"]: gate.projection for rule in _BY_PROJECTION_RULES}
    return [{"concept": concept, "metric": metric, "undefined": why} for metric, why in metrics.items()]


def _interval(values: np.ndarray, words: np.ndarray, vocabulary: Vocabulary) -> dict[str, float | None]:
    """Return the 95% interval of the mean of words' values, by bootstrap over their groups."""
    low, high = interval(mean_samples(values, vocabulary.grouping[1][words], _BOOTSTRAP_SEED))
    return {"rate_low": _known(low), "rate_high": _known(high)}


def _by_groups(
    ablated: list[dict[str, Any]], portion: float, judged: ConceptProjections, vocabulary: Vocabulary, chosen: Chosen
) -> dict[str, Any]:
    """Return the interval of the rate by ablation, and the rate over the words that the model answers correctly."""
    absorbed = {row["token_id"] for row in ablated if row["is_absorption"]}
    values = np.isin(vocabulary.ids[judged.words], sorted(absorbed)) / portion
    answers = chosen.spelled.answers[vocabulary.test_positions(judged.words)]
    if (answers < 0).any():
        return _interval(values, judged.words, vocabulary)
    right = vocabulary.labels[judged.words, answers]
    number = int(right.sum())
    rate = float(values[right].sum() / number) if number else None
    return {**_interval(values, judged.words, vocabulary), "num_right": number, "right_rate": rate}


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _ablation_by_chance(
    ablated: list[dict[str, Any]], candidates: Candidates, random_cosines: np.ndarray, method: MethodPart
) -> float | None:
    """Return the rate by ablation with random directions in place of the probe, which affect only the cosine."""
    if not candidates.num_probe_true_positives:
        return None
    tops = [
        row["top_latent"]
        for row in ablated
        if row["top_effect"] <= 0 and abs(row["top_effect"]) - abs(row["second_effect"]) >= method.effect_margin
    ]
    absorbed = (random_cosines[:, tops] >= method.cosine_threshold).sum(1).mean() if tops else 0.0
    return float(absorbed / candidates.sample_portion / candidates.num_probe_true_positives)
