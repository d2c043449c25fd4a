"""Queries of one view, of which only the latest count."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from queries import CancelToken, QueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd

    from explorer.model import ExplorerModel

    Answers = Mapping[str, pd.DataFrame | QueryError | None]

T = TypeVar("T")
#: Most of a query's time is planning, which uses one processor.
_SIDE_BY_SIDE = ThreadPoolExecutor(64, "answering")


class Asked(NamedTuple):
    """A query and its parameters, None if there is nothing to query."""

    query: str
    params: dict[str, Any] | None


class Request:
    """Runs queries in the background and cancels its previous ones.

    Parameters
    ----------
    model : ExplorerModel
        Says how one asks aside, and is told what is waited for.
    """

    def __init__(self, model: ExplorerModel) -> None:
        self._model = model
        self._token = CancelToken()

    def ask(self, questions: Mapping[str, Asked], take: Callable[[Answers], None]) -> None:
        """Run several queries in parallel.

        Parameters
        ----------
        questions : mapping of str to Asked
            By any name.
        take : callable
            Takes the answers by these names, where the page may be changed: frames, None where there was nothing to
            ask, and in place of an answer the error that says why there is none. Not called once `ask`, `work` or
            `give_up` was called again.
        """
        store, token = self._model.store, self._renew()

        def answer(name: str) -> pd.DataFrame | QueryError | None:
            query, params = questions[name]
            with store.cancellable(token):
                try:
                    return None if params is None else store.fetch(query, **params)
                except QueryError as failure:
                    return failure

        def answers() -> Answers:
            is_held = all(params is None or store.holds(query, **params) for query, params in questions.values())
            # Threads cost time, which only pays where the database is asked.
            return dict(zip(questions, (map if is_held else _SIDE_BY_SIDE.map)(answer, questions), strict=True))

        self._aside(answers, take, token)

    def work(self, work: Callable[[], T], take: Callable[[T], None]) -> None:
        """Run anything that queries the store and handles its errors.

        Parameters
        ----------
        work : callable
            Returns the result; called in another thread.
        take : callable
            Takes it where the page may be changed. Not called once `ask`, `work` or `give_up` was called again.
        """
        store, token = self._model.store, self._renew()

        def cancellable() -> T:
            with store.cancellable(token):
                return work()

        self._aside(cancellable, take, token)

    def _renew(self) -> CancelToken:
        self._token.given_up = True
        self._token = token = CancelToken()
        return token

    def _aside(self, work: Callable[[], T], take: Callable[[T], None], token: CancelToken) -> None:
        def take_over(result: T) -> None:
            try:
                if not token.given_up:
                    take(result)
            finally:  # an error in a view must not leave the page waiting
                if not token.given_up:  # by what follows from the result
                    self._model.await_answers(self, late=False)

        self._model.aside(work, take_over, lambda: self._model.await_answers(self, late=True))

    def give_up(self) -> None:
        """Cancel the running queries."""
        self._token.given_up = True
        self._model.await_answers(self, late=False)
