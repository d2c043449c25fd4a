"""Access to private parts of Bokeh's sessions and models; `explorer.upstream.parts` states the reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bokeh.core.has_props import HasProps
    from bokeh.core.types import ID
    from bokeh.server.contexts import ApplicationContext
    from bokeh.server.session import ServerSession


def declare_missing(kind: type[HasProps], *names: str) -> None:
    """Make the lookup of properties that models of a class do not have fast.

    Panel (1.9, 1.10: `panel.io.document.freeze_doc`) looks up each changed property of a component's data on its model.
    Bokeh (3.9, 3.10: `HasProps.__getattr__`) then searches for similar names before it raises AttributeError, which
    takes 0.2 ms each time. This can be removed if either stops doing so.
    """
    for name in names:
        setattr(kind, name, None)


def has_session(context: ApplicationContext, session_id: ID) -> bool:
    """Return whether a session with that id exists or is being created."""
    return session_id in context._sessions or session_id in context._pending_sessions  # noqa: SLF001


def num_pending_sessions(context: ApplicationContext) -> int:
    """Return the number of sessions that are being created."""
    return len(context._pending_sessions)  # noqa: SLF001


async def end_session(context: ApplicationContext, session: ServerSession) -> None:
    """End a session and close its connections; the pages show that the connection is lost.

    Its memory is released at once, or when it has finished its current work.
    """
    session.request_expiration()
    for connection in list(session._subscribed_connections):  # noqa: SLF001
        _close_connection(connection._socket)  # noqa: SLF001
    if not session.expiration_blocked:
        await context._discard_session(session, lambda ended: ended.connection_count == 0)  # noqa: SLF001


def _close_connection(handler: Any) -> None:
    if handler.connection is not None:
        handler.application.client_lost(handler.connection)
        handler.connection = None  # otherwise Bokeh would notify the session, which has ended by then
    handler.close()
