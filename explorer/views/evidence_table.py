"""The tested tokens with their verdicts and the reasons for them.

Opening a token shows its verdict by each metric, and the latents that were ranked on it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from explorer.evidence import decisive, unused_columns, why
from explorer.format import metric_label
from explorer.model import records
from explorer.naming import named
from explorer.request import Request
from explorer.saes import TITLES, distinguishing_attributes, value_labels, values_of
from explorer.state import FACETS, ExplorerState, Thresholds
from explorer.views.markup import Markup, render
from explorer.views.view import View
from queries.schema import FRACTIONS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import pandas as pd

    from explorer.model import ExplorerModel
    from explorer.saes import Sae
    from explorer.state import Snapshot

PAGE_ROWS = 25
_VERDICTS = {"all": "all", "absorbed": "absorbed", "not absorbed": "not absorbed", "differs": "differs from published"}
#: Verdict filters for suites with several metrics.
_OF_METRICS = {"disagree": "metrics disagree"}
#: Titles of the columns.
COLUMNS = {
    "token": "Token",
    "sae": "SAE",
    "concept": "Concept",
    "split_activations": "Split activations",
    "top_latent": "Top latent",
    "top_effect": "Effect",
    "top_cosine": "Cosine",
    "second_latent": "Runner-up",
    "second_effect": "Runner-up effect",
    "second_cosine": "Runner-up cosine",
    "margin": "Margin",
    "projection": "Projection",
    "projected_share": "Share",
    "fraction": "Fraction",
    "reason": "Verdict",
    "absorbed_by": "By each metric",
    "why": "Why",
}
#: Glossary terms of the columns.
_TERMS = {
    "sae": "sae",
    "concept": "concept",
    "top_latent": "latent",
    "top_effect": "effect",
    "top_cosine": "cosine",
    "margin": "effect_margin",
    "projected_share": "soft_absorption",
    "fraction": "absorption_fraction",
    "reason": "absorbed",
    "absorbed_by": "metric",
}
_OPTIONAL = frozenset(ExplorerState.param.evidence_columns.objects)
_PLACE = ("sae", "concept", "token")


class EvidenceTable(View):
    """Lists tested tokens page by page; the query sorts, filters and pages.

    Parameters
    ----------
    model : ExplorerModel
    """

    follows: ClassVar[tuple[str, ...]] = (
        *("sae", *Thresholds._fields, "evidence_token", "evidence_verdict", "evidence_sort"),
        *("evidence_descending", "evidence_page", "evidence_columns", "metric"),
    )
    _of_suite = False

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        #: Names of two results: the tokens, and the number of tested tokens.
        self._answer, self._counts = self.answers
        self._opened: tuple[Any, ...] | None = None
        self._bars: list[dict[str, Any]] = []
        self._verdicts: list[dict[str, Any]] = []
        #: The thresholds at which these verdicts were computed.
        self._under: tuple[float, ...] = ()
        self._request = Request(model)
        self._layout = self._table = Markup(
            "evidence",
            on={
                "filter": self._filter,
                "evidence_verdict": lambda verdict: self._apply(evidence_verdict=verdict),
                "sort": self._sort,
                "turn": lambda page: model.state.apply({"evidence_page": page}),
                "open": self._open,
                "go": self._go,
                "token": self._go_to_token,
                "column": self._choose,
                "all": lambda _: self._filter({"evidence_verdict": "all", **dict.fromkeys(FACETS, "")}),
            },
        )
        self._show()

    def _apply(self, **filters: object) -> None:
        """Change the filters or the order, and show the first page."""
        self._model.state.apply({**filters, "evidence_page": 0})

    def _filter(self, form: dict[str, str]) -> None:
        facets = {name: value or None for name, value in form.items() if name in FACETS}
        verdict = {name: value for name, value in form.items() if name == "evidence_verdict"}
        self._apply(evidence_token=form.get("evidence_token", ""), **facets, **verdict)

    def _choose(self, column: tuple[str, bool]) -> None:
        state, (name, is_shown) = self._model.state, column
        others = [shown for shown in state.evidence_columns if shown != name]
        state.apply({"evidence_columns": [*others, name] if is_shown else others})

    def _sort(self, column: str) -> None:
        state = self._model.state
        turned = state.evidence_sort == column and not state.evidence_descending
        self._apply(evidence_sort=column, evidence_descending=turned)

    @property
    def _page(self) -> pd.DataFrame | None:
        """The tokens on the current page."""
        answer: pd.DataFrame | None = getattr(self._model, self._answer)
        return answer

    @property
    def _num_found(self) -> int:
        """Number of matching tokens on all pages; 0 if the page is beyond the last."""
        page = self._page
        return 0 if page is None or page.empty else int(page["num_found"].iloc[0])

    def _row(self, place: str) -> dict[str, Any] | None:
        rows = self._page
        return None if rows is None or place not in map(str, range(len(rows))) else rows.iloc[int(place)].to_dict()

    def _open(self, place: str) -> None:
        row = self._row(place)
        key = None if row is None else tuple(row[name] for name in _PLACE)
        if key is None or key == self._opened:
            self._request.cancel()
            self._opened = None
            self._show()
        else:
            self._ask_opened(key)

    def _ask_opened(self, key: tuple[Any, ...]) -> None:
        take = partial(self._show_opened, key, self._in_force)
        of_token = dict(zip(_PLACE, key, strict=True))
        self._model.ask_together(self._request, ("token_latents", "token_verdicts"), take, **of_token)

    def _show_opened(
        self,
        key: tuple[Any, ...],
        under: tuple[float, ...],
        latents: pd.DataFrame | None,
        verdicts: pd.DataFrame | None,
    ) -> None:
        shown = self._model.shown
        self._opened, self._under = key, under
        self._bars = ablated(latents, shown.metric)
        self._verdicts = decided(verdicts, shown)
        self._show()

    @property
    def _in_force(self) -> tuple[float, ...]:
        return tuple(getattr(self._model.shown, name) for name in Thresholds._fields)

    def _go(self, value: str) -> None:
        """Select a latent of a row's SAE, given as the row's index and the latent."""
        place, _, latent = value.partition(" ")
        row = self._row(place)
        if row is not None:
            where = {name: row[name] for name in ("sae", "concept")}
            self._model.state.apply({**where, "page": "explore", "latent": latent})

    def _go_to_token(self, place: str) -> None:
        row = self._row(place)
        if row is not None:
            self._model.state.open_token(row["token"])

    def _facets(self) -> dict[str, tuple[str, dict[Any, str]]]:
        """Return title and options of each facet."""
        shown = self._model.shown
        families, facets = shown.families, sae_facets(shown.saes)
        concepts = {one.id: one.label for one in shown.concepts.values() if one.family == shown.family}
        if shown.facet_concept is not None:
            concepts = {shown.facet_concept: shown.concepts[shown.facet_concept].label} | concepts
        if concepts:
            facets["facet_concept"] = (shown.noun.capitalize() if len(families) == 1 else "Concept", concepts)
        return facets

    def _show(self) -> None:
        shown = self._model.shown
        rows = judged(self._page, shown)
        for row in rows:
            row["is_open"] = tuple(row[name] for name in _PLACE) == self._opened
        is_open = any(row["is_open"] for row in rows)
        is_filtered = (
            bool(shown.evidence_token)
            or shown.evidence_verdict != "all"
            or (self._of_suite and any(getattr(shown, facet) is not None for facet in FACETS))
        )
        counts = getattr(self._model, self._counts) or {}
        tested = counts.get("n_tested_tokens" if self._of_suite else "num_tested")
        # If there are no rows, the page is beyond the last one or, with a filter, nothing matches.
        found = count_tested(self._num_found, 0 if is_filtered and tested else tested)
        offered = offered_columns(shown, of_suite=self._of_suite)
        optional = {name: title for name, title in offered.items() if name in _OPTIONAL}
        columns = shown_columns(shown, of_suite=self._of_suite)
        self._table.visible = shown.sae is not None
        self._table.html = render(
            "evidence",
            rows=rows,
            bars=self._bars if is_open else [],
            by_metric=self._verdicts if is_open else [],
            columns=columns,
            optional=optional,
            sortable=sortable(columns),
            defined=column_terms(columns),
            unanswered=self._model.unanswered(self._answer),
            state=shown,
            of_suite=self._of_suite,
            metric=metric_label(shown.metric),
            verdicts=offered_verdicts(shown),
            found=found,
            first=PAGE_ROWS * shown.evidence_page + 1,
            filtered=is_filtered and found is not None,
            facets=self._facets() if self._of_suite else {},
        )
        if is_open and self._opened and self._under != self._in_force:
            self._ask_opened(self._opened)


class ConceptEvidence(EvidenceTable):
    """The tested tokens of one concept on one SAE."""

    answers = ("concept_evidence", "summary")
    follows = (*EvidenceTable.follows, "suite", "concept")

    @property
    def _page(self) -> pd.DataFrame | None:
        tokens, first = self._model.concept_evidence, PAGE_ROWS * self._model.shown.evidence_page
        return None if tokens is None else tokens[first : first + PAGE_ROWS]

    @property
    def _num_found(self) -> int:
        return 0 if self._model.concept_evidence is None else len(self._model.concept_evidence)


class SuiteEvidence(EvidenceTable):
    """The tested tokens of a suite."""

    answers = ("suite_evidence", "suite_info")
    follows = (*EvidenceTable.follows, "suite", "family", *FACETS)
    _of_suite = True


def sae_facets(saes: Collection[Sae]) -> dict[str, tuple[str, dict[Any, str]]]:
    """Return title and options of each facet whose attribute distinguishes SAEs."""
    known = {
        name: [value for value in values_of(saes, name) if value is not None]
        for name in distinguishing_attributes(saes)
    }
    return {f"facet_{name}": (TITLES[name], value_labels(name, sorted(values))) for name, values in known.items()}


def offered_verdicts(shown: Snapshot | ExplorerState) -> dict[str, str]:
    """Return the verdicts by which rows can be filtered; none for a fraction."""
    own = {"all": _VERDICTS["all"]} if shown.metric in FRACTIONS else _VERDICTS
    return own | (_OF_METRICS if len(shown.judging) > 1 else {})


def offered_columns(shown: Snapshot | ExplorerState, *, of_suite: bool) -> dict[str, str]:
    """Return the columns of the chosen metric with their titles; SAE and concept only if they vary."""
    left_out = {
        *unused_columns(shown.metric),
        *(() if of_suite else _PLACE[:2]),
        *(() if len(shown.judging) > 1 else ("absorbed_by",)),
    }
    return {name: title for name, title in COLUMNS.items() if name not in left_out}


def shown_columns(shown: Snapshot | ExplorerState, *, of_suite: bool) -> dict[str, str]:
    """Return the columns that the visitor has chosen to see."""
    unwanted = _OPTIONAL - set(shown.evidence_columns)
    return {name: title for name, title in offered_columns(shown, of_suite=of_suite).items() if name not in unwanted}


def column_terms(columns: Mapping[str, str]) -> dict[str, str]:
    """Return the terms that define columns, by the columns' titles."""
    return {title: _TERMS[name] for name, title in columns.items() if name in _TERMS}


def sortable(columns: Mapping[str, str]) -> dict[str, str]:
    """Return the columns by which the query sorts."""
    return {name: title for name, title in columns.items() if name in ExplorerState.param.evidence_sort.objects}


def judged(frame: pd.DataFrame | None, shown: Snapshot) -> list[dict[str, Any]]:
    """Return the rows of tested tokens, with index and explanation of the verdict at the thresholds of `shown`."""
    thresholds = {"cosine_threshold": shown.cosine_threshold, "effect_margin": shown.effect_margin}
    return [row | {"why": why(row, **thresholds)} for row in named(frame, shown)]


def decided(frame: pd.DataFrame | None, shown: Snapshot) -> list[dict[str, Any]]:
    """Return the verdicts on a token if there are several, with explanations at the thresholds shown."""
    return decided_rows([] if frame is None else records(frame), shown)


def decided_rows(rows: list[dict[str, Any]], shown: Snapshot) -> list[dict[str, Any]]:
    """Return the result of `decided` for rows as dictionaries."""
    thresholds = {"cosine_threshold": shown.cosine_threshold, "effect_margin": shown.effect_margin}
    return [row | {"why": why(row, **thresholds)} for row in rows] if len(rows) > 1 else []


def count_tested(found: int, tested: int | None) -> int | None:
    """Return the number of tested tokens; if none is listed, 0 only if none was tested, else unknown."""
    return found or (0 if tested == 0 else None)


def ablated(frame: pd.DataFrame | None, metric: str | None) -> list[dict[str, Any]]:
    """Return each latent ranked on a token with its bar: start, width and zero in percent of a common scale.

    The bars are effects; if the metric uses projections or no effect is known, they are projections, largest first.
    """
    return ablated_rows([] if frame is None else records(frame), metric)


def ablated_rows(latents: list[dict[str, Any]], metric: str | None) -> list[dict[str, Any]]:
    """Return the result of `ablated` for rows as dictionaries."""
    known = {name for name in ("effect", "projection") if any(row[name] is not None for row in latents)}
    by_effect = "projection" not in known or ("effect" in known and decisive(metric) == "top_effect")
    by = "effect" if by_effect else "projection"
    if by == "projection":
        latents = sorted(latents, key=lambda row: -(row["projection"] or 0.0))
    effects = [row[by] or 0.0 for row in latents]
    low, high = min([0.0, *effects]), max([0.0, *effects])
    span = high - low or 1.0
    return [
        row
        | {
            "by": by,
            "start": 100 * (min(effect, 0.0) - low) / span,
            "share": 100 * abs(effect) / span,
            "zero": 100 * -low / span,
        }
        for row, effect in zip(latents, effects, strict=True)
    ]
