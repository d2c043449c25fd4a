"""Stage: facts about all latents of an SAE, and contexts and logits of the latents that have a role."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from measure.memory import batch_size
from measure.models.loading import model_of
from measure.saes.loading import open_sae
from measure.sparse import Sparse
from measure.stages.ablation import load_tested
from measure.stages.families import folders_by_family, load_words
from measure.stages.k_sparse import load_k_sparse
from measure.stages.latents import TEST
from measure.stages.probes import load_probes
from measure.stages.projections import load_projections
from measure.stages.splits import load_splits
from measure.stages.text import load_windows
from measure.stages.text_latents import EVIDENCE
from measure.stages.vocabulary import load_vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from measure.models.base import LanguageModel
    from measure.saes.base import Sae
    from measure.stages.ablation import Tested
    from measure.stages.families import Words
    from measure.stages.text import Windows

#: The tables that this stage writes.
TABLES = ("latents", "contexts", "logits", "histograms", "token_activations")
_CONTEXTS, _LEFT, _RIGHT = 20, 12, 8
#: Contexts with the same tokens around the latent's are stored once: number of tokens before and after it.
_SAME_LEFT, _SAME_RIGHT = 5, 2
_BINS = 20
_LOGITS = 10
#: Maximum batch size of logits; larger batches are no faster.
_AT_ONCE = 64
#: For each concept, additional latents: those with the highest decoder cosines, and with the highest encoder cosines.
_BY_DECODER, _BY_ENCODER = 5, 1


def latents_with_evidence(
    split: Mapping[int, np.ndarray],
    tested: Tested,
    tested_latents: Iterable[np.ndarray],
    absorbing: Iterable[int],
    cosines: np.ndarray,
    encoder: np.ndarray,
) -> np.ndarray:
    """Choose the latents with evidence (contexts, logits, histograms, activations on words), for one family.

    Parameters
    ----------
    split : mapping of int to numpy.ndarray
        Split latents by concept.
    tested : Tested
    tested_latents : iterable of numpy.ndarray
        The active latents of each tested word.
    absorbing : iterable of int
        Latents that absorb a word by projection.
    cosines, encoder : numpy.ndarray
        Cosines of decoder and encoder directions with the probes, (concepts, latents).
    """
    chosen = {int(latent) for latents in split.values() for latent in latents} | {*absorbing}
    for latents, word in zip(tested_latents, tested.effects, strict=True):
        chosen |= {int(latents[place]) for place in np.argsort(word.effects)[:2]}
    for letter in split:
        chosen |= set(np.argsort(-cosines[letter])[:_BY_DECODER].tolist())
        chosen |= set(np.argsort(-encoder[letter])[:_BY_ENCODER].tolist())
    return np.array(sorted(chosen), int)


def describe_latents(sae: Sae, cosines: np.ndarray, concepts: Sequence[str], words: Words, text: Sparse) -> pa.Table:
    """Make the table `latents`, with a row per latent.

    Parameters
    ----------
    sae : Sae
    cosines : numpy.ndarray
        Cosines of decoder rows with probes, (concepts, latents).
    concepts : sequence of str
        Ids of the concepts.
    words : Words
    text : Sparse
        Activations on the tokens of the evidence windows.
    """
    directions, encoder = sae.directions.cpu().numpy(), sae.encoder.cpu().numpy()
    both = (directions * encoder).sum(1) / (
        np.linalg.norm(directions, axis=1) * np.linalg.norm(encoder, axis=1) + 1e-12
    )
    fires = text.counts()
    totals = np.bincount(text.latents, weights=text.values, minlength=text.num_latents)
    return pa.table(
        {
            "latent": np.arange(sae.num_latents, dtype=np.int32),
            "density": (fires / max(text.num_rows, 1)).astype(np.float32),
            "max_activation": _largest(text),
            "mean_activation": (totals / np.maximum(fires, 1)).astype(np.float32),
            "num_vocab_tokens": words.activations.counts().astype(np.int32),
            "num_test_tokens": words.activations.take(np.flatnonzero(words.is_test)).counts().astype(np.int32),
            "max_activation_vocab": _largest(words.activations),
            "encoder_decoder_cosine": both.astype(np.float32),
            "top_concept": [concepts[place] for place in cosines.argmax(0)],
            "top_concept_cosine": cosines.max(0).astype(np.float32),
        }
    )


def _largest(activations: Sparse) -> np.ndarray:
    found = np.zeros(activations.num_latents, np.float32)
    np.maximum.at(found, activations.latents, activations.values)
    return found


def find_contexts(
    text: Sparse, windows: Windows, latents: Iterable[int], texts: Mapping[int, str], sources: list[str]
) -> pa.Table:
    """Make the table `contexts`: the places in text at which each latent is most active.

    Parameters
    ----------
    text : Sparse
        Activations on the tokens of the evidence windows.
    windows : Windows
    latents : iterable of int
    texts : mapping of int to str
        Text of every token.
    sources : list of str
    """
    length = windows.ids.shape[1] - 1
    ids = windows.ids[windows.evidence, 1:]
    rows: list[dict[str, Any]] = []
    for latent in latents:
        places, values = text.column(latent)
        may = places < windows.num_shown * length
        places, values = places[may], values[may]
        along = dict(zip(places.tolist(), values.tolist(), strict=True))
        seen: set[tuple[int, ...]] = set()
        for place in places[np.argsort(-values, kind="stable")].tolist():
            window, position = divmod(place, length)
            around = tuple(ids[window, max(position - _SAME_LEFT, 0) : position + _SAME_RIGHT + 1].tolist())
            if around in seen:
                continue
            seen.add(around)
            start, end = max(position - _LEFT, 0), min(position + _RIGHT + 1, length)
            shown = range(window * length + start, window * length + end)
            rows.append(
                {
                    "latent": latent,
                    "rank": len(seen) - 1,
                    "activation": rounded(along[place], 12),
                    "tokens": [texts[number] for number in ids[window, start:end].tolist()],
                    "activations": [round(rounded(along.get(one, 0.0), 12), 3) for one in shown],
                    "position": position - start,
                    "source": sources[windows.sources[windows.evidence[window]]],
                }
            )
            if len(seen) == _CONTEXTS:
                break
    names = ("latent", "rank", "activation", "tokens", "activations", "position", "source")
    return pa.table({name: [row[name] for row in rows] for name in names})


def rounded(values: Any, bits: int) -> Any:
    """Round to a number of significant bits, so that files compress better."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.round(mantissa * 2.0**bits) / 2.0**bits, exponent)


def bin_activations(text: Sparse, latents: Iterable[int]) -> pa.Table:
    """Make the table `histograms`, of the activations of each latent."""
    rows = []
    for latent in latents:
        _, values = text.column(latent)
        high = float(values.max()) if len(values) else 0.0
        counts = np.histogram(values, _BINS, (0, high))[0] if high else np.zeros(_BINS, int)
        rows.append({"latent": latent, "low": 0.0, "high": high, "counts": counts.tolist()})
    return pa.table({name: [row[name] for row in rows] for name in ("latent", "low", "high", "counts")})


def list_words(words: Words, latents: Iterable[int]) -> pa.Table:
    """Make the table `token_activations`: the words on which each latent is active, strongest first."""
    rows = []
    for latent in latents:
        places, values = words.activations.column(latent)
        order = np.argsort(-values, kind="stable")
        rows.append((latent, words.ids[places[order]].tolist(), rounded(values[order], 8).tolist()))
    return pa.table(dict(zip(("latent", "token_ids", "activations"), map(list, zip(*rows, strict=True)), strict=True)))


def list_logits(model: LanguageModel, sae: Sae, latents: np.ndarray, texts: Mapping[int, str]) -> pa.Table:
    """Make the table `logits`: the output tokens that each latent raises and lowers most."""
    rows: dict[str, list[Any]] = {
        name: [] for name in ("latent", "raised_tokens", "raised_logits", "lowered_tokens", "lowered_logits")
    }
    rows["latent"] = latents.tolist()
    chosen = sae.directions[torch.from_numpy(latents).to(sae.directions.device)]
    size = batch_size(partial(model.raised, chosen[:1]), model.device, min(len(chosen), _AT_ONCE))
    for part in chosen.split(size):
        # The unembedding of a model may be padded beyond the last token.
        logits = model.raised(part)[:, : len(texts)]
        for name, sign in (("raised", 1), ("lowered", -1)):
            values, tokens = (sign * logits).topk(_LOGITS, dim=1)
            rows[f"{name}_tokens"] += [[texts[number] for number in row] for row in tokens.tolist()]
            rows[f"{name}_logits"] += (sign * values).tolist()
    return pa.table(rows)


class _Family(NamedTuple):
    """Of one family: latents with evidence, ids of its concepts, and decoder cosines, (concepts, latents)."""

    latents: np.ndarray
    concepts: list[str]
    cosines: np.ndarray


def _of_family(needs: Mapping[str, Path], sae: Sae, cosine_threshold: float) -> _Family:
    """Choose the latents of a family from the outputs of its stages."""
    vocabulary, probes = load_vocabulary(needs["vocabulary"]), load_probes(needs["probes"]).folds[0]
    k_sparse, splits = load_k_sparse(needs["k_sparse"]).probes, load_splits(needs["splits"])
    tested, as_tested = load_tested(needs.get("ablation")), Sparse.load(needs["latents"] / f"{TEST}.npz")
    projected = [of_concept.found for of_concept in load_projections(needs["projections"]).values()]
    cosines = probes.cosines(sae.directions.cpu().numpy())
    latents = latents_with_evidence(
        {place: k_sparse[place][number].latents for place, number in splits.items()},
        tested,
        [as_tested.row(row)[0] for row in vocabulary.test_positions(tested.words)],
        [latent for found in projected for latent in found.top[found.fully_absorbed(cosine_threshold)].tolist()],
        cosines,
        probes.cosines(sae.encoder.cpu().numpy()),
    )
    known = sorted(splits)
    return _Family(latents, [vocabulary.family.concept(place) for place in known], cosines[known])


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:
    """Run the stage."""
    model, windows = model_of(settings, needs), load_windows(needs["text"])
    sae, text = open_sae(needs["sae"], model.device), Sparse.load(needs["text_latents"] / f"{EVIDENCE}.npz")
    families = folders_by_family(needs)
    words = load_words(*([family[stage] for family in families] for stage in ("vocabulary", "latents")))
    found = [_of_family(family, sae, settings["cosine"]) for family in families]
    latents = np.unique(np.concatenate([one.latents for one in found]))
    concepts = [concept for one in found for concept in one.concepts]
    texts = dict(enumerate(model.tokenizer.texts(range(len(model.tokenizer)))))
    progress(0.2)
    tables = (
        describe_latents(sae, np.concatenate([one.cosines for one in found]), concepts, words, text),
        find_contexts(text, windows, latents.tolist(), texts, settings["sources"]),
        list_logits(model, sae, latents, texts),
        bin_activations(text, latents.tolist()),
        list_words(words, latents.tolist()),
    )
    for name, table in zip(TABLES, tables, strict=True):
        pq.write_table(table, out / f"{name}.parquet")
    progress(1)
