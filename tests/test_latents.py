"""The texts and numbers about a latent; no text of a suite ever becomes markup."""

from __future__ import annotations

import math
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
import pytest

from explorer.app import Explorer
from explorer.concepts import Concept
from explorer.embed import EMBEDS
from explorer.format import width_label
from explorer.latents.card import describe_roles, histogram_bars, shade
from explorer.latents.neuronpedia import PARTS, embed_url, feature_page
from explorer.model import QUESTIONS
from explorer.served import MayOpen, Served
from explorer.tours import rendered_tour
from explorer.views import markup
from explorer.views.cite import Cite, Foot
from explorer.views.help import Help
from explorer.views.markup import Markup, chip, number, percent, render, visible
from explorer.views.open_another import OpenAnother
from explorer.views.tour import TourCard
from queries import Store
from queries.schema import concept_id, letter_of
from tests.hostile_suite import EVIL, HOSTILE, Reader, write_hostile_suite
from tests.questions import FAMILY
from tests.unmeasured import list_letters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from explorer.model import ExplorerModel
    from explorer.saes import Sae
    from explorer.state import ExplorerState

# --- Words and numbers ---------------------------------------------------------------------------------------------


def test_tokens_show_white_space_and_are_escaped() -> None:
    assert visible(" a\nb\tc\r") == "␣a⏎b⇥c␍"
    assert chip(' <b>"x"') == '<code class="token">␣&lt;b&gt;&#34;x&#34;</code>'


@pytest.mark.parametrize(
    ("value", "decimals", "written"),
    [
        (0.5, 3, "0.500"),
        (-0.25, 2, "\N{MINUS SIGN}0.25"),
        (1234567.891, 1, "1,234,567.9"),
        (0, 0, "0"),
        (np.float32(0.1), 3, "0.100"),
        (None, 3, "–"),
        (math.nan, 3, "–"),
        (-math.inf, 3, "–"),
    ],
)
def test_numbers_are_formatted_for_display(value: float | None, decimals: int, written: str) -> None:
    assert number(value, decimals) == written


def test_shares_are_percentages() -> None:
    assert [percent(value) for value in (0.1234, 0.0, 1, None, math.nan)] == ["12.3%", "0.0%", "100.0%", "–", "–"]


@pytest.mark.parametrize(
    ("width", "label"),
    [
        (16000, "16k"),
        (65000, "65k"),
        (65536, "65k"),
        (1_048_576, "1M"),
        (16384, "16k"),
        (2048, "2k"),
        (8192, "8k"),
        (512, "512"),
    ],
)
def test_widths_are_formatted_as_in_the_literature(width: int, label: str) -> None:
    assert width_label(width) == label


# --- The card ------------------------------------------------------------------------------------------------------


def _context(length: int, position: int, **values: Any) -> dict[str, Any]:
    activations = np.zeros(length, dtype=np.float32)
    activations[position] = 8.0
    context = {
        "activation": 8.0,
        "source": "tiny",
        "position": position,
        "tokens": np.array([f" {place}" for place in range(length)], dtype=object),
        "activations": activations,
    }
    return context | values


@pytest.mark.parametrize(
    ("length", "position", "before", "after"),
    [(40, 20, 10, 8), (40, 0, 0, 8), (40, 39, 10, 0), (3, 1, 1, 1), (1, 0, 0, 0)],
)
def test_context_is_truncated_around_its_peak(length: int, position: int, before: int, after: int) -> None:
    cut = shade(_context(length, position))
    assert [part["text"] for part in cut["peak"]] == [f" {position}"]
    assert [part["text"] for part in cut["before"]] == [f" {place}" for place in range(position - before, position)]
    assert [part["text"] for part in cut["after"]] == [
        f" {place}" for place in range(position + 1, position + 1 + after)
    ]
    assert (cut["activation"], cut["source"]) == (8.0, "tiny")


def test_context_is_shaded_by_activation() -> None:
    cut = shade(_context(4, 1, activations=np.array([0.0, 8.0, 4.0, -1.0]), tokens=[" the", " s", "\n", "'x'"]))
    shades = [part["shade"] for part in (*cut["before"], *cut["peak"], *cut["after"])]
    assert shades[0] == shades[3] == 0
    assert shades[1] == 2 * shades[2] > 0
    assert cut["after"][0]["text"] == "⏎", "a context is one line"
    silent = shade(_context(3, 1, activations=np.zeros(3)))
    assert {part["shade"] for part in (*silent["before"], *silent["peak"], *silent["after"])} == {0}


def test_histogram_bars_cover_the_range_on_a_log_scale() -> None:
    bars = histogram_bars({"low": 1.0, "high": 5.0, "counts": np.array([99, 9, 0, 1])})
    assert [bar["count"] for bar in bars] == [99, 9, 0, 1]
    assert [(bar["low"], bar["high"]) for bar in bars] == [(1, 2), (2, 3), (3, 4), (4, 5)]
    assert [bar["height"] for bar in bars] == pytest.approx([100, 50, 0, 50 * math.log10(2)])


def test_histogram_of_a_silent_latent_is_flat() -> None:
    assert {bar["height"] for bar in histogram_bars({"low": 0.0, "high": 0.0, "counts": [0, 0]})} == {0}
    assert {bar["low"] for bar in histogram_bars({"low": None, "high": None, "counts": [0, 0]})} == {0}
    assert histogram_bars({"low": 0.0, "high": 1.0, "counts": []}) == []


def test_roles_are_described_in_words() -> None:
    roles = pd.DataFrame(
        [("a", 1, 0, True), ("b", 3, 0, False), ("c", 0, 1, False), ("d", 0, 12, True)],
        columns=["concept", "split_rank", "num_absorbed", "is_encoder_top"],
    )
    roles["concept"] = roles["concept"].map(concept_id)
    concepts = {
        concept: Concept(concept, FAMILY, letter_of(concept).upper(), "starts so") for concept in roles["concept"]
    }
    cosines = pd.DataFrame({"concept": [concept_id(letter) for letter in "abd"], "cosine": [0.5, -0.1, 0.2]})
    described = describe_roles(roles, cosines, concepts)
    assert [role["label"] for role in described] == ["A", "B", "C", "D"]
    assert [role["text"] for role in described] == [
        "main latent, highest encoder cosine",
        "split latent at k = 3",
        "absorbs 1 token",
        "absorbs 12 tokens, highest encoder cosine",
    ]
    assert [role["cosine"] for role in described] == [0.5, -0.1, None, 0.2]
    assert [role["cosine"] for role in describe_roles(roles, None, concepts)] == [None] * 4
    assert describe_roles(roles.iloc[:0], cosines, concepts) == []


# --- Neuronpedia ---------------------------------------------------------------------------------------------------


def test_embed_address_contains_switches_and_words() -> None:
    words = [" short", 's"<&', "\n", "%2f#?=+", "😀"]
    address = urlsplit(embed_url("gemma-2-2b", "3-gemmascope-res-16k", 6510, shown={"plots", "test"}, words=words))
    assert (address.scheme, address.netloc) == ("https", "neuronpedia.org")
    assert address.path == "/gemma-2-2b/3-gemmascope-res-16k/6510"
    assert not address.fragment
    query = {name: value for name, (value,) in parse_qs(address.query, strict_parsing=True).items()}
    assert query.pop("defaulttesttext") == "".join(words)
    assert query.pop("embed") == "true"
    assert query == {f"embed{part}": "true" if part in ("plots", "test") else "false" for part in PARTS}
    assert set(query) == {f"embed{part}" for part in ("explanation", "plots", "activations", "test", "steer", "link")}
    assert "+" not in address.query, "a plus would be shown as one"


def test_embed_address_is_limited_in_length() -> None:
    address = embed_url("m", "s", 1, shown=(), words=[" word"] * 1000)
    assert len(parse_qs(urlsplit(address).query)["defaulttesttext"][0]) == 1000
    assert "defaulttesttext" not in embed_url("m", "s", 1, shown=(), words=[])


def test_names_from_a_manifest_are_quoted_in_addresses() -> None:
    page = urlsplit(feature_page("../a?b#c", "x/y z@evil.example", 7))
    assert page.netloc == "neuronpedia.org"
    assert page.path == "/..%2Fa%3Fb%23c/x%2Fy%20z%40evil.example/7"
    assert not page.query


# --- Nothing of a suite becomes markup -----------------------------------------------------------------------------


def first_seeds(saes: Iterable[Sae]) -> list[Sae]:
    """Omit repeated trainings, which have only counts."""
    return [sae for sae in saes if not sae.id.endswith("-s1")]


class Shown:
    """Records all components, templates and pages that were created."""

    def __init__(self) -> None:
        self.components: list[Markup] = []
        self.templates: set[str] = set()
        self.pages: set[str] = set()

    def send(self, name: str, action: str, value: object = None) -> None:
        """Simulate a user: report `action` to the components called `name`."""
        sent = False
        for component in list(self.components):
            if component.css_name == name and action in component._handlers:
                component._handle_msg({"action": action, "value": value})
                sent = True
        assert sent, f"nothing takes {action!r}"
        self.look()

    def look(self) -> None:
        self.pages |= {component.html for component in self.components}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shown]:
    watched = Shown()
    make, environment = Markup.__init__, markup._templates()
    get: Callable[..., Any] = environment.get_template

    def make_and_keep(self: Markup, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        watched.components.append(self)

    def get_and_note(name: str, *args: Any, **kwargs: Any) -> Any:
        watched.templates.add(name.removesuffix(".html"))
        return get(name, *args, **kwargs)

    monkeypatch.setattr(Markup, "__init__", make_and_keep)
    monkeypatch.setattr(environment, "get_template", get_and_note)
    yield watched
    watched.components.clear()


def _cite_each_view(shown: Shown, model: ExplorerModel) -> None:
    _on_page = Cite(model, has_address=True)
    for name, embed in EMBEDS.items():
        _foot = Foot(model, embed)
        shown.send("cite", "show", {"view": name, "page": f"https://x.example/{EVIL}"})


def _look_tokens_up(shown: Shown, state: ExplorerState) -> None:
    for token in ("no token", EVIL, *HOSTILE.values()):
        state.open_token(token)
        shown.look()
    state.page = "explore"


def _read_help(shown: Shown, explorer: Explorer) -> None:
    """Open the help, and walk through a tour from there."""
    tour = TourCard(explorer.model, explorer.notices.refuse)
    _help = Help(explorer.model, tour.start)
    shown.send("help", "show", "suite")
    shown.send("help", "tour", "first-absorbed-word")
    for _ in rendered_tour(explorer.model.store, explorer.state.suite, "first-absorbed-word").steps:
        shown.send("tour", "tour-next")
    shown.send("tour", "tour-leave")


def _open_another(shown: Shown) -> None:
    opener = OpenAnother(Served((), MayOpen.ANYTHING))
    opener.ask()
    # The name of an opened suite, and the reason for a failure.
    opener._finish(EVIL, f"{EVIL}: has no manifest.json")
    shown.look()


def _look_at_pages(shown: Shown, state: ExplorerState) -> None:
    for page, choices in (
        ("compare", ("l0", "layer", "concept", "pair", "splitting")),
        ("atlas", ("l0",)),
        ("evidence", ("l0",)),
        ("token", ("l0",)),
    ):
        state.page = page
        for choice in choices:
            state.compare_by = choice
            shown.look()
    state.page = "learn"
    for step in range(1, 6):
        state.learn_step = step
        shown.look()


def test_no_text_of_a_suite_becomes_markup(tmp_path: Path, shown: Shown) -> None:
    """Walk through all contents of the explorer for a suite in which every text tries to break out."""
    with Store(list_letters(write_hostile_suite(tmp_path / "hostile"), "x")) as store:
        explorer = Explorer(store, letter="s")
        state, model = explorer.state, explorer.model
        assert explorer.layout
        for name in ("splitting", "decision", "scores"):
            shown.send("disclosure", "toggle", name)
        _read_help(shown, explorer)
        for number, text in enumerate(("s", "7", *HOSTILE.values(), EVIL)):
            shown.send("search", "search", {"number": number, "text": text})
        explorer.notices.refuse(explorer.state.from_query(f"?layer={EVIL}&letter={EVIL}&suite={EVIL}"))
        state.concept = concept_id("s")
        for sae in first_seeds(state.saes):
            state.apply({"sae": sae.id, "concept": concept_id("s")})
            assert model.split_latents is not None
            assert model.absorbing_latents is not None
            for latent in (model.split_latents["latent"].iloc[0], model.absorbing_latents["latent"].iloc[0]):
                state.latent = int(latent)
                shown.look()
                for pack in ("concept", "other", "absorbed", "absorbed-here"):
                    shown.send("tester", "pack", pack)
                typed = ", ".join(["short", *HOSTILE.values(), EVIL])
                shown.send("tester", "test", {"words": typed})
                if model.latent_dashboard is not None:
                    shown.send("original", "original")
        _look_tokens_up(shown, state)
        state.cosine_range = (0.0, 1.0)
        shown.look()
        state.facet_latent = int(model.split_latents["latent"].iloc[0]) if model.split_latents is not None else 0
        wanted = " ".join([*QUESTIONS, "word_activations"])
        shown.send("export", "show", {"answers": wanted, "figures": "cosine <script>alert(1)</script>"})
        _cite_each_view(shown, model)
        _open_another(shown)
        # Missing contents are also named in the text.
        state.apply({"concept": concept_id("x")})
        shown.look()
        state.apply({"concept": concept_id("s"), "latent": 0})
        shown.look()
        _look_at_pages(shown, state)

    assert len(shown.pages) > 50
    offences = {(found, html[:200]) for html in shown.pages for found in Reader(html).found}
    assert offences == set()
    # Nor was it omitted: all of it is contained, as text.
    texts = "\n".join(text for html in shown.pages for text in Reader(html).texts)
    for hostile in (*HOSTILE.values(), "<script>alert(1)</script>"):
        assert hostile in texts or visible(hostile) in texts, hostile
    assert EVIL in texts
    assert "{{ 7 * 191 }}" in texts.replace("␣", " ")
    assert "1337" not in texts
    untouched = {file.name.removesuffix(".html") for file in files("explorer").joinpath("templates").iterdir()}
    untouched -= shown.templates | {"page", "bare"}  # which contain no text of a suite
    # Templates of snapshots and sites are checked by the tests of these.
    apart = ("snapshot", "reader", "site", "slider", "search_")
    untouched = {name for name in untouched if not name.startswith(apart)}
    assert untouched == set(), "templates that this walk does not reach"


def test_frames_are_sandboxed(tmp_path: Path, shown: Shown) -> None:
    with Store(write_hostile_suite(tmp_path / "hostile")) as store:
        explorer = Explorer(store, letter="s")
        assert explorer.layout
        for sae in first_seeds(explorer.state.saes):
            explorer.state.apply({"sae": sae.id, "concept": concept_id("s")})
            assert explorer.model.split_latents is not None
            explorer.state.latent = int(explorer.model.split_latents["latent"].iloc[0])
            shown.look()
        shown.send("original", "original")
    frames = [frame for html in shown.pages for frame in Reader(html).frames]
    remote = [frame for frame in frames if "src" in frame]
    imported = [frame for frame in frames if "data-document" in frame]
    assert remote
    assert imported
    assert all(frame["referrerpolicy"] == "no-referrer" and frame["title"] for frame in frames)
    # An imported page runs its scripts with an opaque origin, which differs from the explorer's.
    assert {frame["sandbox"] for frame in imported} == {"allow-scripts"}
    assert all((frame["data-document"] or "").endswith(EVIL) for frame in imported)
    assert all("allow-top-navigation" not in (frame["sandbox"] or "") for frame in remote)


def test_notices_quote_refused_values() -> None:
    html = render("notices", refused=[f"tau = {EVIL!r} is not a number"], error=EVIL)
    assert Reader(html).found == []
    assert EVIL in "".join(Reader(html).texts).replace("\\'", "'")
