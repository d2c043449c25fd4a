"""The HTML page that a latent's data was imported from, behind a switch and in a sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

import panel as pn

from explorer.views.markup import Markup, render

if TYPE_CHECKING:
    import param

    from explorer.model import ExplorerModel

# It may draw with the libraries that such pages load, and reach nothing else.
_POLICY = """<meta http-equiv="Content-Security-Policy" content="
  default-src 'none'; script-src 'unsafe-inline' https://d3js.org https://cdn.plot.ly; style-src 'unsafe-inline';
  img-src data:; base-uri 'none'; form-action 'none'
">"""
# One column, without the table of neighbouring features, which are not part of the suite.
_RESTYLE = """<style>
.grid-container { display: block !important; }
.grid-column { width: auto !important; max-width: 100% !important; margin: 0 0 24px !important; }
#column-0, .feature-tables, #dropdown-container { display: none !important; }
body { font-family: system-ui, sans-serif; margin: 16px; }
</style>"""


class OriginalPage(pn.viewable.Viewer):
    """Offers the imported page of the latent, where the suite keeps one.

    Parameters
    ----------
    model : ExplorerModel
    """

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__()
        self._model = model
        self._opened: int | None = None  # the latent whose page was asked for; the next one starts closed
        self._page = Markup("original", on={"original": self._toggle})
        model.param.watch(self._show, "latent_dashboard")
        self._show()

    def _toggle(self, _: object) -> None:
        latent = self._model.state.latent
        self._opened = None if self._opened == latent else latent
        self._show()

    def _show(self, *_: param.parameterized.Event) -> None:
        model = self._model
        if model.latent_dashboard is None or model.state.latent is None:
            self._page.html = ""
            return
        document = ""
        is_open = self._opened == model.state.latent
        if is_open:
            page = model.ask("latent_page")
            document = "" if page is None else _POLICY + _RESTYLE + page["html"].iloc[0]
        self._page.html = render("original", open=is_open, document=document, latent=model.state.latent)

    def __panel__(self) -> pn.viewable.Viewable:
        return self._page
