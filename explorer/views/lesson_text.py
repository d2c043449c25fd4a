"""The text of a step of the page Learn, with the current values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from explorer.format import number
from explorer.learn.probing import fit_probe
from explorer.learn.toy import best_absorption, best_hedging
from explorer.text import LESSONS, render_text
from explorer.views.markup import Markup
from explorer.views.toy_controls import TOY, toy_of
from explorer.views.view import View

if TYPE_CHECKING:
    from explorer.model import ExplorerModel
    from explorer.state import Snapshot


class LessonText(View):
    """Shows the text of the current step.

    Parameters
    ----------
    model : ExplorerModel
    """

    follows = ("learn_step", "learn_latents", *TOY, "tau", "cosine_threshold", "effect_margin", "suite", "concept")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._layout = self._text = Markup("lesson")
        self._show()

    def _show(self) -> None:
        self._text.html = lesson_html(self._model.shown)


def lesson_html(shown: Snapshot) -> str:
    """Render the text of the current step."""
    toy, num_latents = toy_of(shown), shown.learn_latents
    hedges = shown.learn_step == 1 and num_latents == 1
    return render_text(
        LESSONS[shown.learn_step - 1],
        num_latents=num_latents,
        sparsity=toy.sparsity,
        is_alone=toy.alone > 0,
        best=number(best_hedging(toy) if hedges else best_absorption(toy), 2),
        difference=number(toy.child - toy.alone, 2),
        with_parent=number(float(fit_probe(toy).cosines(np.array([[1.0, 0.0]]))[0]), 2),
        limit=number(2 * shown.tau / (1 + shown.tau)),
        tau=shown.tau,
        cosine_threshold=shown.cosine_threshold,
        effect_margin=shown.effect_margin,
        label=shown.label,
    )
