"""Step 5 of the page Learn: the verdict on one tested token of the suite, condition by condition and by each metric."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from explorer.evidence import why
from explorer.format import metric_label
from explorer.learn.verdict import chosen_token, conditions, decisive_metric, tokens_of, verdict_label
from explorer.model import records
from explorer.request import Request
from explorer.views.evidence_table import ablated
from explorer.views.markup import Markup, render
from explorer.views.view import View
from queries.schema import FRACTION

if TYPE_CHECKING:
    import pandas as pd

    from explorer.model import ExplorerModel

#: Maximum tokens to choose from.
_LISTED = 200
#: Columns that the suite must store for each metric.
_MISSING = {
    "ig_ablation": "the suite stores no ablation of this token",
    "full": "the suite stores no projections of this token",
    FRACTION: "the suite stores no projections of this token",
}
#: Maximum latents whose effects are shown.
_MOST_BARS = 8


class VerdictLesson(View):
    """Shows the verdict on a token condition by condition.

    Parameters
    ----------
    model : ExplorerModel
    """

    answers = ("verdicts_by_metric", "split_latents")
    follows = ("suite", "sae", "concept", "metric", "cosine_threshold", "effect_margin", "learn_token")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._request = Request(model)
        #: The token whose latents were requested, with its SAE and concept, and these latents.
        self._requested: tuple[Any, ...] | None = None
        self._latents: pd.DataFrame | None = None
        self._layout = self._verdict = Markup("verdict", on={**model.state.setters("learn_token"), "latent": self._go})
        self._show()

    def _go(self, latent: int) -> None:
        if self._model.is_current:
            self._model.state.apply({"page": "explore", "latent": latent})

    def _show(self) -> None:
        shown, verdicts = self._model.shown, self._model.verdicts_by_metric
        metric = decisive_metric(verdicts, shown.metric)
        tokens = tokens_of(verdicts, metric)
        token = chosen_token(tokens, shown.learn_token)
        requested = None if token is None else (shown.suite, shown.sae, shown.concept, token)
        if requested != self._requested:
            self._requested, self._latents = requested, None
            if token is not None:
                take = partial(self._take, requested)
                self._model.ask(self._request, "token_latents", take, token=token)
        self._render(metric, tokens, token)

    def _take(self, requested: tuple[Any, ...] | None, latents: pd.DataFrame | None) -> None:
        if requested == self._requested:
            self._latents = latents
            self._show()

    def _render(self, metric: str | None, tokens: list[tuple[str, bool]], token: str | None) -> None:
        shown, verdicts = self._model.shown, self._model.verdicts_by_metric
        rows = [] if verdicts is None or token is None else records(verdicts[verdicts["token"] == token])
        row = next((row for row in rows if row["metric"] == metric), None)
        split = self._model.split_latents
        thresholds = {"cosine_threshold": shown.cosine_threshold, "effect_margin": shown.effect_margin}
        of_split = [] if split is None else split["latent"].tolist()
        walk = conditions(row, of_split, **thresholds) if row else []
        failed = next((place for place, condition in enumerate(walk) if condition.holds is False), None)
        self._verdict.html = render(
            "verdict",
            sae=shown.chosen_sae,
            label=shown.label,
            unanswered=self._model.unanswered("verdicts_by_metric"),
            tokens=tokens[:_LISTED],
            num_tokens=len(tokens),
            token=token,
            metric=metric_label(metric),
            row=row,
            walk=walk,
            failed=failed,
            by_metric=[
                {
                    "metric": metric_label(one["metric"]),
                    "verdict": verdict_label(one),
                    "text": why(one, **thresholds),
                }
                for one in rows
            ]
            + [
                {"metric": metric_label(name), "verdict": "unknown", "text": missing}
                for name, missing in _MISSING.items()
                if name not in {one["metric"] for one in rows}
            ],
            bars=ablated(self._latents, metric)[:_MOST_BARS],
        )
