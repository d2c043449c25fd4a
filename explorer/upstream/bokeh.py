"""What Bokeh keeps to itself of sessions and models; `explorer.upstream.parts` says why it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bokeh.core.has_props import HasProps
    from bokeh.core.types import ID
    from bokeh.server.contexts import ApplicationContext
    from bokeh.server.session import ServerSession


def lacks(kind: type[HasProps], *names: str) -> None:
    """Have models of a kind say at once that they have no such properties.

    Panel (1.9, 1.10: `panel.io.document.freeze_doc`) asks a component's model for each property of its data that
    changes. Bokeh (3.9, 3.10: `HasProps.__getattr__`) then looks for similar names before it says that there is none,
    for a fifth of a millisecond each time. To be removed, either would have to do without.
    """
    for name in names:
        setattr(kind, name, None)


def is_known(context: ApplicationContext, session_id: ID) -> bool:
    """Tell whether there is a session of that id, or one is being built."""
    return session_id in context._sessions or session_id in context._pending_sessions  # noqa: SLF001


def being_built(context: ApplicationContext) -> int:
    """Count the sessions that are being built."""
    return len(context._pending_sessions)  # noqa: SLF001


async def end(context: ApplicationContext, session: ServerSession) -> None:
    """End a session and hang up on its browsers; their pages say that the connection is lost.

    Its memory is free at once, or as soon as what it is doing is done.
    """
    session.request_expiration()
    for connection in list(session._subscribed_connections):  # noqa: SLF001
        _hang_up(connection._socket)  # noqa: SLF001
    if not session.expiration_blocked:
        await context._discard_session(session, lambda ended: ended.connection_count == 0)  # noqa: SLF001


def _hang_up(handler: Any) -> None:
    if handler.connection is not None:
        handler.application.client_lost(handler.connection)
        handler.connection = None  # else Bokeh tells the session, which has ended by then
    handler.close()
