"""The legend of a figure that stands by itself, in a file; on a page, HTML beside the figure says it."""

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
    """One entry: what it is called, and the marker, or the dash of the line, that stands for it."""

    label: str
    colour: str
    marker: str | None = None
    dash: str = "solid"


def legend_of(
    figure: str, rows: pd.DataFrame | None, *, cell: str, rate: str, by: str | None, theme: Theme
) -> list[Key]:
    """Say what explains a figure.

    Parameters
    ----------
    figure : str
        Its name on the page; small cosine plots are called "cosine-" and their cell.
    rows : DataFrame or None
        The answer that it draws: the SAEs or cells, where the legend depends on them.
    cell : str
        What a cell of the heat map shows.
    rate : str
        What the metric gives, as in absorption rate.
    by : str or None
        Attribute by which the SAEs of Atlas are told apart, None for the one that is chosen by itself.
    theme : Theme
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
    """Explain the colours of the heat map: up to which value each goes."""
    return [
        Key(f"{name} {step.said}" if place == 0 else step.said, step.colour, "square")
        for place, step in enumerate(steps)
    ]


def sae_style_keys(saes: pd.DataFrame, by: str, theme: Theme) -> list[Key]:
    """Explain how SAEs are drawn by their values of an attribute."""
    return [
        Key(
            f"{TITLES[by].lower()} {style.label}" if by != "architecture" else style.label,
            style.colour,
            style.marker,
        )
        for style in styles_of(saes[by], by, theme).values()
    ]


def seed_keys(theme: Theme) -> list[Key]:
    """Explain what stands for several seeds of an SAE."""
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
    """Explain the plots of who carries a concept."""
    return [Key(PARTS[name], colour, "square") for name, colour in part_colours(theme).items()]


def add_legend(figure: Figure, keys: Sequence[Key], theme: Theme) -> None:
    """Write a row of keys above a figure."""
    items = []
    for key in keys:
        # A mark without a place is drawn in the legend only.
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
