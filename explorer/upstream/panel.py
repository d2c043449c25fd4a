"""What Panel keeps to itself of its state; `explorer.upstream.parts` says why it is asked for."""

from __future__ import annotations

import panel as pn


def count_busy_on_loop(_: object) -> None:
    """Have Panel look after what is under way from the event loop on, where a request is answered.

    Panel (1.10.0) starts that with the first change that a browser sends. With Bokeh 3.10 this comes in another thread,
    from where it tries again in yet another one, for ever, and takes a core and the session's lock
    (`panel.io.callbacks.PeriodicCallback.start`; no issue is known). To be removed, it would have to get onto the loop.
    """
    pn.state._schedule_busy_cleanup()  # noqa: SLF001
