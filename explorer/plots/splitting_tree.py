"""How the main latent of a concept splits with the width of SAEs: its kin on the next wider SAE, and their kin."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from explorer.format import shortened, visible
from explorer.plots.layers import Plot
from explorer.plots.node_link import curves, fit_columns, labels, pieces, points
from explorer.plots.tree_layout import HEAD, Tree
from explorer.theme import MONO, Theme, tint, tooltip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bokeh.models import Plot as Figure

#: Pixels for the texts to the left and right of the columns.
BESIDE = (40, 156)
_TITLE, _SUBTITLE = HEAD - 0.4, HEAD - 0.85
#: Width of an edge at cosine 1, and minimum width, pixels.
_WIDEST, _THINNEST = 12.0, 1.0
_PIECES = 24
_LONGEST, _WORD = 21, 9  # characters of the words beside a latent, and of the one below it
_TOOLTIP_COLUMNS = ("latent", "on", "role_text", "parent_text", "words")
_TOOLTIPS = tooltip(
    ("latent", "@latent"), ("on", "@on"), ("role", "@role_text"), ("", "@parent_text"), ("shared words", "@words")
)


def splitting_tree_plot(
    tree: Tree, *, selected: tuple[str | None, int | None], chosen: str | None, theme: Theme
) -> Plot:
    """Draw the tree.

    Parameters
    ----------
    tree : Tree
    selected : tuple of str or None, and int or None
        SAE and latent drawn with a ring.
    chosen : str or None
        Id of the SAE whose title is bold.
    theme : Theme

    Returns
    -------
    Plot
        Layers: edges, neither, absorbing, split, selected, targets (for hovering), and texts: latents, last latents,
        words, chosen title, titles, subtitles.
    """
    nodes = tree.nodes
    colours = {"split": theme.split, "absorbing": theme.absorbing, "neither": theme.muted}
    is_last = nodes["x"] == 1
    is_selected = (nodes["sae"] == selected[0]) & (nodes["latent"] == selected[1])
    edges = tree.edges.assign(
        colour=[tint(colours[role], theme, 0.5) for role in tree.edges["role"]],
        width=(_WIDEST * tree.edges["cosine"]).clip(_THINNEST),
        alpha=1.0,
    )
    # A horizontal edge is one piece, because overlapping pieces would draw its antialiased borders twice.
    is_level = edges["y"] == edges["y1"]
    cut = pd.concat([pieces(edges[is_level], 1), pieces(edges[~is_level], _PIECES)])
    on_paper: dict[str, Any] = {"background_fill_color": theme.paper, "background_fill_alpha": 0.8}
    titles = [(x, _TITLE, width) for x, width, _, sae in tree.columns if sae != chosen]
    title = [(x, _TITLE, width) for x, width, _, sae in tree.columns if sae == chosen]

    def of_role(role: str, **look: Any) -> Any:
        return points(role, nodes[nodes["role"] == role], line_color=theme.paper, color=colours[role], **look)

    return Plot(
        "splitting-tree",
        theme,
        [
            curves(cut.sort_values("cosine", kind="stable")),
            of_role("neither", marker="circle", size=8),
            of_role("absorbing", marker="circle", size=11),
            of_role("split", marker="diamond", size=15),
            points("selected", nodes[is_selected], size=22, fill_color=None, line_color=theme.ink, line_width=2),
            points(
                *("targets", nodes, _TOOLTIP_COLUMNS),
                size=30,
                alpha=0,
                tools=["hover"],
                hover_tooltips=_TOOLTIPS,
                hooks=[_one_at_a_time],
            ),
            labels(
                *("latents", _latent_labels(nodes[~is_last], with_word=True), (0, 13)),
                **{"text_color": theme.ink, "text_baseline": "top", **on_paper},
            ),
            labels(
                "last latents",
                _latent_labels(nodes[is_last], with_word=False),
                (12, -8),
                text_color=theme.ink,
                text_align="left",
            ),
            labels(
                *("words", _word_labels(nodes[is_last]), (12, 8), MONO),
                text_color=theme.muted,
                text_align="left",
                text_font_size="11px",
            ),
            labels("chosen title", title, (0, 0), text_color=theme.ink, text_font_style="bold"),
            labels("titles", titles, (0, 0), text_color=theme.ink),
            labels(
                *("subtitles", [(x, _SUBTITLE, l0) for x, _, l0, _ in tree.columns], (0, 0)),
                text_color=theme.muted,
                text_font_size="11px",
            ),
        ],
        None,
        None,
        {"xaxis": None, "yaxis": None, "xlim": (-0.2, 1.7)},  # as on a phone
        [partial(_fit, tree=tree)],
    )


def _latent_labels(nodes: pd.DataFrame, *, with_word: bool) -> Iterator[tuple[float, float, str]]:
    """List position and text of each latent: its number and, if `with_word`, the first word shared with the parent."""
    for node in nodes.itertuples():
        words = [shortened(visible(word), _WORD) for word in node.shared_words[:1]] if with_word else []
        yield node.x, node.y, " ".join([str(int(node.latent)), *words])


def _word_labels(nodes: pd.DataFrame) -> Iterator[tuple[float, float, str]]:
    """List position and text of the words that latents share with their parents, up to `_LONGEST` characters."""
    for node in nodes.itertuples():
        yield node.x, node.y, shortened(" ".join(map(visible, node.shared_words)), _LONGEST)


def _one_at_a_time(plot: Any, _element: Any) -> None:
    """Show one tooltip only, even if several latents are under the pointer: a HoloViews hook."""
    plot.handles["hover"].limit = 1


def _fit(figure: Figure, tree: Tree) -> None:
    fit_columns(figure, height=tree.height, y=(tree.lowest, HEAD), beside=BESIDE)
