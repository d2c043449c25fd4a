"""Notices: rejected values of a URL, and failed queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panel as pn

from explorer.views.markup import Markup, render

if TYPE_CHECKING:
    import param

    from explorer.model import ExplorerModel


class Notices(pn.viewable.Viewer):
    """Lists messages to the visitor until they are dismissed.

    Parameters
    ----------
    model : ExplorerModel
    """

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__()
        self._model = model
        self._refused: list[str] = []
        self._list = Markup("notices", on={"dismiss": self._dismiss, "retry": lambda _: model.retry()})
        model.param.watch(self._show, "error")
        self._show()

    def refuse(self, sentences: list[str]) -> None:
        """Show messages about rejected values of a URL."""
        self._refused = [
            f"From the link: {sentence}. It was ignored; the rest of the link was applied." for sentence in sentences
        ]
        self._show()

    def _dismiss(self, place: int) -> None:
        if 0 <= place < len(self._refused):
            del self._refused[place]
            self._show()
        else:
            self._model.error = ""

    def _show(self, *_: param.parameterized.Event) -> None:
        self._list.html = render("notices", refused=self._refused, error=self._model.error)

    def __panel__(self) -> pn.viewable.Viewable:
        return self._list
