"""The letter strip: all 26 letters, shaded by their count of absorbing latents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from explorer.format import count, percent
from explorer.views.markup import Markup, render
from explorer.views.view import View

if TYPE_CHECKING:
    import pandas as pd

    from explorer.model import ExplorerModel

_DARKEST = 54  # percent of the full colour: letter and count stay readable on it


class Letters(View):
    """Chooses the letter; arrow keys walk through it.

    Parameters
    ----------
    model : ExplorerModel
    """

    answers = ("letters",)

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._layout = self._strip = Markup("letter", on={"letter": self._choose})
        # What is chosen is marked at once.
        model.state.param.watch(lambda _: self._show(), "letter")
        self._show()

    def _choose(self, letter: str) -> None:
        self._model.state.apply({"letter": letter})

    def _show(self) -> None:
        cells = letter_cells(self._model.letters)
        self._strip.html = render("letters", cells=cells, letter=self._model.state.letter) if cells else ""


def letter_cells(letters: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Say what each cell of the strip shows: letter, count, shade (percent) and a label in words."""
    if letters is None:
        return []
    most = max(1, letters["num_absorbing_latents"].fillna(0).max())
    cells = []
    for row in letters.itertuples():
        if not row.measured:
            label = "not measured on this SAE, nothing to show"
            cells.append({"letter": row.letter, "measured": False, "count": None, "shade": 0, "label": label})
            continue
        if row.num_absorbing_latents != row.num_absorbing_latents:
            label = f"absorbing latents unknown, absorption rate {percent(row.absorption_rate)}"
            label = label if row.num_absorbed == row.num_absorbed else "unknown what is absorbed"
            cells.append({"letter": row.letter, "measured": True, "count": "?", "shade": 0, "label": label})
            continue
        absorbing = int(row.num_absorbing_latents)
        label = f"{count(absorbing, 'absorbing latent')}, absorption rate {percent(row.absorption_rate)}"
        shade = round(_DARKEST * absorbing / most)
        cells.append({"letter": row.letter, "measured": True, "count": absorbing, "shade": shade, "label": label})
    return cells
