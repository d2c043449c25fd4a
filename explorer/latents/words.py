"""Classification errors of a latent for the concept: words on which it fires without the concept, and misses."""

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

#: Maximum words on either side before "Show more".
_FIRST_WORDS = 15


class LatentWords(View):
    """Lists the false alarms and the misses of the selected latent for the concept; queries only while in view.

    Parameters
    ----------
    model : ExplorerModel
    """

    follows = ("suite", "sae", "concept", "latent", "metric", *Thresholds._fields)

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._all_of: tuple[Any, ...] | None = None  # place for which all words are shown
        self._is_in_view = False
        self._request = Request(model)
        self._requested_for: tuple[Any, ...] | None = None
        self._answers: tuple[pd.DataFrame | None, ...] | None = None  # counts and words
        self._layout = self._words = Markup(
            "latent-words",
            on={
                "seen": self._set_in_view,
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

    def _set_in_view(self, is_in_view: bool) -> None:  # noqa: FBT001 - what the browser reports
        self._is_in_view = is_in_view
        if is_in_view:
            self._show()

    def _show(self) -> None:
        """Show the words for the current state, and query them first if the view is in view."""
        shown = self._model.shown
        wanted = tuple(getattr(shown, name) for name in self.follows)
        is_requested = self._requested_for == wanted
        if shown.latent is not None and self._is_in_view and not is_requested:
            self._requested_for = wanted
            self._model.ask_together(self._request, ("latent_word_counts", "latent_words"), self._receive)
            return
        if not is_requested:
            self._request.cancel()
            self._requested_for = self._answers = None
        self._render()

    def _receive(self, *answers: pd.DataFrame | None) -> None:
        self._answers = answers
        if any(answer is None for answer in answers):
            self._requested_for = None  # request again when the view is shown again
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
