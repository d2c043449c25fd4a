"""The dashboard and the command, with pages that fail as their address requests, as in ``?evidence_token=make``."""

import sys
from importlib import import_module
from typing import Any, cast

import panel as pn
from panel.io.server import DocHandler

import explorer.app
from explorer import session
from explorer.cli import main
from explorer.views.browser import requested_query
from explorer.views.markup import Markup

#: The text of an error, which names files of the server.
TELLING = f"{__file__} failed at"


class Unwritable:
    """A variable of the page's template."""

    def __init__(self, asked: str) -> None:
        self._asked = asked

    def __str__(self) -> str:
        if "=write" in self._asked:
            raise RuntimeError(TELLING)
        return ""


def break_pages() -> None:
    """Make pages fail."""
    app, markup, handler = vars(explorer.app), cast("Any", Markup), cast("Any", DocHandler)
    own_choices, own_root, own_payload = app["choices_of"], markup._get_model, handler._generate_token_payload

    def choices_of(*args: Any) -> Any:
        if "=make" in requested_query():
            raise RuntimeError(TELLING)
        return own_choices(*args)

    def get_model(self: Any, *args: Any, **kwargs: Any) -> Any:
        if "=render" in requested_query():
            raise RuntimeError(TELLING)
        return own_root(self, *args, **kwargs)

    def generate_payload(self: Any) -> Any:
        if "=request" in self.request.query:
            raise RuntimeError(TELLING)
        return own_payload(self)

    app["choices_of"] = choices_of
    app["styles"] = lambda: Unwritable(requested_query())
    markup._get_model = get_model
    handler._generate_token_payload = generate_payload


if __name__.startswith("bokeh_app"):
    # `panel serve` runs this file for each session and removes its module afterwards; the rest must exist longer.
    import_module("tests.broken_pages")
    pn.extension()
    session(*sys.argv[1:])
else:
    break_pages()
    if __name__ == "__main__":
        main()
