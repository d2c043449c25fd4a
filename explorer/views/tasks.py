"""The ten discovery tasks: a checklist, some of whose tasks are ticked automatically."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import panel as pn
import param

from explorer.text.tasks import TASKS
from explorer.views.markup import Markup, render

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from explorer.model import ExplorerModel

_IDS = tuple(task.id for task in TASKS)


class Progress(param.Parameterized):
    """The finished tasks, which are updated by the visitor's actions.

    Parameters
    ----------
    model : ExplorerModel
    done : sequence of str
        Tasks done in an earlier visit; unknown names are ignored.
    """

    done = param.List(default=[], item_type=str, doc="Ids of the tasks that are done, in the order they were ticked.")

    def __init__(self, model: ExplorerModel, done: Sequence[str] = ()) -> None:
        super().__init__(done=[name for name in dict.fromkeys(done) if name in _IDS])
        self._model = model
        self._was_canonical = _canonical(model)
        state = model.state
        state.param.watch(self._on_concept, "concept")
        state.param.watch(self._on_sae, "sae")
        model.param.watch(self._on_act, "act", onlychanged=False)

    def tick(self, name: str, *, done: bool = True) -> None:
        """Mark one task as done or not done."""
        rest = [task for task in self.done if task != name]
        if name in _IDS and (name in self.done) != done:
            self.done = [*rest, name] if done else rest

    def undo(self) -> None:
        """Undo the last tick."""
        self.done = self.done[:-1]

    def reset(self) -> None:
        """Reset all tasks."""
        self.done = []

    def _on_concept(self, *_: param.parameterized.Event) -> None:
        self.tick("another_concept" if "identify_absorbing" in self.done else "select_concept")

    def _on_sae(self, *_: param.parameterized.Event) -> None:
        canonical = _canonical(self._model)
        if canonical != self._was_canonical or not any(sae.canonical for sae in self._model.state.saes):
            self.tick("switch_sae")
        self._was_canonical = canonical

    def _on_act(self, *_: param.parameterized.Event) -> None:
        model, latent = self._model, self._model.state.latent
        split = [] if model.split_latents is None else model.split_latents["latent"].tolist()
        absorbing = [] if model.absorbing_latents is None else model.absorbing_latents["latent"].tolist()
        match model.act:
            case "tap-cosine":
                self.tick("explore_cosine")
            case "open-splitting" | "tap-k-sparse":
                self.tick("read_k_sparse")
            case "test-concept" if latent in split:
                self.tick("test_split_latent")
            case "found-silent":
                self.tick("find_silent_words")
            case "test-absorbed-here" if latent in absorbing:
                self.tick("identify_absorbing")
            case "test-absorbed":
                self.tick("compare_absorbed")


def _canonical(model: ExplorerModel) -> bool:
    return bool(model.state.chosen_sae and model.state.chosen_sae.canonical)


class Tasks(pn.viewable.Viewer):
    """Shows the checklist, with the hint of the next unfinished task.

    Parameters
    ----------
    model : ExplorerModel
    progress : Progress
    remember : callable
        Takes a name and a value to store for later visits.
    """

    def __init__(self, model: ExplorerModel, progress: Progress, remember: Callable[[str, str], Any]) -> None:
        super().__init__()
        self._model, self._progress, self._remember = model, progress, remember
        self._list = Markup(
            "tasks",
            on={
                "task": self._tick,
                "undo": lambda _: progress.undo(),
                "reset": lambda _: progress.reset(),
            },
        )
        progress.param.watch(self._on_done, "done")
        model.state.param.watch(self._show, "suite")
        self._show()

    def _tick(self, change: tuple[str, bool]) -> None:
        name, done = change
        self._progress.tick(name, done=done)

    def _on_done(self, *_: param.parameterized.Event) -> None:
        self._remember("tasks", ".".join(self._progress.done))
        self._show()

    def _show(self, *_: param.parameterized.Event) -> None:
        done = self._progress.done
        titles = {task.id: task.title for task in TASKS}
        self._list.html = render(
            "tasks",
            tasks=TASKS,
            done=done,
            next=next((name for name in _IDS if name not in done), None),
            undo=titles[done[-1]] if done else None,
            open=True,
            has_canonical=any(sae.canonical for sae in self._model.state.saes),
        )

    def __panel__(self) -> pn.viewable.Viewable:
        return self._list
