"""Where a latent errs for the concept: words on which it fires without the concept, and words that it misses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from explorer.model import records
from explorer.request import Request
from explorer.state import Thresholds
from explorer.views.markup import Markup, render
from explorer.views.view import View

if TYPE_CHECKING:
    import pandas as pd

    from explorer.model import ExplorerModel

#: Words of either side that are listed before the rest is asked for.
_FIRST_WORDS = 15


class LatentWords(View):
    """Lists the false alarms of the selected latent for the concept, and its misses; asks while it is in view.

    Parameters
    ----------
    model : ExplorerModel
    """

    follows = ("suite", "sae", "concept", "latent", "metric", *Thresholds._fields)

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._all_of: tuple[Any, ...] | None = None  # the place all of whose words were asked for
        self._is_seen = False
        self._request = Request(model)
        self._asked_of: tuple[Any, ...] | None = None
        self._answers: tuple[pd.DataFrame | None, ...] | None = None  # counts and words
        self._layout = self._words = Markup(
            "latent-words",
            on={
                "seen": self._see,
                "token": model.state.open_token,
                "more-words": self._show_all,
                "absorbing": self._select,
            },
        )
        self._show()

    @property
    def _place(self) -> tuple[Any, ...]:
        shown = self._model.shown
        return shown.suite, shown.sae, shown.concept, shown.latent

    def _show_all(self, _: object) -> None:
        self._all_of = self._place
        self._show()

    def _select(self, latent: int) -> None:
        self._model.select(latent)

    def _see(self, is_seen: bool) -> None:  # noqa: FBT001 - what the browser reports
        self._is_seen = is_seen
        if is_seen:
            self._show()

    def _show(self) -> None:
        """Show the words of what is shown; those not yet asked for are asked for while the view is in sight."""
        shown = self._model.shown
        wanted = tuple(getattr(shown, name) for name in self.follows)
        is_asked = self._asked_of == wanted
        if shown.latent is not None and self._is_seen and not is_asked:
            self._asked_of = wanted
            self._model.ask_together(self._request, ("latent_word_counts", "latent_words"), self._take)
            return
        if not is_asked:
            self._request.cancel()
            self._asked_of = self._answers = None
        self._render()

    def _take(self, *answers: pd.DataFrame | None) -> None:
        self._answers = answers
        if any(answer is None for answer in answers):
            self._asked_of = None  # asked again when the view is shown again
        self._render()

    def _render(self) -> None:
        shown = self._model.shown
        if shown.latent is None:
            return
        counts, found = self._answers or (None, None)
        words = [] if found is None else records(found)
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
            counts=None if counts is None or counts.empty else records(counts)[0],
            is_answered=self._answers is not None,
            is_failed=counts is None or found is None,
            several_families=len(shown.families) > 1,
            shown={side: listed[:most] for side, listed in sides.items()},
            hidden=any(len(listed) > len(listed[:most]) for listed in sides.values()),
        )
