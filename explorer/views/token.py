"""One token of the vocabulary: its verdicts, and the latents that fire on it, on every SAE."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pandas as pd

from explorer.evidence import why
from explorer.format import metric_label
from explorer.model import records
from explorer.naming import named
from explorer.plots.sae_style import distinguishing_attribute, styles_of
from explorer.saes import ATTRIBUTES, TITLES, axis_attributes
from explorer.state import SAE_FACETS, Thresholds
from explorer.theme import theme
from explorer.views.evidence_table import sae_facets
from explorer.views.markup import Markup, render
from explorer.views.view import View
from queries.schema import FRACTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from explorer.model import ExplorerModel
    from explorer.plots.sae_style import Style
    from explorer.state import Snapshot

#: Number of SAEs per concept that are listed at first.
_FIRST_ROWS = 100
#: Outcomes of a word on an SAE, with their displayed names.
OUTCOMES = {
    "absorbed": "absorbed",
    "split": "a split latent fires",
    "absorbing": "only an absorbing latent fires",
    "silent": "neither fires",
    "unknown": "unknown",
}
_SORTABLE = {
    "sae": "SAE",
    "verdict": "Verdict",
    "split": "Split latents",
    "absorbing": "Absorbing latents",
    "other": "Others that carry most",
}
_NOT_TESTED = {
    "not measured": "the concept was not measured by this metric on this SAE",
    "not stored": "the suite stores no tested tokens of this SAE",
    "not a test word": "not in the test split",
    "not tested": "not among the tested tokens; the suite stores no reason",
}
#: Reasons for not testing a token that leave its outcome unknown.
_UNKNOWN_ABSORBING = ("not measured", "undefined", "not stored")
_ROLES = ("split", "absorbing", "other")


class TokenView(View):
    """Lists, for each concept of a token and each SAE, the verdict and the latents that fire on it.

    Parameters
    ----------
    model : ExplorerModel
    """

    answers = ("similar_tokens", "token_saes", "token_roles")
    follows = ("suite", "token", "metric", *Thresholds._fields, *SAE_FACETS, "told_by", "dark")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._sorted_by, self._is_falling = "sae", False
        self._all_of: str | None = None  # the token whose rows are all shown
        self._rows: list[dict[str, Any]] = []
        self._layout = self._page = Markup(
            "token-page",
            on={
                "look-up": self._look_up,
                "token": model.state.open_token,
                "filter": self._filter,
                "sort": self._sort,
                "more": self._show_all,
                "go": self._go,
                "verdict": self._go_to_verdict,
            },
        )
        self._show()

    def _look_up(self, form: dict[str, str]) -> None:
        self._model.state.apply({"token": form.get("token", "")})

    def _filter(self, form: dict[str, str]) -> None:
        self._model.state.apply({name: value or None for name, value in form.items() if name in SAE_FACETS})

    def _sort(self, column: str) -> None:
        """Sort by a column, or reverse the order if it is sorted by it; the strongest latents come first."""
        self._is_falling = not self._is_falling if column == self._sorted_by else column in _ROLES
        self._sorted_by = column
        self._show()

    def _show_all(self, _: object) -> None:
        self._all_of = self._model.shown.token
        self._show()

    def _go(self, value: str) -> None:
        """Open the card of a latent of a row's SAE, given as the row's index and the latent."""
        place, _, latent = value.partition(" ")
        row = self._row(place)
        if row is not None and latent in {str(one["latent"]) for role in _ROLES for one in row[role]}:
            where = {name: row[name] for name in ("sae", "concept")}
            self._model.state.apply({**where, "page": "explore", "latent": latent})

    def _go_to_verdict(self, place: str) -> None:
        """Show a row's verdict on Evidence."""
        if (row := self._row(place)) is None:
            return
        shown = self._model.shown
        sae = next(sae for sae in shown.saes if sae.id == row["sae"])
        self._model.state.apply(
            {
                "page": "evidence",
                "evidence_token": shown.token,
                "evidence_verdict": "all",
                "evidence_page": 0,
                "facet_concept": row["concept"],
                "facet_latent": None,
                **{f"facet_{name}": getattr(sae, name) for name in ATTRIBUTES},
            }
        )

    def _row(self, place: str) -> dict[str, Any] | None:
        return next((row for row in self._rows if str(row["place"]) == place), None)

    def _show(self) -> None:
        model, shown = self._model, self._model.shown
        similar = [] if model.similar_tokens is None else records(model.similar_tokens)
        itself = next((row for row in similar if row["kind"] == "itself"), None)
        by = shown.told_by or distinguishing_attribute(
            pd.DataFrame([sae._asdict() for sae in shown.saes], columns=ATTRIBUTES)
        )
        styles = styles_of([getattr(sae, by) for sae in shown.saes], by, theme(dark=shown.dark))
        self._rows = token_rows(model.token_saes, model.token_roles, shown, by)
        listed = sorted_rows(
            [row for row in self._rows if not row["is_bare"]], self._sorted_by, is_falling=self._is_falling
        )
        most = None if self._all_of == shown.token else _FIRST_ROWS
        tables = model.manifest.tables
        self._page.html = render(
            "token",
            token=shown.token,
            itself=itself,
            similar=[row["token"] for row in similar if row is not itself],
            unanswered=next(filter(None, map(model.unanswered, self.answers)), ""),
            has_vocabulary="tokens" in tables,
            has_tested="tested_tokens" in tables,
            has_activations="token_activations" in tables and "tokens" in tables,
            several_families=len(shown.families) > 1,
            metric=metric_label(shown.metric),
            decides=shown.metric not in FRACTIONS,
            concepts=[
                {
                    "concept": shown.concepts[name],
                    "noun": shown.families[shown.concepts[name].family].noun
                    if shown.concepts[name].family in shown.families
                    else "concept",
                    "overview": overview([row for row in self._rows if row["concept"] == name], styles),
                    "by_effect": any(latent["effect"] is not None for row in rows for latent in row["other"]),
                    "rows": rows[:most],
                    "hidden": len(rows) - len(rows[:most]),
                    "bare": [row["sae_short"] for row in self._rows if row["concept"] == name and row["is_bare"]],
                }
                for name in dict.fromkeys(row["concept"] for row in self._rows)
                for rows in [[row for row in listed if row["concept"] == name]]
            ],
            outcomes=OUTCOMES,
            by=TITLES[by],
            names=" · ".join(TITLES[name] for name in axis_attributes(shown.saes)),
            styles=styles,
            sortable=_SORTABLE,
            sorted_by=self._sorted_by,
            is_falling=self._is_falling,
            facets=sae_facets(shown.saes),
            chosen={name: getattr(shown, name) for name in SAE_FACETS},
            is_filtered=shown.facet_saes is not None,
        )


def token_rows(
    saes: pd.DataFrame | None, latents: pd.DataFrame | None, shown: Snapshot, by: str
) -> list[dict[str, Any]]:
    """Join the verdicts and the latents of a token for each SAE.

    Parameters
    ----------
    saes, latents : pandas.DataFrame or None
        Results of the queries `token_saes` and `token_roles`.
    shown : Snapshot
    by : str
        The attribute by which SAEs are coloured.

    Returns
    -------
    list of dict
        The rows of `saes`, each with its names (`explorer.naming.named`); `split`, `absorbing` and `other`: the rows of
        `latents` with this role; `knows_split` and `knows_absorbing`: whether these are known; `is_bare`: whether
        nothing is stored for the token on this SAE; `outcome`: a key of `OUTCOMES`; `why`: the reason for the verdict
        or for not testing; `value`: the SAE's value of the attribute.
    """
    found: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for latent in [] if latents is None else records(latents):
        key = latent["concept"], latent["sae"]
        found.setdefault(key, {role: [] for role in _ROLES})[latent["role"]].append(latent)
    values = {sae.id: getattr(sae, by) for sae in shown.saes}
    thresholds = {"cosine_threshold": shown.cosine_threshold, "effect_margin": shown.effect_margin}
    rows = named(saes, shown)
    for row in rows:
        row.update(found.get((row["concept"], row["sae"]), {role: [] for role in _ROLES}))
        row["knows_split"] = row["num_split_latents"] is not None
        row["knows_absorbing"] = row["reason"] not in _UNKNOWN_ABSORBING
        row["outcome"] = _outcome(row)
        row["is_bare"] = not row["is_tested"] and not any(_is_known(latent) for role in _ROLES for latent in row[role])
        row["value"] = values[row["sae"]]
        if not row["is_tested"]:
            row["why"] = row["undefined"] if row["reason"] == "undefined" else _NOT_TESTED[row["reason"]]
            if row["reason"] == "not tested" and row["outcome"] == "split" and shown.metric == "ig_ablation":
                row["why"] = "a split latent fires on it, so it is no candidate"
        else:
            row["why"] = "" if shown.metric in FRACTIONS else why(row, **thresholds)
    return rows


def _is_known(latent: Mapping[str, Any]) -> bool:
    return any(latent[name] is not None for name in ("activation", "effect", "projection"))


def _outcome(row: Mapping[str, Any]) -> str:
    """Return the outcome of a word on an SAE; unknown if a latent without stored activations could change it."""
    if row["absorbed"]:
        return "absorbed"
    for role in _ROLES[:2]:
        activations = [latent["activation"] for latent in row[role]]
        if any(activation is not None and activation > 0 for activation in activations):
            return role
        if not row[f"knows_{role}"] or None in activations:
            return "unknown"
    return "silent"


def sorted_rows(rows: Sequence[dict[str, Any]], column: str, *, is_falling: bool) -> list[dict[str, Any]]:
    """Sort rows by a column, unknown values last; latents by their strongest activation or effect."""
    places = list(OUTCOMES)

    def key(row: dict[str, Any]) -> float | None:
        if column in _ROLES:
            return max((value for value in map(_strength, row[column]) if value is not None), default=None)
        return float(places.index(row["outcome"]) if column == "verdict" else row["place"])

    keyed = [(value, row) for row in rows if (value := key(row)) is not None]
    known = sorted(keyed, key=lambda pair: pair[0], reverse=is_falling)
    return [row for _, row in known] + [row for row in rows if key(row) is None]


def _strength(latent: Mapping[str, Any]) -> float | None:
    if latent["role"] != "other":
        activation: float | None = latent["activation"]
        return activation
    carried = [value for value in (latent["effect"] and -latent["effect"], latent["projection"]) if value is not None]
    return max(carried, default=None)


def overview(rows: Sequence[dict[str, Any]], styles: Mapping[Any, Style]) -> list[tuple[Style, dict[str, int]]]:
    """Return the number of SAEs by value of the distinguishing attribute and by outcome."""
    counts = Counter((row["value"], row["outcome"]) for row in rows)
    return [
        (style, {outcome: counts[value, outcome] for outcome in OUTCOMES})
        for value, style in styles.items()
        if any(counts[value, outcome] for outcome in OUTCOMES)
    ]
