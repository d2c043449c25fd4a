"""Styles that hide and show a part of the page."""

from __future__ import annotations

#: Hides a part but keeps its width. If it were removed, each of its plots would be resized when it is shown again, and
#: the whole page laid out each time. `visibility` is for browsers that do not support `content-visibility`.
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
