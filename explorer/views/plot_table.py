"""What a plot shows as a table, for those who cannot see the plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from explorer.views.markup import Markup, render

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Table(NamedTuple):
    """A table that unfolds.

    Attributes
    ----------
    name : str
        Of the plot.
    summary : str
        What is to be seen of it while it is folded.
    columns : sequence of str
    rows : callable
        Writes its rows.
    """

    name: str
    summary: str
    columns: Sequence[str]
    rows: Callable[[], list[list[object]]]


class PlotTable(Markup):
    """Shows a table, which is written once a reader has unfolded it: most never do."""

    def __init__(self) -> None:
        super().__init__("plot-tables", on={"unfold": self._unfold})
        self._is_unfolded = False
        self._table: Table | None = None

    def _unfold(self, _: object) -> None:
        self._is_unfolded = True
        self.put(self._table)

    def put(self, table: Table | None) -> None:
        """Show another table, or none."""
        self._table = table
        self.html = table_html(table, is_written=self._is_unfolded)


def table_html(table: Table | None, *, is_written: bool = True) -> str:
    """Write a table, or where it is not to be written yet, its summary; nothing where there is none."""
    if table is None:
        return ""
    return render(
        "plot_table",
        name=table.name,
        summary=table.summary,
        columns=table.columns,
        rows=table.rows() if is_written else None,
    )
