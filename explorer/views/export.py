"""Export of what is shown: tables as CSV and Parquet, figures as PNG and SVG, and the SQL behind them."""

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


#: What a name of a file tells, where it was moved or switched.
_SWITCHES = frozenset(
    (
        *("latent", "tau", "cosine_threshold", "effect_margin", "sensitivity_of", "mean_policy", "scope"),
        *("main_latent_by", "cosine_view", "k_sparse_score", "graph_edges", "cell", "cell_order"),
    )
)
#: What decides how a figure looks, besides its answer.
_LOOKS = {
    "cosine": ("cosine_threshold", "cosine_view", "latent"),
    **dict.fromkeys(("k-sparse", "suite-k-sparse"), ("tau", "k_sparse_score")),
    "absorption-heatmap": ("cell", "cell_order"),
    "split-absorb-graph": ("graph_edges", "latent"),
    "splitting-tree": ("latent",),
}
#: Rows that a page writes to a file: a browser holds all of it before it is saved.
MOST_ROWS = 500_000
FORMATS = {
    "csv": _Format("CSV", ".csv", "text/csv", as_csv),
    "spreadsheet": _Format(
        "CSV for spreadsheets", "_for-spreadsheets.csv", "text/csv", partial(as_csv, for_spreadsheets=True)
    ),
    "parquet": _Format("Parquet", ".parquet", "application/vnd.apache.parquet", as_parquet),
}


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
        self._wanted: dict[str, str] | None = None  # what the open dialog offers
        self._writing = ""  # the file that is being written
        self._failure = ""
        self._dialog = Markup(
            "export",
            on={"show": self._show, "close": self._close, **{name: self._saver(name) for name in FORMATS}},
        )

    def _show(self, wanted: dict[str, str]) -> None:
        """Offer the answers and the figures of a button; names that mean nothing are passed over."""
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
        """Describe an answer: its name, what a row is, its SQL."""
        try:
            query, sql = self._model.query(name), self._model.script(name, shared=self._shared)
        except KeyError:
            return None
        return {"name": name, "doc": catalog()[query].doc, "sql": sql}

    def _figure(self, name: str, answer: str) -> dict[str, str]:
        """Describe a figure that draws an answer: its name, that of its file, and what its legend says."""
        shown = self._model.shown
        rows = getattr(self._model, answer, None)
        keys = legend_of(
            name, rows, cell=shown.cell, rate=shown.rate_label, by=shown.told_by, theme=theme(dark=shown.dark)
        )
        legend = [key._asdict() for key in keys]
        return {"name": name, "file": self._file(answer, name, _LOOKS.get(name, ())), "legend": json.dumps(legend)}

    def _file(self, answer: str, name: str, looks: Sequence[str] = ()) -> str:
        """Name a file after what it is about, and all that was moved or switched away from where it starts."""
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
        """Make what has an answer written, and sent to the browser, as a file of that format."""

        def save(name: str) -> None:
            if self._writing:
                return
            try:
                ask, file = self._model.asking_whole(name), self._file(name, name)
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
            caller.tell(partial(self._finish, failure and f"{file} was not written: {failure}"))

    def _finish(self, failure: str) -> None:
        """Say in the dialog what came of it, or where that was closed meanwhile, at the top of the page."""
        self._writing, self._failure = "", failure
        if self._wanted is None and failure:
            self._model.error = failure
        self._render()

    def __panel__(self) -> pn.viewable.Viewable:
        return self._dialog
