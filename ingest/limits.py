"""What the results of a stranger may hold, stated once: far above what is known, below what harms the reader."""

from __future__ import annotations

MB = 2**20

#: Files and folders of a source. The published results of 185 SAEs with 20,000 dashboards have some 25,000.
ENTRIES = 100_000
#: Folders within each other. Names of SAEs hold some slashes; programs that clear folders away fail at 1,000.
DEPTH = 32

#: Bytes of all files in an archive together. The published results have some 3 GB.
UNPACKED = 64 * 1024 * MB
#: How many times larger than its archive, or than the file around it, unpacked data may be. Arrays shrink by 2, JSON
#: and HTML by 10 to 40; data made to burst by 1,000 and more.
RATIO = 100
#: Bytes that may be unpacked whatever the ratio: a few empty tables shrink well too.
UNPACKED_ANYWAY = 256 * MB
#: Share of the free disk that may be filled: the suite needs room beside the unpacked archive.
FREE_SHARE = 0.75
#: Bytes that are read at once from an archive or an npz file: its list of contents, a long name. 200,000 entries with
#: names of 100 characters have 15 MB.
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
#: Rows of a parquet file. The tested tokens of 185 SAEs are 140,000, and ten times as many with a row for each latent.
ROWS = 10_000_000
#: Bytes that the columns which are read of a parquet file take in memory; several times as many are worked with. The
#: tested tokens of 185 SAEs have 53 MB.
TABLE = 512 * MB
