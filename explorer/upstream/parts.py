"""The parts of libraries that the explorer relies on though nobody promises them: a table, which a test goes through.

Seen with Panel 1.9.4 and 1.10.0, Bokeh 3.9.2 and 3.10.2, HoloViews 1.23.2, Tornado 6.6.1.
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
    """A part of a library.

    Attributes
    ----------
    of : type or None
        The class, None for BokehJS.
    name : str
    why : str
        What it is relied on for, and where.
    wanted : str
        What the library would have to offer instead.
    """

    of: type | None
    name: str
    why: str
    wanted: str


_ENDING = "a public way to end a session and its connections"
_COUNTING = "a limit of sessions, or a public count of them"
_ANSWER = "the same as a public property of a handler"
_EVENTS = "a public method for what comes from the browser, before it is applied"
_PULL = "BokehJS pulling a document again correctly (bokeh/bokeh#15347)"

PARTS = (
    # Server
    Part(RequestHandler, "_headers_written", "no header after the head was sent (upstream/tornado.py)", _ANSWER),
    Part(RequestHandler, "_reason", "the title of a page of an error (upstream/tornado.py)", _ANSWER),
    Part(RequestHandler, "_headers", "bytes of an answer, in the log (upstream/tornado.py)", _ANSWER),
    Part(RequestHandler, "_transforms", "pages are packed (upstream/tornado.py)", "compression for one handler"),
    Part(WSHandler, "_async_open", "a full server refuses a websocket that builds a session (capacity.py)", _COUNTING),
    Part(ApplicationContext, "_sessions", "sessions are limited (upstream/bokeh.py)", _COUNTING),
    Part(ApplicationContext, "_pending_sessions", "sessions are limited (upstream/bokeh.py)", _COUNTING),
    Part(ApplicationContext, "_discard_session", "a session makes room (upstream/bokeh.py)", _ENDING),
    Part(ServerSession, "_subscribed_connections", "a session makes room (upstream/bokeh.py)", _ENDING),
    Part(ServerConnection, "_socket", "a session makes room (upstream/bokeh.py)", _ENDING),
    Part(
        type(pn.state),
        "_schedule_busy_cleanup",
        "it is started in the right thread (upstream/panel.py)",
        "`PeriodicCallback.start` that gets onto the event loop",
    ),
    *(
        Part(BokehTornado, name, "tokens are signed, and hold no header (tokens.py)", "to set them in a served script")
        for name in ("secret_key", "sign_sessions", "session_token_expiration", "include_headers", "include_cookies")
    ),
    # Page
    Part(
        DocumentModelManager,
        "recompute",
        "models are looked for once an act, and only where some came or went (views/act.py)",
        "`freeze` that looks at its end only where something was invalidated: it takes longer than most acts",
    ),
    Part(DocumentModelManager, "invalidate", "the same", "the same"),
    Part(JSComponent, "_handle_msg", "what a component reports (views/markup.py, browser.py, cell.py)", _EVENTS),
    Part(JSComponent, "_send_msg", "files in pieces (views/markup.py)", "the same without underscore"),
    Part(JSComponent, "_send_event", "messages in notebooks (views/markup.py)", "messages to models of jupyter_bokeh"),
    Part(JSComponent, "_bundle", "scripts are packed once (views/*.py)", "a public name for it"),
    Part(JSComponent, "_get_properties", "a model is found by its name (views/markup.py)", "a parameter for the name"),
    Part(JSComponent, "_models", "messages in notebooks (views/markup.py)", "messages to models of jupyter_bokeh"),
    Part(pn.Column, "_repr_mimebundle_", "a cell has a picture beside its view (views/cell.py)", "to add an output"),
    Part(FloatSlider, "_get_properties", "a model is found by its name (views/widgets.py)", "a parameter for the name"),
    Part(FloatSlider, "_process_events", "only what a reader can choose is taken, rounded (views/widgets.py)", _EVENTS),
    # BokehJS
    Part(None, "_receiver", "a page returns to its session (views/browser.js)", _PULL),
    Part(None, "_pull_doc_json", "the same", _PULL),
    Part(None, "_notified_idle", "the same", _PULL),
    Part(None, "_new_models", "the same", _PULL),
    Part(None, "freeze_all_models", "what has left the page is let go (views/browser.js)", "no wait of 30 s"),
    Part(None, "args_string", "the same: tells the server that it comes again", "arguments of `reconnect`"),
    Part(None, "_trigger_on_change", "echoes in notebooks are ignored (views/cell.js)", "jupyter_bokeh without echoes"),
    Part(None, "get_serialized_svg", "figures as SVG (views/markup.js, figures.py)", "an export that returns text"),
)
