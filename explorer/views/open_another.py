"""The dialog for opening another suite, if the server allows it."""

from __future__ import annotations

import logging
from functools import partial
from threading import Event, Lock
from typing import TYPE_CHECKING

import panel as pn

from explorer.format import printable
from explorer.log import log_failure
from explorer.served import MayOpen
from explorer.views.background import in_background
from explorer.views.markup import Markup, render
from queries import SuiteError

if TYPE_CHECKING:
    from explorer.served import Served
    from explorer.views.background import Caller
    from ingest.catalogue import Entry

_LOG = logging.getLogger("explorer")
#: One import at a time per process, in parallel to other background work.
_TURN = Lock()
_FAILED = "It could not be opened. See the log of the server for the reason."


class OpenAnother(pn.viewable.Viewer):
    """Opens a suite, or imports results, for new sessions; the current session keeps its suites.

    Parameters
    ----------
    served : Served
    """

    def __init__(self, served: Served) -> None:
        super().__init__()
        self._served = served
        self._is_open = False
        self._stop: Event | None = None  # stops the import in progress; None if there is none
        self._doing = self._failure = self._found = self._source = ""
        self._entries: list[Entry] = []
        self._dialog = Markup(
            "open-another", on={"choose": self._choose, "stop": lambda _: self._end(), "close": lambda _: self._close()}
        )

    def ask(self) -> None:
        """Open the dialog."""
        self._is_open = True
        self._entries = self._served.catalogue()  # read once, because progress renders the dialog often
        self._render()

    def _close(self) -> None:
        self._is_open = False
        self._render()

    def _end(self) -> None:
        if self._stop:
            self._stop.set()

    def _choose(self, wanted: dict[str, str] | str) -> None:
        """Open the source that was typed, or an entry of the catalogue."""
        source = (wanted if isinstance(wanted, str) else wanted.get("source", "")).strip()
        if self._stop or not source:
            return
        self._stop, self._source = Event(), source
        self._doing, self._failure, self._found = "Inspecting the source", "", ""
        self._render()
        in_background(partial(self._work, source, self._stop), _TURN)

    def _work(self, source: str, stop: Event, caller: Caller) -> None:
        reported = ""

        def progress(what: str, done: int, total: int) -> None:
            nonlocal reported
            if stop.is_set() or caller.token.is_cancelled:
                raise KeyboardInterrupt  # keeps the downloaded part for the next attempt
            doing = f"{what}: {100 * done // max(total, 1)}%"
            if doing != reported:
                reported = doing
                caller.run_in_session(partial(self._show, doing))

        found = failure = ""
        try:
            found = self._served.open(source, progress, _LOG.info)
        except SuiteError as error:
            _LOG.warning("%s", printable(str(error)))
            failure = str(error) if self._served.may_open is MayOpen.ANYTHING else _FAILED
        except KeyboardInterrupt:
            failure = "Stopped. The downloaded part is kept, and the next attempt continues from it."
        except Exception as error:  # noqa: BLE001 - the visitor must be informed of any failure
            log_failure("A source could not be opened", error)
            failure = _FAILED
        finally:
            caller.run_in_session(partial(self._finish, found, failure))

    def _show(self, doing: str) -> None:
        self._doing = doing
        self._render()

    def _finish(self, found: str, failure: str) -> None:
        self._stop, self._doing, self._found, self._failure = None, "", found, failure
        self._render()

    def _render(self) -> None:
        if not self._is_open:
            self._dialog.html = ""
            return
        self._dialog.html = render(
            "open_another",
            entries=self._entries,
            is_free=self._served.may_open is MayOpen.ANYTHING,
            is_busy=self._stop is not None,
            doing=self._doing,
            failure=self._failure,
            found=self._found,
            source=self._source,
        )

    def __panel__(self) -> pn.viewable.Viewable:
        return self._dialog
