"""Fixtures that all tests share; the browser's are described in `tests/browser.py`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

from explorer import open_store
from explorer.store import SWEEPS
from tests.browser import CHROMIUM_ARGS, ROOT, PageOpener, Server, find_chromium, start_server
from tests.explore import Pair, View
from tests.sites import open_site, site, site_store, site_suites  # noqa: F401  (fixtures)
from tests.tiny_suite import write_tiny_suite
from tests.unmeasured import list_letters

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

#: Characters of a server's output that a failure shows.
LOG_TAIL = 8000
#: A server's log record of a message that is not in the list of accepted ones.
REFUSAL = "Refused a message"

SERVERS = pytest.StashKey[dict[tuple[object, ...], Server]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SERVERS] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Browser tests run last: fast failures appear first, and once Playwright's synchronous interface has started, its
    # event loop counts as running in this thread, so that no other test could run one.
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for server in item.config.stash[SERVERS].values():
            report.sections.append((f"panel serve at {server.url}", server.output[-LOG_TAIL:]))
    return report


@pytest.fixture(scope="session")
def serve(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Start the real dashboard on the given suites, once for each set of them: ``serve(path, ...)``.

    ``serve(path, ..., own_command=True)`` starts it by the project's own command.
    """
    servers = request.config.stash[SERVERS]
    logs = tmp_path_factory.mktemp("servers")

    with ExitStack() as stack:

        def start(*suites: Path | str, own_command: bool = False) -> Server:
            key = (own_command, *map(str, suites))
            if key not in servers:
                servers[key] = start_server(logs / f"{len(servers)}.log", *suites, own_command=own_command)
                stack.callback(servers[key].stop)
            return servers[key]

        yield start


@pytest.fixture(scope="session")
def server(serve: Callable[..., Server]) -> Server:
    """The real dashboard on the embedded suite."""
    return serve(SWEEPS)


@pytest.fixture(scope="session")
def own_command(serve: Callable[..., Server]) -> Server:
    """The same by the project's own command."""
    return serve(SWEEPS, own_command=True)


@pytest.fixture(params=["server", "own_command"], ids=["panel serve", "absorption-explorer serve"])
def either(request: pytest.FixtureRequest) -> Server:
    """The real dashboard, started in either way."""
    started: Server = request.getfixturevalue(request.param)
    return started


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The installed Chromium, headless."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(request: pytest.FixtureRequest, server: Server, chromium: Browser) -> Iterator[PageOpener]:
    """Open pages that no other test has touched; see `PageOpener`.

    The test fails if a page reports an error that it did not allow, or a server a traceback through this project or a
    message that it refused (explorer/inbound.py).
    """
    servers = request.config.stash[SERVERS]
    seen = {server.url: len(server.output) for server in servers.values()}
    opener = PageOpener(chromium, server.url)
    yield opener
    opener.close()
    problems = [f"errors in the browser: {problem}" for problem in opener.problems]
    for each in servers.values():
        output = each.output[seen.get(each.url, 0) :]
        # Libraries print tracebacks for pages that were closed before a response arrived.
        lines = [line for line in output.splitlines() if f'File "{ROOT}' in line and "site-packages" not in line]
        if lines:
            problems.append(f"traceback of the server at {each.url}: {output}")
        problems += [f"server at {each.url}: {line}" for line in output.splitlines() if REFUSAL in line]
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture(scope="session")
def home() -> Iterator[View]:
    """The first SAE and letter of the embedded suite."""
    with open_store(SWEEPS) as store:
        yield View(store)


@pytest.fixture(scope="session")
def pair(serve: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A suite that has everything beside one that has little more than verdicts, served together."""
    folder = tmp_path_factory.mktemp("suites")
    full = list_letters(write_tiny_suite(folder / "full", name="full", neuronpedia=True, dashboards=True))
    bare = write_tiny_suite(
        folder / "bare",
        name="bare",
        cosines=False,
        examples=False,
        activations=False,
        without=("k_sparse", "encoder_top", "latents"),
    )
    with open_store(full, bare) as store:
        start = View(store, suite="full", layer=0, width=1000, l0=10)
        yield Pair(serve(full, bare).url, start, start.but(suite="bare"))
