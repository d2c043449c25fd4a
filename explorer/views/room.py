"""Room beside the data of a figure: as many pixels for labels on every screen."""

from __future__ import annotations

from typing import ClassVar

import param
from panel.custom import JSComponent


class Room(JSComponent):
    """Stands with a figure and sets its x-range by its width; it shows nothing.

    Parameters
    ----------
    figure : str
        Name of the figure.
    data : tuple of float
        First and last x of the data.
    beside : tuple of int
        Pixels left of the first and right of the last.
    """

    figure = param.String(doc="Name of the figure.")
    data = param.Range(doc="First and last x of the data.")
    beside = param.Range(doc="Pixels left of the first x and right of the last.")

    _bundle: ClassVar[str] = "room.js"

    def __init__(self, figure: str, *, data: tuple[float, float], beside: tuple[int, int]) -> None:
        super().__init__(figure=figure, data=data, beside=beside, width=0, height=0, margin=0)
