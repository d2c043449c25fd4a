"""Stage: conditions for a concept to have a rate on an SAE; if they fail, the rate is undefined, not 0."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from measure.scores import f1_samples, interval, mean_samples, wilson_low
from measure.sparse import Sparse
from measure.stages.erasure import load_erased
from measure.stages.k_sparse import load_k_sparse
from measure.stages.latents import WORDS
from measure.stages.probes import load_probes
from measure.stages.prompts import load_prompts
from measure.stages.vocabulary import load_vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from measure.stages.erasure import Erased
    from measure.stages.k_sparse import KSparseProbes
    from measure.stages.probes import LayerProbes
    from measure.stages.prompts import Chosen
    from measure.stages.vocabulary import Vocabulary

#: Minimum F1 of the linear probe, and of the main latent (the first that k-sparse probing selects).
LEAST_PROBE_F1, LEAST_MAIN_F1 = 0.6, 0.4
#: Number of standard errors that count as clearly above.
_CLEARLY = 2.0
_SEED = 304
NOT_ASKED = "the family has no answers, so the model is not asked"


class GateInputs(NamedTuple):
    """The quantities that decide whether a concept is measured.

    Attributes
    ----------
    too_few : str or None
        Why it has too few words, if that is so.
    probe_f1, shuffled_f1, probe_error : float
        F1 of the probe and of one with shuffled labels, and the standard error of their difference.
    main_f1, always_f1, main_error : float
        F1 of the main latent, F1 of the classifier that is always positive, and the standard error of the former.
    asked : int or None
        Number of its words that the model was asked about; None if the family has no answers.
    accuracy, least_accuracy, chance : float
        Share of these that the model answers correctly, the lower end of its interval, and the share expected if
        answers were independent of the word.
    erased, low, high : float
        Mean change of the metric when the probe's direction is erased, and its interval.
    """

    too_few: str | None = None
    probe_f1: float = 1.0
    shuffled_f1: float = 0.0
    probe_error: float = 0.0
    main_f1: float = 1.0
    always_f1: float = 0.0
    main_error: float = 0.0
    asked: int | None = 1
    accuracy: float = 1.0
    least_accuracy: float = 1.0
    chance: float = 0.0
    erased: float = -1.0
    low: float = -1.0
    high: float = -1.0


class Gate(NamedTuple):
    """Whether a concept has a rate.

    Attributes
    ----------
    projection, ablation : str or None
        Why it has no rate by projection, or by ablation, as a clause after "because"; None if it has one.
    facts : dict
        The quantities that are stored in the table `measurements`, by column.
    """

    projection: str | None
    ablation: str | None
    facts: dict[str, float | None] = {}  # noqa: RUF012 - a NamedTuple's default, which nothing changes


def gate_of(known: GateInputs) -> Gate:
    """Decide whether a concept is measured.

    Metrics by projection require a probe and a main latent that detect it. Metrics by ablation also require that the
    model answers correctly and that its answers depend on the probe's direction.
    """
    both = known.too_few or _probe_failure(known) or _latent_failure(known)
    stored = {"shuffled_f1": known.shuffled_f1, "model_accuracy": known.accuracy, "erasure_effect": known.erased}
    facts = {name: value if np.isfinite(value) else None for name, value in stored.items()}
    return Gate(both, both or _model_failure(known), {} if known.too_few else facts)


def _probe_failure(known: GateInputs) -> str | None:
    if known.probe_f1 < LEAST_PROBE_F1:
        return f"the linear probe has an F1 of {known.probe_f1:.3f}, below {LEAST_PROBE_F1}"
    if not known.probe_f1 - known.shuffled_f1 > _CLEARLY * known.probe_error:
        return (
            f"the linear probe's F1 of {known.probe_f1:.3f} is not clearly above that of one with shuffled labels"
            f" ({known.shuffled_f1:.3f})"
        )
    return None


def _latent_failure(known: GateInputs) -> str | None:
    if known.main_f1 < LEAST_MAIN_F1:
        return f"no latent stands for it: the best has an F1 of {known.main_f1:.3f}, below {LEAST_MAIN_F1}"
    if not known.main_f1 - known.always_f1 > _CLEARLY * known.main_error:
        return (
            f"no latent stands for it: the best has an F1 of {known.main_f1:.3f}, not clearly above that of always"
            f" saying yes ({known.always_f1:.3f})"
        )
    return None


def _model_failure(known: GateInputs) -> str | None:
    if known.asked is None:
        return NOT_ASKED
    if not known.asked:
        return "the model was asked for none of its words"
    if not known.least_accuracy > known.chance:
        return (
            f"the model answers correctly for {known.accuracy:.0%} of its words, which is not clearly above chance"
            f" ({known.chance:.0%})"
        )
    if np.isnan(known.erased):
        return "the probe finds none of the words that it could be erased at"
    if not known.high < 0:
        return (
            f"erasing the probe's direction changes the metric by {known.erased:+.2f} logits ({known.low:+.2f} to"
            f" {known.high:+.2f}), so it has no causal effect at this layer"
        )
    return None


def gate_inputs(
    place: int,
    vocabulary: Vocabulary,
    chosen: Chosen,
    fitted: LayerProbes,
    k_sparse: KSparseProbes,
    words: Sparse,
    erased: Erased | None,
) -> GateInputs:
    """Compute the quantities that decide whether a concept is measured.

    Parameters
    ----------
    place : int
        Index of the concept.
    vocabulary : Vocabulary
    chosen : Chosen
    fitted : LayerProbes
        The linear probes.
    k_sparse : KSparseProbes
    words : Sparse
        Activations on all words.
    erased : Erased or None
        None if the family has no answers.
    """
    if (too_few := vocabulary.too_few(place)) or place not in k_sparse.probes:
        return GateInputs(too_few=too_few or "none of its words is for training")
    every, groups = vocabulary.labels[:, place], vocabulary.grouping[1]
    scored = vocabulary.is_scored(place)
    rows = vocabulary.scored[scored]
    first_k, scored_folds = min(k_sparse.probes[place]), vocabulary.scored_folds[scored]
    predicted = k_sparse.logits(place, first_k, words.take(rows), scored_folds) > 0
    share = every[rows].mean()
    known = GateInputs(
        probe_f1=fitted.scores[place].f1,
        shuffled_f1=float(fitted.shuffled[place]),
        probe_error=float(np.hypot(fitted.errors[place], fitted.shuffled_errors[place])),
        main_f1=k_sparse.scores[place][first_k].f1,
        always_f1=float(2 * share / (1 + share)),
        main_error=float(f1_samples(predicted[:, None], every[rows], groups[rows], _SEED).std()),
        asked=None,
        accuracy=np.nan,
        erased=np.nan,
    )
    if erased is None:
        return known
    answers, truth, groups = chosen.spelled.answers, every[vocabulary.test], groups[vocabulary.test]
    own = vocabulary.judged(place) & (answers >= 0) & truth
    others = (vocabulary.test_folds == 0) & (answers >= 0) & ~truth
    if not own.any():
        return known._replace(asked=0)
    right = answers[own] == place
    of_others = float((answers[others] == place).mean()) if others.any() else 0.0
    at = erased.places == place
    by_word = vocabulary.grouping[1][erased.words[at]]
    low, high = interval(mean_samples(erased.effects[at], by_word, _SEED)) if at.any() else (np.nan, np.nan)
    return known._replace(
        asked=int(own.sum()),
        accuracy=float(right.mean()),
        least_accuracy=min(interval(mean_samples(right, groups[own], _SEED))[0], wilson_low(right.sum(), len(right))),
        chance=max(1 / len(vocabulary.family.answers), of_others),
        erased=float(erased.effects[at].mean()) if at.any() else np.nan,
        low=low,
        high=high,
    )


def load_gate(needs: Mapping[str, Path]) -> dict[int, Gate]:
    """Load the stage's output, by concept; empty for a family without a gate."""
    if "gate" not in needs:
        return {}
    known = json.loads((needs["gate"] / "gate.json").read_text("utf-8"))
    return {int(place): Gate(*why) for place, why in known.items()}


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:  # noqa: ARG001 - a stage's signature
    """Run the stage."""
    vocabulary, chosen = load_vocabulary(needs["vocabulary"]), load_prompts(needs["prompts"])
    words = Sparse.load(needs["latents"] / f"{WORDS}.npz")
    found = load_probes(needs["probes"]), load_k_sparse(needs["k_sparse"]), words
    erased = load_erased(needs["erasure"]) if "erasure" in needs else None
    measured = [place for place in vocabulary.family.measured if vocabulary.labels[:, place].any()]
    known = {place: gate_of(gate_inputs(place, vocabulary, chosen, *found, erased)) for place in measured}
    (out / "gate.json").write_text(json.dumps(known), "utf-8")
    progress(1)
