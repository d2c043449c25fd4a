"""The HTML page from which a latent's data was imported, opened by a button and in a sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.request import Request
from explorer.views.markup import Markup, render
from explorer.views.view import View

if TYPE_CHECKING:
    import pandas as pd

    from explorer.model import ExplorerModel

# The page may load the drawing libraries of such pages, and nothing else.
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


class OriginalPage(View):
    """Offers the imported page of the latent, if the suite contains one.

    Parameters
    ----------
    model : ExplorerModel
    """

    answers = ("latent_dashboard",)
    follows = ("suite", "sae", "latent")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._layout = self._page = Markup("original", on={"original": self._toggle})
        self._request = Request(model)
        self._show()

    def _show(self) -> None:
        """Close the page."""
        self._request.cancel()
        self._is_open, self._html = False, ""
        self._render()

    def _toggle(self, _: object) -> None:
        if self._is_open:
            self._show()
        else:
            self._is_open = True
            self._model.ask(self._request, "latent_page", self._open)

    def _open(self, page: pd.DataFrame | None) -> None:
        self._html = "" if page is None or page.empty else _POLICY + _RESTYLE + page["html"].iloc[0]
        self._render()

    def _render(self) -> None:
        latent = self._model.shown.latent
        if self._model.latent_dashboard is None or latent is None:
            self._page.html = ""
        else:
            self._page.html = render("original", open=self._is_open, document=self._html, latent=latent)
