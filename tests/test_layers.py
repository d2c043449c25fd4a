"""A patched figure equals the figure that HoloViews would draw, for every plot, after random changes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
import pytest
from bokeh.models import GlyphRenderer, HoverTool

from explorer.figures import FIGURES
from explorer.model import ExplorerModel, choices_of
from explorer.plots import layers
from explorer.state import ExplorerState
from explorer.views.concept_graph import ConceptGraphView
from explorer.views.pair import PairView
from queries import Store
from queries.schema import concept_id
from tests.questions import sae_id
from tests.tiny_suite import SAES, write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from explorer.plots.layers import Plot

#: By plot, its view and the arguments of its drawing.
VIEWS: dict[str, tuple[Any, tuple[str, ...]]] = {
    **{name: (each.view, each.panel) for name, each in FIGURES.items()},
    "split-absorb-graph": (ConceptGraphView, ()),
    "pair-rates": (PairView, ()),
}
#: Plots of one view share their code: each is changed less often, but all together at least as often.
NUM_CHANGES, NUM_OF_MANY = 8, 3
CHANGES: list[dict[str, Any]] = [
    *({"concept": concept_id(letter)} for letter in "stlxb"),
    *({"sae": sae_id(*sae)} for sae in SAES),
    *({"latent": latent} for latent in (65, 66, None)),
    *({"cosine_threshold": value} for value in (0.0, 0.2)),
    *({"tau": value} for value in (0.0, 0.1)),
    *({"cosine_range": value} for value in (None, (0.05, 0.4))),
    *({"brushed": value} for value in ([], [("tiny", sae_id(*SAES[0]))])),
    *({"main_latent_by": value} for value in ("k_sparse", "encoder")),
    *({"cell": value} for value in ("absorption_rate", "f1_gap")),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(write_tiny_suite(tmp_path_factory.mktemp("layers") / "tiny", saes=SAES)) as opened:
        yield opened


def named_only(plot: Any, _element: Any, *, name: str, glyph: Any = None) -> None:
    """Name the renderer and style its glyph, with HoloViews's data."""
    plot.handles["glyph" if glyph is None else "glyph_renderer"].name = name
    plot.handles["glyph"].update(**(glyph or {}))


def drawn_by_holoviews(plot: Plot, monkeypatch: pytest.MonkeyPatch) -> Any:
    with monkeypatch.context() as patched:
        patched.setattr(layers, "_name", named_only)
        return hv.render(plot.draw())


def visible_properties(figure: Any) -> dict[str, Any]:
    """Return the visible properties of a figure, except its data."""
    seen: dict[str, Any] = {name: getattr(figure, name) for name in ("name", "height", "min_border_left")}
    for name in ("x_range", "y_range"):
        axis = getattr(figure, name)
        seen[name] = [round(value, 9) for value in (axis.start, axis.end)]
    for axis in (*figure.xaxis, *figure.yaxis):
        seen[f"axis {axis.dimension}"] = (
            *(axis.axis_label, dict(axis.major_label_overrides), axis.major_label_orientation),
            *(type(axis.ticker), getattr(axis.ticker, "ticks", None), type(axis.formatter)),
        )
    for renderer in figure.renderers:
        if isinstance(renderer, GlyphRenderer):
            skipped = ("name", "tags", "id")
            look = renderer.glyph.properties_with_values(include_defaults=False)
            seen[renderer.name] = {
                name: re.sub(r"id='[^']*'", "", str(value)) for name, value in look.items() if name not in skipped
            }
        else:
            seen[renderer.name] = (renderer.location, renderer.line_color)
    return seen


def expect_same(patched: Any, drawn: Any) -> None:
    seen, expected = visible_properties(patched), visible_properties(drawn)
    for name, value in expected.items():
        np.testing.assert_equal(seen[name], value, err_msg=name)
    sources = {each.name: each.data_source.data for each in patched.renderers if isinstance(each, GlyphRenderer)}
    for renderer in drawn.renderers:
        if isinstance(renderer, GlyphRenderer):
            for name, column in renderer.data_source.data.items():
                found = sources[renderer.name].get(name)
                if found is not None or len(column):
                    np.testing.assert_equal(list(found), list(column), err_msg=f"{renderer.name}, {name}")


def expect_known_fields(figure: Any) -> None:
    """Check that tooltips name columns; HoloViews writes "@l0_label" as "@{l0}_label" beside a column "l0"."""
    for tool in figure.select(HoverTool):
        fields = re.findall(r"@\{?(\w+)\}?(\w*)", str(tool.tooltips))
        assert {rest for _, rest in fields} <= {""}, tool.tooltips
        for renderer in () if tool.renderers == "auto" else tool.renderers:
            assert {name for name, _ in fields} <= renderer.data_source.data.keys(), renderer.name


def drawing_of(view: Any, panel: tuple[str, ...]) -> Plot:
    plot: Plot = view.drawing(*panel)()
    return plot


@pytest.mark.parametrize("name", VIEWS)
def test_patched_figure_equals_a_newly_drawn_one(store: Store, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    kind, panel = VIEWS[name]
    model = ExplorerModel(store, ExplorerState(choices_of(store), letter="s"), kind)
    view = kind(model)
    plot = drawing_of(view, panel)
    figure = hv.render(plot.draw())
    expect_known_fields(figure)
    alike = [name for name, (view_of, _) in VIEWS.items() if view_of is kind]
    number = NUM_OF_MANY if len(alike) > NUM_OF_MANY else NUM_CHANGES
    # Each plot continues the walk where the former one ended.
    walk, num_patched = np.random.default_rng(0).permutation(np.array(CHANGES, dtype=object)), 0
    for change in np.roll(walk, -number * alike.index(name))[:number]:
        model.state.apply(change)
        former, plot = plot, drawing_of(view, panel)
        if plot.appearance == former.appearance:
            plot.patch(figure, former)
            num_patched += 1
        else:
            figure = hv.render(plot.draw())
        expect_same(figure, drawn_by_holoviews(plot, monkeypatch))
    assert num_patched > number // 2


@pytest.mark.parametrize("name", VIEWS)
def test_empty_plots_have_no_numeric_colour_columns(store: Store, name: str) -> None:
    """BokehJS rejects an empty column of numbers where colours are expected."""
    kind, panel = VIEWS[name]
    model = ExplorerModel(store, ExplorerState(choices_of(store), letter="s"), kind)
    model.param.update(**dict.fromkeys(kind.answers))
    figure: Any = hv.render(drawing_of(kind(model), panel).draw())
    for renderer in figure.select(GlyphRenderer):
        for column in renderer.data_source.data.values():
            assert len(column) or getattr(column, "dtype", None) in (None, object), renderer.name
