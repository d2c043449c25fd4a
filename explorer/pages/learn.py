"""The page Learn: absorption explained from the beginning, in five steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import panel as pn

from explorer.views.arrange import Stack, Switch
from explorer.views.learn_foot import LearnFoot
from explorer.views.learn_head import LearnHead
from explorer.views.lesson_text import LessonText
from explorer.views.probe_lesson import ProbeLesson
from explorer.views.splitting_lesson import SplittingLesson
from explorer.views.toy_controls import ToyControls
from explorer.views.toy_lesson import ToyLesson
from explorer.views.training_lesson import TrainingLesson
from explorer.views.verdict_lesson import VerdictLesson
from explorer.views.view import View

if TYPE_CHECKING:
    from collections.abc import Mapping

    from explorer.model import ExplorerModel


class Lessons(Switch):
    """The interactive part of a step."""

    follows = ("learn_step",)
    options: ClassVar[Mapping[str, type[View]]] = {
        "1": ToyLesson,
        "2": TrainingLesson,
        "3": ProbeLesson,
        "4": SplittingLesson,
        "5": VerdictLesson,
    }


class Step(View):
    """A step: its text, with sliders and plots beside it (on a phone below it).

    Parameters
    ----------
    model : ExplorerModel
    """

    parts = (LessonText, ToyControls, Lessons)

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        text, *others = map(self._make, self.parts)
        wide = {"sizing_mode": "stretch_width"}
        self._layout = pn.Row(
            pn.Column(text, styles={"flex": "1 1 320px", "min-width": "0"}, **wide),
            pn.Column(*others, styles={"flex": "2 1 480px", "min-width": "0"}, **wide),
            styles={"flex-wrap": "wrap", "gap": "0 40px"},
            **wide,
        )


class Learn(Stack):
    """The page."""

    parts = (LearnHead, Step, LearnFoot)
