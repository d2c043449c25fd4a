"""The tested tokens with their verdicts and what decided on them; a token opens the latents that were ablated on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import panel as pn

from explorer.evidence import why
from explorer.format import width_label
from explorer.state import LETTERS
from explorer.views.markup import Markup, render

if TYPE_CHECKING:
    from collections.abc import Mapping

    import param

    from explorer.model import ExplorerModel

PAGE_ROWS = 50
_VERDICTS = {"all": "all", "absorbed": "absorbed", "not absorbed": "not absorbed", "differs": "differs from published"}
_COLUMNS = {
    "token": "Token",
    "layer": "Layer",
    "width": "Width",
    "l0": "L0",
    "top_latent": "Top latent",
    "top_effect": "Effect",
    "top_cosine": "Cosine",
    "margin": "Leads by",
    "reason": "Verdict",
}
_PLACE = ("layer", "width", "l0", "letter", "token")


class EvidenceTable(pn.viewable.Viewer):
    """Lists tested tokens page by page; sorting, filtering and paging are the query's.

    Parameters
    ----------
    model : ExplorerModel
    answer : str
        `letter_evidence` for one letter of one SAE, `suite_evidence` for all of a suite.
    """

    def __init__(self, model: ExplorerModel, answer: str) -> None:
        super().__init__()
        self._model, self._answer = model, answer
        self._opened: tuple[Any, ...] | None = None
        self._table = Markup(
            "evidence",
            on={
                "filter": self._filter,
                "evidence_verdict": lambda verdict: self._ask(evidence_verdict=verdict),
                "sort": self._sort,
                "turn": lambda page: model.state.apply({"evidence_page": page}),
                "open": self._open,
                "go": self._go,
                "latent": lambda latent: model.state.apply({"latent": latent}),
            },
        )
        model.param.watch(self._show, answer)
        self._show()

    @property
    def _of_suite(self) -> bool:
        return self._answer == "suite_evidence"

    def _ask(self, **filters: object) -> None:
        """Change what is listed, from its first page."""
        self._model.state.apply({**filters, "evidence_page": 0})

    def _filter(self, form: Mapping[str, str]) -> None:
        facets = {name: value or None for name, value in form.items() if name.startswith("facet_")}
        self._ask(evidence_token=form.get("evidence_token", ""), **facets)

    def _sort(self, column: str) -> None:
        state = self._model.state
        turned = state.evidence_sort == column and not state.evidence_descending
        self._ask(evidence_sort=column, evidence_descending=turned)

    def _row(self, place: str) -> dict[str, Any] | None:
        rows = getattr(self._model, self._answer)
        return None if rows is None or int(place) >= len(rows) else rows.iloc[int(place)].to_dict()

    def _open(self, place: str) -> None:
        row = self._row(place)
        key = None if row is None else tuple(row[name] for name in _PLACE)
        self._opened = None if key == self._opened else key
        self._show()

    def _go(self, place: str) -> None:
        row = self._row(place)
        if row is not None:
            where = {name: row[name] for name in ("layer", "width", "l0", "letter")}
            self._model.state.apply({**where, "page": "explore", "latent": int(row["top_latent"])})

    def _bars(self) -> list[dict[str, Any]]:
        """List the latents that were ablated on the opened token."""
        if self._opened is None:
            return []
        frame = self._model.ask("token_latents", **dict(zip(_PLACE, self._opened, strict=True)))
        if frame is None or frame.empty:
            return []
        longest = frame["effect"].abs().max() or 1.0
        return [row | {"share": 100 * abs(row["effect"]) / longest} for row in _plain(frame)]

    def _show(self, *_: param.parameterized.Event) -> None:
        state, frame = self._model.state, getattr(self._model, self._answer)
        rows = [] if frame is None else _plain(frame)
        thresholds = {"cosine_threshold": state.cosine_threshold, "effect_margin": state.effect_margin}
        for place, row in enumerate(rows):
            row |= {
                "place": place,
                "why": why(row, **thresholds),
                "is_open": tuple(row[name] for name in _PLACE) == self._opened,
            }
        found = rows[0]["num_found"] if rows else 0
        self._table.visible = state.sae is not None
        self._table.html = render(
            "evidence",
            rows=rows,
            bars=self._bars() if any(row["is_open"] for row in rows) else [],
            columns={
                name: _COLUMNS[name] for name in _COLUMNS if self._of_suite or name not in ("layer", "width", "l0")
            },
            state=state,
            of_suite=self._of_suite,
            verdicts=_VERDICTS,
            found=found,
            first=PAGE_ROWS * state.evidence_page + 1,
            filtered=bool(state.evidence_token) or state.evidence_verdict != "all",
            layers=sorted({sae.layer for sae in state.saes}),
            widths={width: width_label(width) for width in sorted({sae.width for sae in state.saes})},
            letters=LETTERS,
        )

    def __panel__(self) -> pn.viewable.Viewable:
        return self._table


def _plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows with None for what is unknown."""
    return [
        {name: None if pd.api.types.is_scalar(value) and pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]
