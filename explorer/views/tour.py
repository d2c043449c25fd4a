"""The tour that is shown: a card beside the view that its step points at (static/guide.js places it)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panel as pn

from explorer.request import Request
from explorer.text.tour_files import TOURS, TourError
from explorer.tours import ToldTour, query_of, tell
from explorer.views.markup import Markup, render
from queries import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable

    import param

    from explorer.model import ExplorerModel


class TourCard(pn.viewable.Viewer):
    """Shows the step that the state names, and goes to others; leaving brings back what was shown before the tour.

    Parameters
    ----------
    model : ExplorerModel
    on_refused : callable
        Takes the sentences about what a step could not set.
    """

    def __init__(self, model: ExplorerModel, on_refused: Callable[[list[str]], None]) -> None:
        super().__init__()
        self._model, self._on_refused = model, on_refused
        self._request = Request(model)
        self._before: str | None = None
        self._card = Markup(
            "tour",
            on={
                "tour-next": lambda _: self._go(model.state.tour_step + 1),
                "tour-back": lambda _: self._go(model.state.tour_step - 1),
                "tour-stay": lambda _: model.state.apply({"tour": None, "tour_step": 1}),
                "tour-leave": lambda _: self._leave(),
            },
        )
        model.state.param.watch(self._show, ["suite", "tour", "tour_step"])
        self._show()

    def start(self, name: str) -> None:
        """Begin a tour."""
        state = self._model.state
        if name not in TOURS:
            return
        if state.tour is None:
            self._before = state.to_query()
        self._go(1, name)

    def _go(self, number: int, name: str | None = None) -> None:
        """Go to a step, whatever the reader has changed meanwhile."""
        state = self._model.state

        def go(told: ToldTour | None) -> None:
            if told is not None and 0 < number <= len(told.steps):
                query = query_of(told.steps[number - 1], told.name, number, present=state.present)
                self._on_refused(state.from_query(query))

        self._tell(name or state.tour, go)

    def _leave(self) -> None:
        state, before, self._before = self._model.state, self._before, None
        if before is None:
            state.apply({"tour": None, "tour_step": 1})
        else:
            present = state.present
            state.from_query(before)
            state.present = present

    def _tell(self, name: str | None, take: Callable[[ToldTour | None], None]) -> None:
        """Tell a tour of the suite; None where there is none to be shown."""
        store, suite = self._model.store, self._model.state.suite
        if name is None or suite is None:
            self._request.give_up()
            take(None)
            return

        def work() -> ToldTour | Exception:
            try:
                return tell(store, suite, name)
            except (QueryError, TourError) as error:
                return error

        def take_told(told: ToldTour | Exception) -> None:
            if isinstance(told, Exception):
                self._model.error = str(told)
            take(told if isinstance(told, ToldTour) and told.steps else None)

        self._request.work(work, take_told)

    def _show(self, *_: param.parameterized.Event) -> None:
        self._tell(self._model.state.tour, self._draw)

    def _draw(self, told: ToldTour | None) -> None:
        state = self._model.state
        if told is None:
            if state.tour is not None:
                state.tour = None  # this suite cannot show it
            self._card.html = ""
            return
        number = min(state.tour_step, len(told.steps))
        self._card.html = render("tour", tour=told, number=number, step=told.steps[number - 1])

    def __panel__(self) -> pn.viewable.Viewable:
        return self._card
