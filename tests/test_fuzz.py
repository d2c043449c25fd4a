"""Random addresses and messages: none ends a session, none leads to a traceback."""

from __future__ import annotations

import http.client
from contextlib import closing
from functools import partial
from inspect import signature
from itertools import product
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, urlsplit

import holoviews as hv
import pytest

from explorer import Explorer, open_store
from explorer.former_links import FORMER
from explorer.model import choices_of
from explorer.saes import ATTRIBUTES
from explorer.state import ExplorerState
from explorer.store import SWEEPS
from explorer.views.browser import Browser
from explorer.views.live_plot import LivePlot
from explorer.views.markup import Markup
from explorer.views.selectors import Selectors
from explorer.views.widgets import Slider
from queries import Store
from tests.injections import TEXTS
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.browser import Server

pytestmark = pytest.mark.security

ADDRESSES, SENT = 3_000, 20

_NUMBERS = (
    "0",
    "-0",
    "1e309",
    "-1",
    "0.5",
    "007",
    "9" * 40,
    "nan",
    "inf",
    "-inf",
    "1_000",
    "٣",
    "0x10",
    "1e3",
    " 4 ",
    "4.0",
)
_WORDS = (
    "",
    " ",
    "explore",
    "evidence",
    "True",
    "None",
    "null",
    "a",
    "A",
    "zz",
    "smollm2-135m",
    "top_effect.margin",
    "..",
)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with open_store(SWEEPS) as store:
        yield store


def _address(random: Random) -> str:
    """Draw a query string: known and unknown keys, valid and invalid values of every type."""
    keys = [
        *ExplorerState.URL_KEYS,
        *ATTRIBUTES,
        *FORMER,
        "family",
        "name",
        "dark",
        "saes",
        "_choices",
        "__class__",
        "bokeh-x",
        "",
        *random.sample(TEXTS, 2),
    ]
    pairs = []
    for _ in range(random.randrange(1, 12)):
        value = random.choice((*_NUMBERS, *_WORDS, *TEXTS, "x" * random.randrange(2_000)))
        if random.random() < 0.1:
            value = "".join(chr(random.randrange(1, 0x3000)) for _ in range(random.randrange(30)))
        write = random.choice((quote, quote_plus, str))
        pairs.append(f"{write(random.choice(keys))}{random.choice(('=', '=', '=', '==', ''))}{write(value)}")
    return random.choice(("", "?", "??")) + random.choice(("&", "&", "&&", ";")).join(pairs)


def test_any_address_gives_a_valid_state_with_its_own_address(store: Store) -> None:
    random, choices = Random(0), choices_of(store)  # noqa: S311 - the same each time
    state, other = ExplorerState(choices), ExplorerState(choices)
    for number in range(ADDRESSES):
        refused = state.from_query(query := _address(random))
        assert all(isinstance(sentence, str) and len(sentence) < 500 for sentence in refused), query
        assert state.chosen_sae is not None, query
        assert state.chosen_concept is not None, query
        if number % 10 == 0:
            assert other.from_query(state.to_query()) == [], query
            assert other.to_query() == state.to_query(), query


def test_any_address_is_answered_without_a_traceback(server: Server) -> None:
    random, before = Random(1), len(server.output)  # noqa: S311 - the same each time
    with closing(http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)) as connection:
        for _ in range(SENT):
            query = "".join(each for each in _address(random).lstrip("?") if " " < each < "\x7f")
            connection.request("GET", f"/dashboard?{query}")
            with connection.getresponse() as response:
                response.read()
                assert response.status in (200, 400, 403, 414), query  # 403: names a session
    assert "Traceback" not in server.output[before:]


# --- Messages --------------------------------------------------------------------------------------------------------

_HUGE = 10**400
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 3, 2**70, -_HUGE, _HUGE, 0.5, -0.5, float("nan"), float("inf"), 1e308),
    *("", "0", "-1", "1", "999999", "0 0", "1 x", "x 1", "-", "1-2", "1-2-3-4", "s", "S", "\ud800", "\0", "9" * 5000),
    *(
        [],
        {},
        [[]],
        [{}],
        ["a", True],
        ["a", "b", "c"],
        ["l0", 1],
        ["concept", -1],
        ["layer", 1],
        ["concept", "x"],
        [None, None],
    ),
    *({"words": 1}, {"words": "x" * 5000}, {"words": ["s"]}, {"words": "\ud800 s"}, {"number": 1, "text": "s"}),
    *(
        {"number": "x", "text": None},
        {"text": "s"},
        {"answers": "cosines x latent_page", "figures": "\"'<x>"},
        {"answers": 7},
    ),
    *({"evidence_token": "s", "facet_latent": "x", "facet_layer": "9" * 50, "facet_concept": "\0"}, {"": {"": {}}}),
)
_MESSAGES: tuple[Any, ...] = (
    *(None, 7, "x", [], {}, {"action": []}, {"action": {}, "value": 1}),
    *({"action": action, "value": value} for action, value in product(("nonsense", 7, None), _VALUES)),
)


def _values(handler: Callable[[Any], object]) -> tuple[Any, ...]:
    """All values if the handler uses its argument; otherwise two, because it may toggle something."""
    (parameter,) = signature(handler).parameters
    return _VALUES[:2] if parameter == "_" else _VALUES


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Collects everything that accepts messages when it is created."""
    made: list[Any] = []
    for kind in (Markup, Browser):
        own = kind.__init__

        def make(self: Any, *args: Any, own: Any = own, **kwargs: Any) -> None:
            own(self, *args, **kwargs)
            made.append(self)

        monkeypatch.setattr(kind, "__init__", make)
    yield made
    made.clear()


def test_any_message_is_handled_or_ignored(tmp_path: Path, parts: list[Any]) -> None:
    suite = write_tiny_suite(tmp_path / "tiny", saes=[(0, 1000, 10), (3, 4000, 40)], dashboards=True, neuronpedia=True)
    with Store(suite) as store:
        place = {"concept": "first-letter.s", "sae": "l3-w4000-l0-40"}
        explorer = Explorer(store, **place)
        assert explorer.template()
        state, model = explorer.state, explorer.model
        assert model.absorbing_latents is not None
        latent = int(model.absorbing_latents["latent"].iloc[0])
        for page in ("explore", "compare", "atlas", "evidence"):
            for compare_by in ("l0", "layer", "concept", "pair") if page == "compare" else ("l0",):
                state.apply({"page": page, "compare_by": compare_by})
                for part in list(parts):
                    for action, handler in part._handlers.items():
                        if action != "snapshot":  # takes seconds each time
                            for value in _values(handler):
                                part._handle_msg({"action": action, "value": value})
                    for message in _MESSAGES:
                        part._handle_msg(message)
                assert state.apply({"page": page, **place, "latent": latent}) == []
        assert len(parts) > 30
        assert state.chosen_sae is not None


def test_widgets_accept_only_available_values(store: Store) -> None:
    state = ExplorerState(choices_of(store))
    layout: Any = Selectors(state).__panel__()
    (chooser,) = (part for part in layout if part.css_name == "layer")
    slider: Any = Slider.of(state.param.tau, "tau")[1]
    before = state.sae, state.tau
    for value in _VALUES:
        if value not in (0, 1) and value is not True:
            chooser._handle_msg({"action": "layer", "value": value})
            slider._process_events({"value": value})
        for name in ("options", "labels", "start", "end", "name", "step", "title"):
            slider._process_events({name: value})
    assert (state.sae, state.tau) == before
    chooser._handle_msg({"action": "layer", "value": str(state.options["layer"][1])})
    slider._process_events({"value": 0.1})
    assert state.chosen_sae is not None
    assert (state.chosen_sae.layer, state.tau) == (state.options["layer"][1], 0.1)


def test_plots_accept_only_numbers_for_taps_and_selections() -> None:
    received: list[Any] = []
    zoom = hv.streams.RangeX()
    drawn: list[Any] = []

    def draw(x_range: Any) -> hv.Overlay:
        drawn.append(x_range)
        return hv.Curve([1, 2]) * hv.Curve([2, 1])

    live = LivePlot(
        lambda: partial(draw),
        height=100,
        on_tap=lambda x, y: received.append((x, y)),
        on_brush=(hv.streams.BoundsX, received.append),
        zoom=zoom,
    )
    plot = live.pane.object
    streams = {type(stream): stream for stream in hv.streams.Stream.registry[plot]}
    for x, y in ((None, 1.0), ("a", 1.0), (float("nan"), 1.0), (1.0, float("inf")), ([], {}), (0.5, 1.5)):
        for subscriber in streams[hv.streams.Tap].subscribers:
            subscriber(x=x, y=y)
    for bounds in (None, (0.0, float("nan")), ("a", "b"), 7, (0.0, 1.0)):
        for subscriber in streams[hv.streams.BoundsX].subscribers:
            subscriber(boundsx=bounds)
    assert received == [(0.5, 1.5), None, (0.0, 1.0)]
