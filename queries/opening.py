"""Determines the initial view of a suite when the suite is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queries.manifest import Opening
from queries.store import Store
from queries.suite import read_manifest
from queries.writer import save_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from queries.manifest import Manifest


def store_opening(folder: Path) -> Manifest:
    """Store the absorbing latent that is the clearest example of absorption in a suite's manifest, if there is one.

    Parameters
    ----------
    folder : Path
        Folder of the suite.

    Returns
    -------
    Manifest
        The manifest as written.
    """
    manifest = read_manifest(folder)
    with Store(folder) as store:
        own = manifest.method.model_dump(include={"metric", "tau", "cosine_threshold", "effect_margin"})
        found = store.fetch("telling_case", suite=manifest.name, **own)
    opening = Opening(**found.to_dict("records")[0]) if len(found) else None
    return save_manifest(folder, manifest.model_copy(update={"opening": opening}))
