"""The help dialog: tours, method, glossary, keys, provenance of the suite, documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import panel as pn

from explorer.state import PAGES
from explorer.text.glossary import GLOSSARY, name_of
from explorer.text.tour_files import TourError
from explorer.tours import rendered_tours, with_existing_steps
from explorer.views.explanations import TITLES, prose_html
from explorer.views.header import versions
from explorer.views.markup import Markup, render
from queries import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from explorer.model import ExplorerModel
    from explorer.tours import RenderedStep, RenderedTour
    from queries import Store

SECTIONS = {
    "tours": "Tours",
    "method": "Method",
    "glossary": "Glossary",
    "keys": "Keys",
    "suite": "About this suite",
    "documents": "Documents",
}
#: The project's documents, in the folder docs.
DOCUMENTS = {
    "method.md": "how everything on the page is measured, with formulas and sources",
    "findings.md": "what the embedded suite of architectures shows",
    "suites.md": "what a suite is, and which results can be opened and imported",
    "measure.md": "how to measure your own model and SAEs",
    "own-concepts.md": "how to bring your own concepts",
    "notebook.md": "views and questions in notebooks",
    "api.md": "the same questions for scripts and programs",
    "deployment.md": "how to serve and publish",
}


def glossary() -> dict[str, str]:
    """Return the definition of each term by its displayed name, in alphabetical order."""
    named = {name_of(term): text for term, text in GLOSSARY.items()}
    return dict(sorted(named.items(), key=lambda pair: pair[0].lower()))


def help_html(kind: str, pages: Sequence[str] = ()) -> str:
    """Render the help of a page without a server, a "snapshot" or a "site" with these pages."""
    sections = {name: SECTIONS[name] for name in ("tours", "glossary", "keys")}
    return render("help", open=True, live=False, kind=kind, sections=sections, glossary=glossary(), pages=pages)


def tours_part(store: Store, suite: str, exists: Callable[[RenderedStep], bool]) -> dict[str, Any]:
    """Collect the tours of a suite for a page without a server, with the cards of the steps that the page can show.

    Parameters
    ----------
    store : Store
    suite : str
    exists : callable
        Returns whether the page contains what a step shows.
    """
    tours = [kept for tour in rendered_tours(store, suite) if (kept := with_existing_steps(tour, exists)) is not None]
    return {
        "html": render("help_tours", tours=tours),
        "tours": [
            {
                "name": tour.name,
                "steps": [
                    {"html": render("tour", tour=tour, number=number, step=step), "state": dict(step.state)}
                    for number, step in enumerate(tour.steps, 1)
                ],
            }
            for tour in tours
        ],
    }


class Help(pn.viewable.Viewer):
    """The dialog, one per session; the tours of a suite are rendered when it opens.

    Parameters
    ----------
    model : ExplorerModel
    start : callable
        Called with the name of a tour to start it.
    """

    def __init__(self, model: ExplorerModel, start: Callable[[str], None]) -> None:
        super().__init__()
        self._model, self._start = model, start
        self._dialog = Markup(
            "help", on={"show": self._open, "close": self._close, "tour": self._begin, "learn": self._learn}
        )
        self._at: str | None = None  # the section that it was opened at; None while it is closed
        self._tours: list[RenderedTour] | None = None  # None while they are being rendered

    def _open(self, section: str) -> None:
        self._at = section if section in SECTIONS else "tours"
        store, suite = self._model.store, self._model.state.suite
        self._tours = None

        def ask() -> list[RenderedTour] | Exception:
            try:
                return rendered_tours(store, suite) if suite else []
            except (QueryError, TourError) as error:
                return error

        self._model.runner(ask, self._take, self._show)

    def _take(self, found: Any) -> None:
        if isinstance(found, Exception):
            self._model.error, found = str(found), []
        self._tours = found
        if self._at is not None:
            self._show()

    def _begin(self, name: str) -> None:
        self._close(None)
        self._start(name)

    def _learn(self, _: object) -> None:
        self._close(None)
        self._model.state.apply({"page": "learn"})

    def _close(self, _: object) -> None:
        self._at = None
        self._dialog.html = ""

    def _show(self) -> None:
        shown = self._model.shown
        self._dialog.html = render(
            "help",
            open=True,
            live=True,
            kind="page",
            at=self._at,
            sections=SECTIONS,
            tours=self._tours,
            topics=TITLES,
            prose={topic: prose_html(shown, topic) for topic in TITLES},
            glossary=glossary(),
            pages=PAGES,
            manifest=self._model.manifest,
            versions=versions(),
            documents=DOCUMENTS,
        )

    def __panel__(self) -> pn.viewable.Viewable:
        return self._dialog
