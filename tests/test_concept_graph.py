"""The graph of a concept: positions of nodes, labels of edges, drawing, clicks, and its description in words."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
import pandas as pd
import pytest
from bokeh.models import HoverTool, Segment
from playwright.sync_api import expect

from explorer.model import ExplorerModel, choices_of
from explorer.plots.concept_graph import concept_graph
from explorer.plots.graph_edges import graph_edges
from explorer.plots.graph_layout import ABSORBING, MOST_LATENTS, MOST_TOKENS, SILENT, SPLIT, TOKEN, Graph, arrange
from explorer.state import ExplorerState
from explorer.theme import DARK, LIGHT, Theme, tint
from explorer.views.concept_graph import ConceptGraphView
from queries import Store
from queries.schema import concept_id
from tests.browser import point, scroll_to_figure, tap, wait_figure, wait_for, wait_model
from tests.explore import View, cell, graph_head, open_view, part, wait_card_seen, wait_query
from tests.hostile_suite import HOSTILE, write_hostile_suite
from tests.tiny_suite import write_tiny_suite
from tests.unmeasured import list_letters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import panel as pn

    from explorer.views.markup import Markup
    from tests.browser import PageOpener, Server

NAME = "split-absorb-graph"
SPLITS = pd.DataFrame({"latent": [7, 40], "k": [1, 2], "f1": [0.5, 0.75], "f1_gain": [np.nan, 0.25]})


def _absorbing(*counts: int, effect: float | None = -2.0) -> pd.DataFrame:
    """Return absorbing latents from 100 on with these numbers of tokens and decreasing effects."""
    effects = [[np.nan if effect is None else effect / (nth + 1) for nth in range(number)] for number in counts]
    return pd.DataFrame(
        {
            "latent": range(100, 100 + len(counts)),
            "num_tokens": counts,
            "mean_effect": [float(np.mean(each)) for each in effects],
            "tokens": [[f" s{place}-{nth}" for nth in range(number)] for place, number in enumerate(counts)],
            "effects": effects,
        }
    )


TAKEN = _absorbing(4, 2, 1)


def _draw(graph: Graph, theme: Theme = LIGHT, **options: Any) -> hv.Overlay:
    return concept_graph(graph, **{"label": "S", "edges": "count", "selected": None, "theme": theme} | options).draw()


# --- Places --------------------------------------------------------------------------------------------------------


def test_small_concepts_are_drawn_completely() -> None:
    graph = arrange(SPLITS, TAKEN)
    assert graph.split["f1"].tolist() == [0.5, 0.25], "what each brings"
    assert graph.absorbing["num_tokens"].tolist() == [4, 2, 1]
    assert graph.tokens["name"].tolist() == ["␣s0-0", "␣s0-1", "␣s0-2", "␣s0-3", "␣s1-0", "␣s1-1", "␣s2-0"]
    assert (graph.num_tokens, graph.latents) == (7, {7, 40, 100, 101, 102})
    # A latent is centred on its tokens, and the whole graph is centred.
    middles = graph.tokens.groupby("latent")["y"].mean()
    assert graph.absorbing["y"].tolist() == pytest.approx(middles.tolist())
    assert graph.split["y"].mean() == pytest.approx(graph.middle)
    assert (graph.tokens["y"].min() + graph.tokens["y"].max()) / 2 == pytest.approx(graph.middle)


@pytest.mark.parametrize("counts", [(200,), (1,) * 70, (15, 11, *range(9, 0, -1), *(1,) * 60), (39,), (41,), (3,) * 14])
def test_large_concepts_are_truncated_with_a_note(counts: tuple[int, ...]) -> None:
    graph = arrange(SPLITS, _absorbing(*counts))
    kept = counts[:MOST_LATENTS]
    assert graph.absorbing["num_tokens"].tolist() == list(kept)
    assert len(graph.tokens) == min(sum(kept), MOST_TOKENS), "no row is wasted"
    # Each latent shows its strongest token, and its last row represents all omitted ones.
    for latent, tokens in graph.tokens.groupby("latent"):
        assert tokens["num_tokens"].sum() == counts[latent - 100]
        assert tokens["name"].iloc[0] == f"␣s{latent - 100}-0"
        left = tokens["num_tokens"].iloc[-1]
        assert left == 1 or tokens["name"].iloc[-1] == f"+ {left} more"
    assert graph.num_tokens == (graph.tokens["num_tokens"] == 1).sum()
    # Labels do not overlap, and the height is limited.
    for nodes in (graph.split, graph.absorbing, graph.tokens):
        assert all(upper - lower >= 0.999 for upper, lower in pairwise(nodes["y"]))
        assert nodes["y"].between(-graph.rows, 0).all()
    assert 100 < graph.height < 950


def test_tap_selects_the_latent_of_the_nearest_node() -> None:
    graph = arrange(SPLITS, TAKEN)
    for nodes, x in ((graph.split, SPLIT), (graph.absorbing, ABSORBING), (graph.tokens, TOKEN), (graph.tokens, 1.3)):
        for latent, y in zip(nodes["latent"], nodes["y"], strict=True):
            assert graph.tapped(x, y) == latent
            assert graph.tapped(x + 0.02, y + 0.4) == latent
    assert graph.tapped(SILENT, graph.middle) is None
    assert graph.tapped(0, graph.middle) is None
    assert graph.tapped(SPLIT, 1) is None
    assert graph.tapped(TOKEN, -graph.rows - 2) is None
    assert arrange(None, None).tapped(SPLIT, 0) is None


# --- Edges ---------------------------------------------------------------------------------------------------------


def _of(edges: pd.DataFrame, start: float, end: float) -> pd.DataFrame:
    return edges[(edges["x"] == start) & (edges["x1"] == end)]


@pytest.mark.parametrize("shown", ["count", "effect"])
def test_edge_widths_are_proportional(shown: str) -> None:
    graph = arrange(SPLITS, _absorbing(30, 20, 10))
    edges = graph_edges(graph, "S", shown)
    for joined, nodes in (
        (_of(edges, 0, SPLIT), graph.split),
        (_of(edges, SILENT, ABSORBING), graph.absorbing),
        (_of(edges, ABSORBING, TOKEN), graph.tokens),
    ):
        assert joined["y1"].tolist() == nodes["y"].tolist()
        amounts = nodes["f1"] if "f1" in nodes else nodes["num_tokens"] if shown == "count" else nodes["effect"].abs()
        ratios = joined["width"].to_numpy() / amounts.to_numpy()
        np.testing.assert_allclose(ratios, ratios[0])
        assert joined["width"].max() <= 14


def test_edge_widths_of_tokens_add_up() -> None:
    graph = arrange(SPLITS, _absorbing(30, 20, 10))
    edges = graph_edges(graph, "S", "count")
    taken, shared = _of(edges, SILENT, ABSORBING), _of(edges, ABSORBING, TOKEN)
    assert shared.groupby("latent")["width"].sum().tolist() == pytest.approx(taken["width"].tolist())
    # At their common node, edges are adjacent: each begins where the one above it ends.
    for arms in (taken, *(arms for _, arms in shared.groupby("latent"))):
        edge = arms["width"] / 2 / 18
        np.testing.assert_allclose((arms["y"] - edge)[:-1], (arms["y"] + edge)[1:])
    assert taken["y"].mean() == pytest.approx(graph.middle, abs=0.2)


def test_edges_name_their_ends() -> None:
    edges = graph_edges(arrange(SPLITS, _absorbing(3, 1)), "S", "count")
    found = edges[["role", "latent", "start", "end", "text"]].to_numpy().tolist()
    quiet = "fires on none of the tokens to the right"
    first, second = "absorbing latent 100", "absorbing latent 101"
    assert found == [
        ["split", 7, "S", "split latent 7", "F1 0.500"],
        ["split", 40, "S", "split latent 40", "F1 +0.250"],
        ["silent", 7, "split latent 7", "silence", quiet],
        ["silent", 40, "split latent 40", "silence", quiet],
        ["absorbing", 100, "silence", first, "3 tokens, mean effect −1.22"],
        ["absorbing", 100, first, "␣s0-0", "1 token, effect −2.00"],
        ["absorbing", 100, first, "␣s0-1", "1 token, effect −1.00"],
        ["absorbing", 100, first, "␣s0-2", "1 token, effect −0.67"],
        ["absorbing", 101, "silence", second, "1 token, effect −2.00"],
        ["absorbing", 101, second, "␣s1-0", "1 token, effect −2.00"],
    ]


def test_unknown_values_are_not_drawn() -> None:
    graph = arrange(None, _absorbing(2, 1, effect=None))
    for shown in ("count", "effect"):
        edges = graph_edges(graph, "S", shown)
        assert edges["start"].iloc[0] == "S"
        assert edges["text"].tolist()[:3] == ["no split latent is known", "2 tokens", "1 token"]
    assert (edges.query("role == 'absorbing'")["width"] == 0).all()
    split = graph_edges(arrange(SPLITS.assign(f1=np.nan, f1_gain=np.nan), None), "S", "count")
    assert split[["text", "width"]].to_numpy().tolist() == [["F1 –", 0.0]] * 2, "nothing is absorbed, so nothing silent"


# --- Drawing -------------------------------------------------------------------------------------------------------


def _drawn(overlay: hv.Overlay) -> pd.DataFrame:
    """Return the visible segments of edges."""
    return list(overlay)[1].dframe().query("alpha > 0").reset_index(drop=True)


def test_empty_frames_produce_the_same_elements() -> None:
    full = _draw(arrange(SPLITS, TAKEN))
    kinds = "Contours Segments Segments Rectangles Points Points Points Labels Labels Labels Labels Labels Labels"
    assert " ".join(type(element).__name__ for element in full) == kinds
    for graph in (arrange(None, None), arrange(SPLITS.iloc[:0], TAKEN.iloc[:0])):
        overlay = _draw(graph, selected=7)
        assert [(type(each), each.kdims, each.vdims) for each in overlay] == [
            (type(each), each.kdims, each.vdims) for each in full
        ]
        assert all(len(each) == 0 for each in overlay)
        assert hv.render(overlay).name == NAME


def test_figure_has_its_name_theme_and_height() -> None:
    graph = arrange(SPLITS, TAKEN)
    colours = {}
    for theme in (LIGHT, DARK):
        figure = hv.render(_draw(graph, theme, selected=100))
        assert (figure.name, figure.height) == (NAME, graph.height)
        assert (figure.y_range.start, figure.y_range.end) == (pytest.approx(-graph.rows - 0.4), 1.6)
        split, absorbing, ring = (each.glyph for each in figure.renderers if type(each.glyph).__name__ == "Scatter")
        assert (split.marker, split.fill_color) == ("diamond", theme.split)
        assert (absorbing.marker, absorbing.fill_color) == ("circle", theme.absorbing)
        assert (ring.fill_color, ring.line_color) == (None, theme.ink)
        colours[theme.name] = set(_drawn(_draw(graph, theme))["colour"])
        assert {type(tool) for tool in figure.toolbar.tools} == {HoverTool}
    assert not colours["light"] & colours["dark"]


def test_label_fits_beside_the_first_column() -> None:
    figure = hv.render(_draw(arrange(SPLITS, TAKEN)))
    figure.trigger("inner_width", 0, 600)
    start, end = figure.x_range.start, figure.x_range.end
    # Four characters of 12 pixels, bold ones at their widest, and the 8 to the column.
    assert 600 * -start / (end - start) >= 4 * 12 + 8


def test_tooltips_use_existing_columns() -> None:
    figure = hv.render(_draw(arrange(SPLITS, TAKEN)))
    tokens, edges = sorted(figure.select(HoverTool), key=lambda tool: "start" in tool.tooltips)
    for tool in (edges, tokens):
        named = set(re.findall(r"@{?(\w+)", tool.tooltips))
        (renderer,) = tool.renderers
        assert named <= set(renderer.data_source.data)
    # One tooltip for overlapping edges; the visible segments have none, the wider targets below them do.
    assert edges.limit == 1
    (renderer,) = edges.renderers
    assert isinstance(renderer.glyph, Segment)
    pieces = pd.DataFrame({name: list(renderer.data_source.data[name]) for name in ("text", "alpha", "width")})
    assert ((pieces["text"] == "") == (pieces["alpha"] == 1)).all()
    assert pieces["alpha"].is_monotonic_increasing
    assert pieces.query("alpha == 0")["width"].min() >= 8


@pytest.mark.parametrize("edges", ["count", "effect"])
def test_edges_are_drawn_with_their_width(edges: str) -> None:
    graph = arrange(SPLITS, _absorbing(30, 20, 10))
    wanted = graph_edges(graph, "S", edges).query("role != 'silent'")["width"].clip(1)
    assert sorted(_drawn(_draw(graph, edges=edges))["width"].unique()) == pytest.approx(sorted(wanted.unique()))


def test_selected_latent_is_ringed_and_the_others_fade() -> None:
    graph = arrange(SPLITS, TAKEN)
    plain = {tint(LIGHT.split, LIGHT, 0.5), tint(LIGHT.absorbing, LIGHT, 0.5)}
    assert set(_drawn(_draw(graph))["colour"]) == plain
    # Nothing fades for a latent that is not drawn.
    assert set(_drawn(_draw(graph, selected=5))["colour"]) == plain
    for selected, colour, x, y in ((101, LIGHT.absorbing, ABSORBING, 1), (40, LIGHT.split, SPLIT, 1)):
        overlay = _draw(graph, selected=selected)
        nodes = graph.absorbing if x == ABSORBING else graph.split
        assert list(overlay)[6].dframe()[["x", "y"]].to_numpy().tolist() == [[x, nodes["y"].iloc[y]]]
        pieces = _drawn(overlay)
        strong = pieces[pieces["colour"] == tint(colour, LIGHT, 0.9)]
        assert set(pieces["colour"]) - set(strong["colour"]) <= {
            tint(LIGHT.split, LIGHT, 0.15),
            tint(LIGHT.absorbing, LIGHT, 0.15),
        }
        assert len(strong) == len(pieces) * (3 if x == ABSORBING else 1) / 12
        assert strong.index.min() > pieces.index[pieces["colour"] != strong["colour"].iloc[0]].max(), "drawn on top"


def test_texts_are_written_beside_their_nodes() -> None:
    long = _absorbing(1).assign(tokens=[[" s<b>\n" + "x" * 60]])
    label, split, absorbing, tokens, others, titles = (
        element.dframe()["label"].tolist() for element in list(_draw(arrange(SPLITS, long)))[7:]
    )
    assert (label, split, absorbing) == (["S"], ["7", "40"], ["100"])
    assert tokens == ["␣s<b>⏎xxxxxxxxx…"]
    assert (others, titles) == (["tokens"], ["split", "silent", "absorbing"])
    figure = hv.render(_draw(arrange(SPLITS, long)))
    (targets,) = (each for each in figure.renderers if type(each.glyph).__name__ == "Quad")
    assert list(targets.data_source.data["name"]) == ["␣s<b>⏎" + "x" * 60], "the whole of it on hovering"


# --- The view ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("graph")
    full = list_letters(write_tiny_suite(folder / "tiny", saes=[(0, 1000, 10)]), "x")
    bare = write_tiny_suite(folder / "bare", name="bare", saes=[(0, 1000, 10)], without=("k_sparse", "tested_tokens"))
    with Store(full, bare) as store:
        yield store


def _parts(view: ConceptGraphView) -> tuple[Markup, pn.Column, Markup]:
    """Return the heading, the placeholder of the plot, and the table."""
    layout: Any = view.__panel__()
    head, plot, twin = layout
    return head, plot, twin


def _shown(view: ConceptGraphView) -> tuple[str, list[list[str]], bool]:
    """Return the text of the heading, the rows of the table, and whether there is a plot."""
    head, plot, twin = _parts(view)
    twin._handle_msg({"action": "unfold", "value": None})
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(<td>.*?)</tr>", twin.html)]
    return (
        " ".join(re.sub(r'<span class="definition".*?</span>|<[^>]+>', " ", head.html).split()),
        rows,
        plot.styles["visibility"] != "hidden",
    )


def test_heading_and_table_describe_the_concept(tiny: Store) -> None:
    model = ExplorerModel(tiny, ExplorerState(choices_of(tiny), letter="s"), ConceptGraphView)
    head, rows, is_drawn = _shown(ConceptGraphView(model))
    assert is_drawn
    assert head == (
        "How S splits and what absorbs it tokens effect Export Cite Left edges: the wider, the more F1 a split latent"
        " adds. Dotted: no split latent fires on the tokens to the right. Right edges: the wider, the more tokens are"
        " absorbed."
    )
    assert model.split_latents is not None
    assert model.absorbing_latents is not None
    main, other = model.split_latents["latent"]
    # Tokens 0, 1, 6 and 7 are absorbed, by two latents in turn, 0 and 6 more strongly by 1/8 a row (tests/tiny_sae.py).
    strong, exact = (f"absorbing latent {latent}" for latent in model.absorbing_latents["latent"])
    f1, gain = model.split_latents["f1"].iloc[0], model.split_latents["f1_gain"].iloc[1]
    assert rows == [
        ["S", f"split latent {main}", f"{f1:.3f}", "–", "–"],
        ["S", f"split latent {other}", f"{gain:.3f}", "–", "–"],
        [f"silence of {main}, {other}", strong, "–", "2", "−2.88"],
        [strong, "␣s😀", "–", "1", "−3.25"],
        [strong, "s&#34;quoted&#34;", "–", "1", "−2.50"],
        [f"silence of {main}, {other}", exact, "–", "2", "−1.50"],
        [exact, "␣s&#39;apostrophe", "–", "1", "−1.50"],
        [exact, "s%;--$", "–", "1", "−1.50"],
    ]


def test_plot_is_built_once_visible_and_not_empty(tiny: Store) -> None:
    model = ExplorerModel(tiny, ExplorerState(choices_of(tiny), letter="b"), ConceptGraphView)
    view = ConceptGraphView(model)
    head, plot, _ = _parts(view)
    model.state.concept = concept_id("s")
    assert len(plot) == 0
    assert int(plot.styles["min-height"].removesuffix("px")) > 100, "the place is kept"
    model.state.concept = concept_id("b")
    head._handle_msg({"action": "seen", "value": True})
    assert len(plot) == 0
    model.state.concept = concept_id("s")
    (built,) = plot
    model.state.concept = concept_id("l")
    assert plot[0] is built
    assert built.height == arrange(model.split_latents, model.absorbing_latents).height


def test_plot_is_redrawn_only_while_in_view(tiny: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, int | None]] = []

    def draw(graph: Any, *, label: str, selected: int | None, **options: Any) -> hv.Overlay:
        drawn.append((label, selected))
        return concept_graph(graph, label=label, selected=selected, **options)

    monkeypatch.setattr("explorer.views.concept_graph.concept_graph", draw)
    model = ExplorerModel(tiny, ExplorerState(choices_of(tiny), letter="s"), ConceptGraphView)
    view = ConceptGraphView(model)
    head, *_ = _parts(view)
    view.__panel__().get_root()
    head._handle_msg({"action": "seen", "value": True})
    assert drawn == [("S", None)]
    model.state.concept = concept_id("l")
    assert drawn[-1] == ("L", None)
    head._handle_msg({"action": "seen", "value": False})
    so_far = len(drawn)
    model.state.apply({"concept": concept_id("s")})
    model.state.latent = 3
    assert len(drawn) == so_far
    head._handle_msg({"action": "seen", "value": True})
    assert drawn[so_far:] == [("S", 3)]
    head._handle_msg({"action": "seen", "value": True})
    assert len(drawn) == so_far + 1


def test_empty_graph_is_explained(tiny: Store) -> None:
    model = ExplorerModel(tiny, ExplorerState(choices_of(tiny), letter="b"), ConceptGraphView)
    view = ConceptGraphView(model)
    title = "How {} splits and what absorbs it"
    assert model.split_latents is not None
    only = model.split_latents["latent"].iloc[0]
    head, rows, is_drawn = _shown(view)
    assert head == (
        f"{title.format('B')} Latent {only} is the only split latent. 4 words leave the split latent silent, but no"
        " other latent absorbs."
    )
    assert (rows, is_drawn) == ([], False)
    model.state.concept = concept_id("x")
    assert _shown(view) == (f"{title.format('X')} It was not measured on this SAE.", [], False)
    # Split latents are drawn.
    model.state.concept = concept_id("q")
    head, rows, is_drawn = _shown(view)
    assert head == (
        f"{title.format('Q')} Export Cite Left edges: the wider, the more F1 a split latent adds. No word that"
        " only the probe finds leaves all split latents silent, so there was nothing to test."
    )
    assert (len(rows), is_drawn) == (2, True)
    # At a tau that no latent reaches, it is unknown whether all tested tokens are silent.
    model.state.apply({"concept": concept_id("s"), "effect_margin": 50.0, "tau": 1.0})
    assert _shown(view)[0].endswith("is the only split latent. 12 words were tested, and none is absorbed.")
    model.state.apply({"suite": "bare", "concept": concept_id("s")})
    assert _shown(view)[0] == (
        f"{title.format('S')} Export Cite The suite stores no verdicts here, so absorption is unknown here."
    )


def test_heading_follows_switch_and_selection(tiny: Store) -> None:
    model = ExplorerModel(tiny, ExplorerState(choices_of(tiny), letter="s"), ConceptGraphView)
    view = ConceptGraphView(model)
    head, *_ = _parts(view)
    head._handle_msg({"action": "graph_edges", "value": "effect"})
    assert model.state.graph_edges == "effect"
    assert "the stronger the effect (of a latent: the mean over its tokens)" in head.html
    assert "graph_edges=effect" in model.state.to_query()
    assert "Show the card" not in head.html
    assert model.absorbing_latents is not None
    model.state.latent = int(model.absorbing_latents["latent"].iloc[0])
    assert f"Show the card of {model.state.latent}" in head.html
    model.state.latent = 0
    assert "Show the card" not in head.html


# --- In the browser ------------------------------------------------------------------------------------------------


def _graph_of(view: View, **thresholds: float) -> Graph:
    return arrange(view.ask("split_latents"), view.ask("absorbing_latents", **thresholds))


@pytest.mark.browser
@pytest.mark.parametrize("width", [1440, 390])
def test_taps_select_latents(open_page: PageOpener, home: View, width: int) -> None:
    view = home.but(letter="s", width=8192, l0=7)
    page = open_view(open_page, view, width=width)
    figure = scroll_to_figure(graph_head(page), NAME)
    graph = _graph_of(view)
    # Labels have the same width in pixels on every screen.
    right = "({inner_width, x_range: {start, end}}, x) => Math.abs(inner_width * (end - x) / (end - start) - 132) < 1"
    wait_model(page, NAME, right, TOKEN)
    assert figure.y_range == pytest.approx((-graph.rows - 0.4, 1.6))
    for nodes, x, nth in ((graph.absorbing, ABSORBING, 1), (graph.split, SPLIT, 0), (graph.tokens, TOKEN + 0.05, -1)):
        latent = str(nodes["latent"].iloc[nth])
        tap(page, NAME, x, float(nodes["y"].iloc[nth]))
        wait_query(page, {"latent": latent})
        expect(graph_head(page)).to_contain_text(f"Show the card of {latent}")
        expect(part(page, "card").locator("h2 .term").first).to_have_text(f"Latent {latent}")
        wait_card_seen(page)


@pytest.mark.browser
def test_edge_widths_are_switched_and_the_height_follows_the_concept(open_page: PageOpener, home: View) -> None:
    view = home.but(letter="s", width=8192, l0=7)
    page = open_view(open_page, view, height=2400)  # in view from the first
    wait_figure(page, NAME)
    widest = """([name, widest]) => {
      const model = Bokeh.documents.map((doc) => doc.get_model_by_name(name)).find((found) => found);
      const {data} = model.renderers.find(({glyph}) => glyph.type === "Segment").data_source;
      const widths = [...data.width].filter((_, place) => data.alpha[place] > 0);
      return Math.abs(Math.max(...widths) - widest) < 0.01;
    }"""
    for edges, radio in (("effect", "effect"), ("count", "tokens")):
        graph_head(page).get_by_role("radio", name=radio).click()
        wait_query(page, {"graph_edges": None if edges == "count" else edges})
        wait_for(page, widest, [NAME, float(graph_edges(_graph_of(view), "S", edges)["width"].max())])
    cell(page, "t").click()
    other = _graph_of(view.but(letter="t"))
    expect(graph_head(page).locator("h2 .term")).to_have_text("How T splits and what absorbs it")
    wait_for(
        page,
        "([name, height]) => Bokeh.documents[0].get_model_by_name(name)?.inner_height === height",
        [NAME, other.height],
    )


@pytest.mark.browser
def test_tooltips_name_both_ends_and_escape_tokens(
    open_page: PageOpener, serve: Callable[..., Server], tmp_path: Path
) -> None:
    folder = write_hostile_suite(tmp_path / "hostile")
    page = open_view(open_page, f"{serve(folder).url}/dashboard?letter=s&effect_margin=0.25")
    scroll_to_figure(graph_head(page), NAME)
    with Store(folder) as store:
        graph = _graph_of(View(store, suite="tiny", layer=0, width=1000, l0=10, letter="s"), effect_margin=0.25)
    token = next(row for row in graph.tokens.itertuples() if row.token == HOSTILE["s,comma"])
    page.mouse.move(*point(page, NAME, TOKEN + 0.03, token.y))
    tooltip = page.locator(".bk-Tooltip").filter(has_text="absorbed by")
    expect(tooltip).to_contain_text(token.name)
    expect(tooltip).to_contain_text(str(token.latent))
    expect(page.locator("ax-evil")).to_have_count(0)
    node = graph.absorbing.iloc[0]
    page.mouse.move(*point(page, NAME, ABSORBING, float(node["y"])))
    tooltip = page.locator(".bk-Tooltip").filter(has_text="silence")
    expect(tooltip).to_have_count(1)
    expect(tooltip).to_contain_text(f"absorbing latent {node['latent']:.0f}")


def test_graph_is_drawn_once_per_concept(tiny: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def noted(graph: Any, **how: Any) -> Any:
        drawn.append(how["label"])
        return concept_graph(graph, **how)

    monkeypatch.setattr("explorer.views.concept_graph.concept_graph", noted)
    model = ExplorerModel(tiny, ExplorerState(choices_of(tiny), letter="s"), ConceptGraphView)
    view = ConceptGraphView(model)
    head, _, _ = _parts(view)
    head._handle_msg({"action": "seen", "value": True})
    view.__panel__().get_root()
    drawn.clear()
    model.state.concept = concept_id("t")
    assert drawn == ["T"]
    model.state.dark = True
    assert drawn == ["T", "T"]
