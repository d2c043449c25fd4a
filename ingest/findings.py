"""What a format's reader hands to the importer: small tables as they are, the bulk as files still to be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow as pa

    from queries.manifest import Manifest


@dataclass(frozen=True)
class Findings:
    """One source, read.

    Attributes
    ----------
    manifest : Manifest
        What the suite says of itself; `tables` is empty.
    tables : mapping of str to pyarrow.Table
        Rows by table name; they need not be in order. The SAEs are in the manifest.
    arrays : mapping of str to mapping of str to Path
        By SAE and concept, the npz file of its cosines.
    pages : mapping of str to mapping of int to Path
        By SAE and latent, its HTML dashboard.
    files : mapping of str to bytes
        Content of files to be taken over as they are, by their path in the suite.
    """

    manifest: Manifest
    tables: Mapping[str, pa.Table]
    arrays: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)
    pages: Mapping[str, Mapping[int, Path]] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
