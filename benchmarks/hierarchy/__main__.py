"""Accuracy of the rules of absorption when the truth is known: ``python -m benchmarks.hierarchy``.

Prints two tables: precision and recall of the rules on constructed and trained SAEs; and the coverage of the interval
of a difference between two architectures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from benchmarks.hierarchy import trained
from benchmarks.hierarchy.suites import build_pool, difference, draw_suites
from benchmarks.hierarchy.toy import Case, build_sae, draw_language
from benchmarks.hierarchy.verdicts import STEPS, Verdicts, fit, judge, rates, score
from benchmarks.intervals import coverage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from measure.stages.sparsity import Architecture

_DRAWS, _TRAINED = 5, 4
_SUITES, _CONCEPTS = 500, 26
_RULES = ("ablation", "full", "fraction")
_UNEVEN = (0.6, 0.37, 0.03)
TOGETHER = Case(
    missed=0.1,
    hedging=0.3,
    by_word=0.2,
    split=_UNEVEN,
    partly=0.3,
    false=0.02,
    crowded=True,
    noise=0.2,
)
CASES = {
    "no complications": Case(),
    "main latent silent on another tenth, no latent instead": Case(missed=0.1),
    "the same, and hedging latents hold 0.45 of concepts": Case(missed=0.1, hedging=0.45),
    "the same, and the answer also depends on the word itself": Case(missed=0.1, by_word=0.5),
    "three main latents": Case(split=(0.5, 0.3, 0.2)),
    "three main latents, one for 3% of tokens": Case(split=_UNEVEN),
    "half of the absorbing latents carry only 0.6 of the concept": Case(partly=0.5),
    "two latents absorb each word": Case(together=True),
    "one absorbed word makes up 30 of 250 tokens": Case(common=30),
    "silent latents fire weakly on 5% of tokens": Case(false=0.05),
    "concepts have a cosine of 0.5": Case(alike=0.5),
    "random directions, d_model 576": Case(missed=0.1, crowded=True),
    "random directions, d_model 128": Case(missed=0.1, crowded=True, d_model=128),
    "noise": Case(noise=0.3),
    "a concept raises its answer by 0.9 logits only": Case(answer=0.9),
    "most of these together": TOGETHER,
}


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    print_head()
    for name, case in CASES.items():
        print_line(name, (judge_built(case, seed) for seed in range(_DRAWS)))
    architectures: tuple[Architecture, ...] = ("batchtopk", "matryoshka")
    for architecture in architectures:
        print_line(f"trained: {architecture}", (judge_trained(architecture, seed) for seed in range(_TRAINED)))
    print_coverage({"no complications": Case(), "most of these together": TOGETHER})


def print_coverage(cases: dict[str, Case]) -> None:
    """Print how often the interval of a difference contains the true difference."""
    print("\n| SAEs | by | true difference | measured | seeds | coverage |")
    for name, case in cases.items():
        pool = build_pool(case, ("truth", *_RULES))
        truth = difference(pool["truth"])
        for rule, found in pool.items():
            for seeds in (1, 3):
                held = coverage(draw_suites(found, _SUITES, seeds, _CONCEPTS), truth).held
                cells = (name, rule, f"{truth:.2%}", f"{difference(found):.2%}", str(seeds), f"{held:.1%}")
                print(f"| {' | '.join(cells)} |", flush=True)


def judge_built(case: Case, seed: int) -> Verdicts:
    """Compute verdicts on a constructed SAE."""
    language = draw_language(case, seed)
    return judge(language, fit(language), build_sae(case, language, seed))


def judge_trained(architecture: Architecture, seed: int) -> Verdicts:
    """Compute verdicts on a trained SAE."""
    language = trained.draw_language(seed)
    return judge(language, fit(language), trained.train_sae(language, architecture, seed))


def print_head() -> None:
    """Print the header of the first table; each pair is precision and recall."""
    columns = ["case", "absorbed in truth"]
    for rule in _RULES:
        columns += [rule, "latents", "rate"] if rule != "fraction" else [rule, "mean"]
    print(f"| {' | '.join([*columns, 'F1 of the probe', 'split latents', 'misses of ablation'])} |")


def print_line(name: str, draws: Iterable[Verdicts]) -> None:
    """Print the row of a case, over several draws."""
    listed = list(draws)
    tokens = pd.concat([one.tokens.assign(draw=number) for number, one in enumerate(listed)], ignore_index=True)
    cells = [name, f"{rates(tokens, 'truth').mean():.1%}"]
    for rule in _RULES:
        found = score(tokens, rule)
        cells.append(_pair(found.precision, found.recall))
        if rule != "fraction":
            cells.append(_pair(found.latents_precision, found.latents_recall))
        cells.append(f"{found.rate:.1%}")
    cells += [f"{np.mean([one.probe_f1 for one in listed]):.2f}", f"{np.mean([one.num_split for one in listed]):.2f}"]
    missed = tokens[(tokens["truth"].map(len) > 0) & (tokens["ablation"].map(len) == 0)]
    why = missed["ended"].value_counts(normalize=True).sort_index()
    cells.append(", ".join(f"{STEPS[step]} {share:.0%}" for step, share in why.items()))
    print(f"| {' | '.join(cells)} |", flush=True)


def _pair(precision: float, recall: float) -> str:
    return " / ".join("-" if np.isnan(value) else f"{value:.2f}" for value in (precision, recall))


if __name__ == "__main__":
    main()
