"""Access to private parts of Panel's state; `explorer.upstream.parts` states the reasons."""

from __future__ import annotations

import panel as pn


def count_busy_on_loop(_: object) -> None:
    """Start Panel's cleanup of its busy counter on the event loop, while a request is answered.

    Panel (1.10.0) starts it with the first change from a browser. With Bokeh 3.10 that arrives in another thread, where
    starting fails and is retried in yet another thread, endlessly; this occupies a core and the session's lock
    (`panel.io.callbacks.PeriodicCallback.start`; no issue is known). This can be removed if Panel schedules it on the
    event loop itself.
    """
    pn.state._schedule_busy_cleanup()  # noqa: SLF001
