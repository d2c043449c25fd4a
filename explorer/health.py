"""``/healthz``: whether the suites can be opened; also a plugin for ``panel serve --plugins explorer.health``."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from tornado.web import RequestHandler

from explorer.guard import guard
from explorer.store import shared_store, suites_of_panel_serve, without_folders
from queries import SuiteError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Health(RequestHandler):
    """Responds with 200 if the suites are open, else with 503 and the reason."""

    def initialize(self, paths: Sequence[str]) -> None:
        """Store the paths of the served suites."""
        self._paths = paths
        guard()  # under `panel serve`, this may be the first thing that runs

    def get(self) -> None:
        """Open the suites, unless their current versions are open already."""
        self.set_header("Cache-Control", "no-store")
        try:
            shared_store(*self._paths)
        except SuiteError as error:
            self.set_status(HTTPStatus.SERVICE_UNAVAILABLE)
            self.write({"status": "no suite is open", "reason": without_folders(str(error), self._paths)})
        else:
            self.write({"status": "ok"})

    head = get


def routes(paths: Sequence[str]) -> list[tuple[str, type[RequestHandler], dict[str, Sequence[str]]]]:
    """Return the routes for Bokeh's server."""
    return [("/healthz", Health, {"paths": paths})]


#: For `panel serve`.
ROUTES = routes(suites_of_panel_serve())
