"""Artificial languages of concepts and words with known features, and SAEs constructed to absorb some of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from measure.sparse import Sparse

_TESTED, _FIRES = 0.2, 0.1
#: Number of hedging latents, among which the concepts are divided equally.
_HEDGING = 4
#: The largest activation of a false positive; the mean strength of concepts is 1.
_FALSE = 0.3


@dataclass(frozen=True)
class Case:
    """The parameters of a language and its SAEs; with the defaults, no rule has any difficulty.

    Attributes
    ----------
    concepts, words, forms, contexts : int
        Number of concepts, of words per concept (each with its own feature), of tokens per word, and of features that
        are independent of both.
    d_model : int
    crowded : bool
        Features have random directions, with cosines of about 1/sqrt(d_model); otherwise they are orthogonal.
    alike : float
        Cosine of any two concepts.
    own : float
        Strength of a word's own feature, relative to its concept's.
    noise : float
        Standard deviation of the stream in any direction.
    answer : float
        Number of logits by which a concept's feature raises the right answer.
    by_word : float
        Additional increase by a word's own feature, relative to `answer`.
    common : int
        Number of tokens of one word per concept, which is absorbed; 0 for as many as other words have.
    absorbed : float
        Share of words whose latent absorbs the concept.
    partly : float
        Share of these whose latent carries only 0.6 of the concept, and the main latent 0.4.
    together : bool
        Whether each word has two latents, which share what they absorb.
    missed : float
        Probability that the main latent is silent on another token without absorption.
    hedging : float
        Component along each concept of the hedging latents, which are active on half of all tokens and have a quarter
        of the concepts each.
    split : tuple of float
        Shares of a concept's tokens on which each of its main latents is active.
    false : float
        Probability of a false positive, that is, a weak activation of a latent that should be silent.
    """

    concepts: int = 12
    words: int = 45
    forms: int = 5
    contexts: int = 20
    d_model: int = 576
    crowded: bool = False
    alike: float = 0.0
    own: float = 3.0
    noise: float = 0.02
    answer: float = 3.0
    by_word: float = 0.0
    common: int = 0
    absorbed: float = 0.2
    partly: float = 0.0
    together: bool = False
    missed: float = 0.0
    hedging: float = 0.0
    split: tuple[float, ...] = (1.0,)
    false: float = 0.0


class Features(NamedTuple):
    """Directions, (features, d_model), of length 1, except for words, whose length is their strength.

    Words are sorted by concept.
    """

    concepts: np.ndarray
    words: np.ndarray
    contexts: np.ndarray


class Language(NamedTuple):
    """Tokens, and a linear model of the answers.

    Attributes
    ----------
    features : Features
    concept, word : numpy.ndarray
        Concept and word of each token; the word is -1 if it has no feature of its own.
    strength : numpy.ndarray
        Strength of the concept's feature in each token.
    contexts : numpy.ndarray
        Strength of the other features, (tokens, contexts).
    stream : numpy.ndarray
        Residual stream, (tokens, d_model).
    is_test : numpy.ndarray of bool
    head : numpy.ndarray
        Unembedding of the answers, (d_model, concepts).
    """

    features: Features
    concept: np.ndarray
    word: np.ndarray
    strength: np.ndarray
    contexts: np.ndarray
    stream: np.ndarray
    is_test: np.ndarray
    head: np.ndarray


class Known(NamedTuple):
    """An SAE with known absorption.

    Attributes
    ----------
    activations : Sparse
        Activations on the tokens of the language.
    directions : numpy.ndarray
        Decoder rows, (latents, d_model).
    absorbing : numpy.ndarray of bool
        Which latents absorb each token, (tokens, latents).
    """

    activations: Sparse
    directions: np.ndarray
    absorbing: np.ndarray


def draw_features(
    random: np.random.Generator, counts: tuple[int, int, int], d_model: int, own: float, *, crowded: bool = False
) -> Features:
    """Draw directions of concepts, words and contexts, orthogonal unless they are crowded."""
    drawn = random.standard_normal((d_model, sum(counts)))
    rows = (drawn / np.linalg.norm(drawn, axis=0) if crowded else np.linalg.qr(drawn)[0]).T
    concepts, words, contexts = np.split(rows, np.cumsum(counts[:-1]))
    return Features(concepts, own * words, contexts)


def draw_strength(random: np.random.Generator, size: int | tuple[int, int]) -> np.ndarray:
    """Draw the strengths of features that are present."""
    return random.uniform(0.7, 1.3, size)


def draw_contexts(random: np.random.Generator, tokens: int, contexts: int) -> np.ndarray:
    """Draw the strengths of features that are independent of words, (tokens, contexts); 0 if absent."""
    return (random.random((tokens, contexts)) < _FIRES) * draw_strength(random, (tokens, contexts))


def read(
    random: np.random.Generator,
    features: Features,
    concept: np.ndarray,
    word: np.ndarray,
    strength: np.ndarray,
    contexts: np.ndarray,
    noise: float,
) -> np.ndarray:
    """Return the stream of tokens, (tokens, d_model): the sum of concept, word, other features and noise."""
    own = np.where(word[:, None] < 0, 0, features.words[word])
    written = strength[:, None] * (features.concepts[concept] + own) + contexts @ features.contexts
    return (written + noise * random.standard_normal(written.shape)).astype(np.float32)


def draw_language(case: Case, seed: int) -> Language:
    """Draw the tokens of a case, a fifth of them for testing."""
    random = np.random.default_rng(seed)
    counts = (case.concepts, case.concepts * case.words, case.contexts + _HEDGING)
    features = draw_features(random, counts, case.d_model, case.own, crowded=case.crowded)
    shared = case.alike**0.5 * features.contexts[-1]
    features = features._replace(concepts=(1 - case.alike) ** 0.5 * features.concepts + shared)
    tokens_of = np.full((case.concepts, case.words), case.forms)
    tokens_of[:, 0] = case.common or case.forms
    word = np.repeat(np.arange(tokens_of.size), tokens_of.ravel())
    concept, number = word // case.words, len(word)
    strength = draw_strength(random, number)
    # The last ones are the own directions of hedging latents, which occur in no token.
    contexts = np.pad(draw_contexts(random, number, case.contexts), ((0, 0), (0, _HEDGING)))
    stream = read(random, features, concept, word, strength, contexts, case.noise)
    of_words = features.words.reshape(case.concepts, case.words, -1).sum(1) / case.own**2
    head = case.answer * (features.concepts + case.by_word * of_words).T
    return Language(features, concept, word, strength, contexts, stream, random.random(number) < _TESTED, head)


def choose_words(case: Case, chance: np.ndarray | None, random: np.random.Generator) -> np.ndarray:
    """Choose the absorbed words, with a given probability per concept, or the case's share of each concept's words."""
    if chance is not None:
        return (random.random((case.concepts, case.words)) < chance[:, None]).ravel()
    chosen = np.arange(case.words) < round(case.absorbed * case.words)
    absorbed = random.permuted(np.tile(chosen, (case.concepts, 1)), axis=1)
    absorbed[:, 0] |= bool(case.common)
    return absorbed.ravel()


def build_sae(case: Case, language: Language, seed: int, chance: np.ndarray | None = None) -> Known:
    """Construct an SAE of a case: main latents, latents of single words, and others."""
    random = np.random.default_rng(seed)
    features, word, number = language.features, language.word, len(language.word)
    absorbed = choose_words(case, chance, random)
    taken = absorbed * np.where(random.random(len(absorbed)) < case.partly, 0.6, 1.0)
    missed = ~absorbed[word] & (random.random(number) < case.missed)
    mains = len(case.split)
    main = np.zeros((number, case.concepts * mains))
    part = random.choice(mains, number, p=case.split)
    main[np.arange(number), language.concept * mains + part] = language.strength * (1 - taken[word]) * ~missed
    rows = features.words + taken[:, None] * np.repeat(features.concepts, case.words, axis=0)
    length = np.linalg.norm(rows, axis=1)
    own = np.zeros((number, len(rows)))
    own[np.arange(number), word] = language.strength * length[word] / (1 + case.together)
    of_words = [own, own] if case.together else [own]
    hedging = random.integers(2, size=(number, _HEDGING)) * language.strength[:, None]
    held = np.kron(np.eye(_HEDGING), np.ones(case.concepts // _HEDGING)) @ features.concepts
    contexts, unused = np.split(features.contexts, [case.contexts])
    activations = np.concatenate([main, *of_words, language.contexts[:, : case.contexts], hedging], axis=1)
    directions = [
        np.repeat(features.concepts, mains, axis=0),
        *[rows / length[:, None]] * len(of_words),
        contexts,
        unused + case.hedging * held,
    ]
    falsely = (random.random(activations.shape) < case.false) & (activations == 0)
    activations[falsely] = random.uniform(0, _FALSE, falsely.sum())
    absorbing = np.zeros(activations.shape, bool)
    for copy in range(len(of_words)):
        absorbing[np.arange(number), main.shape[1] + copy * len(rows) + word] = absorbed[word]
    return Known(to_sparse(activations), np.concatenate(directions).astype(np.float32), absorbing)


def to_sparse(activations: np.ndarray) -> Sparse:
    """Convert dense activations, (tokens, latents)."""
    rows, latents = np.nonzero(activations)
    starts = np.searchsorted(rows, np.arange(len(activations) + 1))
    values = activations[rows, latents].astype(np.float32)
    return Sparse(starts, latents.astype(np.int32), values, activations.shape[1])
