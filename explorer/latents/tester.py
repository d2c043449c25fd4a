"""The word tester: how strongly words drive a latent, and beside it the main latent."""

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
#: Characters that the field takes.
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
        self._sent: tuple[list[str], str, str] = ([], "", "")  # the words last sent from here, as typed, and the act
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
        """List the packs of words to try: random ones of the concept, others, the absorbed ones."""
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
        """Have words tested, which are of the state: another view may send some, too."""
        words = words[:_MOST_WORDS]
        self._sent = words, typed, act
        if self._model.shown.tested_words == words:
            self._test()
        elif self._model.is_current:
            self._model.state.tested_words = words

    def _show(self) -> None:
        shown = self._model.shown
        # Another main latent, which the thresholds choose, has other activations.
        test_of = (shown.suite, shown.sae, shown.concept, shown.latent, shown.tested_words, self._main)
        if test_of == self._test_of:
            self._render()
        else:
            self._test_of = test_of
            self._test()

    def _test(self) -> None:
        """Ask for what the words do to the latent."""
        words = self._model.shown.tested_words
        sent, typed, act = self._sent
        if words != sent:
            typed, act = ", ".join(dict.fromkeys(word.strip() for word in words)), "test-typed" if words else ""
        self._typed, self._results, self._is_answered = typed, [], False
        if words and self._model.shown.latent is not None:
            take = partial(self._take, act)
            self._model.ask(self._request, "word_activations", take, words=words, main_latent=self._main)
        else:
            self._request.cancel()
            self._render()

    def _take(self, act: str, answer: pd.DataFrame | None) -> None:
        self._results, self._is_answered = ([], False) if answer is None else (self._compare(answer), True)
        self._render()
        # Say what was tested, and whether it turned up words of the concept that leave the main latent silent.
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
            # What another view has tested here is brought into view.
            brought="" if shown.tested_words == self._sent[0] else f"{shown.latent} {self._typed}",
            most_typed=MOST_TYPED,
            missing=self._missing,
            results=self._results,
            said=self._say(self._results),
            latent=shown.latent,
            own_role="split" if shown.latent == self._main else "absorbing",
            main_latent=self._main,
        )

    @property
    def _missing(self) -> list[str]:
        """The words that are tokens of the vocabulary in none of their forms."""
        known = {row["token"].strip() for row in self._results}
        tested = dict.fromkeys(word.strip() for word in self._model.shown.tested_words)
        return [word for word in tested if word not in known] if self._is_answered else []

    def _compare(self, answer: pd.DataFrame) -> list[dict[str, Any]]:
        """Give each activation its share (percent) of the highest of both latents: bars of one scale."""
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

    def _say(self, results: list[dict[str, Any]]) -> str:
        """Sum up the result in a sentence."""
        latent = self._model.shown.latent
        if not results:
            return ""
        if all(row["activation"] != row["activation"] for row in results):
            return f"The suite stores no activations of latent {latent} on the vocabulary, so it cannot be tested here."
        fires = sum(row["activation"] > 0 for row in results)
        said = f"Latent {latent} fires on {fires} of {count(len(results), 'word')}"
        if self._main is not None and self._main != latent:
            said += f", main latent {self._main} on {sum(row['main_activation'] > 0 for row in results)}"
        return f"{said}."


def forms(words: Iterable[str]) -> list[str]:
    """Return each word as it stands and with a leading space: the tokenizer knows either, or both."""
    return [form for word in words for form in (f" {word}", word)]


def _share(value: float, highest: float) -> int:
    return round(100 * value / highest) if value > 0 and highest > 0 else 0
