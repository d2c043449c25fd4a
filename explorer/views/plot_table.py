"""The data of a plot as a table, for visitors who cannot see the plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from explorer.views.markup import Markup, render

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Table(NamedTuple):
    """A collapsible table.

    Attributes
    ----------
    name : str
        Name of the plot.
    summary : str
        Text that is visible while it is collapsed.
    columns : sequence of str
    rows : callable
        Returns its rows.
    """

    name: str
    summary: str
    columns: Sequence[str]
    rows: Callable[[], list[list[object]]]


class PlotTable(Markup):
    """Shows a collapsible table, whose rows are rendered when it is opened."""

    def __init__(self) -> None:
        super().__init__("plot-tables", on={"unfold": self._unfold})
        self._is_unfolded = False
        self._table: Table | None = None

    def _unfold(self, _: object) -> None:
        self._is_unfolded = True
        self.put(self._table)

    def put(self, table: Table | None) -> None:
        """Show a table, or none."""
        self._table = table
        self.html = table_html(table, is_written=self._is_unfolded)


def table_html(table: Table | None, *, is_written: bool = True) -> str:
    """Render a table, or only its summary if it is collapsed; empty if there is no table."""
    if table is None:
        return ""
    return render(
        "plot_table",
        name=table.name,
        summary=table.summary,
        columns=table.columns,
        rows=table.rows() if is_written else None,
    )
