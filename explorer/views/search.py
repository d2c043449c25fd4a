"""The search field in the header, for tokens on all SAEs and latents of the current one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import panel as pn

from explorer.request import Request
from explorer.state import FACETS, SEARCH_CHARACTERS
from explorer.views.markup import Markup, render

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import param

    from explorer.model import ExplorerModel

#: Maximum tokens in a result of the query.
_MOST_TOKENS = 11
#: The list of tested tokens without filters.
_ALL_EVIDENCE: Mapping[str, object] = {
    "page": "evidence",
    "evidence_token": "",
    "evidence_verdict": "all",
    "evidence_sort": "token",
    "evidence_descending": False,
    "evidence_page": 0,
    **dict.fromkeys(FACETS),
}


class SearchRequest(NamedTuple):
    """The searched text, and the number by which the browser identifies the results."""

    number: int
    text: str


class Combobox(Markup):
    """A field above a list of results; only the list is rendered again, so that typing is not disturbed."""

    _bundle: ClassVar[str] = "search.js"


class Search(pn.viewable.Viewer):
    """Finds tokens, concepts and latents that begin with a text, and opens them.

    Parameters
    ----------
    model : ExplorerModel
    """

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__()
        self._model = model
        self._request = Request(model)
        state = model.state
        self._field = Combobox(
            "search",
            on={
                "search": self._search,
                "token": state.open_token,
                "concept": lambda concept: state.apply({"concept": concept}),
                "latent": self._select,
                "latent_evidence": lambda latent: state.apply({**_ALL_EVIDENCE, "facet_latent": latent}),
            },
        )
        state.param.watch(self._empty, "suite")
        self._empty()

    def _search(self, asked: SearchRequest) -> None:
        # The browser's limit of the field's length cannot be trusted.
        text = asked.text[:SEARCH_CHARACTERS].strip()
        if text:
            self._model.ask(self._request, "search", partial(self._show, asked.number, text), search=text)
        else:
            self._request.cancel()
            self._show(asked.number, "", None)

    def _label(self, concept: str) -> str:
        return str(self._model.shown.concepts[concept].label)

    def _select(self, latent: int) -> None:
        if self._model.is_current:
            self._model.state.apply({"page": "explore", "latent": latent})

    def _empty(self, *_: param.parameterized.Event) -> None:
        self._request.cancel()
        self._show(0, "", None)

    def _show(self, number: int, text: str, answer: pd.DataFrame | None) -> None:
        found = [] if answer is None else answer.to_dict("records")
        tokens = [row | {"label": self._label(row["concept"])} for row in found if row["kind"] == "token"]
        words = {row["token"]: self._label(row["concept"]) for row in found if row["kind"] == "word"}
        shown = self._model.shown
        self._field.html = render(
            "search",
            number=number,
            text=text,
            has_failed=answer is None,
            tokens=tokens,
            words=words,
            concepts=[shown.concepts[row["concept"]] for row in found if row["kind"] == "concept"],
            families=shown.families,
            latents=[int(row["latent"]) for row in found if row["kind"] == "latent"],
            is_cut=len(tokens) == _MOST_TOKENS,
            sae=shown.chosen_sae,
            longest=SEARCH_CHARACTERS,
        )

    def __panel__(self) -> pn.viewable.Viewable:
        return self._field
