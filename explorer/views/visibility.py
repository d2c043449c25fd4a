"""Styles that hide and show a part of the page."""

from __future__ import annotations

#: Hidden, but with its width: if a part were removed, each of its plots would be resized when it comes back,
#: and each time the whole page laid out again. The second line is for browsers that do not know the first.
HIDDEN = {
    "content-visibility": "hidden",
    "visibility": "hidden",
    "height": "0",
    "min-height": "0",
    "overflow": "hidden",
}
#: All properties are listed, because Bokeh does not reset omitted ones.
VISIBLE = {
    "content-visibility": "visible",
    "visibility": "inherit",
    "height": "auto",
    "min-height": "auto",
    "overflow": "visible",
}
