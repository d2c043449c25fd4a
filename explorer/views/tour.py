"""The current tour: a card beside the view that its step points at (positioned by static/guide.js)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panel as pn

from explorer.request import Request
from explorer.text.tour_files import TOURS, TourError
from explorer.tours import RenderedTour, query_of, rendered_tour
from explorer.views.markup import Markup, render
from queries import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable

    import param

    from explorer.model import ExplorerModel


class TourCard(pn.viewable.Viewer):
    """Shows the current step and navigates to others; leaving restores the state before the tour.

    Parameters
    ----------
    model : ExplorerModel
    on_refused : callable
        Receives the messages about values that a step could not set.
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
        """Start a rendered tour."""
        state = self._model.state
        if name not in TOURS:
            return
        if state.tour is None:
            self._before = state.to_query()
        self._go(1, name)

    def _go(self, number: int, name: str | None = None) -> None:
        """Go to a step, independent of what the visitor has changed meanwhile."""
        state = self._model.state

        def go(tour: RenderedTour | None) -> None:
            if tour is not None and 0 < number <= len(tour.steps):
                query = query_of(tour.steps[number - 1], tour.name, number, present=state.present)
                self._on_refused(state.from_query(query))

        self._render(name or state.tour, go)

    def _leave(self) -> None:
        state, before, self._before = self._model.state, self._before, None
        if before is None:
            state.apply({"tour": None, "tour_step": 1})
        else:
            present = state.present
            state.from_query(before)
            state.present = present

    def _render(self, name: str | None, take: Callable[[RenderedTour | None], None]) -> None:
        """Render a tour for the suite and pass it on; None if it cannot be shown."""
        store, suite = self._model.store, self._model.state.suite
        if name is None or suite is None:
            self._request.cancel()
            take(None)
            return

        def work() -> RenderedTour | Exception:
            try:
                return rendered_tour(store, suite, name)
            except (QueryError, TourError) as error:
                return error

        def take_rendered(tour: RenderedTour | Exception) -> None:
            if isinstance(tour, Exception):
                self._model.error = str(tour)
            take(tour if isinstance(tour, RenderedTour) and tour.steps else None)

        self._request.work(work, take_rendered)

    def _show(self, *_: param.parameterized.Event) -> None:
        self._render(self._model.state.tour, self._draw)

    def _draw(self, tour: RenderedTour | None) -> None:
        state = self._model.state
        if tour is None:
            if state.tour is not None:
                state.tour = None  # this suite cannot show it
            self._card.html = ""
            return
        number = min(state.tour_step, len(tour.steps))
        self._card.html = render("tour", tour=tour, number=number, step=tour.steps[number - 1])

    def __panel__(self) -> pn.viewable.Viewable:
        return self._card
