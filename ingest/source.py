"""Lenient reading of a folder of results; everything omitted is reported."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingest import limits
from ingest.files import UnreadableError, reading, reason
from ingest.gemma_scope import nominal_width
from ingest.report import Report
from ingest.rules import keep_rules
from queries.conform import IngestError, arrow_type
from queries.sae_ids import sae_ids
from queries.schema import INTEGER_MAX, LETTERS, Column, Rule, concept_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO

    from queries.schema import Table

#: Columns by which files identify an SAE and a concept instead of ids.
_PLACE = ("layer", "width", "l0")
_LETTERS = {"letter": "concept", "top_letter": "top_concept"}
_NAMING = {name: Column(name, "INTEGER", "", rule=Rule("{} >= 0", "0 or more")) for name in _PLACE} | {
    name: Column(name, "VARCHAR", "", required=name == "letter") for name in _LETTERS
}
_WIDTH = re.compile(r"([0-9]{1,9})([km]?)", re.IGNORECASE)
_THOUSANDS = {"": 1, "k": 1_000, "m": 1_000_000}
#: Leading space of alphabetic tokens as encoded by tokenizers, or an underscore.
_MARKED_SPACE = "^[_\u2581\u0120]([A-Za-z])"
_SHOWN_ROWS = 3
#: Rows decoded at a time, and rows with lists of texts.
_BATCH, _BATCH_OF_LISTS = 16_384, 16
#: Bytes per value in memory; for other types, such as texts, those of an index are assumed.
_WIDTHS = {"BOOLEAN": 1, "INT64": 8, "DOUBLE": 8}
_TOO_LARGE = f"takes more than {limits.TABLE / limits.MB:,.0f} MB in memory; cut it into several"

_BIGINT = 2.0**63

#: A column of a suite's table -> its name in a file, or alternative names, of which the first one found is used.
Columns = dict[str, str | tuple[str, ...]]

_Stamp = tuple[int, int]
_Key = TypeVar("_Key")


def same(*names: str) -> Columns:
    """Return columns that have the same name in the file and in the suite."""
    return dict(zip(names, names, strict=True))


def stamp(file: Path) -> _Stamp:
    """Return size and modification time of `file`, to detect a change while it is read."""
    status = file.stat()
    return (status.st_size, status.st_mtime_ns)


def parse_width(text: str) -> int:
    """Parse a nominal width: 16000, 16k, 1m, or 16384 (the number of latents)."""
    found = _WIDTH.fullmatch(text.strip())
    if found is None:
        message = f"{text!r} is no width"
        raise ValueError(message)
    width = int(found[1]) * _THOUSANDS[found[2].lower()]
    if width > INTEGER_MAX:
        message = f"{text!r} is too large a width"
        raise ValueError(message)
    return nominal_width(width)


@dataclass
class Source:
    """A folder of results, or a single file, treated as a folder with one file.

    Attributes
    ----------
    root : Path
        The folder.
    report : Report
        What was read and what was not.
    stamps : dict of Path to (int, int)
        Size and modification time of every file when it was opened.
    places : dict of str to (int, int, int)
        By id: layer, nominal width and L0 of each SAE that files identify by these.
    """

    root: Path
    report: Report = field(init=False)
    stamps: dict[Path, _Stamp] = field(default_factory=dict)
    places: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    _file: Path | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        # Links in the path to the source are the user's own and followed; those within it are checked one by one.
        path = self.root.resolve()
        self._file = path if path.is_file() else None
        self.root = path.parent if self._file else path
        self.report = Report(self.root)

    def find(self, pattern: str) -> list[Path]:
        """Return the files below the root that match a glob, sorted by name."""
        name = pattern.removeprefix("**/")
        depth = name.count("/") + 1
        return sorted(
            self.root / path
            for path in self._entries
            if (name != pattern or len(path.parts) == depth) and path.match(name)
        )

    def has(self, file: Path) -> bool:
        """Return whether `file` exists, even if it is unreadable."""
        return os.path.lexists(file) and self._file in (None, file)

    @cached_property
    def _entries(self) -> list[Path]:
        """List everything below the root, relative to it; report folders that cannot be listed."""
        if self._file:
            return [Path(self._file.name)]
        found: list[Path] = []
        folders = [Path()]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(self.root / folder) as entries:
                    for entry in entries:
                        path = folder / entry.name
                        found.append(path)
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(path)
                        elif entry.is_symlink() and (self.root / path).is_dir():
                            self.reject(
                                self.root / path,
                                "is a link to a folder and is not followed; put the folder itself there",
                            )
                        if len(found) > limits.ENTRIES:
                            message = f"{self.root}: holds more than {limits.ENTRIES:,} files; give the results only"
                            raise IngestError(message)
            except OSError as error:
                self.reject(self.root / folder, f"cannot be listed ({reason(error)}); let it be read")
            deep = [path for path in folders if len(path.parts) > limits.DEPTH]
            for path in deep:
                folders.remove(path)
                self.reject(self.root / path, f"is more than {limits.DEPTH} folders deep; move it up")
        return found

    @contextmanager
    def opened(self, file: Path, what: str, most: int) -> Iterator[BinaryIO]:
        """Open `file` and record that it was read; see `ingest.files.reading`."""
        with reading(self.root, file, what, most) as stream:
            self.stamps.setdefault(file, stamp(file))
            self.report.read.add(self.report.name(file))
            yield stream

    def readable(self, files: Mapping[_Key, Path], what: str, most: int) -> dict[_Key, Path]:
        """Return the `files` that another process can read, and record them; reject the others."""
        found = {}
        for key, file in files.items():
            try:
                with self.opened(file, what, most):
                    found[key] = file
            except UnreadableError as error:
                self.reject(file, str(error))
        return found

    def reject(self, file: Path, reason: str) -> None:
        """Record that `file` is omitted."""
        self.report.read.discard(self.report.name(file))
        self.report.skipped.discard(self.report.name(file))
        self.report.reject(file, reason)

    def reject_without(self, file: Path, column: str) -> None:
        """Record that `file` is omitted because it lacks a required column."""
        self.reject(file, f"column {column!r} is missing; download the complete file")

    def changed(self) -> list[Path]:
        """Return the files that have changed since they were opened."""
        return [file for file, was in self.stamps.items() if not file.exists() or stamp(file) != was]

    def columns(self, file: Path) -> dict[str, pa.DataType]:
        """Return name and type of each column of a parquet file; if it is not one, return none and report it."""
        try:
            with self.opened(file, "parquet file", limits.FILE) as stream:
                types = {field.name: field.type for field in pq.read_schema(stream)}
        except UnreadableError as error:
            self.reject(file, str(error))
            return {}
        self.report.hold(file, (name for name, type_ in types.items() if _is_number(type_)))
        return types

    def read(self, file: Path, table: Table, columns: Columns, **constants: object) -> pa.Table | None:
        """Read the rows of `table` from `file`.

        Only the required columns are read, so files of a thousand columns cost no more.

        Parameters
        ----------
        file : Path
        table : Table
            The contract that rows must conform to; other rows are omitted and reported.
        columns : dict of str to str or tuple of str
            Names in the file of the table's columns, or of layer, width, l0 and letter, from which ids are made. If a
            required one is missing, the file is rejected.
        **constants
            Values of columns that the file does not have, such as a layer in its file name.

        Returns
        -------
        pyarrow.Table or None
            Columns with the table's types, and rows in the file's order; None if the file was rejected.
        """
        present = self.columns(file)
        if not present:
            return None
        names = {name: (given,) if isinstance(given, str) else given for name, given in columns.items()}
        found = {name: next((one for one in given if one in present), None) for name, given in names.items()}
        for name, given in names.items():
            if found[name] is None and column_of(table, name).required:
                self.reject_without(file, given[0])
                return None
        try:
            with self.opened(file, "parquet file", limits.FILE) as stream:
                data = _table(stream, [one for one in found.values() if one])
        except UnreadableError as error:
            self.reject(file, str(error))
            return None
        self.report.take(file, filter(None, found.values()))
        values = {name: data[one] for name, one in found.items() if one}
        values |= {name: pa.chunked_array([pa.repeat(value, data.num_rows)]) for name, value in constants.items()}
        return self.conform(file, table, values)

    def conform(self, file: Path, table: Table, columns: Mapping[str, pa.ChunkedArray]) -> pa.Table | None:
        """Cast columns and omit invalid rows of `file`; see `read`."""
        typed = {}
        for name, values in columns.items():
            try:
                typed[name] = _typed(name, values, column_of(table, name).type)
            except (ValueError, pa.ArrowException) as error:
                if column_of(table, name).required:
                    self.reject(file, f"{name} cannot be read ({reason(error)}); fix or fetch the file")
                    return None
                self.report.reject(file, f"{name} cannot be read ({reason(error)}) and is left empty")
                continue
            infinite = _count(_is_infinite(values))
            if infinite:
                self.report.reject(file, f"{name}: {infinite:,} infinite values are left empty")
            broken = _count(_is_known(values)) - _count(_is_known(typed[name])) - infinite
            if broken:
                self.report.reject(file, f"{name}: {broken:,} values are not integers and are left empty")
        return self._without_bad_rows(file, table, pa.table(typed))

    def _without_bad_rows(self, file: Path, table: Table, data: pa.Table) -> pa.Table:
        """Omit rows that lack a required value, name no letter, break a rule of the table, or repeat a key."""
        good = pa.array([True] * data.num_rows, pa.bool_())
        for name in data.column_names:
            if column_of(table, name).required or name in table.key:
                good = self._keep(file, good, pc.is_valid(data[name]), f"no {name}")
        for name in _PLACE:
            if name in data.column_names:
                not_below = pc.fill_null(pc.greater_equal(data[name], 0), fill_value=True)
                good = self._keep(file, good, not_below, f"a {name} below 0")
        if "letter" in data.column_names:
            is_one = pc.is_in(pc.utf8_lower(data["letter"]), pa.array(list(LETTERS)))
            good = self._keep(file, good, is_one, "a letter that is none of a-z")
        data = self._with_ids(data, good)
        data, good, refused = keep_rules(data, table, good=good)
        for what in refused:
            self.report.reject(file, what)
        keys = [name for name in table.key if name in data.column_names]
        # A row that was omitted before does not make another one a duplicate.
        frame = pa.table({name: _codes(data[name]) for name in keys}).to_pandas()[good.to_numpy(zero_copy_only=False)]
        first = frame.index[~frame.duplicated()]
        once = pa.array(np.isin(np.arange(data.num_rows), first))
        return data.filter(self._keep(file, good, once, f"the {', '.join(keys)} of a row before"))

    def _with_ids(self, data: pa.Table, good: pa.Array) -> pa.Table:
        """Replace layer, width and L0, and letters, by ids."""
        if set(_PLACE) <= set(data.column_names):
            for place in data.filter(good).group_by(list(_PLACE)).aggregate([]).to_pylist():
                self.sae_id(*(place[name] for name in _PLACE))
            named = [
                (f"{letter}", data[name].cast(pa.string()))
                for letter, name in zip(("l", "-w", "-l0-"), _PLACE, strict=True)
            ]
            ids = pc.binary_join_element_wise(*(part for pair in named for part in pair), "")
            data = data.drop_columns(list(_PLACE)).append_column("sae", ids)
        for name, becomes in _LETTERS.items():
            if name in data.column_names:
                lower = pc.utf8_lower(data[name])
                known = pc.if_else(pc.is_in(lower, pa.array(list(LETTERS))), lower, None)
                ids = pc.binary_join_element_wise(concept_id(""), known, "")
                data = data.drop_columns(name).append_column(becomes, ids)
        return data

    def sae_id(self, layer: int, width: int, l0: int) -> str:
        """Create the id of an SAE that layer, nominal width and L0 identify."""
        (sae,) = sae_ids([{"layer": layer, "width": width, "l0": l0}])
        self.places[sae] = (layer, width, l0)
        return sae

    def facts(self, sae: str) -> dict[str, Any]:
        """Return the metadata of an SAE from `sae_id`, as arguments of `queries.manifest.Sae`."""
        layer, width, l0 = self.places[sae]
        return {"sae": sae, "layer": layer, "width": width, "l0": l0, "l0_nominal": l0}

    def _keep(self, file: Path, good: pa.Array, fine: pa.Array | pa.ChunkedArray, what: str) -> pa.Array:
        """Restrict `good` to the rows that are `fine`, and report the others."""
        fine = fine.combine_chunks() if isinstance(fine, pa.ChunkedArray) else fine
        bad = [place for place, left in enumerate(pc.and_not(good, fine).to_pylist()) if left]
        if bad:
            rows = ", ".join(str(row) for row in bad[:_SHOWN_ROWS]) + (", ..." if len(bad) > _SHOWN_ROWS else "")
            self.report.reject(file, f"{len(bad):,} {'row has' if len(bad) == 1 else 'rows have'} {what} (row {rows})")
        return pc.and_(good, fine)


def column_of(table: Table, name: str) -> Column:
    """Return the column `name` of a file's rows."""
    return _NAMING.get(name) or table.column(name)


def _codes(values: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """Return integer codes for texts, which are slow to compare."""
    return pc.dictionary_encode(values.combine_chunks()).indices if pa.types.is_string(values.type) else values


def _table(stream: BinaryIO, columns: list[str]) -> pa.Table:
    """Read columns of a parquet file, if they fit into the memory limit."""
    wanted = list(dict.fromkeys(columns))
    schema = pq.read_schema(stream)
    # A long text that is repeated in many rows takes little space in a file. So texts are read as dictionaries; or, in
    # lists, which Arrow cannot always read as dictionaries (apache/arrow#21526), in small batches.
    texts = [name for name in wanted if pa.types.is_string(schema.field(name).type)]
    lists = any(
        pa.types.is_list(kind) and not pa.types.is_primitive(kind.value_type)
        for kind in (schema.field(name).type for name in wanted)
    )
    with pq.ParquetFile(stream, read_dictionary=texts) as file:
        rows = file.metadata.num_rows
        if rows > limits.ROWS:
            message = f"has {rows:,} rows, files of up to {limits.ROWS:,} are read; cut it into several"
            raise UnreadableError(message)
        pieces, size = [schema.empty_table().select(wanted)], 0
        if _least_size(file.metadata, set(wanted)) > limits.TABLE:
            raise UnreadableError(_TOO_LARGE)
        for batch in file.iter_batches(_BATCH_OF_LISTS if lists else _BATCH, columns=wanted):
            size += sum(map(_size, batch.columns))
            if size > limits.TABLE:
                raise UnreadableError(_TOO_LARGE)
            pieces.append(pa.table({name: _decoded(batch[name], schema.field(name).type) for name in wanted}))
        return pa.concat_tables(pieces).combine_chunks()


def _least_size(metadata: pq.FileMetaData, columns: set[str]) -> int:
    """Return the minimum size of columns in bytes, according to the file."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    return sum(
        max(chunk.total_uncompressed_size, chunk.num_values * _WIDTHS.get(chunk.physical_type, 4))
        for chunk in chunks
        if chunk.path_in_schema.partition(".")[0] in columns
    )


def _size(values: pa.Array) -> int:
    """Return the size of values in bytes, with texts expanded."""
    texts = values
    while isinstance(texts, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
        texts = texts.flatten()
    if not pa.types.is_dictionary(texts.type) or pa.types.is_primitive(texts.type.value_type):
        return int(values.nbytes)
    lengths = pc.binary_length(texts.dictionary).take(texts.indices)
    return int(values.nbytes) + (pc.sum(lengths.cast(pa.int64())).as_py() or 0)


def _decoded(values: pa.Array, kind: pa.DataType) -> pa.Array:
    return values if values.type == kind else values.cast(kind)


def _typed(name: str, values: pa.ChunkedArray, duckdb_type: str) -> pa.ChunkedArray:
    """Cast to the contract's type; ValueError or ArrowException if that is impossible."""
    kind = arrow_type(duckdb_type)
    if pa.types.is_integer(_value_type(kind)) and pa.types.is_floating(_value_type(values.type)):
        values = _whole(values)
    if name == "width":
        return pa.chunked_array([pa.array(map(_width_or_none, values.to_pylist()), kind)])
    if pa.types.is_string(kind):
        values = _as_text(values)
        if name == "token":
            values = pc.replace_substring_regex(values, _MARKED_SPACE, r" \1")
        return values
    if pa.types.is_floating(values.type):
        not_finite = pc.or_(_is_infinite(values), pc.is_nan(values))
        values = pc.if_else(not_finite, pa.scalar(None, values.type), values)
    return values.cast(kind)


def _as_text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Decode text; bytes that are not UTF-8 become the replacement character."""
    if pa.types.is_null(values.type):
        return values.cast(pa.string())
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if not (
        pa.types.is_string(values.type) or pa.types.is_large_string(values.type) or pa.types.is_binary(values.type)
    ):
        message = f"{values.type} is no text"
        raise ValueError(message)
    try:
        values = values.cast(pa.string())
        values.validate(full=True)
    except pa.ArrowInvalid:
        raw = values.cast(pa.binary()).to_pylist()
        decoded = [None if item is None else item.decode("utf-8", "replace") for item in raw]
        values = pa.chunked_array([pa.array(decoded, pa.string())])
    return values


def _width_or_none(value: object) -> int | None:
    try:
        return None if value is None else parse_width(str(value))
    except ValueError:
        return None


def _whole(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the integers among floats, which pandas made of a column with gaps; the other values become NULL."""
    if pa.types.is_floating(values.type):
        # A float beyond BIGINT is invalid: no column of a suite can store it.
        is_whole = pc.and_(pc.equal(values, pc.round(values)), pc.less(pc.abs(values), _BIGINT))
        return pc.if_else(is_whole, values, pa.scalar(None, values.type)).cast(pa.int64())
    lists = [
        [int(item) for item in row] if row is not None and all(_is_whole(item) for item in row) else None
        for row in values.to_pylist()
    ]
    return pa.chunked_array([pa.array(lists, pa.list_(pa.int64()))])


def _is_whole(value: float | None) -> bool:
    return value is not None and value.is_integer() and abs(value) < _BIGINT


def _value_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values in lists, however deep."""
    while isinstance(kind, pa.ListType | pa.LargeListType | pa.FixedSizeListType):
        kind = kind.value_type
    return kind


def _is_number(kind: pa.DataType) -> bool:
    """Return whether values are numbers or booleans, or lists of them."""
    kind = _value_type(kind)
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def _is_known(values: pa.ChunkedArray) -> pa.ChunkedArray:
    valid = pc.is_valid(values)
    return pc.and_(valid, pc.invert(pc.is_nan(values).fill_null(False))) if pa.types.is_floating(values.type) else valid  # noqa: FBT003


def _is_infinite(values: pa.ChunkedArray) -> pa.ChunkedArray | None:
    return pc.is_inf(values) if pa.types.is_floating(values.type) else None


def _count(flags: pa.ChunkedArray | None) -> int:
    return 0 if flags is None else pc.sum(flags).as_py() or 0
