"""Split latents on the left, absorbing latents on the right; a row opens the latent's card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.headline import why_no_split, why_none_absorbs
from explorer.model import records
from explorer.views.markup import Markup, render
from explorer.views.view import View

if TYPE_CHECKING:
    from explorer.model import ExplorerModel


class LatentLists(View):
    """Lists the split and absorbing latents of the concept.

    Parameters
    ----------
    model : ExplorerModel
    """

    answers = ("split_latents", "absorbing_latents", "summary")
    follows = ("suite", "sae", "concept", "latent", "metric")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._layout = self._lists = Markup("latents", on={"latent": self._select})
        self._show()

    def _select(self, latent: int) -> None:
        self._model.select(latent)

    def _show(self) -> None:
        self._lists.visible = self._model.shown.sae is not None
        self._lists.html = lists_html(self._model, selected=self._model.shown.latent)


def lists_html(model: ExplorerModel, *, selected: int | None) -> str:
    """Render the two lists; an empty list of absorbing latents states the reason."""
    split, absorbing, summary = model.split_latents, model.absorbing_latents, model.summary or {}
    return render(
        "latents",
        split=[] if split is None else records(split),
        absorbing=[] if absorbing is None else records(absorbing),
        num_split=summary.get("num_split_latents"),
        num_absorbing=summary.get("num_absorbing_latents"),
        selected=selected,
        label=model.shown.label,
        noun=model.shown.noun,
        why_no_split=model.unanswered("split_latents") or why_no_split(model.summary, model.shown.label),
        why_none_absorbs=model.unanswered("absorbing_latents") or why_none_absorbs(model.summary, model.shown.metric),
    )
