"""The roles of a latent number on every SAE, for all concepts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.naming import named
from explorer.views.markup import Markup, render
from explorer.views.view import View

if TYPE_CHECKING:
    from explorer.model import ExplorerModel


class LatentParts(View):
    """Lists all roles of the latent by which the page Evidence is filtered; empty without such a filter.

    Parameters
    ----------
    model : ExplorerModel
    """

    answers = ("latent_parts",)
    follows = ("facet_latent", "suite")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._layout = self._table = Markup("latent-parts", on={"go": self._go})
        self._show()

    def _go(self, place: int) -> None:
        rows, shown = self._model.latent_parts, self._model.shown
        if rows is not None and 0 <= place < len(rows):
            where = {name: rows[name].iloc[place] for name in ("sae", "concept")}
            self._model.state.apply({**where, "page": "explore", "latent": shown.facet_latent})

    def _show(self) -> None:
        shown, rows = self._model.shown, self._model.latent_parts
        self._table.visible = shown.facet_latent is not None
        self._table.html = render(
            "latent_parts",
            latent=shown.facet_latent,
            unanswered=self._model.unanswered("latent_parts"),
            rows=[] if rows is None or shown.facet_latent is None else named(rows, shown),
        )
