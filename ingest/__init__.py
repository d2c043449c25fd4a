"""Foreign result formats become suites here: one module a format, one writer for all of them."""

from ingest.conform import IngestError
from ingest.importer import import_results
from ingest.writer import write_suite

__all__ = ["IngestError", "import_results", "write_suite"]
