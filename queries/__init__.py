"""The store of Absorption Explorer: locked and read-only, with named queries; the only package that uses DuckDB."""

from queries.catalog import Query, catalog
from queries.check import Problem, check_suite
from queries.location import locate
from queries.manifest import Manifest, SuiteError
from queries.store import CancelToken, QueryError, Store

__all__ = [
    "CancelToken",
    "Manifest",
    "Problem",
    "Query",
    "QueryError",
    "Store",
    "SuiteError",
    "catalog",
    "check_suite",
    "locate",
]
