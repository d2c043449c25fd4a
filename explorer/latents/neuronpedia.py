"""Neuronpedia's dashboard of a canonical latent, embedded, with words preloaded in its tester."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from explorer.views.markup import Markup, render
from explorer.views.view import View

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from explorer.model import ExplorerModel

_SITE = "https://neuronpedia.org"
#: Parts of the embed that can be switched: title, and whether it is on initially.
PARTS = {
    "explanation": ("Explanation", True),
    "plots": ("Plots", True),
    "activations": ("Activations", True),
    "test": ("Tester", True),
    "steer": ("Steering", False),
    "link": ("Link", False),
}
_MAX_TEXT = 1000


def feature_page(model: str, source: str, latent: int) -> str:
    """Return the address of a latent on Neuronpedia; `model` and `source` come from the suite's manifest."""
    return f"{_SITE}/{quote(model, safe='')}/{quote(source, safe='')}/{latent}"


def embed_url(model: str, source: str, latent: int, *, shown: Collection[str], words: Sequence[str]) -> str:
    """Return the address of the embed, with the parts `shown` and `words` in its activation tester."""
    switches = {f"embed{part}": str(part in shown).lower() for part in PARTS}
    text = {"defaulttesttext": "".join(words)[:_MAX_TEXT]} if words else {}
    return f"{feature_page(model, source, latent)}?{urlencode({'embed': 'true'} | switches | text, quote_via=quote)}"


class NeuronpediaEmbed(View):
    """Embeds the latent's page on Neuronpedia; empty for SAEs that are not canonical.

    Parameters
    ----------
    model : ExplorerModel
    """

    answers = ("absorbed_tokens", "random_tokens")
    follows = ("suite", "sae", "latent")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._shown = {part for part, (_, on) in PARTS.items() if on}
        self._layout = self._embed = Markup("neuronpedia", on={"part": self._switch})
        self._show()

    def _switch(self, change: tuple[str, bool]) -> None:
        part, on = change
        self._shown = (self._shown | {part} & set(PARTS)) if on else (self._shown - {part})
        self._show()

    def _show(self) -> None:
        record, latent = self._model.sae_record, self._model.shown.latent
        if latent is None or record is None or not record["canonical"]:
            self._embed.html = ""
            return
        model, source = record["neuronpedia_model"], record["neuronpedia_source"]
        absorbed, random = self._model.absorbed_tokens, self._model.random_tokens
        words = [] if absorbed is None else absorbed.loc[absorbed["latent"] == latent, "token"].tolist()
        if not words and random is not None:
            words = random.loc[random["of_concept"], "token"].tolist()
        self._embed.html = render(
            "neuronpedia",
            latent=latent,
            url=embed_url(model, source, latent, shown=self._shown, words=words),
            page=feature_page(model, source, latent),
            height=240 + 260 * len(self._shown & {"plots", "activations", "test"}),
            parts=[{"id": part, "title": title, "shown": part in self._shown} for part, (title, _) in PARTS.items()],
        )
