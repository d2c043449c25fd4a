"""The page Compare: cosine plots of several SAEs or concepts, two SAEs by concept, or how a concept splits."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from explorer.saes import ATTRIBUTES
from explorer.views.arrange import Stack, Switch
from explorer.views.compare_head import CompareHead
from explorer.views.pair import PairView
from explorer.views.small_multiples import ConceptMultiples, SaeMultiples
from explorer.views.splitting_tree import SplittingTree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from explorer.views.view import View


class Comparison(Switch):
    """The current comparison."""

    follows = ("comparison",)
    options: ClassVar[Mapping[str, type[View]]] = {
        **dict.fromkeys(ATTRIBUTES, SaeMultiples),
        "concept": ConceptMultiples,
        "pair": PairView,
        "splitting": SplittingTree,
    }


class Compare(Stack):
    """The page."""

    parts = (CompareHead, Comparison)
