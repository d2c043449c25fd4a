"""Absorption Explorer: feature splitting and feature absorption in sparse autoencoders."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explorer.app import Explorer, session
    from explorer.figures import FigureError
    from explorer.named_questions import QuestionError, ask, tables
    from explorer.snapshot import SnapshotError, save_snapshot
    from explorer.store import open_store

__all__ = [
    "Explorer",
    "FigureError",
    "QuestionError",
    "SnapshotError",
    "ask",
    "open_store",
    "save_snapshot",
    "session",
    "tables",
]

#: The module of each name, imported on first access, because commands such as check and import do not need Panel.
_MODULES = {
    "Explorer": "explorer.app",
    "session": "explorer.app",
    "FigureError": "explorer.figures",
    "QuestionError": "explorer.named_questions",
    "ask": "explorer.named_questions",
    "tables": "explorer.named_questions",
    "SnapshotError": "explorer.snapshot",
    "save_snapshot": "explorer.snapshot",
    "open_store": "explorer.store",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
