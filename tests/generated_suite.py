"""A large generated suite: many concepts in six families, some difficult to display, and SAEs of five architectures."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from queries.manifest import Family, Manifest, Method, Model, Provenance, Sae
from queries.writer import write_suite

if TYPE_CHECKING:
    from pathlib import Path

#: Architectures, with the share of their concepts' tokens that each absorbs.
ARCHITECTURES = {"BatchTopK": 0.10, "TopK": 0.12, "JumpReLU": 0.08, "Matryoshka": 0.02, "Gated": 0.06}
WIDTHS = (1024, 2048)
L0S = (7, 14, 27, 55, 110, 220)
LAYER = 12
_K = (1, 2, 3, 4, 5)
_TESTED = 4
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SUFFIXES = (
    *(
        "ing",
        "ed",
        "ly",
        "er",
        "s",
        "tion",
        "ness",
        "ment",
        "able",
        "ible",
        "al",
        "ial",
        "ful",
        "ic",
        "ical",
        "ious",
        "ous",
    ),
    *(
        "ish",
        "ive",
        "less",
        "ship",
        "ward",
        "wise",
        "y",
        "ate",
        "en",
        "ify",
        "fy",
        "ize",
        "ise",
        "hood",
        "ism",
        "ist",
        "ity",
    ),
    *("acy", "ance", "ence", "dom", "age", "ery"),
)
_PARTS_OF_SPEECH = (
    *("noun", "verb", "adjective", "adverb", "pronoun", "preposition", "conjunction", "determiner", "interjection"),
    *("numeral", "particle", "auxiliary", "proper noun", "punctuation", "symbol", "other"),
)
#: Labels that are long, run from right to left, or look like markup.
HARD_LABELS = (
    "a_kind_of_thing_that_has_a_name_of_exactly_sixty_characters!",
    "\N{HEBREW LETTER SHIN}\N{HEBREW LETTER LAMED}\N{HEBREW LETTER VAV}\N{HEBREW LETTER FINAL MEM}",
    "so-called \"quoted\" 'thing'",
    "<b>bold</b> & <script>alert(1)</script>",
    "noun",
)


class Kind(NamedTuple):
    """A concept to be written: its id, family, label, phrase, parent and place in its family."""

    concept: str
    family: str
    label: str
    phrase: str
    parent: str | None
    position: int


FAMILIES = (
    Family(family="first-letter", title="First letters", noun="letter", exclusive=True),
    Family(family="last-letter", title="Last letters", noun="letter", exclusive=True),
    Family(family="suffix", title="Suffixes", noun="suffix"),
    Family(family="capital", title="Capitals", noun="property"),
    Family(family="pos", title="Parts of speech", noun="part of speech"),
    Family(family="thing", title="Kinds of things, of which there are so many that a list is searched", noun="kind"),
)


def concepts(number: int = 1000) -> list[Kind]:
    """List concepts of six families; the last family is filled up to `number`."""
    found = [
        *_family("first-letter", {each: (each.upper(), f"starts with {each.upper()}") for each in _LETTERS}),
        *_family("last-letter", {each: (each.upper(), f"ends in {each.upper()}") for each in _LETTERS}),
        *_family("suffix", {each: (f"-{each}", f"ends in -{each}") for each in _SUFFIXES}),
        *_family("capital", {"initial": ("Aa", "is capitalised"), "all": ("AA", "is in capitals")}),
        *_family("pos", {each.replace(" ", "-"): (each, f"is a {each}") for each in _PARTS_OF_SPEECH}),
    ]
    hard = [
        Kind(f"thing.hard-{nth}", "thing", label, f"is {label}", None, nth) for nth, label in enumerate(HARD_LABELS)
    ]
    # A kind whose parent is missing, and kinds of kinds.
    hard[0] = hard[0]._replace(parent="thing.nowhere")
    rest = [
        Kind(f"thing.{nth:04}", "thing", f"thing {nth}", f"is a thing {nth}", _parent(nth, len(hard)), nth)
        for nth in range(len(hard), number - len(found))
    ]
    return [*found, *hard, *rest]


def write_generated_suite(
    folder: Path, *, number: int = 1000, seed: int = 0, widths: tuple[int, ...] = WIDTHS, l0s: tuple[int, ...] = L0S
) -> Path:
    """Write a deterministic suite.

    Parameters
    ----------
    folder : Path
        Must not exist.
    number : int
        Of concepts.
    seed : int
    widths, l0s : tuple of int
        Of the SAEs of each architecture.

    Returns
    -------
    Path
        `folder`.
    """
    random = np.random.default_rng(seed)
    kinds = concepts(number)
    saes = [
        Sae(
            sae=f"l{LAYER}-w{width}-{architecture.lower()}-l0-{l0}",
            layer=LAYER,
            hook=f"blocks.{LAYER}.hook_resid_post",
            width=width,
            n_latents=width,
            l0=l0 + round(float(random.uniform(-0.4, 0.4)), 3),
            l0_nominal=l0,
            architecture=architecture,
            variance_explained=round(0.6 + 0.06 * np.log(l0) - 0.02 * place, 4),
            loss_recovered=round(0.8 + 0.03 * np.log(l0) - 0.01 * place, 4),
            dead_fraction=0.01 * place,
        )
        for (place, architecture), width, l0 in product(enumerate(ARCHITECTURES), widths, l0s)
    ]
    words = [f"{'' if nth % 2 else ' '}{_word(nth)}" for nth in range(6000)]
    has = random.random((len(kinds), len(words))) < np.minimum(1, 12 / len(words))
    columns: dict[str, list[pa.Table]] = {}
    for sae in sorted(saes, key=lambda sae: sae.id):
        for name, rows in _tables(sae, kinds, words, has, random).items():
            columns.setdefault(name, []).append(rows)
    token_ids, concept_places = np.nonzero(has.T)
    tables: dict[str, Any] = {
        **columns,
        "concepts": pa.Table.from_pylist(
            [kind._asdict() | {"num_tokens": int(n)} for kind, n in zip(kinds, has.sum(1), strict=True)]
        ),
        "tokens": pa.table({"token_id": list(range(len(words))), "token": words, "is_test": [True] * len(words)}),
        "token_concepts": pa.table(
            {"token_id": token_ids, "concept": [kinds[place].concept for place in concept_places]}
        ),
    }
    manifest = Manifest(
        format_version=2,
        name=folder.name,
        title="Generated",
        model=Model(name="generated"),
        method=Method(metric="ig_ablation", notes=["Made up."]),
        saes=saes,
        families=list(FAMILIES),
        tables={},
        provenance=Provenance(made_by="tests", summary="Numbers drawn at random.", limits=["Not real."]),
    )
    write_suite(folder, manifest, tables)
    return folder


def _family(family: str, labels: dict[str, tuple[str, str]]) -> list[Kind]:
    return [
        Kind(f"{family}.{name}", family, label, phrase, None, place)
        for place, (name, (label, phrase)) in enumerate(labels.items())
    ]


def _parent(nth: int, first: int) -> str | None:
    """Return the parent of a concept."""
    return f"thing.{nth // 10:04}" if nth // 10 >= first else None


def _word(nth: int) -> str:
    """Turn a number into a distinct word."""
    letters = ""
    for _ in range(4):
        nth, rest = divmod(nth, 26)
        letters += _LETTERS[rest]
    return letters


def _tables(
    sae: Sae, kinds: list[Kind], words: list[str], has: np.ndarray, random: np.random.Generator
) -> dict[str, pa.Table]:
    """Draw the rows of one SAE."""
    number, latents = len(kinds), sae.n_latents or 0
    # A larger share is absorbed where fewer latents are active, and more by some concepts than by others.
    share = np.clip(ARCHITECTURES[str(sae.architecture)] * 14 / (sae.l0 or 1), 0, 0.9) * random.gamma(1, 1, number)
    ids = np.array([kind.concept for kind in kinds])
    order = np.argsort(ids)
    first = random.integers(latents, size=number)
    found = random.integers(20, 200, size=number)
    absorbed = np.minimum(random.poisson(np.minimum(share, 0.9) * found / 4), _TESTED)
    tested = np.full(number, _TESTED)
    key = {"sae": [sae.id] * number, "concept": ids[order]}
    f1 = np.round(random.uniform(0.4, 0.9, number), 3)
    result = {
        "measurements": pa.table(
            key
            | {
                "split_latents": [[int(latent)] for latent in first[order]],
                "num_probe_true_positives": found[order].astype("int32"),
                "num_true_positives": (found[order] // 2).astype("int32"),
                "num_candidates": tested.astype("int32"),
                "num_tested": tested.astype("int32"),
                "sample_portion": np.ones(number),
                "probe_f1": np.round(np.minimum(f1 + 0.08, 1), 3)[order],
                "metric": ["ig_ablation"] * number,
            }
        ),
        "k_sparse": pa.table(
            {
                "sae": [sae.id] * number * len(_K),
                "concept": np.repeat(ids[order], len(_K)),
                "k": np.tile(_K, number).astype("int32"),
                "latent": ((np.repeat(first[order], len(_K)) + np.tile(_K, number) - 1) % latents).astype("int32"),
                "f1": np.round(np.repeat(f1[order], len(_K)) + 0.01 * (np.tile(_K, number) - 1), 4),
                "precision": np.round(np.repeat(f1[order], len(_K)), 4),
                "recall": np.round(np.repeat(f1[order], len(_K)), 4),
            }
        ),
    }
    result["tested_tokens"] = _tested(sae, ids, order, absorbed=absorbed, words=words, has=has, random=random)
    result["latents"] = pa.table(
        {
            "sae": [sae.id] * latents,
            "latent": np.arange(latents, dtype="int32"),
            "density": np.round(random.uniform(0, 0.05, latents), 5).astype("float32"),
        }
    )
    near = [kind.concept for kind in kinds if kind.family != "thing"]
    cosines = random.normal(0, 0.04, (len(near), latents)).astype("float32")
    place = {concept: row for row, concept in enumerate(sorted(near))}
    for kind, latent in zip(kinds, first, strict=True):
        if kind.concept in place:
            cosines[place[kind.concept], latent] = 0.5
    result["cosines"] = pa.table(
        {
            "sae": pa.array([sae.id]).take(pa.array(np.zeros(cosines.size, dtype="int32"))),
            "concept": pa.array(sorted(near)).take(pa.array(np.repeat(np.arange(len(near)), latents))),
            "latent": np.tile(np.arange(latents, dtype="int32"), len(near)),
            "cosine": cosines.ravel(),
        }
    )
    return result


def _tested(
    sae: Sae,
    ids: np.ndarray,
    order: np.ndarray,
    *,
    absorbed: np.ndarray,
    words: list[str],
    has: np.ndarray,
    random: np.random.Generator,
) -> pa.Table:
    """Draw the tested tokens of one SAE: of each concept the first words that have it."""
    rows: dict[str, list[Any]] = {
        name: [] for name in ("concept", "token", "top_latent", "top_effect", "is_absorption")
    }
    for place in order:
        of_concept = sorted(words[at] for at in np.nonzero(has[place])[0][:_TESTED])
        for nth, word in enumerate(of_concept):
            is_absorbed = nth < absorbed[place]
            rows["concept"].append(ids[place])
            rows["token"].append(word)
            rows["is_absorption"].append(bool(is_absorbed))
            rows["top_effect"].append(-2.0 if is_absorbed else -0.5)
            rows["top_latent"].append(int(random.integers(sae.n_latents or 1)))
    size = len(rows["token"])
    return pa.table(
        {"sae": [sae.id] * size}
        | rows
        | {"top_cosine": [0.2] * size, "second_effect": [-0.1] * size, "metric": ["ig_ablation"] * size}
    )
