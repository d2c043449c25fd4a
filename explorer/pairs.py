"""Data for comparing two SAEs without a server: numbers by concept, and the page's texts with slots for numbers."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import pandas as pd

from explorer.live import fetch_shown, movable, moved_thresholds
from explorer.model import records
from explorer.plots.dumbbell import MOST_ROWS, dumbbell_plot, height_of
from explorer.plots.standalone import cached_standalone
from explorer.saes import suggest_other
from explorer.slots import Slot
from explorer.state import ExplorerState
from explorer.statistics import Difference
from explorer.theme import DARK, LIGHT
from explorer.views.compare_head import head_html
from explorer.views.markup import render, render_part
from explorer.views.pair import nothing_html

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from explorer.model import ExplorerModel
    from explorer.saes import Sae

_ELSEWHERE = (
    "The two suites differ in their metric or in thresholds that cannot be moved here. Their rates cannot be compared."
    " A server can recompute them from stored tokens: absorption-explorer serve."
)
#: Placeholders of texts that the browser fills in.
_SLOTS = {"label": "\ue000", "name": "\ue001"}
_POLICIES = tuple(ExplorerState.param.mean_policy.objects)
#: The numbers per SAE and concept that Compare and Atlas show.
_NUMBERS = ("absorption_rate", "rate_low", "rate_high", "num_absorbed", "num_tested", "num_split_latents", "f1_gap")
_SIGNS = {"lower": -0.1, "same": 0.0, "higher": 0.1}


def numbers_part(model: ExplorerModel, others: Mapping[str, Sequence[Sae]]) -> dict[str, Any]:
    """Collect the numbers of one SAE for a family of concepts.

    Parameters
    ----------
    model : ExplorerModel
        Showing the SAE and the family.
    others : mapping of str to sequence of Sae
        The SAEs of each suite, one of which is suggested for comparison.

    Returns
    -------
    dict
        seeds: ids of all seeds of the SAE; suggested: by suite, the SAE suggested for comparison; concepts, and the
        positions by which they are sorted; own: by name, the numbers of each concept at the suite's own thresholds,
        including its rate in a mean (mean) and how many of the mean policies, counted from the last, include it
        (policies); away: those that apply at other thresholds without tokens; absorbed: by concept, token, latent and
        effect of the absorbed tokens.
    """
    shown, sae = model.shown, model.shown.chosen_sae
    first = sae.repeat_of or sae.id
    main = fetch_shown(model, "pair_concepts", other_suite=shown.suite, other_sae=shown.sae).set_index("concept")
    concepts = main.index.tolist()
    there = model.store.fetch("concepts")
    positions = there[there["suite"] == shown.suite].set_index("concept")["position"].reindex(concepts)
    absorbed = fetch_shown(
        *(model, "evidence"),
        facet_saes=[sae.id],
        facet_concept=None,
        facet_latent=None,
        evidence_token="",
        evidence_verdict="absorbed",
        evidence_sort="top_effect",
        evidence_descending=False,
        evidence_page=None,
    )
    return {
        "seeds": sorted(one.id for one in shown.saes if (one.repeat_of or one.id) == first),
        "suggested": {
            suite: other.id
            for suite, there in others.items()
            if (other := suggest_other(there, sae, in_layer=suite == shown.suite)) is not None
        },
        "concepts": concepts,
        "positions": [None if pd.isna(place) else int(place) for place in positions],
        "own": _numbers(model, concepts) | {name: _listed(main[name]) for name in ("precision", "recall")},
        "away": _numbers(model, concepts, **moved_thresholds(model)) if movable(model.state) else None,
        "absorbed": {
            concept: [[row["token"], row["top_latent"], row["top_effect"]] for row in records(rows)]
            for concept, rows in absorbed.groupby("concept")
            if concept in main.index
        },
    }


def _numbers(model: ExplorerModel, concepts: list[str], **thresholds: float) -> dict[str, list[Any]]:
    """Return the numbers of concepts at thresholds."""
    shown = model.shown
    rates = fetch_shown(model, "concept_rates", scope="suite", **thresholds)
    rates = rates[rates["sae"] == shown.sae].set_index("concept").reindex(concepts)
    found = {name: _listed(rates[name]) for name in _NUMBERS}
    itself = {"other_suite": shown.suite, "other_sae": shown.sae}
    in_means = [
        dict(frame.loc[~frame["is_other"].astype(bool), ["concept", "rate"]].itertuples(index=False))
        for frame in (
            fetch_shown(model, "pair_rates", mean_policy=policy, **itself, **thresholds) for policy in _POLICIES
        )
    ]
    # A concept that counts under the first policy also counts under the second.
    return found | {
        "mean": [in_means[-1].get(concept) for concept in concepts],
        "policies": [sum(concept in each for each in in_means) for concept in concepts],
    }


def _listed(column: pd.Series) -> list[Any]:
    return [None if pd.isna(value) else value for value in column.tolist()]


def pair_part(model: ExplorerModel, suites: Sequence[str]) -> dict[str, Any]:
    """Collect the data that are equal for all pairs of SAEs of a family: the plot, and texts with slots.

    Parameters
    ----------
    model : ExplorerModel
        Showing the family and `PairView`.
    suites : sequence of str
        Suites from which the other SAE can be chosen.
    """
    shown, titles = model.shown, {name: model.suite_titles[name] for name in suites}
    rows = [_row(rise) for rise in (1.0, -1.0)]
    token = {"token": "x", "latent": Slot(1, "latent"), "other_latent": Slot(1, "latent")}
    unknown = {"noun": shown.noun, "rate": shown.rate_label, "label": _SLOTS["label"], "chosen": None}
    return {
        "slots": _SLOTS,
        "figure": cached_standalone(
            lambda theme: dumbbell_plot(_one_pair(), concept="a", rate=shown.rate_label, theme=theme)
        ),
        "heights": [height_of(number) for number in range(MOST_ROWS + 1)],
        "head": head_html(shown, only="pair"),
        "labels": {sae.id: sae.label for sae in shown.saes},
        "choose": {
            f"{which.name} {'suggested' if suggested else 'chosen'} {'other' if is_other else 'same'}": _choose(
                titles, which.categories, suggested=suggested, is_other=is_other
            )
            for which, suggested, is_other in product((LIGHT, DARK), (False, True), (False, True))
        },
        "nothing": nothing_html(len(suites)),
        "elsewhere": render("empty", title="Not in this site", why=_ELSEWHERE),
        "mean": {
            f"{sign} {low_high}": render_part("pair_sentences", "mean", _difference(value, *ends), shown.rate_label)
            for sign, value in _SIGNS.items()
            for low_high, ends in {"none": (None, None), "open": (-1.0, 1.0), "clear": (1.0, 2.0)}.items()
        },
        "moved": {
            case: render_part("pair_sentences", "moved", Slot(number, "num_gained"), Slot(0, "num_lost"))
            for case, number in {"1": 1, "n": 2}.items()
        },
        "over": {
            f"{policy} {seeds} {others} {'detectable' if detectable else 'none'}": render_part(
                *(
                    "pair_sentences",
                    "over",
                    _difference(0.1, 1.0, 2.0, detectable, seeds=(seeds, others)),
                    policy,
                    shown.nouns,
                )
            )
            for policy, seeds, others, detectable in product(_POLICIES, (1, 2), (1, 2), (None, 1.0))
        },
        "drawn": render_part("pair_sentences", "drawn", MOST_ROWS),
        "none": render_part("pair_sentences", "nothing", shown.rate_label, shown.nouns),
        "table": render("pair", rows=rows, are_known=True, moved={}, **unknown),
        "unknown": render("pair", rows=[], are_known=False, moved={}, **unknown),
        "tokens": {
            key: {
                case: render_part("pair_sentences", "tokens", key, Slot(0, "number"), there, _SLOTS["label"])
                for case, there in {"some": [token], "none": []}.items()
            }
            for key in ("gained", "lost", "both")
        },
    }


def _choose(suites: Mapping[str, str], colours: Sequence[str], *, suggested: bool, is_other: bool) -> str:
    return render(
        "pair_choose",
        name=_SLOTS["name"],
        colours=colours[:2],
        suites=suites,
        other_suite=None,
        choices=(),
        other=None,
        suggested=suggested,
        is_other_suite=is_other,
    )


def _difference(
    mean: float,
    low: float | None,
    high: float | None,
    detectable: float | None = None,
    *,
    seeds: tuple[int, int] = (1, 1),
) -> Difference:
    """Return a difference with slots for its numbers."""
    values = zip(Difference._fields, (mean, low, high, detectable, 2, *seeds), strict=True)
    return Difference(*(None if value is None else Slot(value, name) for name, value in values))  # type: ignore[arg-type]


def _row(rise: float) -> dict[str, Any]:
    """Return a row of the table with slots, whose rate increases or decreases by `rise`."""
    values = {"absorption_rate": 1.0, "other_absorption_rate": 1.0 + rise}
    names = ("num_split_latents", "precision", "recall")
    values |= dict.fromkeys((*names, *(f"other_{name}" for name in names), "num_gained", "num_lost"), 0.0)
    return {name: Slot(value, name) for name, value in values.items()} | {"concept": "", "label": ""}


def _one_pair() -> pd.DataFrame:
    """Return rates for which each layer is drawn once."""
    return pd.DataFrame({"concept": ["a"], "label": ["a"], "absorption_rate": [0.1], "other_absorption_rate": [0.2]})
