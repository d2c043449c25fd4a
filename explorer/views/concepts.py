"""The concepts of a family, shaded by their number of absorbing latents: a grid, or a searchable list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from explorer.format import count, percent
from explorer.model import records
from explorer.views.markup import Markup, render
from explorer.views.view import View

if TYPE_CHECKING:
    import pandas as pd

    from explorer.model import ExplorerModel

_DARKEST = 54  # percent of the full colour: label and count stay readable on it
#: Maximum number of concepts in a grid, and maximum characters of their labels.
_GRID_CELLS, _GRID_LABEL = 40, 3
#: Maximum rows of the list that are sent; the visitor finds others by typing.
_LISTED = 60


class Concepts(View):
    """Chooses the concept and, if there are several, the family; arrow keys move through the concepts.

    Parameters
    ----------
    model : ExplorerModel
    """

    answers = ("concepts",)
    follows = ("suite", "family", "rate_label")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._typed = ""
        self._layout = self._strip = Markup(
            "concept",
            on={"concept": self._choose, "family": self._choose_family, "find": self._find},
        )
        # The chosen concept is marked at once.
        model.state.param.watch(lambda _: self._show(), "concept")
        self._show()

    def _choose(self, concept: str) -> None:
        self._model.state.apply({"concept": concept})

    def _choose_family(self, family: str) -> None:
        self._typed = ""
        self._model.state.apply({"family": family})

    def _find(self, typed: str) -> None:
        self._typed = typed.strip()
        self._show()

    def _show(self) -> None:
        state, shown = self._model.state, self._model.shown
        cells = concept_cells(self._model.concepts, self._model.shown.rate_label)
        self._strip.html = strip_html(
            cells,
            chosen=state.concept,
            noun=shown.noun,
            families={name: family.title for name, family in shown.families.items()} if cells else {},
            family=shown.family,
            typed=self._typed,
        )


def strip_html(
    cells: list[dict[str, Any]],
    *,
    chosen: str | None,
    noun: str,
    families: dict[str, str] | None = None,
    family: str | None = None,
    typed: str = "",
    listed: int = _LISTED,
) -> str:
    """Render the concepts of a family, with the chosen one marked.

    Parameters
    ----------
    cells : list of dict
        Result of `concept_cells`.
    chosen : str or None
        Id of the chosen concept.
    noun : str
        Noun for a concept of the family.
    families : dict of str to str, optional
        Titles by id, if another family can be chosen.
    family : str or None
        Id of the family shown.
    typed : str
        Search text for a list, any part of a label; labels that begin with it come first.
    listed : int
        Maximum rows of a list.
    """
    if not cells:
        return ""
    is_grid = len(cells) <= _GRID_CELLS and all(len(cell["name"]) <= _GRID_LABEL for cell in cells)
    found = cells if is_grid else _narrowed(cells, typed, chosen)
    return render(
        "concepts",
        cells=found[:listed],
        num_hidden=max(0, len(found) - listed),
        is_grid=is_grid,
        chosen=chosen,
        noun=noun,
        families=families or {},
        family=family,
        typed=typed,
        total=len(cells),
    )


def _narrowed(cells: list[dict[str, Any]], typed: str, chosen: str | None) -> list[dict[str, Any]]:
    """Return the cells of a list that match the search text; without one, the chosen cell is among the first."""
    wanted = typed.casefold()
    if wanted:
        found = [cell for cell in cells if wanted in cell["name"].casefold()]
        return sorted(found, key=lambda cell: not cell["name"].casefold().startswith(wanted))
    place = next((place for place, cell in enumerate(cells) if cell["concept"] == chosen), 0)
    return cells if place < _LISTED else [cells[place], *cells[:place], *cells[place + 1 :]]


def concept_cells(concepts: pd.DataFrame | None, rate: str) -> list[dict[str, Any]]:
    """Return the contents of each cell: concept, name, count, shade (percent) and a label with the `rate`."""
    if concepts is None:
        return []
    rows = records(concepts)
    most = max(1, max((row["num_absorbing_latents"] or 0 for row in rows), default=0))
    cells = []
    for row in rows:
        cell = {"concept": row["concept"], "name": row["label"], "measured": row["measured"], "count": None, "shade": 0}
        absorbing, share = row["num_absorbing_latents"], row["absorption_rate"]
        if not row["measured"]:
            cell["label"] = "not measured on this SAE, nothing to show"
        elif absorbing is None:
            is_known = row["num_absorbed"] is not None or share is not None
            label = f"absorbing latents unknown, {rate} {percent(share)}"
            cell |= {"count": "?", "label": label if is_known else "unknown what is absorbed"}
        else:
            cell |= {
                "count": int(absorbing),
                "shade": round(_DARKEST * absorbing / most),
                "label": cell_label(int(absorbing), share, rate),
            }
        cells.append(cell)
    return cells


def cell_label(num_absorbing: float, share: float | None, rate: str) -> str:
    """Return the label of a cell with a known count."""
    return f"{count(num_absorbing, 'absorbing latent')}, {rate} {percent(share)}"
