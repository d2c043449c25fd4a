"""Pictures of views in notebooks, for those who read them without Python: exported, or opened again later."""

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
#: Pixels of CSS across and at most down, and of the picture to each.
_WIDTH, _HEIGHT, _SCALE = 1100, 1400, 1.5
#: How high all is, once that does not change from one look to the next: figures find their size after they were drawn.
_SETTLED = """() => {
  const before = window.axHeight
  window.axHeight = document.documentElement.scrollHeight
  return window.axHeight === before && before
}"""
_PAUSE_MS = 100


def picture_html(content: pn.viewable.Viewable, name: str, alt: str) -> dict[str, str] | None:
    """Draw what a notebook's cell shows, as an output of that cell.

    Parameters
    ----------
    content : Viewable
    name : str
        A class of its own, by which the live view finds its picture, to hide it.
    alt : str
        What is shown, in words.

    Returns
    -------
    dict or None
        The output, by media type; None where no browser is there to draw it.
    """
    page = io.StringIO()
    silence(EMPTY_LAYOUT)  # of what a view has nothing to show in
    try:
        content.save(page, title=alt, resources=INLINE)
    finally:
        silence(EMPTY_LAYOUT, silence=False)
    try:
        drawn = in_browser(lambda browser: _drawn(browser, page.getvalue()))
    except HeadlessError as error:
        _LOG.info("no picture for exports of this notebook: %s", error)
        return None
    source = base64.b64encode(drawn).decode("ascii")
    image = Markup('<img class="ax-picture {}" alt="{}" style="max-width: 100%" src="data:image/png;base64,{}">')
    return {"text/html": image.format(name, alt, source), "text/plain": alt}


def _drawn(browser: Any, html: str) -> bytes:
    # In a higher window, what is shown would be as high as that.
    page = idle_page(browser, html, viewport={"width": _WIDTH, "height": 100}, device_scale_factor=_SCALE)
    height = min(page.wait_for_function(_SETTLED, polling=_PAUSE_MS).json_value(), _HEIGHT)
    shot: bytes = page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": _WIDTH, "height": height})
    return shot
