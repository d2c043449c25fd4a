"""Views that consist of other views: stacked, or one of several at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import panel as pn

from explorer.views.act import one_act
from explorer.views.view import View
from explorer.views.visibility import HIDDEN, VISIBLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from explorer.model import ExplorerModel
    from explorer.state import Snapshot


#: Number of parts of a page that are built before the browser paints it: its head and its first plot.
_AT_ONCE = 2
#: Name of the placeholder for the remaining parts.
STILL_TO_COME = "still to come"


class Stack(View):
    """Stacks its parts; when a page is opened, the first two are built at once, the others after these are painted.

    Parameters
    ----------
    model : ExplorerModel
    """

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._layout: pn.Column = pn.Column(*map(self._make, self.parts[:_AT_ONCE]), sizing_mode="stretch_width")
        if len(self.parts) > _AT_ONCE:
            self._layout.append(pn.Spacer(name=STILL_TO_COME))
            pn.state.onload(self._build_rest)

    def _build_rest(self) -> None:
        with one_act():
            rest = map(self._make, self.parts[_AT_ONCE:])
            self._layout.objects = [*self._layout.objects[:_AT_ONCE], *rest]


class Switch(View):
    """Shows the view that an attribute of the state selects, once its results are available.

    Each view is built when it is first shown, and kept while another one is visible.

    Parameters
    ----------
    model : ExplorerModel
    """

    #: Classes of views, by value of the attribute that selects one.
    options: ClassVar[Mapping[str, type[View]]]

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._built: dict[type[View], pn.Column] = {}
        self._layout: pn.Column = pn.Column(sizing_mode="stretch_width")
        self._show()

    @classmethod
    def on_show(cls, at: Snapshot) -> Iterator[type[View]]:
        """List the visible views in a state: itself, and the selected one."""
        yield from super().on_show(at)
        yield from cls.options[cls._chosen(at)].on_show(at)

    @classmethod
    def _chosen(cls, at: Snapshot) -> str:
        (attribute,) = cls.follows
        return str(getattr(at, attribute))

    def _show(self) -> None:
        chosen = self.options[self._chosen(self._model.shown)]
        if chosen not in self._built:
            self._built[chosen] = pn.Column(self._make(chosen), sizing_mode="stretch_width")
            self._layout.append(self._built[chosen])
        for view, content in self._built.items():
            content.styles = VISIBLE if view is chosen else HIDDEN
