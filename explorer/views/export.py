"""Export of tables as CSV and Parquet, figures as PNG and SVG, and the SQL of their queries."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import panel as pn

from explorer.files import as_csv, as_parquet
from explorer.plots.legend import legend_of
from explorer.theme import theme
from explorer.views.background import SlowBrowserError, in_background
from explorer.views.markup import Markup, render
from queries import QueryError, catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pandas as pd

    from explorer.model import ExplorerModel
    from explorer.views.background import Caller


class _Format(NamedTuple):
    label: str
    ending: str
    kind: str
    write: Callable[[pd.DataFrame], Iterator[bytes]]


#: Parameters that are part of a file name if they differ from their defaults.
_SWITCHES = frozenset(
    (
        *("latent", "tau", "cosine_threshold", "effect_margin", "sensitivity_of", "mean_policy", "scope"),
        *("main_latent_by", "cosine_view", "k_sparse_score", "graph_edges", "cell", "cell_order"),
    )
)
#: Parameters that affect the appearance of a figure.
_LOOKS = {
    "cosine": ("cosine_threshold", "cosine_view", "latent"),
    **dict.fromkeys(("k-sparse", "suite-k-sparse"), ("tau", "k_sparse_score")),
    "absorption-heatmap": ("cell", "cell_order"),
    "split-absorb-graph": ("graph_edges", "latent"),
    "splitting-tree": ("latent",),
}
#: Maximum rows of an export from the page, because the browser keeps the whole file in memory before saving it.
MOST_ROWS = 500_000
FORMATS = {
    "csv": _Format("CSV", ".csv", "text/csv", as_csv),
    "spreadsheet": _Format(
        "CSV for spreadsheets", "_for-spreadsheets.csv", "text/csv", partial(as_csv, for_spreadsheets=True)
    ),
    "parquet": _Format("Parquet", ".parquet", "application/vnd.apache.parquet", as_parquet),
}


class Export(pn.viewable.Viewer):
    """The dialog of all buttons "Export" (templates/export_button.html), one per session.

    A button names the results and figures that it offers; a file is written when the visitor requests it.

    Parameters
    ----------
    model : ExplorerModel
    shared : bool
        Whether others than the owner of this machine may visit the page; file paths of suites are hidden then.
    """

    def __init__(self, model: ExplorerModel, *, shared: bool) -> None:
        super().__init__()
        self._model, self._shared = model, shared
        self._wanted: dict[str, str] | None = None  # what the open dialog offers
        self._writing = ""  # the file that is being written
        self._failure = ""
        self._dialog = Markup(
            "export",
            on={"show": self._show, "close": self._close, **{name: self._saver(name) for name in FORMATS}},
        )

    def _show(self, wanted: dict[str, str]) -> None:
        """Offer the results and figures of a button; unknown names are ignored."""
        self._wanted, self._failure = wanted, ""
        self._render()

    def _render(self) -> None:
        if self._wanted is None:
            self._dialog.html = ""
            return
        names = dict.fromkeys(self._wanted.get("answers", "").split())
        answers = [offer for name in names if (offer := self._offer(name))]
        self._dialog.html = render(
            "export",
            answers=answers,
            figures=[self._figure(name, next(iter(names), "")) for name in self._wanted.get("figures", "").split()],
            formats=FORMATS,
            shared=self._shared,
            writing=self._writing,
            failure=self._failure,
        )

    def _close(self, _: object) -> None:
        self._wanted = None
        self._render()

    def _offer(self, name: str) -> dict[str, Any] | None:
        """Describe a result: its name, the meaning of a row, and its SQL; None if the name is unknown."""
        try:
            query, sql = self._model.query(name), self._model.script(name, shared=self._shared)
        except KeyError:
            return None
        return {"name": name, "doc": catalog()[query].doc, "sql": sql}

    def _figure(self, name: str, answer: str) -> dict[str, str]:
        """Describe a figure of a result: its name, file name and legend."""
        shown = self._model.shown
        rows = getattr(self._model, answer, None)
        keys = legend_of(
            name, rows, cell=shown.cell, rate=shown.rate_label, by=shown.told_by, theme=theme(dark=shown.dark)
        )
        legend = [key._asdict() for key in keys]
        return {"name": name, "file": self._file(answer, name, _LOOKS.get(name, ())), "legend": json.dumps(legend)}

    def _file(self, answer: str, name: str, looks: Sequence[str] = ()) -> str:
        """Return the name of a file: its subject, and all parameters that differ from their defaults."""
        model, shown = self._model, self._model.shown
        parts = []
        for key, value in model.place(answer).items():
            parts.append(f"{key}-{value}" if key == "latent" else str(value))
        starting = shown.starting
        for key in dict.fromkeys((*catalog()[model.query(answer)].params, *looks)):
            value = getattr(shown, key, None)
            if key in _SWITCHES and value != starting[key] and f"{key}-{value}" not in parts:
                parts += [f"{key.replace('_', '-')}-{value}"]
        return "_".join([*parts, name])

    def _saver(self, kind: str) -> Callable[[str], None]:
        """Return the handler that writes a result as a file of that format and sends it to the browser."""

        def save(name: str) -> None:
            if self._writing:
                return
            try:
                ask, file = self._model.fetch_later(name), self._file(name, name)
            except KeyError:
                return
            self._writing, self._failure = f"{file}{FORMATS[kind].ending}", ""
            self._render()
            in_background(partial(self._write, FORMATS[kind], self._writing, ask))

        return save

    def _write(self, form: _Format, file: str, ask: Callable[[], pd.DataFrame], caller: Caller) -> None:
        failure = "it cannot be written"
        try:
            with self._model.store.cancellable(caller.token):
                frame = ask()
            if len(frame) > MOST_ROWS:
                failure = f"it has more than {MOST_ROWS:,} rows: ask for it with its SQL"
            else:
                self._dialog.send_file(file, form.write(frame), form.kind, caller)
                failure = ""
        except QueryError as error:
            failure = str(error)
        except SlowBrowserError:
            failure = "the connection is too slow; ask for it with its SQL"
        finally:
            caller.run_in_session(partial(self._finish, failure and f"{file} was not written: {failure}"))

    def _finish(self, failure: str) -> None:
        """Show the outcome in the dialog or, if that was closed meanwhile, at the top of the page."""
        self._writing, self._failure = "", failure
        if self._wanted is None and failure:
            self._model.error = failure
        self._render()

    def __panel__(self) -> pn.viewable.Viewable:
        return self._dialog
