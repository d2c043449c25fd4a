"""The list of accepted messages is exactly that of the pages; others are rejected without effect and at low cost."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest
from bokeh.core.json_encoder import serialize_json
from bokeh.document import Document
from bokeh.models import Model, Plot, Range1d, ResetTool, Slider
from bokeh.protocol.messages.patch_doc import patch_doc
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from explorer import Explorer, inbound, open_store, tokens
from explorer.guard import TOKEN_CHARACTERS
from explorer.store import SWEEPS
from tests.async_visitors import SECONDS, Visitor, as_map, changed, happened, visiting
from tests.browser import ask_model, drag, point, scroll_to_figure, wait_calm, wait_figure
from tests.explore import choose, graph_head, unfold, wait_query, wait_ready
from tests.in_process import serving_sweeps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

    from tests.browser import PageOpener, Server

pytestmark = pytest.mark.security

PAGES: tuple[dict[str, Any], ...] = (
    {"page": "compare"},
    {"compare_by": "pair"},
    {"page": "atlas"},
    {"page": "evidence"},
    {"page": "learn"},
    {"page": "explore", "latent": 47},
)

# --- Valid messages --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def document() -> Iterator[Document]:
    """A session's document with all pages."""
    with open_store(SWEEPS) as store:
        explorer = Explorer(store, concept="first-letter.s", sae="l4-w8192-l0-7")
        document = Document()
        explorer.template().server_doc(document)
        for page in PAGES:
            explorer.state.apply(page)
        yield document


def data_event(model: Model, value: Any = None, action: Any = "x") -> dict[str, Any]:
    return happened("data_event", model, data={"action": action, "value": value})


def one(document: Document, kind: type[Model] | str, **having: Any) -> Model:
    """Return the first model of a kind, or of that name of its class."""
    for model in document.models:
        of_kind = type(model).__name__ == kind if isinstance(kind, str) else isinstance(model, kind)
        if of_kind and all(getattr(model, name) == value for name, value in having.items()):
            return model
    raise LookupError(kind)


def take(document: Document, *events: Any) -> list[dict[str, Any]]:
    """Return the events that remain of patches with one event each."""
    patches: list[Any] = [inbound.read_patch(json.dumps({"events": [event]}), document) for event in events]
    return [event for patch in patches for event in patch["events"]]


def test_subscribed_events_are_in_the_list(document: Document) -> None:
    asked = {name for model in document.models for name in model.subscribed_events}
    # Panel's components also offer DOM events; those of the explorer use data events only.
    assert asked - {"dom_event"} == set(inbound.EVENTS) - {"document_ready", "client_reconnected"}


def test_other_properties_cannot_be_changed(document: Document) -> None:
    values = (0, "/etc/hostname", None, {"type": "object", "name": "Span", "id": "new"}, {"id": document.roots[0].id})
    refused = 0
    for model in document.models:
        for name in (*model.properties(), "name_that_is_none", "__class__", "id"):
            if any(known == name and isinstance(model, of) for of, known in inbound.PROPERTIES):
                continue
            for value in values:
                with pytest.raises(inbound.RefusedError):
                    take(document, changed(model, name, value))
                refused += 1
    assert refused > 10_000


_NO_NUMBERS: tuple[Any, ...] = (
    *(None, True, "1", [], {}, [1], {"id": "p1"}, 10**30, 2**53, -1, 1e200, 0.5, "U" * 10),
    {"type": "number", "value": "1"},
    {"type": "ndarray", "array": ["x"], "dtype": "U400000000", "order": "little", "shape": [1]},
    {"type": "bytes", "data": "H4sIAAAA"},
    {"type": "object", "name": "Span", "id": "new"},
    {"type": "symbol", "name": "x"},
    {"type": "slice", "start": 0, "stop": 1, "step": 1},
    {"type": "typed_array", "array": {"type": "bytes", "data": ""}, "order": "little", "dtype": "float64"},
)


def test_values_of_another_form_are_refused(document: Document) -> None:
    for of, name in inbound.PROPERTIES:
        model = one(document, of)
        for value in _NO_NUMBERS:
            if inbound.PROPERTIES[of, name].form(value):
                continue
            with pytest.raises(inbound.RefusedError):
                take(document, changed(model, name, value))
    plot, component = one(document, Plot), one(document, "ReactiveESM")
    place = {"sx": 1, "sy": 1, "x": 0.5, "y": 0.5, "modifiers": {"shift": False, "ctrl": False, "alt": False}}
    assert take(document, happened("tap", plot, **place))
    for value in _NO_NUMBERS:
        if not (isinstance(value, int | float) and abs(value) < 1e100) or value is True:
            with pytest.raises(inbound.RefusedError):
                take(document, happened("tap", plot, **place | {"x": value}))
    assert take(
        document,
        data_event(component, {"words": "x" * 2_000}),
        data_event(component, ["concept", -1]),
        data_event(component),
    )
    for value in ("x" * 10_000, [[1]], {"a": {"b": 1}}, [0] * 100, dict.fromkeys(map(str, range(100)), 1), {"id": "p"}):
        with pytest.raises(inbound.RefusedError):
            take(document, data_event(component, value))
    others: tuple[Any, ...] = (
        happened("tap", component, **place),
        happened("data_event", plot, data={"action": "x", "value": None}),
        happened("tap", plot, **place, more=1),
        happened("data_event", component, data={"action": "x", "value": None, "more": 1}),
        happened("document_ready", component),
        happened("connection_lost", None),
        happened("reset", plot),
        happened("dom_event", component, node="x", data={}),
        {**happened("document_ready", None), "msg_type": "other"},
        {**data_event(component), "more": 1},
        {"kind": "TitleChanged", "title": "x"},
        {"kind": "RootAdded", "model": {"id": plot.id}},
        {"kind": "RootRemoved", "model": {"id": document.roots[0].id}},
        {
            "kind": "ColumnDataChanged",
            "model": {"id": one(document, "ColumnDataSource").id},
            "attr": "data",
            "data": {},
        },
        {"kind": []},
        None,
    )
    for event in others:
        with pytest.raises(inbound.RefusedError):
            take(document, event)


def test_ineffective_changes_are_omitted(document: Document) -> None:
    slider: Any = one(document, Slider)
    assert take(document, changed(slider, "value", slider.end))
    assert take(document, changed(slider, "value", slider.end + slider.step)) == []
    gone = Plot()
    document.add_root(gone)
    document.remove_root(gone)
    assert take(document, changed(gone, "inner_width", 5)) == []
    nowhere = {"type": "number", "value": "nan"}
    assert take(document, changed(one(document, Range1d), "start", nowhere)) == []
    place = dict.fromkeys(("x0", "x1", "y0", "y1"), 0.5)
    assert take(document, happened("rangesupdate", one(document, Plot), **place | {"y1": nowhere})) == []
    with pytest.raises(inbound.RefusedError):
        take(document, changed("p0", "inner_width", 5))


def test_serialized_model_is_read_as_its_reference(document: Document) -> None:
    component = one(document, "ReactiveESM")
    event = data_event(component)
    whole = {"type": "object", "name": "panel.models.esm.ReactiveESM", "id": component.id, "attributes": {"esm": "x"}}
    event["msg_data"]["values"]["entries"][0][1] = whole
    assert take(document, event) == [data_event(component)]
    whole["id"] = "new"
    with pytest.raises(inbound.RefusedError):
        take(document, event)


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "[]", "{}", "[" * 100_000, '{"a":' * 100_000, '{"events":[],"events":[]}', '{"events":[],"more":1}'),
        *('{"events":{}}', '{"events":[NaN]}', '{"events":[Infinity]}', f'{{"events":[{"9" * 5_000}]}}'),
        *(f'{{"events":[0.{"1" * 100_000}]}}', '{"events":[' + "1," * 100 + "1]}", '{"events":["\ud800"]}'),
    ],
    ids=lambda text: text[:20],
)
def test_other_json_is_refused(document: Document, text: str) -> None:
    with pytest.raises(inbound.RefusedError) as refused:
        inbound.read_patch(text, document)
    assert len(str(refused.value)) < 80


def test_only_simultaneous_changes_are_accepted_in_one_message(document: Document) -> None:
    """Otherwise one message could request many actions, and block all others."""
    plot, component = one(document, Plot), one(document, "ReactiveESM")
    sizes = [changed(plot, name, 100) for name in ("inner_width", "inner_height", "outer_width", "outer_height")]
    assert inbound.read_patch(json.dumps({"events": sizes}), document) == {"events": sizes}
    for events in (2 * [sizes[0]], 2 * [data_event(component)], [sizes[0], data_event(component)], 20 * sizes, None):
        with pytest.raises(inbound.RefusedError):
            inbound.read_patch(json.dumps({"events": events}), document)


def test_mutated_messages_are_refused_or_handled(document: Document) -> None:
    random = Random(0)  # noqa: S311 - the same each time
    plot, component, slider = one(document, Plot), one(document, "ReactiveESM"), one(document, Slider)
    corners = dict.fromkeys(("sx0", "sx1", "sy0", "sy1", "x0", "x1", "y0", "y1"), 0.5)
    sent = [
        changed(slider, "value", slider.end),
        changed(plot, "inner_width", 100),
        data_event(component, ["concept", -1]),
        happened("document_ready", None),
        happened("client_reconnected", None),
        happened("rangesupdate", plot, x0=0, x1=1, y0=0, y1=1.5),
        happened("selectiongeometry", plot, geometry=as_map({"type": "rect", "greedy": False, **corners}), final=True),
    ]
    assert take(document, *sent) == sent
    reset = one(document, ResetTool)
    pool = [
        *_NO_NUMBERS,
        "icon",
        "id",
        "type",
        "events",
        {"id": reset.id},
        plot.id,
        slider.id,
        "ModelChanged",
        "tap",
        sent,
    ]
    before, taken = _written(document), 0
    for _ in range(5_000):
        patch = {"events": deepcopy([random.choice(sent)])}
        for _ in range(random.randint(1, 2)):
            _mutate(patch, random, pool)
        try:
            read = inbound.read_patch(json.dumps(patch), document)
        except inbound.RefusedError:
            continue
        taken += 1
        assert inbound.read_patch(json.dumps(read), document) == read
    assert taken > 100
    assert _written(document) == before


def _written(document: Document) -> str:
    return serialize_json(document.to_json(deferred=False))


def _mutate(value: Any, random: Random, pool: list[Any]) -> None:
    """Change a random part of it."""
    places = list(value) if isinstance(value, dict) else list(range(len(value)))
    if not places:
        return
    place = random.choice(places)
    inner = value[place]
    if isinstance(inner, dict | list) and inner and random.random() < 0.85:
        _mutate(inner, random, pool)
    elif random.random() < 0.2:
        del value[place]
    elif random.random() < 0.2 and isinstance(value, dict):
        value[str(random.choice(pool))[:20]] = inner
    else:
        value[place] = deepcopy(random.choice(pool))


# --- Over the wire ---------------------------------------------------------------------------------------------------


async def _name_a_file(visitor: Visitor) -> None:
    await visitor.send("PATCH-DOC", {"events": [changed(visitor.one("HoverTool"), "icon", "/proc/self/fd/0")]})


async def _make_an_array(visitor: Visitor) -> None:
    array = {"type": "ndarray", "array": ["x"], "dtype": "U400000000", "order": "little", "shape": [1]}
    await visitor.send("PATCH-DOC", {"events": [changed(visitor.one("Range1d"), "start", array)]})


async def _unpack_bytes(visitor: Visitor) -> None:
    data = {"type": "bytes", "data": "A" * 500_000}
    component = visitor.one("ReactiveESM", class_name="Browser")
    await visitor.send("PATCH-DOC", {"events": [happened("data_event", component, data=data)]})


async def _send_parts(visitor: Visitor) -> None:
    await visitor.send("PATCH-DOC", {"events": []}, num_buffers=10**9)


async def _send_bytes(visitor: Visitor) -> None:
    await visitor.send_bytes(b"x" * 1_000_000)


async def _nest(visitor: Visitor) -> None:
    await visitor.send("PATCH-DOC", '{"events":' + "[" * 500_000)


async def _count_far(visitor: Visitor) -> None:
    await visitor.send("PATCH-DOC", '{"events":[' + "9" * 1_000_000 + "]}")


async def _push(visitor: Visitor) -> None:
    await visitor.send("PUSH-DOC", {"doc": {"roots": [], "title": "x", "version": "3.9.2"}})


async def _pull_again(visitor: Visitor) -> None:
    await visitor.send("PULL-DOC-REQ", {})


async def _report_an_error(visitor: Visitor) -> None:
    await visitor.send("ERROR", {"text": "", "traceback": None})


_ATTACKS: tuple[Callable[[Visitor], Any], ...] = (
    *(_name_a_file, _make_an_array, _unpack_bytes, _send_parts, _send_bytes, _nest, _count_far, _push, _pull_again),
    _report_an_error,
)


def test_attack_closes_only_its_own_connection(either: Server) -> None:
    async def endure(attack: Callable[[Visitor], Any], bystander: Visitor) -> None:
        async with visiting(either.url) as visitor:
            held = _memory(either, forget=True)
            await attack(visitor)
            assert await visitor.end() == (1008, None)
            assert (await _ping(bystander))["kind"] == "OK"
            assert _memory(either) - held < 50_000

    async def act() -> None:
        async with visiting(either.url) as bystander:
            for attack in _ATTACKS:
                await endure(attack, bystander)
        # The command counts those of one second, and writes their number before the next record.
        deadline = monotonic() + SECONDS
        while _refusals(either.output[before:]) < len(_ATTACKS) and monotonic() < deadline:
            await AsyncHTTPClient().fetch(f"{either.url}/favicon.ico")

    before = len(either.output)
    asyncio.run(act())
    output = either.output[before:]
    assert _refusals(output) == len(_ATTACKS)
    assert not [line for line in output.splitlines() if "Traceback" in line or "File " in line or "AAAA" in line]


def _refusals(output: str) -> int:
    """Return the number of rejected messages in a log."""
    lines = [line for line in output.splitlines() if "Refused a message" in line]
    return sum(int(number[1]) if (number := re.search(r'"repeated": (\d+)', line)) else 1 for line in lines)


def _memory(server: Server, *, forget: bool = False) -> int:
    """Return the server's peak memory in kB, optionally after resetting it."""
    process = Path(f"/proc/{server.process.pid}")
    with suppress(OSError):  # not every kernel can reset it
        if forget:
            (process / "clear_refs").write_text("5")
    (line,) = re.findall(r"VmHWM:\s+(\d+)", (process / "status").read_text())
    return int(line)


def test_long_token_is_refused(either: Server) -> None:
    async def act() -> None:
        request = HTTPRequest(f"{either.url.replace('http', 'ws', 1)}/dashboard/ws", headers={"Origin": either.url})
        with pytest.raises(HTTPClientError) as refused:
            await websocket_connect(request, subprotocols=["bokeh", "A" * TOKEN_CHARACTERS])
        assert refused.value.code == 400

    asyncio.run(act())


async def _ping(visitor: Visitor) -> Any:
    """Send a ping, as a page does after each message, and return the answer."""
    component = visitor.one("ReactiveESM", class_name="Browser")
    event = happened("data_event", component, data={"action": "ping", "value": [1, False]})
    return await visitor.answer(await visitor.send("PATCH-DOC", {"events": [event]}))


def test_flood_of_messages_does_not_block_others(either: Server) -> None:
    many = 20

    async def act() -> None:
        async with visiting(either.url) as bystander, visiting(either.url) as visitor:
            component = visitor.one("ReactiveESM", class_name="Browser")
            steps = [["concept", 1 if number < 10 else -1] for number in range(many)]
            for step in steps:
                event = happened("data_event", component, data={"action": "step", "value": step})
                last = await visitor.send("PATCH-DOC", {"events": [event]})
            flood = asyncio.create_task(visitor.answer(last))
            assert (await _ping(bystander))["kind"] == "OK"
            assert not flood.done()
            assert (await flood)["kind"] == "OK"

    asyncio.run(act())


def test_error_responses_reveal_nothing(here: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("/secret/place")

    async def act() -> None:
        async with visiting(here) as visitor:
            with monkeypatch.context() as patched:
                patched.setattr(patch_doc, "apply_to_document", fail)
                answer = await visitor.answer(await visitor.send("PATCH-DOC", {"events": []}))
            assert answer["kind"] == "ERROR"
            assert answer["content"] == {"text": "The server could not handle this message", "traceback": None}
            assert (await visitor.answer(await visitor.send("PATCH-DOC", {"events": []})))["kind"] == "OK"

    asyncio.run(act())


# --- What pages send -------------------------------------------------------------------------------------------------


class Noted(dict[Any, Any]):
    """A part of the list of messages that records which entries are used."""

    def __init__(self, entries: Any) -> None:
        super().__init__(entries)
        self.used: set[Any] = set()

    def __getitem__(self, name: Any) -> Any:
        self.used.add(name)
        return super().__getitem__(name)


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> tuple[Noted, Noted]:
    events, properties = Noted(inbound.EVENTS), Noted(inbound.PROPERTIES)
    monkeypatch.setattr(inbound, "EVENTS", events)
    monkeypatch.setattr(inbound, "PROPERTIES", properties)
    return events, properties


@pytest.fixture
def here() -> Iterator[str]:
    """The address of a server in a thread of this process."""
    with serving_sweeps() as address:
        yield address


def use_plots(page: Page) -> None:
    """Use all tools of each figure on all pages; `page` shows Compare."""
    use_plot(page, "cosine-l8-w8192-l0-14")
    _open(page, "explore&sae=l8-w8192-l0-14&concept=first-letter.s")
    use_plot(page, "cosine")
    scroll_to_figure(graph_head(page), "split-absorb-graph")
    use_plot(page, "split-absorb-graph")
    page.get_by_role("radio", name="distribution").click()
    wait_query(page, {"cosine_view": "distribution"})
    use_plot(page, "cosine")
    for explanation, name in (("splitting", "k-sparse"), ("scores", "precision-vs-l0")):
        unfold(page, explanation)
        use_plot(page, name)
    for name in ("absorption-vs-l0", "absorption-heatmap"):
        _open(page, "atlas")
        use_plot(page, name)
    _open(page, "evidence")
    use_plot(page, "threshold-sensitivity")


def _open(page: Page, name: str) -> None:
    """Open a page again, because a click on the former one may lead to Explore a moment later."""
    page.goto(f"{page.url.partition('?')[0]}?page={name}")
    wait_ready(page)


def use_plot(page: Page, name: str) -> None:
    """Use all tools of a figure."""
    wait_figure(page, name)
    tools = ask_model(page, name, "({toolbar}) => toolbar.tools.map((tool) => tool.type)")
    for tool in tools:
        if tool in ("BoxSelectTool", "BoxZoomTool", "PanTool"):
            drag(page, name, tool, _inside(page, name, 0.3), _inside(page, name, 0.6))
    place = point(page, name, *_inside(page, name, 0.5))
    page.mouse.click(*place)
    page.mouse.dblclick(*place)
    page.mouse.wheel(0, -200)
    page.mouse.wheel(0, 200)
    ask_model(page, name, "({toolbar}) => toolbar.tools.find((tool) => tool.type === 'ResetTool')?.do.emit('click')")
    wait_calm(page)


def _inside(page: Page, name: str, share: float) -> tuple[float, float]:
    """Return the point at a relative position in both ranges of a figure, after all answers have arrived."""
    wait_calm(page)
    seen = wait_figure(page, name)
    (left, right), (bottom, top) = seen.x_range, seen.y_range
    return left + share * (right - left), bottom + share * (top - bottom)


def _cut_connections() -> None:
    handler: Any
    for handler in tuple(tokens._CONNECTIONS.values()):
        handler.application.io_loop.add_callback(handler.close)


def wait_until_noted(page: Page, entries: Noted, name: str) -> None:
    deadline = monotonic() + SECONDS
    while name not in entries.used:
        assert monotonic() < deadline
        page.evaluate("new Promise(requestAnimationFrame)")


@pytest.mark.browser
def test_pages_send_exactly_the_listed_messages(
    here: str, noted: tuple[Noted, Noted], open_page: PageOpener, caplog: pytest.LogCaptureFixture
) -> None:
    page = open_page(f"{here}/dashboard?page=compare&sae=l8-w8192-l0-14&concept=first-letter.s")
    wait_ready(page)
    use_plots(page)
    page.close()
    page = open_page(f"{here}/dashboard?letter=s")
    wait_ready(page)
    _cut_connections()
    wait_until_noted(page, noted[0], "client_reconnected")
    wait_ready(page)
    handle = page.get_by_role("slider", name="tau: minimum F1 gain")
    handle.press("ArrowRight")
    wait_query(page, {"tau": "0.035"})
    handle.hover()
    page.mouse.down()
    page.mouse.move(5_000, 0, steps=3)
    page.mouse.up()
    wait_query(page, {"tau": "0.2"})
    choose(page, "width", 8192)
    wait_query(page, {"width": "8192"})
    page.set_viewport_size({"width": 911, "height": 733})
    wait_figure(page, "cosine")
    page.get_by_role("link", name="Atlas").click()
    wait_figure(page, "absorption-heatmap")
    for entries in noted:
        assert entries.used == set(entries)
    assert [record.getMessage() for record in caplog.records if "Refused" in record.getMessage()] == []
