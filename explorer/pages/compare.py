"""Compare: many cosine plots of one layer or one SAE, or two SAEs letter by letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panel as pn

from explorer.pages.switch import Switch
from explorer.views.compare_head import CompareHead
from explorer.views.pair import PairView
from explorer.views.small_multiples import layer_multiples, letter_multiples

if TYPE_CHECKING:
    from explorer.model import ExplorerModel


def compare_page(model: ExplorerModel) -> pn.viewable.Viewable:
    """Arrange the page."""
    return pn.Column(
        CompareHead(model),
        Switch(
            model,
            "compare_by",
            {
                "l0": lambda: layer_multiples(model).__panel__(),
                "letter": lambda: letter_multiples(model).__panel__(),
                "pair": lambda: PairView(model).__panel__(),
            },
        ),
        sizing_mode="stretch_width",
    )
