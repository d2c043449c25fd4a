"""The plots of Explore, pure functions: their elements, values, colours and figures."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
import pandas as pd
import pytest
from bokeh.models import BoxSelectTool, HoverTool

from explorer.plots.absorption import absorption_plot
from explorer.plots.cosine import cosine_distribution, cosine_plot, nearest_latent, with_x
from explorer.plots.heat_map import colour_of, steps_of
from explorer.plots.k_sparse import SCORES, k_sparse_plot
from explorer.plots.legend import legend_of
from explorer.plots.sae_scores import PANELS, sae_scores_plot
from explorer.plots.sae_style import sae_keys, styles_of
from explorer.saes import Sae, labelled
from explorer.theme import DARK, LIGHT, Theme
from tests.questions import sae_id

if TYPE_CHECKING:
    from collections.abc import Callable

NUM_LATENTS = 65_536
SPLIT, ABSORBING = [40_000, 7], [123, 65_535, 7]


def _cosines() -> pd.DataFrame:
    """Cosines as returned by the store: narrow types, read-only arrays; one latent has no cosine."""
    cosine = np.random.default_rng(0).normal(0, 0.03, NUM_LATENTS).astype(np.float32)
    cosine[SPLIT] = 0.5, 0.31
    cosine[ABSORBING[:2]] = 0.12, 0.08
    cosine[500] = np.nan
    cosine.flags.writeable = False
    return pd.DataFrame({"latent": np.arange(NUM_LATENTS, dtype=np.int32), "cosine": cosine}, copy=False)


COSINES = _cosines()
K_VALUES = [*range(1, 16), 20, 50]
K_SPARSE = pd.DataFrame(
    {
        "k": K_VALUES,
        "latent": [100 + k for k in K_VALUES],
        "f1": [0.5 + 0.01 * place for place in range(17)],
        "precision": [0.6 + 0.01 * place for place in range(17)],
        "recall": [0.4 + 0.01 * place for place in range(17)],
        "auc": [0.9] * 17,
        "is_split": [k <= 2 for k in K_VALUES],
    }
)
SAE_SCORES = pd.DataFrame(
    [(0, 1000, 10, 0.9, 0.5), (0, 16000, 40, 0.8, 0.6), (3, 1000, 90, 0.7, 0.7), (3, 65000, 160, 0.6, 0.8)],
    columns=["layer", "width", "l0", "precision", "recall"],
).assign(suite="tiny", hook="resid_post", architecture="JumpReLU", seed=None, num_concepts=6)
SAE_SCORES["sae"] = [sae_id(row.layer, row.width, row.l0) for row in SAE_SCORES.itertuples()]
CURRENT = ("tiny", sae_id(0, 16000, 40))


def saes_of(frame: pd.DataFrame) -> dict[tuple[str, str], Sae]:
    """The SAEs of a frame's rows, by suite and id."""
    named = [Sae(row.sae, layer=row.layer, width=row.width, l0=row.l0) for row in frame.itertuples()]
    return dict(zip(sae_keys(frame), labelled(named), strict=True))


SAES = saes_of(SAE_SCORES)


OPTIONS: dict[str, Any] = {"split": SPLIT, "absorbing": ABSORBING, "selected": 123, "threshold": 0.025}


def _cosine(cosines: pd.DataFrame | None, theme: Theme = LIGHT, **options: Any) -> hv.Overlay:
    return cosine_plot(cosines, **OPTIONS | {"theme": theme} | options).draw()


def _distribution(cosines: pd.DataFrame | None, theme: Theme = LIGHT, **options: Any) -> hv.Overlay:
    return cosine_distribution(cosines, **OPTIONS | {"theme": theme} | options).draw()


def _k_sparse(frame: pd.DataFrame | None, theme: Theme = LIGHT, **options: Any) -> hv.Overlay:
    values: dict[str, Any] = {"score": "f1", "probe": 0.95, "selected": 102, "theme": theme}
    return k_sparse_plot(frame, **values | options).draw()


def _panel(name: str) -> Callable[..., hv.Overlay]:
    return lambda frame, theme=LIGHT: sae_scores_plot(frame, name, saes=SAES, current=CURRENT, theme=theme).draw()


#: By plot: how it is drawn from a frame, that frame, the name of its figure, and the types of its elements.
PLOTS: dict[str, tuple[Callable[..., hv.Overlay], pd.DataFrame, str, str]] = {
    "index": (_cosine, COSINES, "cosine", "Curve HLine Rectangles Points Points Points"),
    "rank": (
        lambda frame, theme=LIGHT: _cosine(frame, theme, view="rank"),
        COSINES,
        "cosine",
        "Curve HLine Rectangles Points Points Points",
    ),
    "distribution": (_distribution, COSINES, "cosine", "Rectangles VLine Rectangles Points Points Points"),
    "k-sparse": (_k_sparse, K_SPARSE, "k-sparse", "Rectangles Rectangles HLine"),
    **{name: (_panel(name), SAE_SCORES, name, "Points Points") for name in PANELS},
}


def _structure(overlay: hv.Overlay) -> list[tuple[str, list[str], list[str]]]:
    return [
        (type(element).__name__, [dim.name for dim in element.kdims], [dim.name for dim in element.vdims])
        for element in overlay
    ]


def _colours(figure: Any) -> set[str]:
    """Return the colours of all glyphs and their data."""
    glyphs = [renderer.glyph for renderer in figure.renderers if hasattr(renderer, "glyph")]
    names = ("fill_color", "line_color")
    plain = [getattr(glyph, name, None) for glyph in glyphs for name in names]
    data = [renderer.data_source.data for renderer in figure.renderers if hasattr(renderer, "data_source")]
    listed = [colour for columns in data for colour in columns.get("colour", columns.get("color", ()))]
    return {colour for colour in [*plain, *listed] if isinstance(colour, str)}


# --- All plots -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plot", PLOTS)
def test_empty_frames_produce_the_same_elements(plot: str) -> None:
    draw, frame, name, elements = PLOTS[plot]
    full = draw(frame)
    assert " ".join(type(element).__name__ for element in full) == elements
    for empty in (None, frame.iloc[:0]):
        overlay = draw(empty)
        assert _structure(overlay) == _structure(full)
        assert all(len(element) == 0 for element in overlay if not isinstance(element, hv.HLine | hv.VLine))
        assert hv.render(overlay).name == name


@pytest.mark.parametrize("plot", PLOTS)
def test_figure_has_its_name_and_theme(plot: str) -> None:
    draw, frame, name, _ = PLOTS[plot]
    drawn = {}
    for theme in (LIGHT, DARK):
        figure = hv.render(draw(frame, theme))
        assert figure.name == name
        assert figure.background_fill_color is figure.border_fill_color is None, "the page shows through"
        assert {axis.major_label_text_color for axis in figure.axis} <= {theme.muted, theme.ink}
        assert {axis.axis_line_color for axis in figure.axis} == {theme.rule}
        assert figure.toolbar.logo is None
        drawn[theme.name] = _colours(figure)
    # No colour of one theme is used in the other, except shared ones.
    both = set(vars(LIGHT).values()) & {colour for colour in vars(DARK).values() if isinstance(colour, str)}
    assert drawn["light"] & drawn["dark"] <= both
    assert {LIGHT.ink, LIGHT.paper} & drawn["light"]


@pytest.mark.parametrize("plot", PLOTS)
def test_tooltips_use_existing_columns(plot: str) -> None:
    draw, frame, *_ = PLOTS[plot]
    tools = list(hv.render(draw(frame)).select(HoverTool))
    assert tools
    for tool in tools:
        named = set(re.findall(r"@{?(\w+)", tool.tooltips))
        assert named
        for renderer in tool.renderers:
            assert named <= set(renderer.data_source.data)


@pytest.mark.parametrize("plot", PLOTS)
def test_axes_are_bounded_by_their_full_range(plot: str) -> None:
    draw, frame, *_ = PLOTS[plot]
    for data in (frame, None):
        figure = hv.render(draw(data))
        for axis in (figure.x_range, figure.y_range):
            assert axis.bounds == (axis.start, axis.end)
        # The session determines what a selection contains.
        assert all(tool.renderers == [] for tool in figure.select(BoxSelectTool))


def test_figure_names_are_unique() -> None:
    assert {name for *_, name, _ in PLOTS.values()} == {"cosine", "k-sparse", *PANELS}
    assert set(PANELS) == {"precision-vs-l0", "recall-vs-l0", "precision-vs-recall"}


@pytest.mark.parametrize("plot", PLOTS)
def test_drawing_does_not_change_the_shared_frame(plot: str) -> None:
    draw, frame, *_ = PLOTS[plot]
    before = frame.copy(deep=True)
    hv.render(draw(frame))
    pd.testing.assert_frame_equal(frame, before)


# --- Cosines -------------------------------------------------------------------------------------------------------


def test_line_is_reduced_and_keeps_its_peaks() -> None:
    spikes = np.arange(1000, NUM_LATENTS, 3001)
    spiked = COSINES["cosine"].to_numpy().copy()
    spiked[spikes] = np.where(np.arange(len(spikes)) % 2, -0.2, 0.25)
    line = next(iter(_cosine(COSINES.assign(cosine=spiked)))).dframe()
    assert len(line) <= 2100
    assert set(spikes) <= set(line["latent"])
    np.testing.assert_array_equal(line["cosine"], spiked[line["latent"]])
    assert line["x"].is_monotonic_increasing
    assert line["x"].iloc[[0, -1]].tolist() == [0, NUM_LATENTS - 1]


@pytest.mark.parametrize("view", ["index", "rank"])
def test_zooming_in_shows_every_latent(view: str) -> None:
    line = next(iter(_cosine(COSINES, view=view, x_range=(2000, 3000)))).dframe()
    seen = line.query("2000 <= x < 3000")
    expected = with_x(COSINES, view).query("2000 <= x < 3000")
    assert seen["x"].tolist() == expected["x"].tolist()
    assert seen["latent"].tolist() == expected["latent"].tolist()


@pytest.mark.parametrize("view", ["index", "rank"])
def test_marks_are_at_exact_values(view: str) -> None:
    overlay = _cosine(COSINES, view=view, split=[*SPLIT, 500, 99_999], selected=65_535)
    split, absorbing, ring = (element.dframe() for element in list(overlay)[3:])
    placed = with_x(COSINES, view).set_index("latent")
    # A latent that is both is drawn as split only; one without a cosine, or unknown, is not drawn.
    for marks, latents in ((split, SPLIT), (absorbing, ABSORBING[:2]), (ring, [65_535])):
        assert sorted(marks["latent"]) == sorted(latents)
        for mark in marks.itertuples():
            assert (mark.x, mark.cosine) == (placed.loc[mark.latent, "x"], COSINES["cosine"].iloc[mark.latent])
    if view == "index":
        assert split["x"].tolist() == split["latent"].tolist()
    figure = hv.render(overlay)
    assert [type(axis).__name__ for axis in figure.xaxis] == ["LinearAxis" if view == "index" else "LogAxis"]
    drawn = [r for r in figure.renderers if hasattr(r, "glyph") and type(r.glyph).__name__ == "Scatter"]
    assert [renderer.glyph.marker for renderer in drawn] == ["diamond", "circle", "circle"]
    assert [renderer.glyph.fill_color for renderer in drawn] == [LIGHT.split, LIGHT.absorbing, None]
    assert len({renderer.glyph.size for renderer in drawn}) == 3, "not told by colour alone"


@pytest.mark.parametrize("draw", [_cosine, _distribution])
def test_tooltips_name_the_role_of_each_mark(draw: Callable[..., hv.Overlay]) -> None:
    """HoloViews uses one hover tool for elements with the same text, which only works for the first one."""
    figure = hv.render(draw(COSINES))
    hovered = {
        renderer.glyph.marker: tool.tooltips
        for tool in figure.select(HoverTool)
        for renderer in tool.renderers
        if hasattr(renderer.glyph, "marker")
    }
    assert set(hovered) == {"diamond", "circle"}
    assert "split latent" in hovered["diamond"]
    assert "absorbing latent" in hovered["circle"]


def test_rank_view_is_sorted() -> None:
    ranked = with_x(COSINES, "rank")
    assert ranked["x"].tolist() == list(range(1, NUM_LATENTS + 1))
    assert ranked["latent"].iloc[:2].tolist() == SPLIT
    assert all(high >= low for high, low in pairwise(ranked["cosine"].iloc[:-1]))
    assert ranked["latent"].iloc[-1] == 500, "a latent without a cosine comes last"


@pytest.mark.parametrize("draw", [_cosine, _distribution])
def test_axis_shows_at_least_the_common_range_and_all_data(draw: Callable[..., hv.Overlay]) -> None:
    def shown(cosines: pd.DataFrame | None) -> tuple[float, float]:
        figure = hv.render(draw(cosines))
        axis = figure.y_range if draw is _cosine else figure.x_range
        return (axis.start, axis.end)

    assert shown(COSINES) == shown(None) == shown(COSINES.assign(cosine=np.nan)) == (-0.3, 0.7)
    wide = COSINES["cosine"].to_numpy().copy()
    wide[[3, 4]] = -0.45, 0.92
    low, high = shown(COSINES.assign(cosine=wide))
    assert -0.6 < low < -0.45
    assert 0.92 < high <= 1


def test_threshold_is_a_line() -> None:
    assert [element.data for element in _cosine(COSINES, threshold=0.1) if isinstance(element, hv.HLine)] == [0.1]
    assert [element.data for element in _distribution(COSINES, threshold=0.1) if isinstance(element, hv.VLine)] == [0.1]


def test_selected_range_is_a_band() -> None:
    for draw, edges in ((_cosine, ("bottom", "top")), (_distribution, ("left", "right"))):
        for brushed in ((0.1, 0.2), None):
            overlay = draw(COSINES, brushed=brushed)
            band = [each for each in overlay if isinstance(each, hv.Rectangles)][-1].dframe()
            assert band[list(edges)].to_numpy().tolist() == ([list(brushed)] if brushed else [])
            if brushed:
                across = [name for name in ("left", "right", "bottom", "top") if name not in edges]
                axis = overlay.opts.get("plot").kwargs["xlim" if across[0] == "left" else "ylim"]
                assert tuple(band.loc[0, across]) == axis


def test_distribution_counts_every_latent() -> None:
    bars, _, split, absorbing, ring = (
        element.dframe() for element in _distribution(COSINES) if not isinstance(element, hv.VLine)
    )
    assert bars["top"].sum() == NUM_LATENTS - 1
    assert (bars["top"] > 0).all(), "a logarithmic axis has no place for 0"
    highest = bars.loc[bars["left"].idxmax()]
    assert highest["left"] <= 0.5 <= highest["right"]
    assert highest["top"] == 1
    assert split.sort_values("latent")["cosine"].tolist() == COSINES["cosine"].iloc[sorted(SPLIT)].tolist()
    assert sorted(absorbing["latent"]) == ABSORBING[:2]
    assert ring["latent"].tolist() == [123]
    figure = hv.render(_distribution(COSINES))
    assert type(figure.yaxis[0]).__name__ == "LogAxis"
    assert figure.y_range.end > bars["top"].max()


def _nearest(x: float, y: float, marked: list[int], cosines: pd.DataFrame = COSINES) -> int | None:
    return nearest_latent(with_x(cosines, "index"), x, y, marked=marked, x_span=NUM_LATENTS, y_span=1.0)


def test_tap_finds_the_nearest_mark_or_latent() -> None:
    marked = [*SPLIT, *ABSORBING]
    assert _nearest(40_000, 0.5, marked) == 40_000
    # A fingertip beside the mark: 200 latents and 0.02 away.
    assert _nearest(40_200, 0.52, marked) == 40_000
    # Among many latents, exactly the tapped one.
    crowded = int(COSINES["cosine"].iloc[20_000:20_100].idxmax())
    assert _nearest(crowded, float(COSINES["cosine"].iloc[crowded]), marked) == crowded
    # A mark within reach takes precedence over closer latents, and the closer of two marks over the other.
    crowd = COSINES.assign(cosine=np.float32(0.1))
    assert _nearest(300, 0.1, [], crowd) == 300
    assert _nearest(300, 0.1, [123, 900], crowd) == 123
    assert _nearest(800, 0.1, [123, 900], crowd) == 900
    assert _nearest(5000, 0.1, [123, 900], crowd) == 5000
    assert _nearest(30_000, 0.6, marked) is None
    assert _nearest(-20_000, 0.0, marked) is None


def test_tap_ignores_latents_without_a_cosine() -> None:
    assert _nearest(501, float(COSINES["cosine"].iloc[501]), []) == 501
    assert _nearest(40_000, 0.5, [500, 40_000]) == 40_000
    assert _nearest(500, 0.6, [500]) is None
    assert _nearest(0, 0, [], COSINES.assign(cosine=np.nan)) is None


def test_tap_on_an_empty_plot_finds_nothing() -> None:
    assert _nearest(0, 0, [], COSINES.iloc[:0]) is None
    data = with_x(COSINES.iloc[:1], "index")
    assert nearest_latent(data, 0, 0, marked=[], x_span=0, y_span=1) is None


# --- k-sparse probes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", SCORES)
def test_bars_show_the_score_of_each_k(score: str) -> None:
    bars, ring, line = _k_sparse(K_SPARSE, score=score)
    frame = bars.dframe()
    assert frame["top"].tolist() == K_SPARSE[score].tolist()
    assert (frame["bottom"] == 0).all()
    # Bar number n stands at n, so that a tap can be rounded.
    assert ((frame["left"] + frame["right"]) / 2).tolist() == pytest.approx(range(1, 18))
    assert frame["k"].tolist() == K_VALUES
    assert ring.dframe()["latent"].tolist() == [102]
    assert line.data == 0.95
    figure = hv.render(_k_sparse(K_SPARSE, score=score))
    assert (figure.y_range.start, figure.y_range.end) == (0, 1)
    assert figure.yaxis[0].axis_label == f"{SCORES[score]} on the test split"
    assert (figure.x_range.start, figure.x_range.end) == (0.3, 17.7)


def test_split_bars_are_coloured_and_named_on_the_axis() -> None:
    for theme in (LIGHT, DARK):
        overlay = _k_sparse(K_SPARSE, theme)
        colours = next(iter(overlay)).dframe()["colour"].tolist()
        assert colours == [theme.split] * 2 + [theme.other] * 15
        axis = hv.render(overlay).xaxis[0]
        labels = {place: axis.major_label_overrides[place] for place in axis.ticker.ticks}
        expected = ["1\n101", "2\n\n102", *map(str, K_VALUES[2:])]
        assert labels == dict(enumerate(expected, start=1))


def test_bars_are_drawn_without_latents_or_probe() -> None:
    """Some suites rank no latents; NULL comes as NaN."""
    overlay = _k_sparse(K_SPARSE.assign(latent=np.nan, auc=np.nan), score="auc", probe=None)
    bars, ring, line = overlay
    assert len(bars) == 17
    assert len(ring) == 0
    assert math.isnan(line.data)
    axis = hv.render(overlay).xaxis[0]
    assert [axis.major_label_overrides[place] for place in (1, 2, 3)] == ["1", "2", "3"]
    assert len(list(_k_sparse(K_SPARSE, selected=None))[1]) == 0


# --- Scores over all SAEs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("panel", PANELS)
def test_panel_draws_every_sae_at_its_scores(panel: str) -> None:
    overlay = _panel(panel)(SAE_SCORES)
    points, ring = (element.dframe() for element in overlay)
    across, up = PANELS[panel]
    assert [dim.name for dim in next(iter(overlay)).kdims] == [across, up]
    assert panel == f"{up}-vs-{across}"
    for column in ("suite", "sae", "l0", "precision", "recall"):
        assert points[column].tolist() == SAE_SCORES[column].tolist()
    assert points["name"].tolist() == [
        "layer 0, 1k latents, L0 10",
        "layer 0, 16k latents, L0 40",
        "layer 3, 1k latents, L0 90",
        "layer 3, 65k latents, L0 160",
    ]
    assert ring[["suite", "sae"]].to_numpy().tolist() == [list(CURRENT)]
    figure = hv.render(overlay)
    assert figure.y_range.start <= 0
    assert figure.y_range.end >= 1
    low, high = (figure.x_range.start, figure.x_range.end)
    assert low <= points[across].min() < points[across].max() < high or (across == "recall" and (low, high) == (0, 1))


def test_width_is_shown_by_colour_and_marker() -> None:
    for panel in PANELS:
        points = next(iter(_panel(panel)(SAE_SCORES))).dframe()
        styles = styles_of([1000, 16000, 65000], "width", LIGHT)
        assert points["colour"].tolist() == [styles[width].colour for width in SAE_SCORES["width"]]
        assert points["marker"].tolist() == [styles[width].marker for width in SAE_SCORES["width"]]
        assert points["colour"].nunique() == points["marker"].nunique() == 3


def test_any_number_of_widths_has_colours() -> None:
    for number in range(1, 7):
        widths = [1000 * 2**place for place in range(number)]
        styles = styles_of(reversed(widths), "width", DARK)
        assert list(styles) == widths
        assert len({style.colour for style in styles.values()}) == min(number, len(DARK.widths))


def _means_with_seeds() -> pd.DataFrame:
    """Rows of SAEs for Atlas: a sweep with three seeds per L0, one with several at the first L0, one without."""
    seeds = {"Gated": (3, 3, 3), "JumpReLU": (2, 1, 1), "TopK": (1, 1, 1)}
    random = np.random.default_rng(0)
    means = pd.DataFrame(
        [
            {"architecture": architecture, "nominal": l0, "seed": seed}
            for architecture, numbers in seeds.items()
            for l0, number in zip((7, 20, 40), numbers, strict=True)
            for seed in range(number)
        ]
    )
    first = [f"{row.architecture}-{row.nominal}" for row in means.itertuples()]
    means["sae"] = [one if seed == 0 else f"{one}-s{seed}" for one, seed in zip(first, means["seed"], strict=True)]
    means["repeat_of"] = [None if seed == 0 else one for one, seed in zip(first, means["seed"], strict=True)]
    means["l0"] = means["nominal"] + random.uniform(-1, 1, len(means))
    for name in ("absorption_rate", "num_split_latents", "variance_explained"):
        means[name] = random.uniform(0.1, 0.9, len(means))
    return means.assign(
        suite="tiny", layer=8, hook="resid_post", width=2000, absorption_sd=0.01, loss_recovered=0.9, dead_fraction=0.01
    )


def _absorption(means: pd.DataFrame, panel: str, brushed: list[tuple[str, str]] | None = None) -> Any:
    plot: Any = absorption_plot(
        means,
        panel,
        saes=saes_of(means),
        by="architecture",
        noun="letter",
        rate="absorption rate",
        brushed=brushed or [],
        current=None,
        theme=LIGHT,
    )
    return {layer.name: layer.data for layer in plot.layers}, hv.render(plot.draw())


@pytest.mark.parametrize("panel", ["absorption-vs-l0", "absorption-vs-variance-explained", "splits-vs-l0"])
def test_lines_connect_means_of_seeds_and_bands_show_their_range(panel: str) -> None:
    means = _means_with_seeds()
    x = "l0" if panel.endswith("l0") else "variance_explained"
    y = "absorption_rate" if panel.startswith("absorption") else "num_split_latents"
    layers, figure = _absorption(means, panel)
    by_hand = means.groupby(["architecture", "nominal"]).agg(
        x=(x, "mean"), y=(y, "mean"), low=(y, "min"), high=(y, "max")
    )
    by_hand = by_hand.reset_index("nominal", drop=True)
    starts = pd.concat([by_hand.loc[name].iloc[:-1] for name in ("Gated", "JumpReLU", "TopK")])
    ends = pd.concat([by_hand.loc[name].iloc[1:] for name in ("Gated", "JumpReLU", "TopK")])
    np.testing.assert_allclose(layers["sweeps"][["x", "y"]].astype(float), starts[["x", "y"]])
    np.testing.assert_allclose(layers["sweeps"][["x1", "y1"]].astype(float), ends[["x", "y"]])
    band, (xs,), (ys,) = by_hand.loc["Gated"], layers["bands"]["xs"], layers["bands"]["ys"]
    np.testing.assert_allclose(xs[:6], [*band["x"], *band["x"][::-1]])
    np.testing.assert_allclose(ys[:6], [*band["low"], *band["high"][::-1]])
    # Without seeds at both neighbours, there is no band between them.
    alone = by_hand.loc["JumpReLU"].iloc[0]
    np.testing.assert_allclose(
        layers["bars"][["x", "y", "x1", "y1"]].astype(float), [alone[["x", "low", "x", "high"]].astype(float)]
    )
    assert layers["SAEs"]["sae"].tolist() == means["sae"].tolist()
    assert figure.y_range.end > means[y].max()
    seed_values = layers["SAEs"].set_index("sae")["seeds"]
    assert seed_values["TopK-7"] == "–"
    assert seed_values["Gated-20"] == seed_values["Gated-20-s2"]
    assert [len(seed_values[name].split(", ")) for name in ("Gated-7", "JumpReLU-7")] == [3, 2]


def test_bands_end_at_unknown_or_unselected_seeds() -> None:
    means = _means_with_seeds()
    means.loc[means["sae"] == "Gated-40-s1", "absorption_rate"] = None
    layers, _ = _absorption(means, "absorption-vs-l0")
    (xs,) = layers["bands"]["xs"]
    assert xs.max() == pytest.approx(means.loc[means["sae"].str.startswith("Gated-20"), "l0"].mean())
    assert layers["SAEs"].set_index("sae")["seeds"]["Gated-40"].split(", ")[1] == "–"
    brushed = [("tiny", f"Gated-{l0}") for l0 in (7, 20)]
    layers, _ = _absorption(_means_with_seeds(), "absorption-vs-l0", brushed)
    shown, faded = layers["bands"]["shown"]
    assert shown > 5 * faded


def test_legend_explains_seeds_only_if_there_are_several() -> None:
    means = _means_with_seeds()
    options: dict[str, Any] = {"cell": "", "rate": "", "by": None, "theme": LIGHT}
    saes = ["Gated", "JumpReLU", "TopK"]
    for rows, labels in ((means, ["mean over seeds", "lowest to highest seed"]), (means[means["seed"] == 0], [])):
        assert [key.label for key in legend_of("absorption-vs-l0", rows, **options)] == saes + labels
    assert [key.label for key in legend_of("precision-vs-l0", means, **options)] == saes


def test_layer_axis_has_integer_ticks() -> None:
    layers, figure = _absorption(_means_with_seeds(), "absorption-vs-layer")
    # SAEs of a sweep share one position on the axis.
    assert [len(layers["sweeps"]), len(layers["bands"]["xs"]), len(layers["bars"])] == [0, 0, 4]
    ticker = figure.xaxis[0].ticker
    assert ticker.min_interval == 1
    assert figure.x_range.start < 8 - 0.25 < 8 + 0.25 < figure.x_range.end


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.005, 0.05, 1.0], ["up to 4.0%", "16.0%", "36.0%", "64.0%", "100.0%"]),
        ([0.0, 0.0124, np.nan], ["up to 0.1%", "0.2%", "0.5%", "0.8%", "1.2%"]),
        ([0.0, 0.0], []),
        ([np.nan], []),
    ],
)
def test_small_rates_have_distinct_colours_beside_large_ones(values: list[float], texts: list[str]) -> None:
    steps = steps_of(pd.DataFrame({"absorption_rate": values}), "absorption_rate", LIGHT)
    assert [step.text for step in steps] == texts
    colours = colour_of(pd.Series(values), steps, LIGHT)
    for value, colour in zip(values, colours, strict=True):
        if value > 0:
            (place,) = (place for place, step in enumerate(steps) if step.colour == colour)
            assert value <= steps[place].upper
            assert place == 0 or value > steps[place - 1].upper
        else:
            assert colour == (LIGHT.paper if value == 0 else "rgba(0, 0, 0, 0)")
    known = [colour for value, colour in zip(values, colours, strict=True) if value > 0]
    assert len(set(known)) == len(known)


def test_each_count_has_its_colour_while_there_are_enough() -> None:
    counts = pd.DataFrame({"num_split_latents": [1.0, 2.0, 3.0]})
    steps = steps_of(counts, "num_split_latents", DARK)
    assert [(step.upper, step.text) for step in steps] == [(1, "1"), (2, "2"), (3, "3")]
    assert [step.colour for step in steps] == list(DARK.rates[-3:])
