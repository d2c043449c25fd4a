"""Limits on untrusted results: far above all known results, and low enough to protect the importing machine."""

from __future__ import annotations

MB = 2**20

#: Number of files and folders in a source. The published results of 185 SAEs with 20,000 dashboards have some 25,000.
ENTRIES = 100_000
#: Depth of nested folders. Names of SAEs contain some slashes; programs that delete folders fail at a depth of 1,000.
DEPTH = 32

#: Total size of the files in an archive, in bytes. The published results have some 3 GB.
UNPACKED = 64 * 1024 * MB
#: Maximum compression ratio of an archive or npz file. Arrays are compressed by 2, JSON and HTML by 10 to 40, but zip
#: bombs by 1,000 and more.
RATIO = 100
#: Size in bytes that may be unpacked at any ratio, because a few empty tables are compressed well, too.
UNPACKED_ANYWAY = 256 * MB
#: Share of the free disk space that may be used, because the suite needs space besides the unpacked archive.
FREE_SHARE = 0.75
#: Size of single reads from an archive or npz file, such as of its list of contents or a long name, in bytes. 200,000
#: entries with names of 100 characters have 15 MB.
AT_ONCE = 32 * MB

#: Bytes of a manifest; one of 1,040 SAEs has half a megabyte.
MANIFEST = 8 * MB
#: Bytes of a JSON file. The core evaluation of an SAE of 131,072 latents has 60 MB.
JSON = 256 * MB
#: Values in a JSON file, at any depth: those of 1,000,000 latents, with eight each. Some take a hundred bytes.
JSON_VALUES = 10_000_000
#: Bytes of a CSV file. The tested tokens of 185 SAEs, with all of their lists, have some 60 MB.
CSV = 256 * MB
#: Bytes of the TOML file that describes tables.
TOML = 8 * MB
#: Bytes of a dashboard; one of SAEDashboard has 100 kB.
PAGE = 20 * MB
#: Values in a dashboard's data, at any depth: a hundred times those of a usual one.
PAGE_VALUES = 1_000_000
#: Bytes of a licence.
LICENCE = 1 * MB

#: Bytes of a parquet file or an npz file.
FILE = 16 * 1024 * MB
#: Rows of a parquet file. The tested tokens of 185 SAEs have 140,000, or ten times as many with one row per latent.
ROWS = 10_000_000
#: Size of the imported columns of a parquet file in memory, in bytes; processing takes several times as much. The
#: tested tokens of 185 SAEs have 53 MB.
TABLE = 512 * MB
