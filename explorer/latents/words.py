"""Where a latent errs for the concept: words on which it fires without the concept, and words that it misses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from explorer.model import records
from explorer.views.markup import Markup, render
from explorer.views.view import View

if TYPE_CHECKING:
    from explorer.model import ExplorerModel

#: Words of either side that are listed before the rest is asked for.
_FIRST_WORDS = 15


class LatentWords(View):
    """Lists the false alarms of the selected latent for the concept, and beside them its misses.

    Parameters
    ----------
    model : ExplorerModel
    """

    answers = ("latent_word_counts", "latent_words")
    follows = ("suite", "sae", "concept", "latent")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._all_of: tuple[Any, ...] | None = None  # the place all of whose words were asked for
        self._layout = self._words = Markup(
            "latent-words",
            on={"token": model.state.open_token, "more-words": self._show_all, "absorbing": self._select},
        )
        self._show()

    @property
    def _place(self) -> tuple[Any, ...]:
        return tuple(getattr(self._model.shown, name) for name in self.follows)

    def _show_all(self, _: object) -> None:
        self._all_of = self._place
        self._show()

    def _select(self, latent: int) -> None:
        self._model.select(latent)

    def _show(self) -> None:
        model, shown = self._model, self._model.shown
        if shown.latent is None:
            return
        words = [] if model.latent_words is None else records(model.latent_words)
        for word in words:
            word["labels"] = ", ".join(shown.concepts[concept].label for concept in word["concepts"])
        most = None if self._all_of == self._place else _FIRST_WORDS
        sides = {
            "fires": [word for word in words if word["kind"] != "miss"],
            "silent": [word for word in words if word["kind"] == "miss"],
        }
        self._words.html = render(
            "latent_words",
            latent=shown.latent,
            label=shown.label,
            noun=shown.noun,
            phrase=shown.phrase,
            counts=model.latent_word_counts,
            unanswered=model.unanswered("latent_words"),
            several_families=len(shown.families) > 1,
            shown={side: found[:most] for side, found in sides.items()},
            hidden=any(len(found) > len(found[:most]) for found in sides.values()),
        )
