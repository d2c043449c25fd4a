"""Open a source given by a user: suites in place, and results in other formats imported into the cache."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ingest import limits
from ingest.addresses import SCHEMES, Listing, is_suite_manifest, list_address
from ingest.archive import is_result, unpacked
from ingest.cache import PROGRAM, Cache, digest
from ingest.catalogue import read_catalogue
from ingest.download import download
from ingest.files import UnreadableError, is_read, reading
from ingest.importer import detect, import_results, suite_name
from ingest.source import Source
from ingest.web import RemoteError, RemoteFile, UnreachableError, check_address, without_secrets
from queries.conform import IngestError
from queries.location import file_problem, is_url, locate
from queries.manifest import MANIFEST, SuiteError
from queries.suite import contracts, read_manifest, table_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from queries.location import Location

    Progress = Callable[[str, int, int], None]
    Log = Callable[[str], None]

_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz")


@dataclass(frozen=True)
class _Results:
    """Results, or a suite, at an address or in a folder.

    Attributes
    ----------
    where : str
        Address or path.
    shown : str
        Its name in messages.
    name : str
        Name of the resulting suite.
    files : tuple of str
        Patterns of the files to download; empty for all files.
    folder : str
        Folder of the results in an archive.
    format : str
        Name of a reader, or "auto".
    """

    where: str
    shown: str
    name: str
    files: tuple[str, ...] = ()
    folder: str = ""
    format: str = "auto"

    @property
    def how(self) -> list[object]:
        """Everything besides the content that the resulting suite depends on."""
        return [PROGRAM, self.name, self.folder, self.format]


def suites_of(
    source: Path | str,
    *,
    progress: Progress = lambda *_: None,
    log: Log = lambda _: None,
    fetch_suites: bool = False,
) -> list[Location]:
    """Return the locations of the suites of a source; import its results if necessary.

    Parameters
    ----------
    source : Path or str
        A suite or a folder of suites, results in any format that can be imported (a folder, a file, an archive), the
        address of either, or a name in the catalogue.
    progress : callable
        Called with the name of the current step, the work done, and the total.
    log : callable
        Called with lines of text about an import.
    fetch_suites : bool
        Whether suites at an address are downloaded into the cache instead of being read in place.

    Returns
    -------
    list of Path or str
        Paths or addresses of suites; imported ones are in the cache.

    Raises
    ------
    SuiteError
        If there is neither a suite nor results; the message is one line that names the source and the fix.
    """
    text = str(source)
    try:
        if text.startswith(SCHEMES):
            check_address(text)
            results = _Results(text, without_secrets(text), _name(urlsplit(text).path or urlsplit(text).netloc))
            return _Opening(results, progress, log).at_address(fetch_suites=fetch_suites)
        if is_url(text):
            return [text]
        path = Path(source)
        if path.exists():
            return _local(path) or _Opening(_Results(text, text, _name(path.resolve().name)), progress, log).here(path)
        if "://" in text:
            raise SuiteError(f"{text}: is of a kind that is not read; give https://, hf://, s3://, or a folder")
        entry = next((entry for entry in read_catalogue().entries if entry.name == text), None)
        if entry is None:
            message = (
                f"{locate(path)}: no such folder; give a suite, results, an address, or a name that"
                " absorption-explorer catalogue lists"
            )
            raise SuiteError(message)
        results = _Results(
            entry.address, f"{entry.name} ({entry.address})", entry.name, entry.files, entry.folder, entry.format
        )
        return _Opening(results, progress, log).at_address(fetch_suites=fetch_suites)
    except IngestError as error:
        raise SuiteError(str(error)) from error
    except RemoteError as error:
        raise SuiteError(f"{text}: {error}") from error
    except OSError as error:
        raise SuiteError(f"{error.filename or text}: cannot be read ({error.strerror})") from error


def _name(path: str) -> str:
    """Derive a suite's name from the last component of a path."""
    name = path.rstrip("/").rpartition("/")[2]
    while name.lower().endswith((*_ARCHIVES, ".json", ".parquet", ".csv")):
        name = name.rpartition(".")[0]
    return suite_name(name)


def _local(path: Path) -> list[Location]:
    """Return the suites at a path; empty if there is something else."""
    if not path.is_dir():
        return []
    if _is_suite(path):
        return [path]
    # Files that no importer reads, such as a readme, may accompany suites.
    inside = sorted(
        each for each in path.iterdir() if not each.name.startswith(".") and (each.is_dir() or is_read(each.name))
    )
    return list(inside) if inside and all(each.is_dir() and _is_suite(each) for each in inside) else []


def _is_suite(folder: Path) -> bool:
    """Return whether a folder is a suite, possibly a damaged one."""
    file = folder / MANIFEST
    if not file.exists():
        return False
    if file_problem(folder.resolve(), MANIFEST):
        return True
    with file.open("rb") as stream:
        if is_suite_manifest(stream.read(limits.MANIFEST)):
            return True
    try:
        detect(Source(folder))
    except IngestError:
        return True
    return False


class _Opening:
    """Brings one source into the cache.

    Parameters
    ----------
    results : _Results
    progress, log : callable
        As in `suites_of`.
    """

    def __init__(self, results: _Results, progress: Progress, log: Log) -> None:
        self._results, self._progress, self._log = results, progress, log
        self._key = ""

    def here(self, path: Path) -> list[Location]:
        """Return the suites of local results."""
        if path.is_dir() or is_result(path):
            try:
                detect(Source(path))  # before all files are read for the digest
            except IngestError as error:
                message = f"{self._message(error, path)}, or the folder of a suite, which holds {MANIFEST}"
                raise SuiteError(message) from error
        try:
            cache = Cache(self._progress)
            self._key = digest(json.dumps([self._digest(path), *self._results.how]))
            return _suites_in(
                cache.keep(self._key, self._results.name, self._results.shown, partial(self._import, path))
            )
        except OSError as error:
            raise cache.unwritable(error) from error

    def at_address(self, *, fetch_suites: bool) -> list[Location]:
        """Return the suites at an address, or those of the results there."""
        results = self._results
        address = json.dumps([results.where, results.files, *results.how])
        try:
            return self._listed(address, list_address(results.where, results.files), fetch_suites=fetch_suites)
        except UnreachableError as error:
            cache = Cache(self._progress)
            known = cache.known(address)
            found = known and cache.held(known.key)
            if not known or not found:
                raise SuiteError(f"{results.shown}: {error}") from error
            self._log(f"{results.shown}: {error}; this is the copy that was fetched on {known.fetched:%-d %B %Y}")
            return _suites_in(found)
        except RemoteError as error:
            raise SuiteError(f"{results.shown}: {error}") from error

    def _listed(self, address: str, listing: Listing, *, fetch_suites: bool) -> list[Location]:
        """Return the suites of a listing."""
        if listing.is_suite and not fetch_suites:
            return [self._results.where.rstrip("/")]
        if listing.is_suite:
            listing = listing if listing.files else _files_of_suite(self._results.where)
            return self._fetched(address, listing, self._copied)
        if self._results.format == "suite":
            raise RemoteError(f"is no suite, for it has no {MANIFEST}")
        return self._fetched(address, listing, self.here)

    def _fetched(self, address: str, listing: Listing, use: Callable[[Path], list[Location]]) -> list[Location]:
        """Return the suites of the files at an address, which are downloaded only if they have changed.

        `use` is called with the path of the downloaded files, and returns the suites.
        """
        cache = Cache(self._progress)
        try:
            if found := _unchanged(cache, address, listing):
                return found
            with cache.downloading(address) as place:
                if found := _unchanged(cache, address, listing):  # another process has downloaded them meanwhile
                    return found
                folder = place / digest(listing.fingerprint or "")
                for former in place.iterdir():
                    if former != folder or listing.fingerprint is None:
                        shutil.rmtree(former)
                folder.mkdir(exist_ok=True)
                download(listing.files, folder, self._progress)
                found = use(folder / listing.files[0].path if listing.is_file else folder)
                cache.note(address, self._key, listing.fingerprint)
                return found
        except OSError as error:
            raise cache.unwritable(error) from error

    def _copied(self, folder: Path) -> list[Location]:
        """Move a downloaded suite into the cache, and return its path."""

        def move(target: Path) -> str:
            shutil.rmtree(target, ignore_errors=True)  # left by a process that was killed
            folder.rename(target)
            return "{}"

        self._key = digest(json.dumps([self._digest(folder), self._results.name]))
        return [Cache(self._progress).keep(self._key, self._results.name, self._results.shown, move)]

    def _digest(self, path: Path) -> str:
        """Return a hash of all files that an importer might read."""
        source = Source(path)
        whole = hashlib.sha256()
        is_folder = path.is_dir()
        files = [file for file in source.find("**/*") if not is_folder or (is_read(file.name) and not file.is_dir())]
        for done, file in enumerate(files):
            self._progress("Looking at the results", done, len(files))
            try:
                with reading(source.root, file, "file", limits.UNPACKED) as stream:
                    content = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type] # any open file
            except UnreadableError as error:
                content = str(error)
            whole.update(f"{json.dumps(file.relative_to(source.root).as_posix())} {content}\n".encode())
        return whole.hexdigest()

    def _import(self, path: Path, target: Path) -> str:
        """Import results as a suite; return the report as JSON."""
        results = self._results
        inside = path
        try:
            with unpacked(path, target) as root:
                inside = root / results.folder
                if not inside.exists():
                    raise SuiteError(f"{results.shown}: holds no folder {results.folder!r}")
                _, report = import_results(inside, target, format=results.format, force=True, progress=self._progress)
        except IngestError as error:
            if isinstance(error.__cause__, OSError):  # the cache cannot be written; the caller reports that
                raise error.__cause__ from error
            raise SuiteError(self._message(error, inside)) from error
        summary = report.as_dict()
        self._log(
            f"{results.shown}: imported; {summary['read']:,} files read, {summary['skipped']:,} skipped,"
            f" {len(summary['rejected']):,} rejected: {target.parent / 'report.json'}"
        )
        return json.dumps(summary, indent=1)

    def _message(self, error: IngestError, path: Path) -> str:
        """Return an import error's message with the source's name in place of a path, which may be in the cache."""
        # If the results are a single file, messages contain the path of its folder.
        place = path.resolve().parent if is_result(path) else path.resolve()
        return str(error).replace(str(place), self._results.shown)


def _unchanged(cache: Cache, address: str, listing: Listing) -> list[Location]:
    """Return the cached suites of an address if its files have not changed, else an empty list."""
    known = cache.known(address)
    if known is None or known.fingerprint is None or known.fingerprint != listing.fingerprint:
        return []
    found = cache.held(known.key)
    return _suites_in(found) if found else []


def _suites_in(folder: Path) -> list[Location]:
    """Return the suite or suites in a folder of the cache."""
    return [folder] if (folder / MANIFEST).exists() else sorted(folder.iterdir())


def _files_of_suite(url: str) -> Listing:
    """List the files of a suite on a web server, which are named in its manifest."""
    manifest = read_manifest(url)
    names = [MANIFEST, *(name for table in contracts(manifest).values() for name in table_files(manifest, table))]
    root = url.rstrip("/")

    def file(name: str) -> RemoteFile:
        return RemoteFile(name, lambda: (f"{root}/{name}", {}), size=None, identity=None, is_served=False)

    return Listing([file(name) for name in names])
