"""What is shown, to take away: tables as CSV and Parquet, figures as PNG and SVG, and the SQL behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import panel as pn

from explorer.files import as_csv, as_parquet
from explorer.views.markup import Markup, render
from queries import QueryError, catalog

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from explorer.model import ExplorerModel


class _Format(NamedTuple):
    write: Callable[[pd.DataFrame], bytes]
    kind: str


#: Rows that a page writes to a file: what is made of them passes through the session as a whole.
MOST_ROWS = 500_000
FORMATS = {"csv": _Format(as_csv, "text/csv"), "parquet": _Format(as_parquet, "application/vnd.apache.parquet")}


class Export(pn.viewable.Viewer):
    """The dialog that every button "Export" opens (templates/export_button.html), one for the session.

    A button names the answers and the figures it offers; what it asks for is written when it is asked for.

    Parameters
    ----------
    model : ExplorerModel
    shared : bool
        Whether others than the owner of this machine may be reading: they are not told where the suites lie.
    """

    def __init__(self, model: ExplorerModel, *, shared: bool) -> None:
        super().__init__()
        self._model, self._shared = model, shared
        self._dialog = Markup(
            "export",
            on={"show": self._show, "close": self._close, **{name: self._saver(name) for name in FORMATS}},
        )

    def _show(self, wanted: dict[str, str]) -> None:
        """Offer the answers and the figures of a button; names that mean nothing are passed over."""
        names = dict.fromkeys(wanted.get("answers", "").split())
        answers = [offer for name in names if (offer := self._offer(name))]
        state = self._model.state
        self._dialog.html = render(
            "export",
            answers=answers,
            figures={name: f"{state.suite}_{name}" for name in wanted.get("figures", "").split()},
            formats=FORMATS,
            shared=self._shared,
        )

    def _close(self, _: object) -> None:
        self._dialog.html = ""

    def _offer(self, name: str) -> dict[str, Any] | None:
        """Describe an answer: its name, what a row is, its SQL."""
        try:
            query, sql = self._model.query(name), self._model.script(name, shared=self._shared)
        except KeyError:
            return None
        return {"name": name, "doc": catalog()[query].doc, "sql": sql}

    def _saver(self, kind: str) -> Callable[[str], None]:
        """Make what sends an answer to the browser as a file."""

        def save(name: str) -> None:
            try:
                frame, place = self._model.whole(name), self._model.place(name)
            except (KeyError, QueryError) as error:
                self._model.error = f"{name} cannot be written: {error}"
                return
            if len(frame) > MOST_ROWS:
                self._model.error = f"{name} has more than {MOST_ROWS:,} rows: ask for it with its SQL"
                return
            about = [str(value) if key in ("suite", "letter") else f"{key}-{value}" for key, value in place.items()]
            self._dialog.send_file(f"{'_'.join([*about, name])}.{kind}", FORMATS[kind].write(frame), FORMATS[kind].kind)

        return save

    def __panel__(self) -> pn.viewable.Viewable:
        return self._dialog
