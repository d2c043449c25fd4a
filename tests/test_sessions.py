"""Sessions that end leave nothing behind; running sessions share only the store."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING, Any
from weakref import ref

import panel as pn
import pytest
from bokeh.document import Document

from explorer import app, open_store
from explorer.store import SWEEPS
from tests.async_visitors import happened, visiting
from tests.in_process import serving_sweeps
from tests.visitors import open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bokeh.client.session import ClientSession

    from queries import Store

SECONDS = 30
SESSIONS = 6
Opened = list[tuple[Any, ...]]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Weak references to each session's explorer, model and state, in the order they were opened."""
    kept: Opened = []

    class Watched(app.Explorer):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)  # type: ignore[arg-type]
            kept.append((ref(self), ref(self.model), ref(self.state)))

    monkeypatch.setattr(app, "Explorer", Watched)
    return kept


@pytest.fixture
def address() -> Iterator[str]:
    """The address of a server that soon removes closed sessions."""
    soon = {"unused_session_lifetime_milliseconds": 4_000, "check_unused_sessions_milliseconds": 50}
    with serving_sweeps(**soon) as served:
        yield served


@pytest.fixture
def connect(address: str) -> Callable[..., ClientSession]:
    """Open a session."""
    return lambda **arguments: open_session(f"{address}/dashboard", **arguments)


def wait_until(met: Callable[[], bool]) -> bool:
    """Wait, with a timeout, for a condition that another thread fulfils."""
    pause = threading.Event()
    for _ in range(SECONDS * 10):
        gc.collect()
        if met():
            return True
        pause.wait(0.1)
    return met()


def visit(store: Store) -> list[ref[Any]]:
    """Display an explorer without a server, as a notebook does, use all of it, and remove it."""
    explorer = app.Explorer(store, letter="s")
    layout, state = explorer.layout, explorer.state
    root = layout.get_root(Document())
    state.apply({"latent": 5, "cosine_view": "rank"})
    state.apply({"concept": "first-letter.t", "tau": 0.01, "dark": True})
    state.apply({"layer": 8, "width": 8192})
    for page in ("compare", "atlas", "explore"):
        state.page = page
    layout._cleanup(root)
    # Panel's registry of displayed views, from which a notebook removes a cell that is run again.
    del pn.state._views[root.ref["id"]]
    return [ref(each) for each in (explorer, explorer.model, state, layout, explorer.notices)]


def test_explorers_of_a_notebook_are_garbage_collected() -> None:
    with open_store(SWEEPS) as store:
        left = [part for _ in range(2) for part in visit(store)]
        gc.collect()
        assert [part() for part in left if part() is not None] == []


def test_closed_sessions_are_garbage_collected(opened: Opened, connect: Callable[..., ClientSession]) -> None:
    pages = ({"letter": "s", "latent": "232", "layer": "8"}, {"page": "compare"}, {"page": "atlas"})
    for number in range(SESSIONS):
        session = connect(**pages[number % len(pages)])
        assert session.document.roots
        session.close()
        del session
    assert len(opened) == SESSIONS
    # Panel and Bokeh keep references to the last session of the thread; all former ones must be gone.
    earlier = [part for parts in opened[:-1] for part in parts]
    assert wait_until(lambda: all(part() is None for part in earlier)), [part() for part in earlier if part()]


def test_open_sessions_share_no_state(opened: Opened, address: str) -> None:
    async def act() -> None:
        async with visiting(address, "letter=s&l0=13") as one, visiting(address, "letter=q"):
            # Moves the first session's L0 as the browser would.
            chooser = one.one("ReactiveESM", name="l0")
            choice = happened("data_event", chooser, data={"action": "l0", "value": "6"})
            await one.answer(await one.send("PATCH-DOC", {"events": [choice]}))
            await asyncio.to_thread(compare)

    def compare() -> None:
        sae = "l4-w2048-l0-6"
        states = [state() for _, _, state in opened]
        assert wait_until(lambda: states[0] is not None and states[0].sae == sae)
        assert [(state.label, state.sae) for state in states] == [("S", sae), ("Q", sae)]
        models = [model() for _, model, _ in opened]
        assert models[0] is not models[1]
        assert models[0].store is models[1].store

    asyncio.run(act())
