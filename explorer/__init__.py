"""Absorption Explorer: look at feature splitting and feature absorption in sparse autoencoders."""

from explorer.app import Explorer, session
from explorer.figures import FigureError
from explorer.store import open_store

__all__ = ["Explorer", "FigureError", "open_store", "session"]
