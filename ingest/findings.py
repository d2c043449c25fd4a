"""The result of a format's reader: small tables in memory, and paths of the bulk of the files, which are read later."""

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
    """The contents of a source, for one suite.

    Attributes
    ----------
    manifest : Manifest
        Metadata of the suite, with empty `tables`.
    tables : mapping of str to pyarrow.Table
        Rows by table name, in any order. The SAEs are in the manifest.
    arrays : mapping of str to mapping of str to Path
        By SAE and concept, the npz file of cosines.
    pages : mapping of str to mapping of int to Path
        By SAE and latent, the HTML dashboard.
    files : mapping of str to bytes
        Content of files to be copied unchanged, by path in the suite.
    """

    manifest: Manifest
    tables: Mapping[str, pa.Table]
    arrays: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)
    pages: Mapping[str, Mapping[int, Path]] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
