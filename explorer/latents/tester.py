"""The word tester: activations of a latent and of the main latent on words."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from explorer.format import count
from explorer.request import Request
from explorer.views.markup import Markup, render, visible
from explorer.views.view import View

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from explorer.model import ExplorerModel

_PREVIEW = 8
_MOST_WORDS = 800
#: Maximum characters in the input field.
MOST_TYPED = 2000


class WordTester(View):
    """Tests typed words or packs of words on the selected latent.

    Parameters
    ----------
    model : ExplorerModel
    """

    answers = ("summary", "random_tokens", "absorbed_tokens")
    follows = ("suite", "sae", "concept", "latent", "tested_words", "seed")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._sent: tuple[list[str], str, str] = (
            [],
            "",
            "",
        )  # words last tested from here, as typed, and the task's act
        self._typed = ""
        self._results: list[dict[str, Any]] = []
        self._is_answered = False
        self._request = Request(model)
        self._layout = self._tester = Markup(
            "tester",
            on={
                "pack": self._test_pack,
                "test": self._test_typed,
                "reshuffle": self._reshuffle,
                "token": model.state.open_token,
            },
        )
        self._test_of: tuple[Any, ...] = ()
        self._show()

    def _reshuffle(self, _: object) -> None:
        self._model.state.seed += 1

    def _packs(self) -> list[dict[str, Any]]:
        """Return the packs of words to test: random words of the concept, other words, and absorbed words."""
        model, shown = self._model, self._model.shown
        packs = []
        if model.random_tokens is not None:
            drawn = dict(list(model.random_tokens.groupby("of_concept")["token"]))
            packs += [
                ("concept", f"Random {shown.label} words", list(drawn.get(True, []))),
                ("other", "Random other words", list(drawn.get(False, []))),
            ]
        absorbed = model.absorbed_tokens
        if absorbed is not None and len(absorbed):
            here = absorbed.loc[absorbed["latent"] == shown.latent, "token"].tolist()
            if here:
                packs.append(("absorbed-here", "Absorbed by this latent", here))
            packs.append(("absorbed", f"All absorbed {shown.label} words", absorbed["token"].tolist()))
        return [
            {
                "id": name,
                "title": title,
                "words": words,
                "is_shown": bool(self._results) and self._model.shown.tested_words == words[:_MOST_WORDS],
                "text": ", ".join(words),
                "preview": " ".join(visible(word) for word in words[:_PREVIEW]),
            }
            for name, title, words in packs
        ]

    def _test_pack(self, name: str) -> None:
        pack = next((pack for pack in self._packs() if pack["id"] == name), None)
        if pack is not None:
            self._send(pack["words"], "", f"test-{name}")

    def _test_typed(self, form: dict[str, str]) -> None:
        typed = form.get("words", "")[:MOST_TYPED]
        self._send(forms(word for word in re.split(r"[,\s]+", typed) if word), typed, "test-typed")

    def _send(self, words: list[str], typed: str, act: str) -> None:
        """Test words: write them to the state, which other views also do."""
        words = words[:_MOST_WORDS]
        self._sent = words, typed, act
        if self._model.shown.tested_words == words:
            self._test()
        elif self._model.is_current:
            self._model.state.tested_words = words

    def _show(self) -> None:
        shown = self._model.shown
        # A threshold can change the main latent, whose activations are shown, too.
        test_of = (shown.suite, shown.sae, shown.concept, shown.latent, shown.tested_words, self._main)
        if test_of == self._test_of:
            self._render()
        else:
            self._test_of = test_of
            self._test()

    def _test(self) -> None:
        """Request the activations of the words."""
        words = self._model.shown.tested_words
        sent, typed, act = self._sent
        if words != sent:
            typed, act = ", ".join(dict.fromkeys(word.strip() for word in words)), "test-typed" if words else ""
        self._typed, self._results, self._is_answered = typed, [], False
        if words and self._model.shown.latent is not None:
            receive = partial(self._receive, act)
            self._model.ask(self._request, "word_activations", receive, words=words, main_latent=self._main)
        else:
            self._request.cancel()
            self._render()

    def _receive(self, act: str, answer: pd.DataFrame | None) -> None:
        self._results, self._is_answered = ([], False) if answer is None else (self._compare(answer), True)
        self._render()
        # For the tasks: what was tested, and whether the main latent is silent on some words of the concept.
        self._model.act = act
        if any(row["note"] for row in self._results):
            self._model.act = "found-silent"

    @property
    def _main(self) -> int | None:
        return (self._model.summary or {}).get("main_latent")

    def _render(self) -> None:
        shown = self._model.shown
        if shown.latent is None or shown.sae is None:
            return
        self._tester.html = render(
            "tester",
            packs=self._packs(),
            seed=shown.seed,
            noun=shown.noun,
            typed=self._typed,
            # If another view started the test, the page scrolls to the results.
            scroll_to="" if shown.tested_words == self._sent[0] else f"{shown.latent} {self._typed}",
            most_typed=MOST_TYPED,
            missing=self._missing,
            results=self._results,
            summary=self._summary(self._results),
            latent=shown.latent,
            own_role="split" if shown.latent == self._main else "absorbing",
            main_latent=self._main,
        )

    @property
    def _missing(self) -> list[str]:
        """The words that are not tokens of the vocabulary, with or without a leading space."""
        known = {row["token"].strip() for row in self._results}
        tested = dict.fromkeys(word.strip() for word in self._model.shown.tested_words)
        return [word for word in tested if word not in known] if self._is_answered else []

    def _compare(self, answer: pd.DataFrame) -> list[dict[str, Any]]:
        """Add to each row the length of its bars: the activations in percent of the highest one of both latents."""
        highest = answer[["activation", "main_activation"]].max().max()
        shown = self._model.shown
        return [
            row
            | {
                "share": _share(row["activation"], highest),
                "main_share": _share(row["main_activation"], highest),
                "note": "main latent silent"
                if row["main_activation"] == 0 and shown.concept in row["concepts"]
                else "",
                "labels": ", ".join(shown.concepts[concept].label for concept in row["concepts"]),
            }
            for row in answer.to_dict("records")
        ]

    def _summary(self, results: list[dict[str, Any]]) -> str:
        """Summarize the results in a sentence."""
        latent = self._model.shown.latent
        if not results:
            return ""
        if all(row["activation"] != row["activation"] for row in results):
            return f"The suite stores no activations of latent {latent} on the vocabulary, so it cannot be tested here."
        fires = sum(row["activation"] > 0 for row in results)
        text = f"Latent {latent} fires on {fires} of {count(len(results), 'word')}"
        if self._main is not None and self._main != latent:
            text += f", main latent {self._main} on {sum(row['main_activation'] > 0 for row in results)}"
        return f"{text}."


def forms(words: Iterable[str]) -> list[str]:
    """Return each word with and without a leading space, because either or both may be tokens."""
    return [form for word in words for form in (f" {word}", word)]


def _share(value: float, highest: float) -> int:
    return round(100 * value / highest) if value > 0 and highest > 0 else 0
