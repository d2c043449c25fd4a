"""Regenerate all pictures of the documentation from the embedded suites: ``python -m benchmarks.pictures``."""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from explorer.paper import write_paper
from tests.browser import CHROMIUM_ARGS, ROOT, find_chromium, start_server

_IMAGES = ROOT / "docs" / "images"
#: Address and theme of each page, by the name of its picture.
_PAGES = {
    "explore-light": ("", "light"),
    "atlas-dark": ("?suite=smollm2-135m&page=atlas", "dark"),
    "evidence-light": ("?page=evidence", "light"),
}
_AT_REST = """() => document.documentElement.matches(".ax-ready:not(.ax-is-busy)")
  && Bokeh.documents.every((page) => page.get_model_by_name("still to come") == null)
  && Bokeh.index.roots.every((view) => view.has_finished())"""
_TIMEOUT = 120_000


def main() -> None:
    """Write the pictures into docs/images."""
    write_paper(_IMAGES / "figures.toml", overwrite=True)
    with tempfile.TemporaryDirectory() as folder:
        server = start_server(Path(folder) / "log")
        try:
            _take(server.url)
        finally:
            server.stop()


def _take(url: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_ARGS)
        for name, (query, scheme) in _PAGES.items():
            # Playwright's waiting evaluates code in the page, which the page's content security policy forbids.
            context = browser.new_context(viewport={"width": 1440, "height": 900}, bypass_csp=True)
            context.add_cookies([{"name": "ax_dark", "value": "1" if scheme == "dark" else "0", "url": url}])
            page = context.new_page()
            page.goto(f"{url}/dashboard{query}", timeout=_TIMEOUT)
            page.wait_for_function(_AT_REST, timeout=_TIMEOUT)
            page.screenshot(path=_IMAGES / f"{name}.png")
            context.close()
        browser.close()


if __name__ == "__main__":
    main()
