"""Compare: cosine plots of several SAEs or several concepts, or two SAEs concept by concept."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from explorer.saes import ATTRIBUTES
from explorer.views.arrange import Stack, Switch
from explorer.views.compare_head import CompareHead
from explorer.views.pair import PairView
from explorer.views.small_multiples import ConceptMultiples, SaeMultiples

if TYPE_CHECKING:
    from collections.abc import Mapping

    from explorer.views.view import View


class Compared(Switch):
    """What is set side by side."""

    follows = ("compare_by",)
    options: ClassVar[Mapping[str, type[View]]] = {
        **dict.fromkeys(ATTRIBUTES, SaeMultiples),
        "concept": ConceptMultiples,
        "pair": PairView,
    }


class Compare(Stack):
    """The page."""

    parts = (CompareHead, Compared)
