"""One SAE of the tiny suite: the roles of its latents, and its rows.

Six letters have data. All SAEs treat them in the same way, with different latents:

====== ============== ====== ==========================================================================
letter split latents  tested purpose
====== ============== ====== ==========================================================================
a      1              6      each case of `CASES` once
b      1              4      nothing absorbed
l      2              4 of 8 `sample_portion` 0.5
q      2              0      split latents without candidates; one of its latents never fires
s      2              12     each case twice, on tokens that break careless quoting
t      3              6      three split latents
====== ============== ====== ==========================================================================

The latent with the highest encoder cosine is the last split latent, so it is the main latent for a and b only.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from queries.schema import concept_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queries.manifest import Sae

TAU, COSINE_THRESHOLD, EFFECT_MARGIN = 0.03, 0.025, 1.0

AWKWARD = (
    's"quoted"',
    " s'apostrophe",
    "s,comma",
    "s\nnewline",
    " <b>strong</b>",
    "<script>alert(1)</script>",
    " s😀",
    "s%;--$",
    "s\\back",
)
_WORDS = {
    "a": "apple arrow amber acorn atlas",
    "b": "bread brick bloom brave basin",
    "l": "lemon light ladder lunar label",
    "q": "queen quiet quartz quote quill",
    "s": "short stone silver sound spring",
    "t": "table tiger thread tower token",
}
LETTERS = tuple(_WORDS)
_NUM_SPLIT = {"a": 1, "b": 1, "l": 2, "q": 2, "s": 2, "t": 3}
_NUM_TESTED = {"a": 6, "b": 4, "l": 4, "q": 0, "s": 12, "t": 6}
_SAMPLED = {"l": 0.5}
_NUM_RANKED = 50
_K_VALUES = (*range(1, 16), 20, 50)

#: Effects of the top latent and the runner-up, by case.
CASES = {
    "absorbed": (-2.5, -0.5),
    "absorbed, exactly at the margin": (-1.5, -0.5),
    "margin too small": (-2.0, -1.75),
    "cosine too low": (-3.0, -0.5),
    "removing the top latent helps": (1.5, None),
    # The published results then name latents 0 and 1, which are not active.
    "no active latent lowers the logit": (0.0, 0.0),
}


_PAGE = """<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>Latent {latent}</title>
<style>.grid-container {{ display: flex; }} .grid-column {{ flex: 1; }}</style></head>
<body><div id="dropdown-container"></div>
<div class="grid-container">
<div class="grid-column" id="column-0"><h4>Latent {latent}</h4></div>
<div class="grid-column" id="column-1">
<div class="logits-table"><div class="negative"></div><div class="positive"></div></div></div>
<div class="grid-column" id="column-2"></div>
</div>
<script>document.getElementById("column-2").textContent = "drawn by the page's own script";</script>
</body></html>
"""


@dataclass(frozen=True)
class Token:
    token_id: int
    text: str
    letter: str
    is_test: bool


def _vocabulary() -> list[Token]:
    texts = [(text, "s", True) for text in AWKWARD]
    for letter, words in _WORDS.items():
        for word in words.split():
            texts += [(word, letter, True), (f" {word}", letter, False)]
            texts += [(f" {word.title()}", letter, True), (word.upper(), letter, False)]
    return [Token(token_id, *parts) for token_id, parts in enumerate(texts, start=100)]


VOCABULARY = _vocabulary()


def _test_tokens(letter: str) -> list[Token]:
    return [token for token in VOCABULARY if token.letter == letter and token.is_test]


@dataclass(frozen=True)
class _Roles:
    """The latents of one letter on one SAE: the first of `ranked` are the split latents."""

    ranked: list[int]
    absorbing: list[int]
    bystander: int
    crowd: list[int]
    num_split: int

    @property
    def split(self) -> list[int]:
        return self.ranked[: self.num_split]

    @property
    def encoder_top(self) -> list[int]:
        return [self.split[-1], *(latent for latent in self.ranked[:3] if latent != self.split[-1])]

    @property
    def evident(self) -> list[int]:
        return [*self.ranked[:3], *self.absorbing, self.bystander]


class TinySae:
    """Draws the roles and cosines of one SAE, and returns its rows per table."""

    def __init__(self, sae: Sae, place: tuple[int, int, int], seed: int) -> None:
        self.key = {"sae": sae.id}
        self.layer = sae.layer
        self.n_latents = sae.n_latents or 0
        self.rng = np.random.default_rng([seed, *map(abs, place)])
        self.cosine = self.rng.normal(0, 0.04, (len(LETTERS), self.n_latents)).astype(np.float32)
        # Latents 0 and 1 have no role, because results name them as placeholders.
        latents = iter((self.rng.permutation(self.n_latents - 2) + 2).tolist())
        self.roles = {letter: self._draw(letter, latents) for letter in LETTERS}
        self.silent = self.roles["q"].bystander
        self.tested = {letter: self._test(letter) for letter in LETTERS}

    def _draw(self, letter: str, latents: Iterator[int]) -> _Roles:
        roles = _Roles(
            ranked=list(islice(latents, _NUM_RANKED)),
            absorbing=list(islice(latents, 3)),
            bystander=next(latents),
            crowd=list(islice(latents, 4)),
            num_split=_NUM_SPLIT[letter],
        )
        row = self.cosine[LETTERS.index(letter)]
        row[roles.split] = np.sort(self.rng.uniform(0.4, 0.6, len(roles.split)))[::-1]
        row[roles.absorbing] = self.rng.uniform(0.05, 0.2, len(roles.absorbing))
        row[roles.bystander] = 0.01
        return roles

    def _cosine(self, letter: str, latent: int) -> float:
        return float(self.cosine[LETTERS.index(letter), latent])

    def _test(self, letter: str) -> list[dict[str, Any]]:
        """Return the letter's tested tokens, one case after the other; b omits the absorbed cases."""
        cases = list(CASES.items())[2 if letter == "b" else 0 :]
        tokens = _test_tokens(letter)[: _NUM_TESTED[letter]]
        return [self._test_token(token, row, *cases[row % len(cases)]) for row, token in enumerate(tokens)]

    def _test_token(
        self, token: Token, row: int, case: str, case_effects: tuple[float, float | None]
    ) -> dict[str, Any]:
        letter, roles = token.letter, self.roles[token.letter]
        top_effect, second_effect = case_effects
        top, second = roles.absorbing[row % 3], None if second_effect is None else roles.crowd[3]
        effects = dict(zip(roles.crowd, (0.125, 0.25, 0.5), strict=False))
        if case == "no active latent lowers the logit":
            top, second = 0, 1
        else:
            if case == "cosine too low":
                top = roles.bystander
            if case in {"absorbed", "cosine too low"}:
                top_effect -= row / 8
            effects[top] = top_effect
            if second is not None and second_effect is not None:
                effects[second] = second_effect
        latents = sorted(effects, key=lambda latent: effects[latent])
        top_cosine = self._cosine(letter, top)
        margin = abs(top_effect) - abs(second_effect or 0)
        return {
            **self.key,
            "concept": concept_id(letter),
            "token": token.text,
            "token_id": token.token_id,
            "prompt_id": row % 2,
            "split_activations": [0.0] * len(roles.split),
            "split_cosines": [self._cosine(letter, latent) for latent in roles.split],
            "top_latent": top,
            "top_effect": top_effect,
            "top_cosine": top_cosine,
            "second_latent": second,
            "second_effect": second_effect,
            "second_cosine": None if second is None else self._cosine(letter, second),
            "latents": latents,
            "effects": [effects[latent] for latent in latents],
            "activations": [8.0 - place for place in range(len(latents))],
            "cosines": [self._cosine(letter, latent) for latent in latents],
            # As in a suite that stores the shares of a concept, but not the values for another tau.
            "main_projection": 0.25 * row,
            "absorbing_projection": 1.0,
            "total_projection": 4.0 - row,
            "true_effect_top": top_effect * 0.9 if top_effect < 0 else None,
            "true_effect_second": None,
            "answer_metric": 4.0 + row,
            "model_answer": letter if row % 3 else "z",
            "model_correct": bool(row % 3),
            "probe_logit": 1.5 + row,
            "num_active_latents": len(latents),
            "is_absorption": top_effect <= 0 and margin >= EFFECT_MARGIN and top_cosine >= COSINE_THRESHOLD,
        }

    def measurements(self) -> list[dict[str, Any]]:
        """Return rows of measurements; a repeated training absorbs one word fewer per letter with absorption."""
        rows = self._measured()
        further = ("concept", "num_probe_true_positives", "num_candidates", "sample_portion")
        for row, tested in zip(self._measured(), self.tested.values(), strict=True):
            absorbed = sum(one["is_absorption"] for one in tested)
            seed = {"sae": f"{row['sae']}-s1", "num_absorbed": max(absorbed - 1, 0)}
            rows.append(seed | {name: row[name] for name in further})
        return rows

    def _measured(self) -> list[dict[str, Any]]:
        rows = []
        for letter, roles in self.roles.items():
            tested, portion = len(self.tested[letter]), _SAMPLED.get(letter, 1.0)
            positives, candidates = len(_test_tokens(letter)), int(tested / portion)
            counts = {
                "num_probe_true_positives": positives,
                "num_true_positives": positives - candidates,
                "num_split_silent": candidates,
                "num_candidates": candidates,
                "num_tested": tested,
            }
            probe = {"probe_f1": 0.9, "probe_precision": 0.9, "probe_recall": 0.9, "probe_auc": 0.99}
            rows.append(
                {
                    **self.key,
                    "concept": concept_id(letter),
                    "split_latents": roles.split,
                    **counts,
                    "sample_portion": portion,
                    "num_absorbed": None,
                    **probe,
                }
            )
        return rows

    def k_sparse(self) -> list[dict[str, Any]]:
        """Return rows of k_sparse; F1 rises steeply up to the last split latent, and at k = 6, which must not count."""
        rows = []
        for letter, roles in self.roles.items():
            f1 = self.rng.uniform(0.5, 0.6)
            for k in _K_VALUES:
                f1 += 0.05 if 1 < k <= roles.num_split or k == 6 else 0.004
                precision = f1 + 0.02
                scores = {
                    "f1": f1,
                    "precision": precision,
                    "recall": f1 * precision / (2 * precision - f1),
                    "auc": 0.95,
                }
                rows.append(
                    {**self.key, "concept": concept_id(letter), "k": k, "latent": roles.ranked[k - 1], **scores}
                )
        return rows

    def encoder_top(self) -> list[dict[str, Any]]:
        return [
            {
                **self.key,
                "concept": concept_id(letter),
                "rank": rank,
                "latent": latent,
                "encoder_cosine": 0.5 - rank / 10,
                "cosine": self._cosine(letter, latent),
                "precision": 0.8 - rank / 10,
                "recall": 0.6 - rank / 10,
                "f1": 0.7 - rank / 10,
                "auc": 0.9 - rank / 10,
            }
            for letter, roles in self.roles.items()
            for rank, latent in enumerate(roles.encoder_top)
        ]

    def tested_tokens(self) -> list[dict[str, Any]]:
        return [row for rows in self.tested.values() for row in rows]

    def latents(self) -> pa.Table:
        number = self.n_latents
        largest = self.rng.uniform(5, 30, number)
        largest[self.silent] = 0
        best = self.cosine.argmax(axis=0)
        columns = {
            "latent": np.arange(number),
            "density": np.where(largest > 0, self.rng.uniform(1e-4, 0.02, number), 0),
            "max_activation": largest,
            "mean_activation": np.where(largest > 0, largest / 3, np.nan),
            "num_vocab_tokens": self.rng.integers(1, 20, number),
            "num_test_tokens": self.rng.integers(0, 4, number),
            "max_activation_vocab": largest * 0.8,
            "encoder_decoder_cosine": self.rng.uniform(0.4, 0.9, number),
            "top_concept": np.array([*map(concept_id, LETTERS)])[best],
            "top_concept_cosine": self.cosine.max(axis=0),
        }
        return self._table(columns)

    def cosines(self) -> pa.Table:
        number = self.n_latents
        return self._table(
            {
                "concept": np.repeat([*map(concept_id, LETTERS)], number),
                "latent": np.tile(np.arange(number), len(LETTERS)),
                "cosine": self.cosine.ravel(),
            }
        )

    def _table(self, columns: dict[str, Any]) -> pa.Table:
        size = len(columns["latent"])
        return pa.table({name: np.full(size, value) for name, value in self.key.items()} | columns)

    def _evident(self) -> list[tuple[str, int]]:
        return [(letter, latent) for letter, roles in self.roles.items() for latent in roles.evident]

    def contexts(self) -> list[dict[str, Any]]:
        rows = []
        for letter, latent in self._evident():
            words = [token.text for token in VOCABULARY if token.letter == letter]
            for rank in range(0 if latent == self.silent else 3):
                tokens = [" the", words[rank], *AWKWARD[rank::3], "\n", " end"]
                activation = 12.0 - 2 * rank
                strengths = [0.0, activation, *(0.5 * place for place in range(len(tokens) - 2))]
                rows.append(
                    {
                        **self.key,
                        "latent": latent,
                        "rank": rank,
                        "activation": activation,
                        "tokens": tokens,
                        "activations": strengths,
                        "position": 1,
                        "source": "tiny",
                    }
                )
        return rows

    def logits(self) -> list[dict[str, Any]]:
        return [
            {
                **self.key,
                "latent": latent,
                "raised_tokens": [f" {letter.upper()}", *AWKWARD],
                "raised_logits": [1.0 - place / 20 for place in range(10)],
                "lowered_tokens": [token.text for token in VOCABULARY[-10:]],
                "lowered_logits": [-1.0 + place / 20 for place in range(10)],
            }
            for letter, latent in self._evident()
        ]

    def histograms(self) -> list[dict[str, Any]]:
        rows = []
        for _, latent in self._evident():
            fires = latent != self.silent
            counts = [2 ** (10 - place // 2) if fires else 0 for place in range(20)]
            rows.append({**self.key, "latent": latent, "low": 0.0, "high": 12.0 if fires else 0.0, "counts": counts})
        return rows

    def token_activations(self) -> list[dict[str, Any]]:
        """Return activations: split latents fire on their letter except on tested tokens, others on these."""
        rows = []
        for letter, latent in self._evident():
            tested = {row["token_id"]: row["latents"] for row in self.tested[letter]}
            if latent in self.roles[letter].split:
                ids = [
                    token.token_id for token in VOCABULARY if token.letter == letter and token.token_id not in tested
                ]
            else:
                ids = [token_id for token_id, active in tested.items() if latent in active]
            activations = [10.0 - place / 4 for place in range(len(ids))]
            rows.append({**self.key, "latent": latent, "token_ids": ids, "activations": activations})
        return rows

    def kin(self, other: TinySae, name: str) -> list[dict[str, Any]]:
        """Return kin: for each latent with evidence, the one with the same role on another SAE, and the next."""
        rows = []
        for letter, roles in self.roles.items():
            theirs, words = other.roles[letter].evident, [token for token in VOCABULARY if token.letter == letter]
            for place, latent in enumerate(roles.evident):
                near = [theirs[place], *(kin for kin in theirs if kin != theirs[place])][:5]
                for rank, kin in enumerate(near):
                    fires = latent != self.silent and kin != other.silent
                    shared = [token.token_id for token in words[rank : rank + 5 - place % 2]] if fires else []
                    rows.append(
                        {
                            **self.key,
                            "latent": latent,
                            "other_sae": name,
                            "rank": rank,
                            "other_latent": kin,
                            "cosine": 0.9375 - rank / 4 - place / 64,
                            "overlap": (len(shared) / 20 if fires else 0.0) if rank < 4 else None,
                            "num_shared_words": len(shared),
                            "shared_words": shared,
                        }
                    )
        return rows

    def dashboards(self) -> list[dict[str, Any]]:
        """Return pages for the latents of the letter s."""
        return [
            {**self.key, "latent": latent, "html": _PAGE.format(latent=latent)} for latent in self.roles["s"].evident
        ]
