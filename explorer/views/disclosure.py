"""A collapsible part of the page, built when it is first opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panel as pn

from explorer.views.markup import Markup, render

if TYPE_CHECKING:
    from collections.abc import Callable


class Disclosure(pn.viewable.Viewer):
    """Content that is shown by clicking its title.

    Parameters
    ----------
    name, title : str
    build : callable
        Creates the content when it is first opened.
    is_open : bool
    on_toggle : callable
        Called with the name and whether it is open.
    """

    def __init__(
        self,
        name: str,
        title: str,
        build: Callable[[], pn.viewable.Viewable],
        *,
        is_open: bool,
        on_toggle: Callable[[str, bool], None],
    ) -> None:
        super().__init__()
        self._name, self._title, self._build, self._on_toggle = name, title, build, on_toggle
        self._head = Markup("disclosure", on={"toggle": self._toggle})
        self._body = pn.Column(sizing_mode="stretch_width", visible=False)
        self._layout = pn.Column(self._head, self._body, sizing_mode="stretch_width")
        self._set(is_open=is_open)

    def _set(self, *, is_open: bool) -> None:
        if is_open and not len(self._body):
            self._body[:] = [self._build()]
        self._body.visible = is_open
        self._head.html = render("disclosure", name=self._name, title=self._title, open=is_open)

    def _toggle(self, _: object) -> None:
        is_open = not self._body.visible
        self._set(is_open=is_open)
        self._on_toggle(self._name, is_open)

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout
