"""What goes to a browser goes compressed: pages, scripts and style sheets, and messages of the websocket."""

from __future__ import annotations

import gzip
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bokeh.server.views.multi_root_static_handler import MultiRootStaticHandler
from bokeh.server.views.static_handler import StaticHandler
from panel.io.server import ComponentResourceHandler, DocHandler, WSHandler

from explorer.upstream.hooks import around, before
from explorer.upstream.tornado import is_under_way, pack

if TYPE_CHECKING:
    from datetime import datetime

    from tornado.web import StaticFileHandler

#: Of files that are worth it, and that Bokeh and Panel serve.
_KINDS = (".js", ".css", ".svg", ".json")
#: Messages are packed while a session waits, and each keeps its own state: quick, and small (some 40 kB).
_WEBSOCKET = {"compression_level": 1, "mem_level": 5}
_KEPT = 100


@cache
def compress() -> None:
    """Compress what this process serves, under both commands: the classes that serve are the one place they share."""
    around(WSHandler, "get_compression_options", lambda _: lambda _: dict(_WEBSOCKET))
    kind: Any
    for kind in (StaticHandler, MultiRootStaticHandler, ComponentResourceHandler):
        around(kind, "get", _packing)
    before(DocHandler, "flush", _pack_page)


def _pack_page(handler: Any) -> None:
    """Have a page packed as it is written, which Tornado offers to whole applications only."""
    if not is_under_way(handler):
        pack(handler)


def _packing(get: Any) -> Any:
    """Make a handler of static files send what it packed once."""

    async def packed_get(handler: StaticFileHandler, path: str, include_body: bool = True) -> None:  # noqa: FBT001, FBT002
        wanted = handler.request.headers
        if "gzip" not in wanted.get("Accept-Encoding", "") or "Range" in wanted or not path.endswith(_KINDS):
            await get(handler, path, include_body)
            return
        # What the handler does itself, as far as its content.
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
        content = _packed(file, handler.modified)
        handler.set_header("Content-Length", len(content))
        if include_body:
            handler.write(content)

    return packed_get


@lru_cache(_KEPT)
def _packed(file: str, _modified: datetime) -> bytes:
    return gzip.compress(Path(file).read_bytes())
