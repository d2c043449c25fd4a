"""Absorption Explorer: look at feature splitting and feature absorption in sparse autoencoders."""

from explorer.app import Explorer, session
from explorer.figures import FigureError
from explorer.snapshot import SnapshotError, save_snapshot
from explorer.store import open_store

__all__ = ["Explorer", "FigureError", "SnapshotError", "open_store", "save_snapshot", "session"]
