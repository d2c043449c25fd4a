"""Helpers of the browser tests: the real server, a Chromium, pages whose console errors fail the test, and figures.

`tap` clicks at data coordinates of the Bokeh figure of that name, with a real mouse. Nothing sleeps; every wait names
the state that it waits for.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from playwright.sync_api import Error as BrowserError
from playwright.sync_api import TimeoutError as NeverCame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request

ROOT = Path(__file__).parents[1]

START_SECONDS = 90
STOP_SECONDS = 15
WAIT_SECONDS = 60
#: Milliseconds between two checks of a page; a check in each of its frames would need a tenth of a processor.
LOOK_EVERY = 20

#: Playwright's reason for a request blocked by a content security policy.
_BLOCKED_BY_POLICY = "csp"
#: Messages of the console while a page tries to reconnect to a stopped server.
_RECONNECTING = (r"/ws\?again=1' failed", "Failed to connect to Bokeh server: Could not open websocket")

#: The first option is Chromium without the toolbar of a window, which is a separate page rendered for each window:
#: opening a page then takes 1.2 seconds of processor time instead of 2.6 (version 156).
CHROMIUM_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM_ARGS = (
    "--no-sandbox",  # CI runs as root, where the sandbox is not available
    "--disable-gpu",
    # The rest prevents requests of the browser itself, because tests have no network.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # Pages cannot reach other hosts. Routing each request through the test instead would disable the browser's cache.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)


# -- The server --------------------------------------------------------------------------------------------------


@dataclass
class Server:
    """A running `panel serve dashboard.py`, or another server.

    Attributes
    ----------
    url : str
        Its root, as in ``http://localhost:40001``.
    log : Path
        What the process printed.
    process : subprocess.Popen
    """

    url: str
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def output(self) -> str:
        """Everything that the server printed until now."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """Stop the process, by force if necessary."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_server(log: Path, *suites: Path | str, app: Path | str = "dashboard.py", own_command: bool = False) -> Server:
    """Run ``panel serve`` from the checkout's root on a free port, and wait until it answers.

    Parameters
    ----------
    log : Path
        File that takes what the process prints.
    *suites : Path or str
        Suites to serve instead of the embedded one.
    app : Path or str
        The script to serve.
    own_command : bool
        Run ``absorption-explorer serve`` instead.

    Raises
    ------
    RuntimeError
        If the server ends or does not answer in time; the message holds its output.
    """
    port = free_port()
    if own_command:
        command = [str(Path(sys.executable).with_name("absorption-explorer")), "serve", *map(str, suites)]
        command += ["--port", str(port)]
    else:
        command = [sys.executable, "-m", "panel", "serve", str(app), "--port", str(port)]
        command += ["--args", *map(str, suites)] if suites else []
    # The first page, to which `panel serve` responds with a redirect, takes the least time.
    return start_process(command, log, port, f"/{Path(app).stem}?page=evidence")


#: Default of the command in tests, because two processes would wait for each other here.
_ONE_PROCESS = {"ABSORPTION_EXPLORER_NUM_PROCS": "1"}


def start_process(
    command: Sequence[str], log: Path, port: int, path: str, *, environment: Mapping[str, str] | None = None
) -> Server:
    """Run a command that serves on `port`, and wait until it answers at `path`; `environment` adds to this one's.

    Raises
    ------
    RuntimeError
        If it ends or does not answer in time; the message holds its output.
    """
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | _ONE_PROCESS | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    server = Server(f"http://localhost:{port}", log, process)
    page = f"{server.url}{path}"
    deadline = monotonic() + START_SECONDS
    while monotonic() < deadline:
        if _answers(page):
            return server
        try:
            # The pause between two checks ends at once if the server does.
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        break
    server.stop()
    message = f"{' '.join(command)} did not answer at {page}, exit code {process.returncode}:\n{server.output}"
    raise RuntimeError(message)


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port: int = probe.getsockname()[1]
    return port


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=START_SECONDS).close()
    except urllib.error.HTTPError as error:
        # An error page is a response, too; the test itself gives more details.
        error.close()
    except OSError:
        return False
    return True


# -- Pages -------------------------------------------------------------------------------------------------------


def find_chromium() -> str:
    """Path of the installed Chromium or Chrome.

    Raises
    ------
    FileNotFoundError
        If there is none; the message says how to get one.
    """
    for name in CHROMIUM_NAMES:
        if path := shutil.which(name):
            return path
    message = f"no browser on PATH ({', '.join(CHROMIUM_NAMES)}); .ci/install-browser installs one"
    raise FileNotFoundError(message)


@dataclass
class PageOpener:
    """Opens pages of one test, keeps its errors and cuts it off from the network.

    Attributes
    ----------
    external : list of str
        Addresses on other hosts that pages requested and their content security policy allowed; no other host can be
        reached.
    problems : list of str
        Errors on the console and uncaught exceptions that no ``allow`` pattern covers.
    """

    browser: Browser
    base_url: str
    external: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _contexts: list[BrowserContext] = field(default_factory=list)

    def __call__(
        self,
        path: str = "/dashboard",
        *,
        width: int = 1440,
        height: int = 900,
        dark: bool = False,
        context: BrowserContext | None = None,
        allow: Sequence[str] = (),
        bypass_csp: bool = False,
    ) -> Page:
        """Open a page.

        Parameters
        ----------
        path : str
            Path and query on the test's server; a whole address (another server's, a file's) stands for itself.
        width, height : int
            Size of the window.
        dark : bool
            Whether the system prefers dark colours.
        context : BrowserContext, optional
            The context of another page, to share its cookies and storage; else the page gets its own.
        allow : sequence of str
            Patterns of errors that the test expects.
        bypass_csp : bool
            Leave the page's content security policy aside, to see what holds without it.
        """
        url = urljoin(self.base_url, path)
        page = (context or self._new_context(urlsplit(url).netloc, bypass_csp=bypass_csp)).new_page()
        page.set_default_timeout(WAIT_SECONDS * 1000)
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme="dark" if dark else "light")
        page.on("console", lambda message: self._on_console(message, allow))
        page.on("pageerror", lambda error: self._report(f"uncaught: {error.stack or error}", allow))
        page.goto(url)
        return page

    def close(self) -> None:
        """Close all pages that were opened, with their storage."""
        for context in self._contexts:
            context.close()

    def _new_context(self, netloc: str, *, bypass_csp: bool) -> BrowserContext:
        context = self.browser.new_context(bypass_csp=bypass_csp)
        self._contexts.append(context)

        def note(request: Request) -> None:
            if urlsplit(request.url).netloc not in ("", netloc):
                self.external.append(request.url)

        def forget(request: Request) -> None:
            # Chromium also reports images that the policy blocks as requests, which it never sends.
            if request.failure == _BLOCKED_BY_POLICY and request.url in self.external:
                self.external.remove(request.url)

        context.on("request", note)
        context.on("requestfailed", forget)
        return context

    def _on_console(self, message: ConsoleMessage, allow: Sequence[str]) -> None:
        # The browser also reports each refused request as an error, at the address that was asked for.
        if message.type == "error" and message.location["url"] not in self.external:
            self._report(message.text, [*allow, *_RECONNECTING])

    def _report(self, problem: str, allow: Sequence[str]) -> None:
        if not any(re.search(pattern, problem) for pattern in allow):
            self.problems.append(problem)


def wait_for(page: Page, predicate: str, arg: Any = None) -> None:
    """Wait until a JavaScript function returns true, also across a reload.

    Parameters
    ----------
    page : Page
    predicate : str
        A function's source, as in ``"letter => document.title.includes(letter)"``.
    arg : object
        Its argument.

    Raises
    ------
    NeverCame
        If it does not come to that in time.
    """
    # Playwright's own wait evaluates the source at each check, which the page's security policy does not allow.
    deadline = monotonic() + WAIT_SECONDS
    while monotonic() < deadline:
        try:
            if page.evaluate(_WAIT % (predicate, LOOK_EVERY), [arg, deadline - monotonic()]):
                return
        except BrowserError as error:
            if "context was destroyed" not in error.message:
                raise
    message = f"{predicate} did not become true of {arg!r}"
    raise NeverCame(message)


_WAIT = """async ([arg, seconds]) => {
  const predicate = %s
  const end = performance.now() + 1000 * seconds
  while (!(await predicate(arg))) {
    if (performance.now() > end) return false
    await new Promise((next) => setTimeout(next, %d))
  }
  return true
}"""


# -- Figures -----------------------------------------------------------------------------------------------------

# Bokeh.index finds views at any depth, through the shadow roots in which Panel nests them. A name may be held by
# more than one figure (one on a hidden tab, say): the visible one is meant.
_FIND = """
const isFigure = (view) => view.frame != null && view.model.x_range != null;
const shown = (view) => view.el.isConnected && view.el.checkVisibility();
const figures = () => window.Bokeh?.index ? [...Bokeh.index.query(isFigure)] : [];
const find = (name) => {
  const named = figures().filter((view) => view.model.name === name);
  return named.find(shown) ?? named[0];
};
const box = (view) => {
  // Bokeh measures the frame from the layer that takes its mouse events.
  const {left, top} = view.canvas_view.events_el.getBoundingClientRect();
  const {x, y, width, height} = view.frame.bbox;
  return {left: left + x, top: top + y, width, height};
};
"""

# Painted, and at the same position as at the last check.
_PAINTED = f"""(name) => {{
  {_FIND}
  const view = find(name);
  if (view == null || !shown(view) || !view.has_finished() || !(view.frame.bbox.width > 0)) return false;
  const place = JSON.stringify(box(view));
  const rests = view.test_place === place;
  view.test_place = place;
  return rests;
}}"""

_DESCRIBE = f"""(name) => {{
  {_FIND}
  const view = find(name);
  if (view == null) return {{names: figures().map((view) => view.model.name)}};
  const {{x_range, y_range}} = view.model;
  return {{
    x_range: [x_range.start, x_range.end],
    y_range: [y_range.start, y_range.end],
    x_factors: x_range.factors ?? [],
    y_factors: y_range.factors ?? [],
    frame: box(view),
  }};
}}"""

_AIM = f"""([name, x, y]) => {{
  {_FIND}
  const view = find(name);
  view.el.scrollIntoView({{block: "center", behavior: "instant"}});
  // Bokeh takes two taps within 300 ms for a double tap, wherever they fall: each of ours is a tap of its own.
  view.canvas_view.ui_event_bus.ui_gestures.tap_timestamp = -Infinity;
  const sx = view.frame.x_scale.compute(x);
  const sy = view.frame.y_scale.compute(y);
  // Of a figure as tall as the window, the end where the point lies.
  if (view.canvas_view.events_el.getBoundingClientRect().top + sy > innerHeight - 8) view.el.scrollIntoView(false);
  const {{left, top}} = view.canvas_view.events_el.getBoundingClientRect();
  const point = [left + sx, top + sy];
  let hit = document.elementFromPoint(...point);
  while (hit?.shadowRoot?.elementFromPoint(...point)) hit = hit.shadowRoot.elementFromPoint(...point);
  return {{
    point,
    inside: view.frame.bbox.contains(sx, sy),
    cover: hit === view.canvas_view.events_el ? null : hit?.outerHTML.slice(0, 200) ?? "the window's edge",
  }};
}}"""

_GLYPHS = f"""(name) => {{
  {_FIND}
  const plain = (value) => value != null && typeof value === "object" && "value" in value ? value.value : value;
  const drawn = ({{glyph, data_source: {{data}}}}) => ({{
    type: glyph.type,
    marker: plain(glyph.marker) ?? null,
    fill: plain(glyph.fill_color) ?? null,
    line: plain(glyph.line_color) ?? null,
    data: Object.fromEntries(Object.entries(data).map(([column, values]) => [column, [...values]])),
  }});
  return (find(name)?.model.renderers ?? []).filter((each) => each.type === "GlyphRenderer").map(drawn);
}}"""

# Single precision, in which cosines are stored, keeps seven digits.
_DRAWS = f"""([name, nth, wanted]) => {{
  const data = ({_GLYPHS})(name)[nth]?.data ?? {{}};
  const same = (a, b) => a === b || Math.abs(a - b) < 1e-6;
  return Object.entries(wanted).every(([column, values]) => {{
    const drawn = data[column] ?? [];
    return drawn.length === values.length && values.every((value, place) => same(value, drawn[place]));
  }});
}}"""

_ACTIVATE = f"""([name, type]) => {{
  {_FIND}
  const tool = find(name)?.model.toolbar.tools.find((tool) => tool.type === type);
  if (tool != null) tool.active = true;
  return tool != null;
}}"""


@dataclass(frozen=True)
class Figure:
    """A figure on the page: its ranges and its position.

    Attributes
    ----------
    x_range, y_range : tuple of float
        Start and end; of a categorical axis, its synthetic coordinates.
    x_factors, y_factors : tuple of str
        The categories of a categorical axis, else empty.
    left, top, width, height : float
        The frame (the area between the axes) in pixels of the viewport.
    """

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    x_factors: tuple[str, ...]
    y_factors: tuple[str, ...]
    left: float
    top: float
    width: float
    height: float


def figure(page: Page, name: str) -> Figure:
    """Return ranges and position of the figure with that Bokeh name.

    Raises
    ------
    LookupError
        If the page has none; the message lists the names that it has.
    """
    found = page.evaluate(_DESCRIBE, name)
    if "frame" not in found:
        message = f"no figure {name!r} on the page, which has {found['names']}"
        raise LookupError(message)
    return Figure(
        x_range=tuple(found["x_range"]),
        y_range=tuple(found["y_range"]),
        x_factors=tuple(found["x_factors"]),
        y_factors=tuple(found["y_factors"]),
        **found["frame"],
    )


def wait_figure(page: Page, name: str) -> Figure:
    """Wait until the figure of that name is painted and at rest, and return it."""
    wait_for(page, _PAINTED, name)
    return figure(page, name)


def tap(page: Page, name: str, x: float | str, y: float | str) -> None:
    """Click a figure at data coordinates; see `point`."""
    page.mouse.click(*point(page, name, x, y))


def scroll_to_figure(heading: Locator, name: str) -> Figure:
    """Scroll to a heading until the figure below it is drawn, because contents above may push it out of view again."""
    predicate = f"""([heading, name]) => {{
      heading.scrollIntoView({{block: "center", behavior: "instant"}});
      return ({_PAINTED})(name);
    }}"""
    wait_for(heading.page, predicate, [heading.element_handle(), name])
    return figure(heading.page, name)


def point(page: Page, name: str, x: float | str, y: float | str) -> tuple[float, float]:
    """Scroll a figure into view; return the screen position of data coordinates. A category means its centre.

    Raises
    ------
    ValueError
        If the point lies outside the ranges that the figure shows, off the screen or under something else.
    """
    seen = wait_figure(page, name)
    page.evaluate(_AIM, [name, x, y])
    wait_for(page, _PAINTED, name)
    target = page.evaluate(_AIM, [name, x, y])
    if not target["inside"]:
        message = f"({x}, {y}) lies outside {name!r}, which shows x {seen.x_range} and y {seen.y_range}"
        raise ValueError(message)
    if target["cover"]:
        message = f"({x}, {y}) of {name!r} is hidden by {target['cover']}"
        raise ValueError(message)
    left, top = target["point"]
    return left, top


def drag(page: Page, name: str, tool: str, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw with a tool of a figure (its Bokeh type, as in ``"BoxZoomTool"``) between two points of its data.

    Raises
    ------
    LookupError
        If the figure's toolbar has no such tool.
    ValueError
        If a point lies outside the ranges that the figure shows, off the screen or under something else.
    """
    wait_figure(page, name)
    if not page.evaluate(_ACTIVATE, [name, tool]):
        message = f"no {tool} in the toolbar of {name!r}"
        raise LookupError(message)
    page.evaluate(_AIM, [name, *start])
    wait_for(page, _PAINTED, name)
    points = [page.evaluate(_AIM, [name, *place]) for place in (start, end)]
    for place, target in zip((start, end), points, strict=True):
        if not target["inside"] or target["cover"]:
            message = f"{place} of {name!r} cannot be reached: {target}"
            raise ValueError(message)
    (from_x, from_y), (to_x, to_y) = (target["point"] for target in points)
    page.mouse.move(from_x, from_y)
    page.mouse.down()
    # Bokeh takes a press for a drag once the mouse has moved; it then follows each move.
    page.mouse.move((from_x + to_x) / 2, (from_y + to_y) / 2, steps=3)
    page.mouse.move(to_x, to_y, steps=3)
    page.mouse.up()


def glyphs(page: Page, name: str) -> list[dict[str, Any]]:
    """Return a figure's glyphs in drawing order: type, marker, fill and line colour, and columns of data."""
    found: list[dict[str, Any]] = page.evaluate(_GLYPHS, name)
    return found


def wait_glyph(page: Page, name: str, nth: int, **columns: Sequence[object]) -> None:
    """Wait until glyph number `nth` of a figure draws exactly these values.

    Raises
    ------
    AssertionError
        If it does not come to that; the message says what is drawn.
    """
    try:
        wait_for(page, _DRAWS, [name, nth, {column: list(values) for column, values in columns.items()}])
    except NeverCame:
        drawn = glyphs(page, name)
        data = drawn[nth]["data"] if nth < len(drawn) else {}
        shown = {column: data.get(column, []) for column in columns}
        message = f"glyph {nth} of {name!r} draws {shown}, not {columns}"
        raise AssertionError(message) from None


def ask_model(page: Page, name: str, function: str) -> Any:
    """Return the value of a JavaScript function of a figure's Bokeh model, as in ``"({x_range}) => x_range.start"``."""
    return page.evaluate(f"(name) => {{ {_FIND} return ({function})(find(name).model); }}", name)


def wait_calm(page: Page) -> None:
    """Wait until the server has answered all messages of the page."""
    wait_for(page, "() => !document.documentElement.classList.contains('ax-is-busy')")


def wait_model(page: Page, name: str, predicate: str, arg: Any = None) -> None:
    """Wait until a JavaScript function of a figure's Bokeh model and of `arg` returns true."""
    wait_for(page, f"([name, arg]) => {{ {_FIND} return ({predicate})(find(name)?.model, arg); }}", [name, arg])
