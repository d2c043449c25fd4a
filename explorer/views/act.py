"""What the reader does: one act, one message."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import panel as pn

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def one_act() -> Iterator[None]:
    """Send everything that an act of the reader's changes on the page in one message.

    In a notebook each cell is a document of its own, and an act in one changes others: there none of them may be the
    current one, for Panel would give its style sheets to the new models of all, and Bokeh refuse them.
    """
    doc = pn.state.curdoc
    if doc is None or doc.session_context:
        with pn.io.hold():
            yield
        return
    pn.state.curdoc = None  # type: ignore[assignment]
    try:
        yield
    finally:
        pn.state.curdoc = doc
