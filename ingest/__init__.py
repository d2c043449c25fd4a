"""Foreign result formats become suites of Absorption Explorer here: one module a format, one writer for all of them."""

from ingest.importer import import_results
from queries.conform import IngestError
from queries.writer import write_suite

__all__ = ["IngestError", "import_results", "write_suite"]
