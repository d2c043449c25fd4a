"""Pages, which arrange views and contain no logic."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from explorer.pages.compare import Compare
from explorer.pages.evidence import Evidence
from explorer.pages.explore import Explore
from explorer.pages.learn import Learn
from explorer.views.arrange import Switch
from explorer.views.atlas import Atlas
from explorer.views.token import TokenView

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from explorer.model import ExplorerModel
    from explorer.views.view import View


class Pages(Switch):
    """The pages, one of which is visible.

    Parameters
    ----------
    model : ExplorerModel
    remember : callable
        Takes a name and a value to store for later visits.
    """

    follows = ("page",)
    options: ClassVar[Mapping[str, type[View]]] = {
        "explore": Explore,
        "compare": Compare,
        "atlas": Atlas,
        "evidence": Evidence,
        "token": TokenView,
        "learn": Learn,
    }

    def __init__(self, model: ExplorerModel, remember: Callable[[str, str], None]) -> None:
        self._remember = remember
        super().__init__(model)

    def _make(self, part: type[View]) -> View:
        return Explore(self._model, self._remember) if part is Explore else super()._make(part)
