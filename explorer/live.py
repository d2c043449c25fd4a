"""Data for moving thresholds without a server: scores to compare, and the page's texts with slots for numbers."""

from __future__ import annotations

import json
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pandas as pd

from explorer.evidence import why
from explorer.format import metric_label
from explorer.model import param_of, records
from explorer.plots.k_sparse import bars_of, labels_of
from explorer.slots import Slot
from explorer.views.concepts import cell_label, concept_cells
from explorer.views.cosine import roles
from explorer.views.evidence_head import counts_html, num_absorbed
from explorer.views.headline import figures_html, sentence_html
from explorer.views.latent_lists import lists_html
from explorer.views.markup import render
from explorer.views.thresholds import SLIDERS, head_html, threshold_label
from queries import catalog
from queries.schema import FRACTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from explorer.model import ExplorerModel
    from explorer.state import ExplorerState

#: Numbers of absorbed tokens and of absorbing latents for which the texts of a verdict differ: none, one, or many.
_CASES = {"0 0": (0, 0), "1 1": (1, 1), "n 1": (2, 1), "n n": (2, 2)}
#: Reasons of verdicts.
_REASONS = ("absorbed", "effect margin", "cosine", "no effect", "split latent fires", "published")
#: Distances of a margin from the threshold: the text has two decimals, or four if it is close.
_SHORT = {"": 1.0, "close": 0.001}
#: Cosines of a top latent at a threshold of 1.
_COSINES = {"reached": 2.0, "missed": 0.5, "unknown": None}
_NO_LATENTS = pd.DataFrame()
#: An absorbing latent whose tokens the browser fills in.
_ONE_LATENT = pd.DataFrame(
    [{name: Slot(0, name) for name in ("latent", "num_tokens", "mean_effect", "cosine")} | {"tokens": []}], dtype=object
)
#: Stands for infinity, which JSON cannot represent.
_INFINITY = 1e9


def movable(state: ExplorerState) -> list[str]:
    """Return the thresholds that can be moved without a server: those of metrics based on effects."""
    return [] if state.metric in FRACTIONS or state.metric == "full" else [*state.movable]


def thresholds_part(model: ExplorerModel) -> dict[str, Any]:
    """Collect the sliders of a suite's thresholds, and the texts that depend on them."""
    state, own = model.state, model.shown.thresholds_of_suite._asdict()
    offered, metrics = movable(state), {name: metric_label(name) for name in state.metrics}
    sliders = {}
    for name in offered:
        low, high = state.param[name].softbounds
        words, digits = SLIDERS[name]
        step = state.param[name].step
        sliders[name] = {
            "html": render("slider", name=name, words=words, low=low, high=high, step=step, own=own[name]),
            "digits": len(digits.partition(".")[2]),
        }
    whys = {
        f"{reason} {cosine} {short}".strip(): _why(reason, cosine=value, short=by)
        for reason in _REASONS
        for cosine, value in _COSINES.items()
        for short, by in _SHORT.items()
        if reason != "cosine" or value is not None
    }
    return {
        "own": own,
        "sliders": sliders,
        "head": head_html(state, offered=offered, moved="", metrics=metrics),
        "moved": head_html(state, offered=offered, moved="⟦moved:⟧", metrics=metrics),
        "names": {name: threshold_label(name, own[name]) for name in own},
        "whys": whys,
        "verdicts": {
            json.dumps([absorbed, published]): render("reader_verdict", absorbed=absorbed, published=published)
            for absorbed in (True, False)
            for published in (True, False, None)
        },
    }


def totals_part(model: ExplorerModel) -> dict[str, str]:
    """Render the totals of Evidence at the suite's own thresholds, and at moved ones for one and many latents."""
    shown, info = model.shown, model.suite_info
    own = num_absorbed(info)
    offered = movable(model.state)
    totals = {"own": counts_html(shown, info, absorbed=own, own=None, moves="effect_margin" in offered)}
    if offered:
        away = records(fetch_shown(model, "suite_info", **moved_thresholds(model)))[0]
        for case, number in {"1": 1, "n": 2}.items():
            counts = away | {"n_absorbing_latents": Slot(number, "num_absorbing")}
            absorbed = None if own is None else Slot(2, "num_absorbed")
            totals[case] = counts_html(shown, counts, absorbed=absorbed, own=own, moves="effect_margin" in offered)
    return totals


def fetch_shown(model: ExplorerModel, query: str, **params: Any) -> pd.DataFrame:
    """Run a query for the state of a model; `params` override those of the state."""
    wanted = {name: params[name] if name in params else param_of(model.shown, name) for name in catalog()[query].params}
    return model.store.fetch(query, **wanted)


def moved_thresholds(model: ExplorerModel) -> dict[str, float]:
    """Return the thresholds that can be moved, with values that differ from the suite's own."""
    own = model.shown.thresholds_of_suite
    return {name: getattr(own, name) + 0.01 for name in movable(model.state)}


def _why(reason: str, *, cosine: float | None, short: float) -> str:
    row = {
        "reason": reason,
        "margin": Slot(1 - short, "margin"),
        "top_cosine": None if cosine is None else Slot(cosine, "cosine"),
        "projected_share": None,
        "projection": None,
    }
    return why(row, cosine_threshold=Slot(1, "cosine_threshold"), effect_margin=Slot(1, "effect_margin"))


class LivePart:
    """The data of one SAE and family that depend on thresholds.

    Parameters
    ----------
    model : ExplorerModel
        A model that shows the SAE and the family; its state is changed.
    """

    def __init__(self, model: ExplorerModel) -> None:
        self._model = model
        self._offered = movable(model.state)
        self._own = model.shown.thresholds_of_suite
        #: Contents of a cell if nothing is counted.
        self._cells: dict[str, dict[str, Any]] = {}

    def collect(self) -> dict[str, Any]:
        """Collect the data by concept."""
        tokens = dict(list(self._fetch("token_scores").groupby("concept")))
        steps = {row.pop("concept"): _listed(row) for row in records(self._fetch("split_steps"))}
        # At moved thresholds, numbers that were published without tokens do not apply.
        away = moved_thresholds(self._model)
        cells = concept_cells(self._fetch("concept_counts", **away), self._model.shown.rate_label)
        self._cells = {cell["concept"]: {name: cell[name] for name in ("count", "label")} for cell in cells}
        summaries = {row["concept"]: row for row in records(self._fetch("summary", concept=None, **away))}
        return {
            concept: self._concept(concept, summary, steps.get(concept), tokens.get(concept))
            for concept, summary in summaries.items()
        }

    def _concept(
        self, concept: str, summary: dict[str, Any], steps: dict[str, Any] | None, tokens: pd.DataFrame | None
    ) -> dict[str, Any]:
        there, state = self._model.shown.concepts, vars(self._model.shown)
        label, parent = there[concept].label, there.get(there[concept].parent or "")
        shown = type(self._model.shown)(**state | {"concept": concept, "label": label, "parent": parent})
        published = (steps or {}).get("split_latents")
        variants = {
            name: self._variant(shown, summary, published, tau, known=tokens is not None)
            for name, tau in self._variants(steps)
        }
        return {
            "tokens": None if tokens is None else _columns(tokens),
            "rises": [float(min(max(rise, -_INFINITY), _INFINITY)) for rise in (steps or {}).get("ranked_rises") or []],
            "variants": variants,
            "probe": summary["num_probe_true_positives"],
            "portion": summary["sample_portion"],
            "cell": self._cells[concept],
            "roles": {"split": roles(label, [0], [])[0], "absorbing": roles(label, [], [0])[0]},
        }

    def _variants(self, steps: dict[str, Any] | None) -> Iterator[tuple[str, float]]:
        """Yield name and tau of each possible list of split latents: the suite's own, and prefixes of the ranking."""
        yield "own", self._own.tau
        if "tau" not in self._offered:
            return
        low, high = self._model.state.param.tau.softbounds
        rises = (steps or {}).get("ranked_rises") or []
        bounds = [*(min(rise, 1.0) for rise in rises), low]
        if not rises or bounds[0] <= high:
            yield "0", (max(bounds[0], low) + 1.0) / 2
        for number, (above, below) in enumerate(pairwise(bounds), start=1):
            least = max(below, low)
            if least < above and least <= high:
                yield str(number), (least + above) / 2

    def _variant(
        self, shown: Any, summary: dict[str, Any], published: list[int] | None, tau: float, *, known: bool
    ) -> dict[str, Any]:
        """Render the texts for one list of split latents."""
        split, k_sparse = (self._fetch(name, concept=shown.concept, tau=tau) for name in ("split_latents", "k_sparse"))
        latents = split["latent"].tolist()
        summary = summary | {
            "split_latents": latents,
            "num_split_latents": len(latents) or summary["num_split_latents"],
            "main_latent": latents[0] if latents else None,
            "stored_split": latents == published,
        }

        def model_with(counts: dict[str, Any], absorbing: pd.DataFrame) -> Any:
            """Return a stand-in for a model with these results."""
            return SimpleNamespace(
                shown=shown,
                summary=summary | counts,
                split_latents=split,
                absorbing_latents=absorbing,
                unanswered=lambda _: "",
            )

        bars = bars_of(k_sparse, "f1") if len(k_sparse) else None
        cases = {case: model_with(self._counts(summary, *numbers), _NO_LATENTS) for case, numbers in _CASES.items()}
        lists = {
            "none": lists_html(cases["0 0"], selected=None),
            "some": lists_html(model_with(self._counts(summary, 2, 2), _ONE_LATENT), selected=None),
        }
        uncounted = model_with({}, _NO_LATENTS)
        return {
            "split": latents,
            "bars": bars is not None and {"part": bars["part"].tolist(), "labels": labels_of(bars)},
            "headline": {
                case: sentence_html(answers, live=False)
                for case, answers in (cases if known else {"": uncounted}).items()
            },
            "figures": figures_html(cases["n n"] if known else uncounted),
            "lists": lists if known else {"none": lists_html(uncounted, selected=None)},
        }

    @staticmethod
    def _counts(summary: dict[str, Any], absorbed: int, absorbing: int) -> dict[str, Any]:
        rates = {"absorption_rate": ("rate", 0.1), "rate_low": ("rate_low", 0.1), "rate_high": ("rate_high", 0.2)}
        has_rate = bool(summary["num_probe_true_positives"])
        return {
            "num_absorbed": Slot(absorbed, "num_absorbed"),
            "num_absorbing_latents": Slot(absorbing, "num_absorbing"),
            **{name: Slot(value, slot) if has_rate else None for name, (slot, value) in rates.items()},
        }

    def _fetch(self, query: str, **params: Any) -> pd.DataFrame:
        return fetch_shown(self._model, query, **params)


def cells_part(rate: str) -> dict[str, str]:
    """Return the labels of a cell in the strip for one or many absorbing latents and a known or unknown rate."""
    return {
        f"{case} {'known' if known else 'unknown'}": cell_label(
            Slot(number, "num_absorbing"), Slot(0.1, "rate") if known else None, rate
        )
        for case, number in {"1": 1, "n": 2}.items()
        for known in (True, False)
    }


def _listed(row: dict[str, Any]) -> dict[str, list[Any] | None]:
    return {name: None if value is None else list(value) for name, value in row.items()}


def _columns(tokens: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the scores of tokens by column; None if unknown."""
    columns = tokens.drop(columns="concept").assign(silent_from=tokens["silent_from"].clip(-_INFINITY, _INFINITY))
    rows = records(columns)
    return {name: [row[name] for row in rows] for name in columns}
