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


class QueryCall(NamedTuple):
    """A query and its parameters, None if there is nothing to query."""

    query: str
    params: dict[str, Any] | None


class Request:
    """Runs queries in the background and cancels its previous ones.

    Parameters
    ----------
    model : ExplorerModel
        Provides the runner for queries, and is notified of late results.
    """

    def __init__(self, model: ExplorerModel) -> None:
        self._model = model
        self._token = CancelToken()

    def ask(self, questions: Mapping[str, QueryCall], take: Callable[[Answers], None]) -> None:
        """Run several queries in parallel.

        Parameters
        ----------
        questions : mapping of str to QueryCall
            Queries by arbitrary names.
        take : callable
            Receives the results by these names, in a context in which the page may be changed: frames, None if there
            was nothing to query, or the error of a failed query. Not called if `ask`, `work` or `cancel` was called
            again.
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
            are_cached = all(params is None or store.is_cached(query, **params) for query, params in questions.values())
            # Threads have a cost that is worth it only for queries to the database.
            return dict(zip(questions, (map if are_cached else _SIDE_BY_SIDE.map)(answer, questions), strict=True))

        self._run(answers, take, token)

    def work(self, work: Callable[[], T], take: Callable[[T], None]) -> None:
        """Run anything that queries the store and handles its errors.

        Parameters
        ----------
        work : callable
            Returns the result; called in another thread.
        take : callable
            Receives it in a context in which the page may be changed. Not called if `ask`, `work` or `cancel` was
            called again.
        """
        store, token = self._model.store, self._renew()

        def cancellable() -> T:
            with store.cancellable(token):
                return work()

        self._run(cancellable, take, token)

    def _renew(self) -> CancelToken:
        self._token.is_cancelled = True
        self._token = token = CancelToken()
        return token

    def _run(self, work: Callable[[], T], take: Callable[[T], None], token: CancelToken) -> None:
        def take_over(result: T) -> None:
            try:
                if not token.is_cancelled:
                    take(result)
            finally:  # an error in a view must not leave the page waiting
                if not token.is_cancelled:  # it may have been cancelled as a consequence of the result
                    self._model.await_answers(self, late=False)

        self._model.runner(work, take_over, lambda: self._model.await_answers(self, late=True))

    def cancel(self) -> None:
        """Cancel the running queries."""
        self._token.is_cancelled = True
        self._model.await_answers(self, late=False)
