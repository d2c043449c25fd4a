"""The description of ``/api`` by OpenAPI 3.1, made from the catalogue of questions."""

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

#: Rows of an answer that one request gets, at most and where it says nothing.
PAGE_ROWS = 100_000
#: The media type of each format.
KINDS = {
    "json": "application/json; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
PAGING: Mapping[str, tuple[str, int, int, int]] = {
    "limit": ("Rows of the answer, at most.", PAGE_ROWS, 1, PAGE_ROWS),
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
#: What is answered where a question is not: by status, why.
REFUSALS = {
    "400": "A parameter is missing, unknown, doubled, or cannot be what was given.",
    "404": "There is no such question or format.",
    "405": "Questions are asked by GET or HEAD.",
    "414": "The address is too long; ask in parts.",
    "429": "This address has too many questions open; ask again after `Retry-After` seconds.",
    "500": "The server failed, and its log says why.",
    "503": "The server has too many questions open, no suite is open, or the question took too long.",
}
_INSTEAD_DOC = {
    **{name: f"Of the SAE, in place of `sae`: its {name}." for name in INSTEAD["sae"]},
    "letter": "The first letter that is the concept, in place of `concept`.",
}
_ABOUT = (
    "The questions that stand behind the views of Absorption Explorer, each with what a row of its answer is. Answers"
    " are those of the page; what is unknown is null. `limit` and `offset` cut an answer into pages: `X-Total-Count`"
    " has the number of all its rows, and `Link` the next page."
)


def openapi(store: Store, prefix: str = "") -> dict[str, Any]:
    """Describe what can be asked of a store.

    Parameters
    ----------
    store : Store
        Its suites decide which parameters have to be given.
    prefix : str
        The path in front of all addresses.

    Returns
    -------
    dict
        The document, as JSON has it.
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
                    "description": "Format of the answer.",
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
        "error": {"type": "string", "description": "What is wrong, and what to do."},
        "parameter": {"type": ["string", "null"], "description": "The parameter to blame, if it is one."},
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
                _query_parameter(name, each, required=name in needed and not _can_be_said(name, instead))
                for name, each in taken.items()
            ),
            *(_instead(name) for name in instead),
            *({"$ref": f"#/components/parameters/{name}"} for name in PAGING),
        ],
        "responses": {
            "200": {
                "description": query.doc,
                "headers": {
                    "X-Total-Count": {"description": "Rows of the whole answer.", "schema": {"type": "integer"}},
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


def _can_be_said(name: str, instead: tuple[str, ...]) -> bool:
    """Tell whether something else can be given in place of a parameter."""
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
    """Describe an answer as JSON."""
    columns = {name: _or_null(_schema(kind)) for name, kind in query.columns.items()}
    row = {"type": "object", "required": [*columns], "properties": columns, "additionalProperties": False}
    return {
        "type": "object",
        "required": ["question", "parameters", "total", "offset", "next", "rows"],
        "properties": {
            "question": {"const": query.name},
            "parameters": {"type": "object", "description": "Those that the question was asked with."},
            "total": {"type": "integer", "description": "Rows of the whole answer."},
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
