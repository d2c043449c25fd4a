"""The word tester: how strongly words drive a latent, and beside it the main latent."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import panel as pn

from explorer.format import count
from explorer.views.markup import Markup, render, visible

if TYPE_CHECKING:
    import param

    from explorer.model import ExplorerModel

_PREVIEW = 8
_MAX_WORDS = 400
#: Characters that the field takes.
MOST_TYPED = 2000


class WordTester(pn.viewable.Viewer):
    """Tests typed words or packs of words on the selected latent.

    Parameters
    ----------
    model : ExplorerModel
    """

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__()
        self._model = model
        self._typed = ""
        self._words: list[str] = []
        self._missing: list[str] = []
        self._tester = Markup(
            "tester", on={"pack": self._test_pack, "test": self._test_typed, "reshuffle": self._reshuffle}
        )
        model.param.watch(self._show, ["summary", "latent_facts", "absorbing_latents"])
        model.state.param.watch(self._show, "seed")
        model.state.param.watch(self._forget, "latent")
        self._show()

    def _forget(self, *_: param.parameterized.Event) -> None:
        self._typed, self._words, self._missing = "", [], []
        self._show()

    def _reshuffle(self, _: object) -> None:
        self._model.state.seed += 1

    def _packs(self) -> list[dict[str, Any]]:
        """List the packs of words to try: random ones of the letter, of others, the absorbed ones."""
        model, state = self._model, self._model.state
        letter = state.letter.upper()
        packs = [
            ("letter", f"Words in {letter}", self._tokens("random_tokens", of_letter=True)),
            ("other", "Other words", self._tokens("random_tokens", of_letter=False)),
        ]
        absorbed = model.ask("absorbed_tokens")
        if absorbed is not None and len(absorbed):
            here = absorbed.loc[absorbed["latent"] == state.latent, "token"].tolist()
            if here:
                packs.append(("absorbed-here", "Absorbed by this latent", here))
            packs.append(("absorbed", f"All absorbed in {letter}", absorbed["token"].tolist()))
        return [
            {
                "id": name,
                "title": title,
                "words": words,
                "text": ", ".join(words),
                "preview": " ".join(visible(word) for word in words[:_PREVIEW]),
            }
            for name, title, words in packs
        ]

    def _tokens(self, query: str, **params: object) -> list[str]:
        frame = self._model.ask(query, **params)
        return [] if frame is None else frame["token"].tolist()

    def _test_pack(self, name: str) -> None:
        pack = next((pack for pack in self._packs() if pack["id"] == name), None)
        if pack is None:
            return
        self._typed, self._words, self._missing = "", pack["words"][:_MAX_WORDS], []
        self._show()
        self._tell(f"test-{name}")

    def _test_typed(self, form: dict[str, str]) -> None:
        """Test what was typed: each word as it stands and with a leading space, as the tokenizer knows it."""
        self._typed = form.get("words", "")[:MOST_TYPED]
        typed = [word for word in re.split(r"[,\s]+", self._typed) if word][:_MAX_WORDS]
        forms = [variant for word in typed for variant in (f" {word}", word)]
        known = self._model.ask("word_activations", words=forms, main_latent=self._main) if forms else None
        tokens = set() if known is None else set(known["token"])
        self._words = [variant for variant in forms if variant in tokens]
        self._missing = [word for word in typed if word not in tokens and f" {word}" not in tokens]
        self._show()
        self._tell("test-typed")

    def _tell(self, act: str) -> None:
        """Say what was tested, and whether it turned up words of the letter that leave the main latent silent."""
        self._model.act = act
        if any(row["note"] for row in self._results()):
            self._model.act = "found-silent"

    @property
    def _main(self) -> int | None:
        return (self._model.summary or {}).get("main_latent")

    def _show(self, *_: param.parameterized.Event) -> None:
        state = self._model.state
        if state.latent is None or state.sae is None:
            return
        results = self._results()
        self._tester.html = render(
            "tester",
            packs=self._packs(),
            seed=state.seed,
            typed=self._typed,
            most_typed=MOST_TYPED,
            missing=self._missing,
            results=results,
            said=self._say(results),
            latent=state.latent,
            own_role="split" if state.latent == self._main else "absorbing",
            main_latent=self._main,
        )

    def _results(self) -> list[dict[str, Any]]:
        if not self._words:
            return []
        frame = self._model.ask("word_activations", words=self._words, main_latent=self._main)
        if frame is None or frame.empty:
            return []
        highest = frame["activation"].max()
        highest_main = frame["main_activation"].max()
        return [
            row
            | {
                "share": _share(row["activation"], highest),
                "main_share": _share(row["main_activation"], highest_main),
                "note": "main latent silent"
                if row["main_activation"] == 0 and row["letter"] == self._model.state.letter
                else "",
            }
            for row in frame.to_dict("records")
        ]

    def _say(self, results: list[dict[str, Any]]) -> str:
        """Sum up the result in a sentence."""
        latent = self._model.state.latent
        if not results:
            return ""
        if all(row["activation"] != row["activation"] for row in results):
            return f"The suite stores no activations of latent {latent} on the vocabulary, so it cannot be tested here."
        fires = sum(row["activation"] > 0 for row in results)
        said = f"Latent {latent} fires on {fires} of {count(len(results), 'word')}"
        if self._main is not None and self._main != latent:
            said += f", main latent {self._main} on {sum(row['main_activation'] > 0 for row in results)}"
        return f"{said}."

    def __panel__(self) -> pn.viewable.Viewable:
        return self._tester


def _share(value: float, highest: float) -> int:
    return round(100 * value / highest) if value > 0 and highest > 0 else 0
