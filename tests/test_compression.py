"""Compression of transfers, and the same contents with and without it."""

from __future__ import annotations

import gzip
import http.client
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from tests.browser import Server


def ask(server: Server, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


def test_pages_scripts_and_components_are_compressed(either: Server) -> None:
    page, packed = ask(either, "/dashboard", Accept_Encoding="gzip")
    assert page.headers["Content-Encoding"] == "gzip"
    html = gzip.decompress(packed).decode()
    script = re.search(r'src="/?(static/js/bokeh\.min\.js[^"]*)"', html)
    assert script
    component = "/components/explorer.views.markup/Markup/_bundle_path/markup.js"
    for path in (f"/{script.group(1)}", component):
        plain, content = ask(either, path)
        packed_one, packed = ask(either, path, Accept_Encoding="gzip, br")
        assert plain.headers["Content-Encoding"] is None
        assert packed_one.headers["Content-Encoding"] == "gzip"
        assert packed_one.headers["Vary"] == "Accept-Encoding"
        assert packed_one.headers["Content-Type"] == plain.headers["Content-Type"]
        assert gzip.decompress(packed) == content
        assert len(packed) < len(content) / 2
        known, nothing = ask(either, path, Accept_Encoding="gzip", If_None_Match=packed_one.headers["Etag"])
        assert (known.status, nothing) == (304, b"")
        part, some = ask(either, path, Accept_Encoding="gzip", Range="bytes=0-9")
        assert (part.status, some) == (206, content[:10])


def test_missing_files_are_not_found_with_and_without_compression(either: Server) -> None:
    for path in ("/static/js/no.js", "/static/extensions/panel/no.css", "/static/js/%2e%2e/%2e%2e/no.js"):
        assert {ask(either, path, Accept_Encoding=kind)[0].status for kind in ("identity", "gzip")} <= {403, 404}


def test_websocket_messages_are_compressed(either: Server) -> None:
    asked = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec_WebSocket_Extensions": "permessage-deflate",
        "Origin": either.url,
    }
    html = ask(either, "/dashboard")[1].decode()
    token = re.search(r'"token":"([^"]+)"', html)
    assert token
    address = urlsplit(either.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    headers = {name.replace("_", "-"): value for name, value in asked.items()}
    connection.request("GET", "/dashboard/ws", headers=headers | {"Sec-WebSocket-Protocol": f"bokeh, {token.group(1)}"})
    response = connection.getresponse()
    assert response.status == 101
    assert "permessage-deflate" in (response.headers["Sec-WebSocket-Extensions"] or "")
    connection.close()
