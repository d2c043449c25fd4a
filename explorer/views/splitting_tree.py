"""The tree that shows how a concept splits as SAEs become wider; a tap selects a latent."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import panel as pn

from explorer.format import number, visible
from explorer.model import records
from explorer.plots.splitting_tree import splitting_tree_plot
from explorer.plots.tree_layout import Tree, arrange_tree
from explorer.theme import theme
from explorer.views.live_plot import LivePlot
from explorer.views.markup import Markup, render
from explorer.views.plot_table import PlotTable, Table
from explorer.views.view import View

if TYPE_CHECKING:
    from explorer.model import ExplorerModel
    from explorer.plots.layers import Plot
    from explorer.saes import Sae


class SplittingTree(View):
    """Shows the main latent of the narrowest SAE of the layer and its kin on the wider ones.

    Parameters
    ----------
    model : ExplorerModel
    """

    answers = ("splitting_tree",)
    follows = ("suite", "sae", "concept", "latent", "tree_saes", "has_kin", "dark")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._arranged: tuple[Any, Any, Tree] | None = None
        self._head = Markup("section", on={"go": self._go})
        self._plot = LivePlot(self.drawing, height=self._tree.height, on_tap=self._tap)
        self._plot_table = PlotTable()
        self._layout = pn.Column(self._head, self._plot.pane, self._plot_table, sizing_mode="stretch_width")
        self._show()

    @property
    def _tree(self) -> Tree:
        """The latents with their positions, recomputed only for a new result."""
        rows, saes = self._model.splitting_tree, self._model.shown.tree_saes
        if self._arranged is None or self._arranged[0] is not rows or self._arranged[1] != saes:
            self._arranged = (rows, saes, arrange_tree(rows, saes_of(self._model)))
        return self._arranged[2]

    def drawing(self) -> partial[Plot]:
        """Return the call that draws the tree for the state shown."""
        shown = self._model.shown
        return partial(
            splitting_tree_plot,
            self._tree,
            selected=(shown.sae, shown.latent),
            chosen=shown.sae,
            theme=theme(dark=shown.dark, large=shown.present),
        )

    def _tap(self, x: float, y: float) -> None:
        found = self._tree.tapped(x, y)
        if found is not None and self._model.is_current:
            sae, latent = found
            self._model.state.apply({"sae": sae, "latent": latent, "page": "explore"})

    def _go(self, sae: str) -> None:
        self._model.state.apply({"sae": sae})

    def _show(self) -> None:
        tree = self._tree
        self._plot.update()
        self._plot.pane.visible = tree.has_kin
        self._plot.height = tree.height
        self._plot_table.put(tree_table(tree))
        self._head.html = tree_html(self._model, tree, opens=True)


_HEADS = ["SAE", "latent", "role", "kin of", "cosine", "overlap", "shared words", "of these, the strongest"]


def saes_of(model: ExplorerModel) -> list[Sae]:
    """Return the SAEs of the tree, from narrow to wide."""
    return [model.saes[model.shown.suite, sae] for sae in model.shown.tree_saes]


def tree_html(model: ExplorerModel, tree: Tree, *, opens: bool) -> str:
    """Render the description of the tree or the reason for its absence; `opens`: whether a tap opens a latent."""
    shown, saes = model.shown, saes_of(model)
    return render(
        "splitting_tree_head",
        label=shown.label,
        sae=shown.chosen_sae,
        has_kin=shown.has_kin,
        is_drawn=tree.has_kin,
        opens=opens,
        unanswered=model.unanswered("splitting_tree"),
        saes=saes,
        num_apart=int(((tree.nodes["level"] > 1) & tree.nodes["parent"].isna()).sum()),
        root=next(iter(tree.nodes["latent"]), None),
        levels=levels_of(tree.nodes, saes),
    )


def tree_table(tree: Tree) -> Table | None:
    """Return the table of the latents in the tree."""

    def rows() -> list[list[object]]:
        return [
            [
                *(row.on, int(row.latent), row.role_text),
                "–" if pd.isna(row.parent) else int(row.parent),
                *(number(row.cosine), number(row.overlap)),
                "–" if pd.isna(row.num_shared_words) else int(row.num_shared_words),
                ", ".join(map(visible, row.shared_words)) or "–",
            ]
            for row in tree.nodes.itertuples()
        ]

    return Table("splitting-tree", "Show as table", _HEADS, rows) if tree.has_kin else None


def levels_of(nodes: pd.DataFrame, saes: list[Sae]) -> list[dict[str, Any]]:
    """Return, for each wider SAE, the number of kin by role.

    Parameters
    ----------
    nodes : DataFrame
        `explorer.plots.tree_layout.Tree.nodes`.
    saes : list of Sae
        From narrow to wide.

    Returns
    -------
    list of dict
        sae; former (the next narrower SAE); has_kin (whether kin are stored for the two); kin (number of kin); split,
        absorbing and neither (numbers of kin by role); num_split and num_absorbing (totals of the SAE).
    """
    levels = []
    for place, (former, sae) in enumerate(itertools.pairwise(saes), start=2):
        there = nodes[nodes["level"] == place]
        kin = there[there["parent"].notna()]
        roles = kin["role"].value_counts()
        levels.append(
            {
                "sae": sae,
                "former": former,
                "has_kin": bool(there["has_kin"].any()) if len(there) else False,
                "kin": len(kin),
                **{role: int(roles.get(role, 0)) for role in ("split", "absorbing", "neither")},
                "num_split": int((there["role"] == "split").sum()),
                "num_absorbing": next(iter(records(there)), {}).get("num_absorbing"),
            }
        )
    return levels
