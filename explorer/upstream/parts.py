"""Table of the non-public parts of libraries that the explorer relies on; a test checks each.

Checked with Panel 1.9.4 and 1.10.0, Bokeh 3.9.2 and 3.10.2, HoloViews 1.23.2, Tornado 6.6.1.
"""

from __future__ import annotations

from typing import NamedTuple

import panel as pn
from bokeh.document.models import DocumentModelManager
from bokeh.server.connection import ServerConnection
from bokeh.server.contexts import ApplicationContext
from bokeh.server.session import ServerSession
from bokeh.server.tornado import BokehTornado
from panel.custom import JSComponent
from panel.io.server import WSHandler
from panel.widgets import FloatSlider
from tornado.web import RequestHandler


class Part(NamedTuple):
    """A non-public part of a library.

    Attributes
    ----------
    of : type or None
        The class, None for BokehJS.
    name : str
    why : str
        What it is used for, and where.
    replacement : str
        Public API that would make it unnecessary.
    """

    of: type | None
    name: str
    why: str
    replacement: str


_ENDING = "a public way to end a session and its connections"
_COUNTING = "a limit of sessions, or a public count of them"
_RESPONSE = "a public property of a handler"
_EVENTS = "a public method for messages from the browser, before they are applied"
_PULL = "BokehJS pulling a document again correctly (bokeh/bokeh#15347)"

PARTS = (
    # Server
    Part(
        RequestHandler,
        "_headers_written",
        "no header is set after the headers were sent (upstream/tornado.py)",
        _RESPONSE,
    ),
    Part(RequestHandler, "_reason", "title of an error page (upstream/tornado.py)", _RESPONSE),
    Part(RequestHandler, "_headers", "size of a response, in the log (upstream/tornado.py)", _RESPONSE),
    Part(RequestHandler, "_transforms", "pages are compressed (upstream/tornado.py)", "compression for one handler"),
    Part(
        WSHandler,
        "_async_open",
        "a full server rejects a websocket that would create a session (capacity.py)",
        _COUNTING,
    ),
    Part(ApplicationContext, "_sessions", "sessions are limited (upstream/bokeh.py)", _COUNTING),
    Part(ApplicationContext, "_pending_sessions", "sessions are limited (upstream/bokeh.py)", _COUNTING),
    Part(ApplicationContext, "_discard_session", "sessions are ended (upstream/bokeh.py)", _ENDING),
    Part(ServerSession, "_subscribed_connections", "sessions are ended (upstream/bokeh.py)", _ENDING),
    Part(ServerConnection, "_socket", "sessions are ended (upstream/bokeh.py)", _ENDING),
    Part(
        type(pn.state),
        "_schedule_busy_cleanup",
        "it is started in the right thread (upstream/panel.py)",
        "`PeriodicCallback.start` that schedules on the event loop",
    ),
    *(
        Part(BokehTornado, name, "tokens are signed, without headers (tokens.py)", "to set them in a served script")
        for name in ("secret_key", "sign_sessions", "session_token_expiration", "include_headers", "include_cookies")
    ),
    # Page
    Part(
        DocumentModelManager,
        "recompute",
        "the models are traversed once per event, only if some were added or removed (views/act.py)",
        "`freeze` that traverses only if something was invalidated; the traversal takes longer than most events",
    ),
    Part(DocumentModelManager, "invalidate", "the same", "the same"),
    Part(JSComponent, "_handle_msg", "events of a component (views/markup.py, browser.py, cell.py)", _EVENTS),
    Part(JSComponent, "_send_msg", "files in pieces (views/markup.py)", "the same without underscore"),
    Part(JSComponent, "_send_event", "messages in notebooks (views/markup.py)", "messages to models of jupyter_bokeh"),
    Part(JSComponent, "_bundle", "scripts are compressed once (views/*.py)", "a public name for it"),
    Part(JSComponent, "_get_properties", "a model is found by its name (views/markup.py)", "a parameter for the name"),
    Part(JSComponent, "_models", "messages in notebooks (views/markup.py)", "messages to models of jupyter_bokeh"),
    Part(pn.Column, "_repr_mimebundle_", "a cell has a picture beside its view (views/cell.py)", "to add an output"),
    Part(FloatSlider, "_get_properties", "a model is found by its name (views/widgets.py)", "a parameter for the name"),
    Part(
        FloatSlider,
        "_process_events",
        "only values that a visitor can choose are accepted, rounded (views/widgets.py)",
        _EVENTS,
    ),
    # BokehJS
    Part(None, "_receiver", "a page returns to its session (views/browser.js)", _PULL),
    Part(None, "_pull_doc_json", "the same", _PULL),
    Part(None, "_notified_idle", "the same", _PULL),
    Part(None, "_new_models", "the same", _PULL),
    Part(
        None,
        "freeze_all_models",
        "models that were removed from the page are released (views/browser.js)",
        "no wait of 30 s",
    ),
    Part(None, "args_string", "marks a request as a reconnection (views/browser.js)", "arguments of `reconnect`"),
    Part(None, "_trigger_on_change", "echoes in notebooks are ignored (views/cell.js)", "jupyter_bokeh without echoes"),
    Part(None, "get_serialized_svg", "figures as SVG (views/markup.js, figures.py)", "an export that returns text"),
)
