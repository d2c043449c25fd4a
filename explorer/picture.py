"""Pictures of views in notebooks, for those who read them without Python: exported, or opened again later."""

from __future__ import annotations

import base64
import io
import logging
from typing import TYPE_CHECKING, Any

from bokeh.resources import INLINE
from markupsafe import Markup

from explorer.headless import HeadlessError, idle_page, in_browser

if TYPE_CHECKING:
    import panel as pn

_LOG = logging.getLogger("explorer")
#: Pixels of CSS across, and of the picture to each.
_WIDTH, _SCALE = 1100, 1.5


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
    content.save(page, title=alt, resources=INLINE)
    try:
        drawn = in_browser(lambda browser: _drawn(browser, page.getvalue()))
    except HeadlessError as error:
        _LOG.info("no picture for exports of this notebook: %s", error)
        return None
    source = base64.b64encode(drawn).decode("ascii")
    image = Markup('<img class="ax-picture {}" alt="{}" style="max-width: 100%" src="data:image/png;base64,{}">')
    return {"text/html": image.format(name, alt, source), "text/plain": alt}


def _drawn(browser: Any, html: str) -> bytes:
    page = idle_page(browser, html, viewport={"width": _WIDTH, "height": 400}, device_scale_factor=_SCALE)
    shot: bytes = page.screenshot(full_page=True)
    return shot
