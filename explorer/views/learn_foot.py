"""The foot of the page Learn: an example from the suite, navigation to the next step, and references."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.learn.cases import Case, case_of
from explorer.learn.verdict import chosen_token, decisive_metric, tokens_of
from explorer.views.learn_head import STEPS
from explorer.views.markup import Markup, render
from explorer.views.view import View

if TYPE_CHECKING:
    from explorer.model import ExplorerModel


class LearnFoot(View):
    """Links to the example and to the other steps.

    Parameters
    ----------
    model : ExplorerModel
    """

    answers = ("summary", "absorbing_latents", "concepts", "verdicts_by_metric")
    follows = ("suite", "sae", "concept", "metric", "learn_step", "learn_token")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._layout = self._foot = Markup("learn-foot", on={**model.state.setters("learn_step"), "case": self._go})
        self._show()

    def _go(self, _: object) -> None:
        case = self._case
        if case is not None and self._model.is_current:
            self._model.state.apply(case.values)

    @property
    def _case(self) -> Case | None:
        model, shown = self._model, self._model.shown
        opening, verdicts = model.manifest.opening, model.verdicts_by_metric
        metric = decisive_metric(verdicts, shown.metric)
        return case_of(
            shown,
            summary=model.summary,
            absorbing=model.absorbing_latents,
            counts=model.concepts,
            opening=opening.model_dump() if opening else {},
            metric=metric,
            token=chosen_token(tokens_of(verdicts, metric), shown.learn_token),
        )

    def _show(self) -> None:
        step = self._model.shown.learn_step
        unanswered = next(filter(None, map(self._model.unanswered, self.answers)), "")
        self._foot.html = render("learn_foot", case=self._case, unanswered=unanswered, steps=STEPS, step=step)
