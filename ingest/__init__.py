"""Import results in other formats as suites of Absorption Explorer: one module per format, one writer for all."""

from ingest.importer import import_results
from queries.conform import IngestError
from queries.writer import write_suite

__all__ = ["IngestError", "import_results", "write_suite"]
