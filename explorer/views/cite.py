"""The dialog of all buttons "Cite": how to cite a view, and how to embed it elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

import panel as pn
from markupsafe import Markup as Safe

from explorer.cite import CitedSuite, cite
from explorer.embed import EMBEDS, subject_of
from explorer.embed_address import embed_query
from explorer.views.markup import Markup, render

#: The HTML that embeds a view in a page; inserted values are escaped.
_FRAME = Safe('<iframe src="{}" title="{}" width="100%" height="520" style="border: 0"></iframe>')

if TYPE_CHECKING:
    import param

    from explorer.embed import Embed
    from explorer.model import ExplorerModel


class Cite(pn.viewable.Viewer):
    """The dialog, one per session.

    Parameters
    ----------
    model : ExplorerModel
    has_address : bool
        Whether the view has an address, as on a page; a notebook's cell has none.
    """

    def __init__(self, model: ExplorerModel, *, has_address: bool) -> None:
        super().__init__()
        self._model, self._has_address = model, has_address
        self._dialog = Markup("cite", on={"show": self._show, "close": self._close})

    def _show(self, wanted: dict[str, str]) -> None:
        """Show the citation of the view that a button names; `page` is the address of the page."""
        name = wanted.get("view", "")
        embed = EMBEDS.get(name)
        if embed is None:
            return
        state, page = self._model.state, wanted.get("page", "") if self._has_address else ""
        query = state.to_query()
        frame = _FRAME.format(f"{page}?{query}&{embed_query(name)}", embed.title) if page else ""
        cited = cite(
            f"{embed.title}: {self._place(embed)}",
            cited_suite(self._model),
            program=version("absorption-explorer"),
            on=datetime.now(UTC).date(),
            address=f"{page}?{query}" if page else None,
            name=name,
        )
        self._dialog.html = render(
            "cite",
            title=embed.title,
            text=cited.text,
            bibtex=cited.bibtex,
            address=page and f"{page}?{query}",
            frame=str(frame),
        )

    def _place(self, embed: Embed) -> str:
        return subject_of(self._model, embed.view)

    def _close(self, _: object) -> None:
        self._dialog.html = ""

    def __panel__(self) -> pn.viewable.Viewable:
        return self._dialog


def cited_suite(model: ExplorerModel) -> CitedSuite:
    """Return the data about the current suite that a citation states."""
    suite = model.store.suites[model.shown.suite]
    manifest = suite.manifest
    return CitedSuite(suite.name, manifest.model.name, manifest.provenance.date, suite.checksum)


class Foot(pn.viewable.Viewer):
    """Names the subject of an embedded view below it, with a link to the whole page.

    Parameters
    ----------
    model : ExplorerModel
    embed : Embed
    """

    def __init__(self, model: ExplorerModel, embed: Embed) -> None:
        super().__init__()
        self._model, self._embed = model, embed
        self._line = Markup("embed-foot")
        model.state.param.watch(self._show, list(model.state.URL_KEYS))
        model.param.watch(self._show, "shown")
        self._show()

    def _show(self, *_: param.parameterized.Event) -> None:
        place = subject_of(self._model, self._embed.view)
        self._line.html = render("embed_foot", place=place, query=self._model.state.to_query())

    def __panel__(self) -> pn.viewable.Viewable:
        return self._line
