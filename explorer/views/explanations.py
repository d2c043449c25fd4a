"""The three explanations, with their plots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panel as pn

from explorer.text import render_text
from explorer.views.browser import remembered
from explorer.views.disclosure import Disclosure
from explorer.views.k_sparse import KSparseView
from explorer.views.markup import Markup
from explorer.views.sae_scores import SaeScoresView
from explorer.views.view import View

if TYPE_CHECKING:
    from collections.abc import Callable

    from explorer.model import ExplorerModel
    from explorer.state import Snapshot


#: Titles of the topics.
TITLES = {
    "absorption": "What is absorption?",
    "splitting": "How splitting is measured (F1 over k)",
    "decision": "How absorption is decided",
}


class Prose(View):
    """Shows one explanation with the current values.

    Parameters
    ----------
    model : ExplorerModel
    topic : str
        Name of a file of `explorer.text`.
    """

    follows = ("suite", "concept", "metric", "tau", "cosine_threshold", "effect_margin")

    def __init__(self, model: ExplorerModel, topic: str) -> None:
        super().__init__(model)
        self._topic = topic
        self._layout = self._text = Markup("prose")
        self._show()

    def _show(self) -> None:
        self._text.html = prose_html(self._model.shown, self._topic)


def prose_html(shown: Snapshot, topic: str) -> str:
    """Render one explanation with the current values."""
    return render_text(
        topic,
        tau=shown.tau,
        cosine_threshold=shown.cosine_threshold,
        effect_margin=shown.effect_margin,
        label=shown.label,
        phrase=shown.phrase,
        metric=shown.metric,
    )


class Explanations(View):
    """Collapsible explanations; the first one is open on a first visit.

    Parameters
    ----------
    model : ExplorerModel
    remember : callable
        Takes a name and a value to store for later visits.
    """

    parts = (Prose, KSparseView, SaeScoresView)

    def __init__(self, model: ExplorerModel, remember: Callable[[str, str], None]) -> None:
        super().__init__(model)
        self._remember = remember
        self._opened = set((remembered("open") or "absorption").split("."))
        parts: dict[str, tuple[str, Callable[[], pn.viewable.Viewable]]] = {
            "absorption": (TITLES["absorption"], lambda: self._prose("absorption")),
            "splitting": (
                TITLES["splitting"],
                lambda: pn.Column(self._prose("splitting"), KSparseView(model), sizing_mode="stretch_width"),
            ),
            "decision": (TITLES["decision"], lambda: self._prose("decision")),
            "scores": ("Precision and recall over all SAEs", lambda: SaeScoresView(model).__panel__()),
        }
        self._layout = pn.Column(
            *(
                Disclosure(name, title, build, is_open=name in self._opened, on_toggle=self._toggled)
                for name, (title, build) in parts.items()
            ),
            sizing_mode="stretch_width",
            margin=(32, 0, 0, 0),
        )

    def _prose(self, topic: str) -> pn.viewable.Viewable:
        return Prose(self._model, topic).__panel__()

    def _toggled(self, name: str, is_open: bool) -> None:  # noqa: FBT001 - a callback's signature
        self._opened = (self._opened | {name}) if is_open else (self._opened - {name})
        # "none", because an empty value would look like a first visit.
        self._remember("open", ".".join(sorted(self._opened)) or "none")
        if is_open:
            self._model.act = f"open-{name}"
