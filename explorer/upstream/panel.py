"""What Panel keeps to itself of its state; `explorer.upstream.parts` says why it is asked for."""

from __future__ import annotations

import panel as pn


def count_busy_on_loop(_: object) -> None:
    """Start Panel's cleanup of its busy counter on the event loop, while a request is answered.

    Panel (1.10.0) starts it with the first change from a browser. With Bokeh 3.10 that comes in another thread, where
    starting fails and is tried again in yet another thread, without end; this takes a core and the session's lock
    (`panel.io.callbacks.PeriodicCallback.start`; no issue is known). To be removed, Panel would have to get onto the
    loop itself.
    """
    pn.state._schedule_busy_cleanup()  # noqa: SLF001
