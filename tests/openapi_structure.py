"""The structure of an OpenAPI 3.1 document as a JSON Schema, limited to what this project's document uses."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

_TEXT = {"type": "string", "minLength": 1}
_NO_MORE = {"unevaluatedProperties": False}

STRUCTURE: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["openapi", "info", "paths"],
    "properties": {
        "openapi": {"pattern": r"^3\.1\.\d+$"},
        "info": {
            "type": "object",
            "required": ["title", "version"],
            "properties": dict.fromkeys(("title", "version", "description"), _TEXT),
            **_NO_MORE,
        },
        "servers": {"type": "array", "items": {"required": ["url"], "properties": {"url": _TEXT}, **_NO_MORE}},
        "paths": {
            "type": "object",
            "propertyNames": {"pattern": "^/"},
            "additionalProperties": {
                "required": ["get"],
                "properties": {"get": {"$ref": "#/$defs/operation"}},
                **_NO_MORE,
            },
        },
        "components": {
            "type": "object",
            "properties": {
                "schemas": {"additionalProperties": {"$ref": "#/$defs/schema"}},
                "parameters": {"additionalProperties": {"$ref": "#/$defs/parameter"}},
                "responses": {"additionalProperties": {"$ref": "#/$defs/response"}},
            },
            **_NO_MORE,
        },
    },
    **_NO_MORE,
    "$defs": {
        "schema": {"type": "object"},
        "reference": {"required": ["$ref"], "properties": {"$ref": {"pattern": "^#/components/"}}, **_NO_MORE},
        "operation": {
            "type": "object",
            "required": ["operationId", "parameters", "responses"],
            "properties": {
                **dict.fromkeys(("operationId", "summary", "description"), _TEXT),
                "parameters": {
                    "type": "array",
                    "uniqueItems": True,
                    "items": {"anyOf": [{"$ref": "#/$defs/reference"}, {"$ref": "#/$defs/parameter"}]},
                },
                "responses": {
                    "type": "object",
                    "required": ["200"],
                    "propertyNames": {"pattern": "^[1-5][0-9][0-9]$"},
                    "additionalProperties": {"anyOf": [{"$ref": "#/$defs/reference"}, {"$ref": "#/$defs/response"}]},
                },
            },
            **_NO_MORE,
        },
        "parameter": {
            "type": "object",
            "required": ["name", "in", "schema"],
            "properties": {
                "name": _TEXT,
                "in": {"enum": ["query", "path"]},
                "description": _TEXT,
                "required": {"type": "boolean"},
                "style": {"const": "form"},
                "explode": {"type": "boolean"},
                "schema": {"$ref": "#/$defs/schema"},
            },
            "if": {"properties": {"in": {"const": "path"}}},
            "then": {"required": ["required"], "properties": {"required": {"const": True}}},
            **_NO_MORE,
        },
        "response": {
            "type": "object",
            "required": ["description"],
            "properties": {
                "description": _TEXT,
                "headers": {
                    "additionalProperties": {"required": ["schema"], "properties": {"description": _TEXT, "schema": {}}}
                },
                "content": {
                    "propertyNames": {"pattern": "^[a-z]+/[a-z.+-]+$"},
                    "additionalProperties": {"required": ["schema"], "properties": {"schema": {}}, **_NO_MORE},
                },
            },
            **_NO_MORE,
        },
    },
}


def check_openapi(document: dict[str, Any]) -> None:
    """Check a document's structure, its schemas, and that its references exist."""
    Draft202012Validator.check_schema(STRUCTURE)
    Draft202012Validator(STRUCTURE).validate(document)
    ids = [item["get"]["operationId"] for item in document["paths"].values()]
    assert len(set(ids)) == len(ids)
    for place, part in _parts(document, ()):
        if place[-1:] == ("schema",):
            Draft202012Validator.check_schema(part)
        if "$ref" in part:
            assert isinstance(resolved(document, part), dict)


def resolved(document: dict[str, Any], part: dict[str, Any]) -> Any:
    """Return a part of the document, with its reference resolved."""
    found: Any = document
    for name in part["$ref"].removeprefix("#/").split("/") if "$ref" in part else ():
        found = found[name]
    return found if "$ref" in part else part


def _parts(part: Any, place: tuple[str, ...]) -> Any:
    if isinstance(part, dict):
        yield place, part
        for name, each in part.items():
            yield from _parts(each, (*place, name))
    elif isinstance(part, list):
        for each in part:
            yield from _parts(each, place)
