"""A site of two small suites, which the tests of sites share: it is written once, and opened in a browser."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from explorer import open_store
from explorer.publish import publish_site
from tests.browser import PageOpener, wait_for
from tests.range_server import range_server
from tests.several_metrics import write_several_metrics
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

    from queries import Store


SAES = [(3, 1000, 40), (3, 4000, 10)]


class Texts(HTMLParser):
    """The texts of HTML, by the rows of its tables and items of its lists."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.text = ""
        self._cell: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("tr", "li"):
            self.rows.append([])
        if tag in ("td", "span", "button") and self.rows:
            self._cell = ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._cell is not None:
            self._cell += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "span", "button") and self._cell is not None:
            self.rows[-1].append(self._cell.strip())
            self._cell = None


@dataclass(frozen=True)
class Site:
    folder: Path

    def part(self, *names: str) -> Any:
        return json.loads(zlib.decompress((self.folder / "suites" / Path(*names)).with_suffix(".bin").read_bytes()))

    def concept(self, suite: str, sae: str, concept: str) -> dict[str, Any]:
        folder = self.folder / "suites" / suite / concept.partition(".")[0] / sae
        found: dict[str, Any] = json.loads(zlib.decompress((folder / f"{concept}.bin").read_bytes()))
        return found

    def cosines(self, suite: str, sae: str, concept: str) -> np.ndarray:
        file = self.folder / "suites" / suite / concept.partition(".")[0] / sae / f"{concept}.cos"
        low, high = np.frombuffer(zlib.decompress(file.read_bytes()), np.uint8).reshape(2, -1)
        return np.stack([low, high], axis=1).reshape(-1).view("<i2") / 10_000


@pytest.fixture(scope="session")
def site_suites(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("suites")
    return [write_tiny_suite(folder / "tiny", saes=SAES), write_several_metrics(folder / "several")]


@pytest.fixture(scope="session")
def site_store(site_suites: list[Path]) -> Iterator[Store]:
    with open_store(*site_suites) as store:
        yield store


@pytest.fixture(scope="session")
def site(site_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("sites") / "site"
    publish_site(site_store, folder)
    return Site(folder)


@pytest.fixture
def open_site(chromium: Browser, site: Site) -> Iterator[Callable[..., Page]]:
    """Open the site; the test fails if it requests other hosts or reports an error."""
    with range_server(site.folder) as (url, _):
        opener = PageOpener(chromium, url)

        def open_page(query: str = "", **options: Any) -> Page:
            page = opener(f"{url}/index.html{query}", **options)
            wait_shown(page)
            return page

        yield open_page
        opener.close()
    assert not opener.external
    assert not opener.problems


def wait_shown(page: Page) -> None:
    wait_for(
        page,
        "() => document.documentElement.matches('.ax-ready:not(.ax-is-busy)')"
        " && document.documentElement.dataset.shown === location.search",
    )


def plain(html: str) -> str:
    return " ".join(Texts(html).text.split())
