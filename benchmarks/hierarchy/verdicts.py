"""Apply the stages of `measure` to SAEs with known absorption, and score their verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch

from measure.config import MethodPart
from measure.models.base import Prompt
from measure.stages.ablation import Word, ablate, decides
from measure.stages.candidates import SILENT, find_candidates
from measure.stages.k_sparse import fit_k_sparse, rank_latents, score_k_sparse
from measure.stages.probes import fit_probes, score_probes
from measure.stages.projections import project
from measure.stages.splits import num_split_latents
from tests.toy_language import ToyModel

if TYPE_CHECKING:
    from benchmarks.hierarchy.toy import Known, Language
    from measure.sparse import Sparse
    from measure.stages.probes import Probes

METHOD = MethodPart()
#: Minimum absorption fraction of a token that counts as absorbed.
CUT = 0.5
#: Maximum k; there are always fewer split latents, so larger k do not matter.
_MOST_SPLIT = 5
#: The condition that a token fails which is not absorbed by ablation.
STEPS = ("the probe is wrong", "a split latent fires", "the k-sparse probe is right", "no latent leads")
_CPU = torch.device("cpu")


class _Model(ToyModel):
    """A model whose answers are a linear function of the language's stream."""

    def __init__(self, language: Language) -> None:
        super().__init__(linear=True)
        self.embedding = torch.from_numpy(language.stream)
        self.head = torch.from_numpy(language.head).float()


class Verdicts(NamedTuple):
    """The verdicts on the test tokens of a language.

    Attributes
    ----------
    tokens : pandas.DataFrame
        One row per token: its `concept`; whether the linear probe is right (`probed`); lists of the latents that absorb
        it in truth (`truth`), by ablation (`ablation`) and by full absorption (`full`), empty if it is not absorbed;
        its absorption `fraction`; and the condition that it fails by ablation, an index of `STEPS` (`ended`).
    probe_f1, num_split : float
        F1 of the linear probe and number of split latents, as means over concepts.
    """

    tokens: pd.DataFrame
    probe_f1: float
    num_split: float


def fit(language: Language) -> Probes:
    """Fit the linear probes of a language."""
    train = ~language.is_test
    labels = _labels(language)[train]
    return fit_probes(language.stream[train], labels, l2=METHOD.probe_l2, device=_CPU)


def judge(language: Language, probes: Probes, sae: Known) -> Verdicts:
    """Compute the verdicts of each rule on the test tokens, at the default thresholds."""
    train, places = np.flatnonzero(~language.is_test), np.flatnonzero(language.is_test)
    seen, held_out = _labels(language)[train], _labels(language)[places]
    of_train, test, stream = sae.activations.take(train), sae.activations.take(places), language.stream[places]
    logits, number_active = probes.logits(stream), np.diff(test.starts)
    how = {"l1": METHOD.l1, "epochs": METHOD.l1_epochs, "batch": METHOD.l1_batch, "end_rate": METHOD.l1_end_rate}
    ranked = rank_latents(of_train, seen, **how, seed=0, device=_CPU)
    full, fraction, ended = np.full(len(places), -1), np.zeros(len(places)), np.zeros(len(places), int)
    tested, numbers = [], []
    for concept, truth in enumerate(held_out.T):
        fitted = fit_k_sparse(of_train, seen[:, concept], ranked[concept], range(1, _MOST_SPLIT + 1))
        scores = score_k_sparse(fitted, test, truth)
        number = num_split_latents({k: one.f1 for k, one in scores.items()}, METHOD.tau)
        assert number < _MOST_SPLIT
        numbers.append(number)
        split, probe_logits = fitted[number], logits[:, concept]
        active = test.dense(split.latents)
        candidates = find_candidates(
            truth, probe_logits, split.logits(test), active, number_active, limit=METHOD.limit, seed=concept
        )
        assert candidates.sample_portion == 1
        tested.append(candidates.tested)
        positives = np.flatnonzero(truth & (probe_logits > 0))
        ended[positives] = np.where((active[positives] >= SILENT).any(1), 1, 2)
        ended[candidates.tested] = 3
        of_positives = (test.take(positives), stream[positives], sae.directions)
        projected = project(*of_positives, probes.weights[concept], split.latents)
        full[positives] = np.where(projected.fully_absorbed(METHOD.cosine_threshold), projected.top, -1)
        fraction[positives] = projected.fractions()
    concepts, ablation = language.concept[places], np.full(len(places), -1)
    rows = np.concatenate(tested)
    ablation[rows] = _absorbing(language, test, places, rows, sae.directions, probes.cosines(sae.directions))
    tokens = pd.DataFrame(
        {
            "concept": concepts,
            "probed": logits[np.arange(len(places)), concepts] > 0,
            "truth": [np.flatnonzero(row).tolist() for row in sae.absorbing[places]],
            "ablation": [[latent] if latent >= 0 else [] for latent in ablation.tolist()],
            "full": [[latent] if latent >= 0 else [] for latent in full.tolist()],
            "fraction": fraction,
            "ended": ended,
        }
    )
    f1 = [one.f1 for one in score_probes(probes, stream, held_out)]
    return Verdicts(tokens, float(np.mean(f1)), float(np.mean(numbers)))


def _labels(language: Language) -> np.ndarray:
    return np.eye(language.head.shape[1], dtype=bool)[language.concept]


def _absorbing(
    language: Language,
    test: Sparse,
    places: np.ndarray,
    rows: np.ndarray,
    directions: np.ndarray,
    cosines: np.ndarray,
) -> list[int]:
    """Return the latent that absorbs each tested token by ablation, or -1.

    Parameters
    ----------
    language : Language
    test : Sparse
        Activations on the test tokens.
    places, rows : numpy.ndarray
        Indices of the test tokens among all tokens, and of the tested ones among these.
    directions, cosines : numpy.ndarray
        Decoder rows, and their cosines with the probes, (concepts, latents).
    """
    model, answers = _Model(language), torch.arange(language.head.shape[1])
    words = [
        Word(int(place), int(language.concept[place]), *test.row(row))
        for row, place in zip(rows, places[rows], strict=True)
    ]
    effects = ablate(model, Prompt((), ()), answers, words, torch.from_numpy(directions), layer=0, steps=METHOD.steps)
    found = []
    for word, one in zip(words, effects, strict=True):
        order = np.argsort(one.effects)
        top, second = (*one.effects[order[:2]].tolist(), 0.0)[:2]
        latent = int(word.latents[order[0]])
        thresholds = {"margin": METHOD.effect_margin, "cosine_threshold": METHOD.cosine_threshold}
        found.append(latent if decides(top, min(second, 0.0), cosines[word.letter, latent], **thresholds) else -1)
    return found


class Score(NamedTuple):
    """Precision, recall and mean rate of a rule; NaN without positive verdicts, or for a rule that names no latents.

    Attributes
    ----------
    precision, recall : float
        Over test tokens.
    latents_precision, latents_recall : float
        Over pairs of a concept and a latent that absorbs at least one of its test tokens.
    rate : float
        Absorbed share of the probe's true positives, or their mean fraction; a mean over concepts.
    """

    precision: float
    recall: float
    latents_precision: float
    latents_recall: float
    rate: float


def score(tokens: pd.DataFrame, rule: str) -> Score:
    """Compare a rule with the truth; `tokens` are those of `Verdicts` for several draws, with a column `draw`."""
    truth, predicted = _absorbed(tokens, "truth"), _absorbed(tokens, rule)
    over_tokens = _precision_and_recall((truth & predicted).sum(), predicted.sum(), truth.sum())
    over_latents = (np.nan, np.nan)
    if rule != "fraction":
        named, true = _named(tokens, rule), _named(tokens, "truth")
        over_latents = _precision_and_recall(len(named & true), len(named), len(true))
    return Score(*over_tokens, *over_latents, float(rates(tokens[tokens["probed"]], rule).mean()))


def rates(tokens: pd.DataFrame, column: str) -> pd.Series:
    """Return the share of absorbed tokens, or their mean fraction, of each concept of each draw."""
    values = tokens[column] if column == "fraction" else _absorbed(tokens, column)
    return values.groupby([tokens["draw"], tokens["concept"]]).mean()


def _absorbed(tokens: pd.DataFrame, column: str) -> pd.Series:
    return tokens[column] >= CUT if column == "fraction" else tokens[column].map(len) > 0


def _named(tokens: pd.DataFrame, column: str) -> set[tuple[int, ...]]:
    return set(tokens[["draw", "concept", column]].explode(column).dropna().itertuples(index=False, name=None))


def _precision_and_recall(hits: int, predicted: int, true: int) -> tuple[float, float]:
    return hits / predicted if predicted else np.nan, hits / true if true else np.nan
