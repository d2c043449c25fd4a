"""Frames as files: CSV and Parquet."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def as_csv(frame: pd.DataFrame) -> bytes:
    """Write a frame as CSV (UTF-8, a line of names first); lists are written as JSON."""
    listed = {
        name: [None if cell is None else json.dumps(cell.tolist(), ensure_ascii=False) for cell in frame[name]]
        for name in frame.columns
        if any(isinstance(cell, np.ndarray) for cell in frame[name])
    }
    return frame.assign(**listed).to_csv(index=False).encode("utf-8")


def as_parquet(frame: pd.DataFrame) -> bytes:
    """Write a frame as Parquet."""
    file = io.BytesIO()
    frame.to_parquet(file, index=False)
    return file.getvalue()
