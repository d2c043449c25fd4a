"""A language of concepts and words whose features are known, and SAEs that are built to absorb some of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from measure.sparse import Sparse

_TESTED, _FIRES = 0.2, 0.1
#: Number of hedging latents; each holds some of as many concepts as there are for one.
_HEDGING = 4
#: The largest activation of a latent that fires falsely; the concept's own is 1.
_FALSE = 0.3


@dataclass(frozen=True)
class Case:
    """What a language and its SAEs are like; without arguments, nothing is in the way of any rule.

    Attributes
    ----------
    concepts, words, forms, contexts : int
        Number of concepts, of words of each with a feature of their own, of tokens of such a word, and of features that
        have nothing to do with either.
    d_model : int
    crowded : bool
        Features have random directions, with cosines of about 1/sqrt(d_model); else they are at right angles.
    alike : float
        Cosine of any two concepts.
    own : float
        Strength of a word's own feature; that of its concept is 1.
    noise : float
        Standard deviation of the stream in any direction.
    answer : float
        By how many logits a concept's feature raises the right answer.
    by_word : float
        How much of that a word's own feature does, beside the concept's.
    common : int
        Number of tokens of one word of each concept, which is absorbed; 0 for as many as others have.
    absorbed : float
        Share of words whose latent absorbs.
    partly : float
        Share of these whose latent takes over 0.6 of the concept only; the main latent keeps 0.4.
    together : bool
        Two latents share the word, and what they absorb.
    missed : float
        Chance that the main latent is silent on another token, with nobody in its place.
    hedging : float
        Share of the concept that a latent which fires on half of all tokens holds, of a quarter of the concepts each.
    split : tuple of float
        Shares of tokens that each of a concept's main latents is for.
    false : float
        Chance that a latent fires where it should not, weakly.
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
    """Directions, (features, d_model), of length 1 but for words, whose length is their strength.

    Words are those of the first concept, then of the next.
    """

    concepts: np.ndarray
    words: np.ndarray
    contexts: np.ndarray


class Language(NamedTuple):
    """Tokens of words, and the model that reads them.

    Attributes
    ----------
    features : Features
    concept, word : numpy.ndarray
        Of each token; the word is -1 where it has no feature of its own.
    strength : numpy.ndarray
        Of the concept's feature in each token.
    contexts : numpy.ndarray
        Strength of the other features, (tokens, contexts).
    stream : numpy.ndarray
        (tokens, d_model)
    is_test : numpy.ndarray of bool
    head : numpy.ndarray
        What the stream gives each answer, (d_model, concepts).
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
    """An SAE and the truth about it.

    Attributes
    ----------
    activations : Sparse
        On the tokens of the language.
    directions : numpy.ndarray
        (latents, d_model)
    absorbing : numpy.ndarray of bool
        Which latents absorb a token: (tokens, latents).
    """

    activations: Sparse
    directions: np.ndarray
    absorbing: np.ndarray


def draw_features(
    random: np.random.Generator, counts: tuple[int, int, int], d_model: int, own: float, *, crowded: bool = False
) -> Features:
    """Draw so many concepts, words and contexts, at right angles unless they are crowded."""
    drawn = random.standard_normal((d_model, sum(counts)))
    rows = (drawn / np.linalg.norm(drawn, axis=0) if crowded else np.linalg.qr(drawn)[0]).T
    concepts, words, contexts = np.split(rows, np.cumsum(counts[:-1]))
    return Features(concepts, own * words, contexts)


def draw_strength(random: np.random.Generator, size: int | tuple[int, int]) -> np.ndarray:
    """Draw how strong features are where they are present."""
    return random.uniform(0.7, 1.3, size)


def draw_contexts(random: np.random.Generator, tokens: int, contexts: int) -> np.ndarray:
    """Draw the strength of features that have nothing to do with words, (tokens, contexts)."""
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
    """Return the stream of tokens: concept, word, other features and noise."""
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
    # The last ones are the hedging latents' own, which no token has.
    contexts = np.pad(draw_contexts(random, number, case.contexts), ((0, 0), (0, _HEDGING)))
    stream = read(random, features, concept, word, strength, contexts, case.noise)
    of_words = features.words.reshape(case.concepts, case.words, -1).sum(1) / case.own**2
    head = case.answer * (features.concepts + case.by_word * of_words).T
    return Language(features, concept, word, strength, contexts, stream, random.random(number) < _TESTED, head)


def choose_words(case: Case, chance: np.ndarray | None, random: np.random.Generator) -> np.ndarray:
    """Choose the words that are absorbed: by each concept's chance, or the case's share of each concept's."""
    if chance is not None:
        return (random.random((case.concepts, case.words)) < chance[:, None]).ravel()
    chosen = np.arange(case.words) < round(case.absorbed * case.words)
    absorbed = random.permuted(np.tile(chosen, (case.concepts, 1)), axis=1)
    absorbed[:, 0] |= bool(case.common)
    return absorbed.ravel()


def build_sae(case: Case, language: Language, seed: int, chance: np.ndarray | None = None) -> Known:
    """Build an SAE of a case: main latents, latents of single words, and others."""
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
    """Keep what is active of all activations, (tokens, latents)."""
    rows, latents = np.nonzero(activations)
    starts = np.searchsorted(rows, np.arange(len(activations) + 1))
    values = activations[rows, latents].astype(np.float32)
    return Sparse(starts, latents.astype(np.int32), values, activations.shape[1])
