"""SAEs trained on an artificial language with known features, and their true absorption."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.hierarchy.toy import Features, Known, Language, draw_contexts, draw_features, draw_strength, read
from measure.stages.train import train

if TYPE_CHECKING:
    from collections.abc import Iterator

    from measure.sparse import Sparse
    from measure.stages.sparsity import Architecture

_CONCEPTS, _WORDS, _CONTEXTS, _D_MODEL = 6, 16, 10, 128
_OWN, _NOISE, _ANSWER = 2.0, 0.02, 3.0
_WIDTH, _K, _TOKENS, _BATCH = 128, 2, 300_000, 1024
#: Share of tokens in text that have a concept; and share of these without a word's own feature.
_OF_CONCEPTS, _ALONE = 0.5, 0.5
#: Tokens of the vocabulary: per concept without a word's own feature, and per word.
_WITHOUT, _WITH = 160, 10
#: The share of a concept above which a latent counts as carrying it.
_CARRIES = 0.25
_TESTED = 0.2


def draw_language(seed: int) -> Language:
    """Draw features and a vocabulary."""
    random = np.random.default_rng(seed)
    features = draw_features(random, (_CONCEPTS, _CONCEPTS * _WORDS, _CONTEXTS), _D_MODEL, _OWN)
    with_own = np.repeat(np.arange(_CONCEPTS * _WORDS), _WITH)
    word = np.concatenate([with_own, np.full(_CONCEPTS * _WITHOUT, -1)])
    concept = np.concatenate([with_own // _WORDS, np.repeat(np.arange(_CONCEPTS), _WITHOUT)])
    strength, contexts = draw_strength(random, len(word)), draw_contexts(random, len(word), _CONTEXTS)
    stream = read(random, features, concept, word, strength, contexts, _NOISE)
    is_test = random.random(len(word)) < _TESTED
    return Language(features, concept, word, strength, contexts, stream, is_test, _ANSWER * features.concepts.T)


def text(features: Features, seed: int) -> Iterator[np.ndarray]:
    """Yield batches of running text endlessly; the frequency of words follows Zipf's law."""
    random = np.random.default_rng(seed)
    frequency = 1 / np.arange(1, _WORDS + 1)
    while True:
        concept = random.integers(_CONCEPTS, size=_BATCH)
        of_concept = random.choice(_WORDS, _BATCH, p=frequency / frequency.sum())
        word = np.where(random.random(_BATCH) < _ALONE, -1, concept * _WORDS + of_concept)
        strength = draw_strength(random, _BATCH) * (random.random(_BATCH) < _OF_CONCEPTS)
        yield read(random, features, concept, word, strength, draw_contexts(random, _BATCH, _CONTEXTS), _NOISE)


def train_sae(language: Language, architecture: Architecture, seed: int) -> Known:
    """Train an SAE on running text, and find the absorbing latents on the vocabulary."""
    sae = train(
        lambda number: text(language.features, 1000 + number),
        architecture=architecture,
        width=_WIDTH,
        k=_K,
        tokens=_TOKENS,
        seed=seed,
        device=torch.device("cpu"),
    )
    activations, directions = sae.encode_sparse(language.stream), sae.directions.numpy()
    return Known(activations, directions, find_absorbing(language, activations, directions))


def find_absorbing(language: Language, activations: Sparse, directions: np.ndarray) -> np.ndarray:
    """Return a mask of the latents that absorb each token, (tokens, latents), computed from the features.

    Features are orthogonal, so a latent's share of a concept is its activation times the component of its decoder row
    along the concept. A latent of single words carries the concept on the tokens of at most a quarter of its words, and
    not on those without a word's own feature. A token is absorbed if such latents carry at least half of its concept;
    the absorbing latent is the one that carries most.
    """
    rows, concept = activations.rows, language.concept
    along = directions @ language.features.concepts.T
    carried = activations.values * along[activations.latents, concept[rows]] / language.strength[rows]
    kinds = concept * (_WORDS + 1) + np.where(language.word < 0, _WORDS, language.word % _WORDS)
    mean = np.zeros((len(directions), _CONCEPTS * (_WORDS + 1)))
    np.add.at(mean, (activations.latents, kinds[rows]), carried)
    carries = (mean / np.bincount(kinds) >= _CARRIES).reshape(len(directions), _CONCEPTS, _WORDS + 1)
    of_words = ~carries[:, :, -1] & (carries.sum(2) <= _WORDS / 4)
    share = np.zeros((activations.num_rows, len(directions)))
    share[rows, activations.latents] = carried * of_words[activations.latents, concept[rows]]
    absorbed = share.sum(1) >= 1 / 2
    return (share == share.max(1, keepdims=True)) & absorbed[:, None]
