"""Styles that take a part of the page out of sight and bring it back."""

from __future__ import annotations

#: Out of sight, but with its width: were a part taken away, each of its figures would be resized when it comes back,
#: and each time the whole page laid out again. The second line is for browsers that do not know the first.
HIDDEN = {
    "content-visibility": "hidden",
    "visibility": "hidden",
    "height": "0",
    "min-height": "0",
    "overflow": "hidden",
}
#: What is omitted, Bokeh leaves as it was.
VISIBLE = {
    "content-visibility": "visible",
    "visibility": "inherit",
    "height": "auto",
    "min-height": "auto",
    "overflow": "visible",
}
