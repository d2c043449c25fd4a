"""The OpenAPI 3.1 description of ``/api``, generated from the catalogue of queries."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from explorer.named_questions import INSTEAD, alternatives_to, needs, parameters
from queries import catalog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from explorer.named_questions import Parameter
    from queries import Query, Store

#: Maximum and default number of rows in a response.
PAGE_ROWS = 100_000
#: The media type of each format.
KINDS = {
    "json": "application/json; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
PAGING: Mapping[str, tuple[str, int, int, int]] = {
    "limit": ("Maximum number of rows.", PAGE_ROWS, 1, PAGE_ROWS),
    "offset": ("Number of rows to skip.", 0, 0, 2**31 - 1),
}
_TYPES: Mapping[str, dict[str, Any]] = {
    "VARCHAR": {"type": "string"},
    "INTEGER": {"type": "integer", "format": "int32"},
    "BIGINT": {"type": "integer", "format": "int64"},
    "FLOAT": {"type": "number", "format": "float"},
    "DOUBLE": {"type": "number", "format": "double"},
    "BOOLEAN": {"type": "boolean"},
    "MAP(VARCHAR, VARCHAR)": {"type": "object", "additionalProperties": {"type": "string"}},
}
#: Descriptions of error responses by status.
REFUSALS = {
    "400": "A parameter is missing, unknown, repeated, or has an invalid value.",
    "404": "There is no such query or format.",
    "405": "Only GET and HEAD are supported.",
    "414": "The address is too long; send several requests.",
    "429": "Too many queries from this address are running; retry after `Retry-After` seconds.",
    "500": "The server failed; see its log for the reason.",
    "503": "Too many queries are running, no suite is open, or the query took too long.",
}
_INSTEAD_DOC = {
    **{name: f"The {name} of the SAE, in place of `sae`." for name in INSTEAD["sae"]},
    "letter": "A first letter as the concept, in place of `concept`.",
}
_ABOUT = (
    "The queries behind the views of Absorption Explorer, each with a description of its rows. Results are those of the"
    " page; unknown values are null. `limit` and `offset` select a page of a result: `X-Total-Count` is the number of"
    " all rows, and `Link` the next page."
)


def openapi(store: Store, prefix: str = "") -> dict[str, Any]:
    """Return the OpenAPI description of the queries on a store.

    Parameters
    ----------
    store : Store
        Its suites determine which parameters are required.
    prefix : str
        Path in front of all addresses.

    Returns
    -------
    dict
        The document, ready for JSON.
    """
    servers = {"servers": [{"url": prefix}]} if prefix else {}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Absorption Explorer", "version": version("absorption-explorer"), "description": _ABOUT},
        **servers,
        "paths": {f"/api/{query.name}.{{format}}": {"get": _operation(store, query)} for query in catalog().values()},
        "components": {
            "schemas": {"Refusal": _REFUSAL},
            "parameters": {
                "format": {
                    "name": "format",
                    "in": "path",
                    "required": True,
                    "description": "Format of the result.",
                    "schema": {"type": "string", "enum": [*KINDS]},
                },
                **{name: _paging(name) for name in PAGING},
            },
            "responses": {
                f"Refused{status}": {
                    "description": why,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}},
                }
                for status, why in REFUSALS.items()
            },
        },
    }


_REFUSAL = {
    "type": "object",
    "required": ["error", "parameter"],
    "properties": {
        "error": {"type": "string", "description": "The problem and its fix."},
        "parameter": {"type": ["string", "null"], "description": "The invalid parameter, if any."},
    },
}


def _operation(store: Store, query: Query) -> dict[str, Any]:
    needed = needs(store, query.name)
    taken = parameters(query.name)
    instead = alternatives_to(query.name)
    return {
        "operationId": query.name,
        "summary": _first_sentence(query.doc),
        "description": query.doc,
        "parameters": [
            {"$ref": "#/components/parameters/format"},
            *(
                _query_parameter(name, each, required=name in needed and not _has_alternative(name, instead))
                for name, each in taken.items()
            ),
            *(_instead(name) for name in instead),
            *({"$ref": f"#/components/parameters/{name}"} for name in PAGING),
        ],
        "responses": {
            "200": {
                "description": query.doc,
                "headers": {
                    "X-Total-Count": {
                        "description": "Number of rows of the whole result.",
                        "schema": {"type": "integer"},
                    },
                    "Link": {"description": 'The next page (`rel="next"`), if any.', "schema": {"type": "string"}},
                },
                "content": {
                    KINDS["json"].partition(";")[0]: {"schema": _answer(query)},
                    KINDS["csv"].partition(";")[0]: {"schema": {"type": "string"}},
                    KINDS["parquet"]: {"schema": {"type": "string", "contentMediaType": KINDS["parquet"]}},
                },
            },
            **{status: {"$ref": f"#/components/responses/Refused{status}"} for status in REFUSALS},
        },
    }


def _has_alternative(name: str, instead: tuple[str, ...]) -> bool:
    """Return whether an alternative can be given in place of a parameter."""
    return any(other in instead for other in INSTEAD.get(name, ()))


def _query_parameter(name: str, parameter: Parameter, *, required: bool) -> dict[str, Any]:
    schema = _schema(parameter.kind)
    low, high = parameter.bounds
    schema |= {key: value for key, value in (("minimum", low), ("maximum", high)) if value is not None}
    if parameter.options:
        schema["enum"] = [*parameter.options]
    if parameter.default is not None:
        schema["default"] = parameter.default
    lists = {"style": "form", "explode": True} if parameter.is_list else {}
    return {"name": name, "in": "query", "required": required, "description": parameter.doc, **lists, "schema": schema}


def _instead(name: str) -> dict[str, Any]:
    kind = "string" if name in ("hook", "architecture", "letter") else "number" if name == "l0" else "integer"
    return {"name": name, "in": "query", "description": _INSTEAD_DOC[name], "schema": {"type": kind}}


def _paging(name: str) -> dict[str, Any]:
    doc, default, low, high = PAGING[name]
    schema = {"type": "integer", "minimum": low, "maximum": high, "default": default}
    return {"name": name, "in": "query", "description": doc, "schema": schema}


def _answer(query: Query) -> dict[str, Any]:
    """Return the schema of a result as JSON."""
    columns = {name: _or_null(_schema(kind)) for name, kind in query.columns.items()}
    row = {"type": "object", "required": [*columns], "properties": columns, "additionalProperties": False}
    return {
        "type": "object",
        "required": ["question", "parameters", "total", "offset", "next", "rows"],
        "properties": {
            "question": {"const": query.name},
            "parameters": {"type": "object", "description": "All parameters of the query."},
            "total": {"type": "integer", "description": "Number of rows of the whole result."},
            "offset": {"type": "integer", "description": "Number of rows to skip."},
            "next": {"type": ["string", "null"], "description": "Query of the address of the next page."},
            "rows": {"type": "array", "items": row},
        },
    }


def _schema(kind: str) -> dict[str, Any]:
    if kind.endswith("[]"):
        return {"type": "array", "items": _schema(kind.removesuffix("[]"))}
    return dict(_TYPES[kind])


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    items = {"items": _or_null(schema["items"])} if "items" in schema else {}
    return schema | {"type": [schema["type"], "null"]} | items


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=\.)\s", text, maxsplit=1)[0]
