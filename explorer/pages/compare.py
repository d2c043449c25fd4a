"""Compare: many cosine plots of one layer or one SAE, or two SAEs letter by letter."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from explorer.views.arrange import Stack, Switch
from explorer.views.compare_head import CompareHead
from explorer.views.pair import PairView
from explorer.views.small_multiples import LayerMultiples, LetterMultiples

if TYPE_CHECKING:
    from collections.abc import Mapping

    from explorer.views.view import View


class Compared(Switch):
    """What is set side by side."""

    follows = ("compare_by",)
    options: ClassVar[Mapping[str, type[View]]] = {"l0": LayerMultiples, "letter": LetterMultiples, "pair": PairView}


class Compare(Stack):
    """The page."""

    parts = (CompareHead, Compared)
