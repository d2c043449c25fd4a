"""The legend of a figure in a file. On a page, HTML beside the figure takes its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bokeh.models import Legend, LegendItem

from explorer.plots import absorption, sae_scores
from explorer.plots.heat_map import Step, cell_labels, steps_of
from explorer.plots.sae_style import distinguishing_attribute, styles_of
from explorer.plots.shares import PARTS, part_colours
from explorer.plots.sweeps import have_seeds
from explorer.saes import TITLES
from explorer.theme import tint

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from bokeh.plotting import figure as Figure  # noqa: N812 - a class with a small name

    from explorer.theme import Theme

_MARK = 8


class Key(NamedTuple):
    """One entry of a legend: its label, with a marker or, if that is None, a line of style `dash`."""

    label: str
    colour: str
    marker: str | None = None
    dash: str = "solid"


def legend_of(
    figure: str, rows: pd.DataFrame | None, *, cell: str, rate: str, by: str | None, theme: Theme
) -> list[Key]:
    """Return the legend of a figure.

    Parameters
    ----------
    figure : str
        Name of the figure; the names of small cosine plots begin with "cosine-".
    rows : DataFrame or None
        The query result that it draws (SAEs or cells), if the legend depends on it.
    cell : str
        What a cell of the heat map shows.
    rate : str
        Name of the metric's rate, for example "absorption rate".
    by : str or None
        Attribute by which SAEs of Atlas are coloured, None for the default one.
    theme : Theme

    Returns
    -------
    list of Key
    """
    if figure == "absorption-heatmap":
        return step_keys(steps_of(rows, cell, theme), cell_labels(rate)[cell])
    if figure in sae_scores.PANELS or figure in absorption.PANELS:
        own = by if figure in absorption.PANELS else None
        keys = [] if rows is None else sae_style_keys(rows, own or distinguishing_attribute(rows), theme)
        if figure in absorption.PANELS and have_seeds(rows):
            keys += seed_keys(theme)
        return keys
    explained = dict.fromkeys(("k-sparse", "suite-k-sparse"), k_sparse_keys(theme))
    explained["threshold-sensitivity"] = sensitivity_keys(theme)
    marks = cosine_keys(theme)
    explained |= dict.fromkeys(("token-shares", "concept-shares"), shares_keys(theme))
    explained["splitting-tree"] = [*marks[1:3], Key("neither", theme.muted, "circle")]
    return explained.get(figure) or (
        marks if figure == "cosine" else marks[1:3] if figure == "split-absorb-graph" else marks[:3]
    )


def cosine_keys(theme: Theme) -> list[Key]:
    """Explain the cosine plot."""
    return [
        Key("all latents", theme.other),
        Key("split latents", theme.split, "diamond"),
        Key("absorbing latents", theme.absorbing, "circle"),
        Key("cosine threshold", theme.muted, dash="dotted"),
    ]


def k_sparse_keys(theme: Theme) -> list[Key]:
    """Explain the plot of the k-sparse probes."""
    return [
        Key("split latents", theme.split, "square"),
        Key("further latents", theme.other, "square"),
        Key("linear probe", theme.probe, dash="dashed"),
    ]


def step_keys(steps: Sequence[Step], name: str) -> list[Key]:
    """Explain the colours of the heat map by their highest values."""
    return [
        Key(f"{name} {step.text}" if place == 0 else step.text, step.colour, "square")
        for place, step in enumerate(steps)
    ]


def sae_style_keys(saes: pd.DataFrame, by: str, theme: Theme) -> list[Key]:
    """Explain colours and markers of SAEs by the values of an attribute."""
    return [
        Key(
            f"{TITLES[by].lower()} {style.label}" if by != "architecture" else style.label,
            style.colour,
            style.marker,
        )
        for style in styles_of(saes[by], by, theme).values()
    ]


def seed_keys(theme: Theme) -> list[Key]:
    """Explain the lines and bands of SAEs with several seeds."""
    return [
        Key("mean over seeds", theme.muted),
        Key("lowest to highest seed", tint(theme.muted, theme, 0.3), "square"),
    ]


def sensitivity_keys(theme: Theme) -> list[Key]:
    """Explain the plot of the rate against a threshold."""
    return [
        Key("this SAE", theme.absorbing),
        Key("mean over SAEs", theme.muted),
        Key("the suite's own", theme.muted, dash="dashed"),
        Key("in force", theme.ink),
    ]


def shares_keys(theme: Theme) -> list[Key]:
    """Explain the plots of shares of a concept's projection."""
    return [Key(PARTS[name], colour, "square") for name, colour in part_colours(theme).items()]


def add_legend(figure: Figure, keys: Sequence[Key], theme: Theme) -> None:
    """Add a horizontal legend above a figure."""
    items = []
    for key in keys:
        # A mark at NaN is drawn in the legend only.
        nowhere = [float("nan")]
        drawn = (
            figure.scatter(nowhere, nowhere, marker=key.marker, size=_MARK, color=key.colour, line_color=None)
            if key.marker
            else figure.line(nowhere, nowhere, line_color=key.colour, line_dash=key.dash, line_width=1.5)
        )
        items.append(LegendItem(label=key.label, renderers=[drawn]))
    figure.add_layout(
        Legend(
            items=items,
            orientation="horizontal",
            border_line_color=None,
            background_fill_color=None,
            label_text_color=theme.muted,
            glyph_width=16,
            padding=0,
            margin=4,
            spacing=12,
        ),
        "above",
    )
