"""Compresses everything sent to a browser: pages, scripts, style sheets and websocket messages."""

from __future__ import annotations

import gzip
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bokeh.server.views.multi_root_static_handler import MultiRootStaticHandler
from bokeh.server.views.static_handler import StaticHandler
from panel.io.server import ComponentResourceHandler, DocHandler, WSHandler

from explorer.upstream.hooks import call_before, wrap_method
from explorer.upstream.tornado import compress_response, headers_sent

if TYPE_CHECKING:
    from datetime import datetime

    from tornado.web import StaticFileHandler

#: Extensions of served files that are compressed.
_KINDS = (".js", ".css", ".svg", ".json")
#: Fast and with little memory (some 40 kB per connection), because messages are compressed while a session waits.
_WEBSOCKET = {"compression_level": 1, "mem_level": 5}
_MAX_CACHED = 100


@cache
def compress() -> None:
    """Compress the responses of this process, by hooks into the handler classes that both ways of serving share."""
    wrap_method(WSHandler, "get_compression_options", lambda _: lambda _: dict(_WEBSOCKET))
    kind: Any
    for kind in (StaticHandler, MultiRootStaticHandler, ComponentResourceHandler):
        wrap_method(kind, "get", _with_cached_gzip)
    call_before(DocHandler, "flush", _compress_page)


def _compress_page(handler: Any) -> None:
    """Compress a page while it is written; Tornado offers this only for all handlers of an application."""
    if not headers_sent(handler):
        compress_response(handler)


def _with_cached_gzip(get: Any) -> Any:
    """Make a handler of static files send cached compressed contents."""

    async def get_compressed(handler: StaticFileHandler, path: str, include_body: bool = True) -> None:  # noqa: FBT001, FBT002
        wanted = handler.request.headers
        if "gzip" not in wanted.get("Accept-Encoding", "") or "Range" in wanted or not path.endswith(_KINDS):
            await get(handler, path, include_body)
            return
        # The same steps as in the handler itself, up to the content.
        handler.path = handler.parse_url_path(path)
        file = handler.validate_absolute_path(handler.root, handler.get_absolute_path(handler.root, handler.path))
        if file is None:
            return
        handler.absolute_path = file
        handler.modified = handler.get_modified_time()
        handler.set_headers()
        handler.set_header("Content-Encoding", "gzip")
        handler.set_header("Vary", "Accept-Encoding")
        if handler.should_return_304():
            handler.set_status(304)
            return
        content = _compressed(file, handler.modified)
        handler.set_header("Content-Length", len(content))
        if include_body:
            handler.write(content)

    return get_compressed


@lru_cache(_MAX_CACHED)
def _compressed(file: str, _modified: datetime) -> bytes:
    return gzip.compress(Path(file).read_bytes())
