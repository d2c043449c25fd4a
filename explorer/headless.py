"""The headless browser that draws figures and pictures: Chromium or Chrome, controlled by Playwright."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    T = TypeVar("T")

_BROWSERS = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "chrome",
    "msedge",
    "microsoft-edge",
)
_SECONDS = 60
#: JavaScript: whether BokehJS has finished drawing the page.
IDLE = "() => window.Bokeh?.documents?.[0]?.is_idle"


class HeadlessError(RuntimeError):
    """Drawing failed; the message is one line that names the fix."""


def in_browser(act: Callable[[Any], T]) -> T:
    """Return the result of `act` with a Playwright browser, which is closed afterwards.

    Parameters
    ----------
    act : callable
        Takes the browser.

    Raises
    ------
    HeadlessError
        If there is no browser, or it fails.
    """
    # In another thread, because Playwright's synchronous API does not work beside an event loop, as in notebooks.
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(_run, act).result()


def _run(act: Callable[[Any], T]) -> T:
    try:
        from playwright.sync_api import Error, sync_playwright  # noqa: PLC0415 - an extra, needed for drawing only
    except ImportError:
        raise HeadlessError("figures need Playwright: pip install 'absorption-explorer[figures]'") from None
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        found = own if Path(own).exists() else next(filter(None, map(shutil.which, _BROWSERS)), None)
        if found is None:
            raise HeadlessError("figures need Chromium or Chrome on PATH, or Playwright's: playwright install chromium")
        try:
            return act(playwright.chromium.launch(executable_path=found, timeout=1000 * _SECONDS))
        except Error as error:
            raise HeadlessError(f"{found} could not draw: {error.message.splitlines()[0]}") from error


def idle_page(browser: Any, html: str, **options: Any) -> Any:
    """Open a page with that content, and wait until BokehJS has drawn it; `options` are those of `new_page`."""
    page = browser.new_page(**options)
    page.set_default_timeout(1000 * _SECONDS)
    page.set_content(html)
    page.wait_for_function(IDLE)
    return page
