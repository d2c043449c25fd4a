"""Sample suites from SAEs with known absorption, to measure the coverage of the interval of a difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.hierarchy.toy import build_sae, draw_language
from benchmarks.hierarchy.verdicts import fit, judge, rates

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.hierarchy.toy import Case

_LANGUAGES, _SEEDS = 4, 12
#: Parameters of beta distributions: absorbed share of a concept's words in the first architecture, and the share of the
#: remaining words that the second architecture absorbs in addition.
_ABSORBED, _ADDED = (2.0, 18.0), (1.0, 19.0)
#: Maximum relative change of the absorbed share, for all concepts, by a seed.
_BY_SEED = 0.2


def build_pool(case: Case, rules: Iterable[str]) -> dict[str, np.ndarray]:
    """Construct SAEs of two architectures with several seeds each, on several languages, and compute their rates.

    Returns
    -------
    dict of str to numpy.ndarray
        By rule, the rate of each concept of each SAE, (architectures, seeds, concepts); that of `truth` is the absorbed
        share of the test tokens.
    """
    random = np.random.default_rng(0)
    by_seed = random.uniform(1 - _BY_SEED, 1 + _BY_SEED, (2, _SEEDS))
    found = {rule: np.empty((2, _SEEDS, _LANGUAGES, case.concepts)) for rule in rules}
    for number in range(_LANGUAGES):
        language = draw_language(case, number)
        probes = fit(language)
        chance = random.beta(*_ABSORBED, case.concepts)
        more = chance + (1 - chance) * random.beta(*_ADDED, case.concepts)
        for place, factor in np.ndenumerate(by_seed):
            seed = int(random.integers(2**32))
            sae = build_sae(case, language, seed, factor * (chance, more)[place[0]])
            tokens = judge(language, probes, sae).tokens.assign(draw=0)
            for rule, of_rule in found.items():
                known = tokens if rule == "truth" else tokens[tokens["probed"]]
                of_rule[*place, number] = rates(known, rule)
    return {rule: of_rule.reshape(2, _SEEDS, -1) for rule, of_rule in found.items()}


def difference(rates: np.ndarray) -> float:
    """Return the mean rate of the second architecture less that of the first."""
    return float(rates[1].mean() - rates[0].mean())


def draw_suites(rates: np.ndarray, number: int, seeds: int, concepts: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Sample suites with some concepts and some seeds of both architectures; yield both rates, (seeds, concepts)."""
    random = np.random.default_rng(0)
    for _ in range(number):
        chosen = random.integers(rates.shape[2], size=concepts)
        this, other = (of[random.integers(len(of), size=seeds)][:, chosen] for of in rates)
        yield this, other
