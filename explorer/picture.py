"""Pictures of views in notebooks, for reading a notebook without Python."""

from __future__ import annotations

import base64
import io
import logging
from typing import TYPE_CHECKING, Any

from bokeh.core.validation import silence
from bokeh.core.validation.warnings import EMPTY_LAYOUT
from bokeh.resources import INLINE
from markupsafe import Markup

from explorer.headless import HeadlessError, idle_page, in_browser

if TYPE_CHECKING:
    import panel as pn

_LOG = logging.getLogger("explorer")
#: Width and maximum height in CSS pixels, and picture pixels per CSS pixel.
_WIDTH, _HEIGHT, _SCALE = 1100, 1400, 1.5
#: JavaScript: the height of the page once it is stable, because figures get their size after they were drawn.
_STABLE_HEIGHT = """() => {
  const before = window.axHeight
  window.axHeight = document.documentElement.scrollHeight
  return window.axHeight === before && before
}"""
_PAUSE_MS = 100


def picture_html(content: pn.viewable.Viewable, name: str, alt: str) -> dict[str, str] | None:
    """Return a picture of a notebook cell's view, as an output of that cell.

    Parameters
    ----------
    content : Viewable
    name : str
        A unique class, by which the live view finds its picture in order to hide it.
    alt : str
        Description of the view.

    Returns
    -------
    dict or None
        The output by media type; None if there is no browser.
    """
    page = io.StringIO()
    silence(EMPTY_LAYOUT)  # for parts in which a view has nothing to show
    try:
        content.save(page, title=alt, resources=INLINE)
    finally:
        silence(EMPTY_LAYOUT, silence=False)
    try:
        drawn = in_browser(lambda browser: _screenshot(browser, page.getvalue()))
    except HeadlessError as error:
        _LOG.info("no picture for exports of this notebook: %s", error)
        return None
    source = base64.b64encode(drawn).decode("ascii")
    image = Markup('<img class="ax-picture {}" alt="{}" style="max-width: 100%" src="data:image/png;base64,{}">')
    return {"text/html": image.format(name, alt, source), "text/plain": alt}


def _screenshot(browser: Any, html: str) -> bytes:
    # A low window, because the page would be at least as high as the window.
    page = idle_page(browser, html, viewport={"width": _WIDTH, "height": 100}, device_scale_factor=_SCALE)
    height = min(page.wait_for_function(_STABLE_HEIGHT, polling=_PAUSE_MS).json_value(), _HEIGHT)
    shot: bytes = page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": _WIDTH, "height": height})
    return shot
