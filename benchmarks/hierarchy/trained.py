"""SAEs that the project trains on a language whose features are known, and which of their latents absorb."""

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
#: Share of text that has a concept, and of this, share without a feature of its own.
_OF_CONCEPTS, _ALONE = 0.5, 0.5
#: Tokens of the vocabulary: for each concept, without a feature of its own, and with each.
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
    """Draw batches of running text without end; words are as frequent as 1 / their number."""
    random = np.random.default_rng(seed)
    frequency = 1 / np.arange(1, _WORDS + 1)
    while True:
        concept = random.integers(_CONCEPTS, size=_BATCH)
        of_concept = random.choice(_WORDS, _BATCH, p=frequency / frequency.sum())
        word = np.where(random.random(_BATCH) < _ALONE, -1, concept * _WORDS + of_concept)
        strength = draw_strength(random, _BATCH) * (random.random(_BATCH) < _OF_CONCEPTS)
        yield read(random, features, concept, word, strength, draw_contexts(random, _BATCH, _CONTEXTS), _NOISE)


def train_sae(language: Language, architecture: Architecture, seed: int) -> Known:
    """Train an SAE on running text, and find what absorbs on the vocabulary."""
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
    """Tell which latent absorbs each token, (tokens, latents), by the features and nothing else.

    Features are at right angles, so what a latent carries of a concept is its activation times its decoder row's part
    along the concept. A latent of single words carries the concept on the tokens of a quarter of its words at most, and
    not on those that have no feature of their own. A token is absorbed where such latents carry half of its concept or
    more; by the one that carries most.
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
