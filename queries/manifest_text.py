"""``manifest.json``, read and checked."""

from __future__ import annotations

import math

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from queries.manifest import BIGINT_MAX, FORMAT_VERSIONS, TEXT_LENGTH, Manifest, SuiteError, first_problem
from queries.manifest_1 import converted
from queries.sae_ids import in_order

#: Values in a manifest, at any depth: twice what MAX_SAES need. Each may be an error of its own, which takes time.
_MAX_VALUES = 400_000


class _Version(BaseModel):
    format_version: int


def parse_manifest(text: str, file: object) -> Manifest:
    """Read and check the text of a manifest; `file` names it in messages.

    Raises
    ------
    SuiteError
        Where it is not JSON, or does not meet the contract.
    """
    try:
        content = from_json(text)
        _check_values(content)
        # The version first: of what another one holds, nothing else can be said.
        version = _Version.model_validate(content).format_version
        if version not in FORMAT_VERSIONS:
            known = " and ".join(map(str, FORMAT_VERSIONS))
            message = (
                f"{file}: format_version {version} is not known here (this program reads {known}); import the suite"
                " again or update the program"
            )
            raise SuiteError(message)
        manifest = Manifest.model_validate(converted(content) if version == 1 else content)
        return manifest.model_copy(update={"saes": in_order(manifest.saes)})
    except ValidationError as error:
        message = f"{file}: {first_problem(error)}; fix the manifest or import the suite again"
        raise SuiteError(message) from error
    except ValueError as error:
        message = f"{file}: no JSON that can be used ({error}); fix the manifest or import the suite again"
        raise SuiteError(message) from error


def _check_values(content: object) -> None:
    """Hold every value, those of free text included, to what can be stored and written out.

    How deep they lie is limited by the parser.

    Raises
    ------
    ValueError
        At the first value that is too long or too large.
    """
    waiting, seen = [content], 0
    while waiting:
        value = waiting.pop()
        match value:
            case dict():
                waiting += [*value, *value.values()]
                seen += len(value)
            case list():
                waiting += value
                seen += len(value)
            case str() if len(value) > TEXT_LENGTH:
                message = f"it holds a text of {len(value):,} characters, {TEXT_LENGTH:,} at most"
                raise ValueError(message)
            case float() if not math.isfinite(value):
                message = f"it holds a number that is not finite ({value})"
                raise ValueError(message)
            case int() if abs(value) > BIGINT_MAX:
                message = "it holds an integer that 64 bits do not hold"
                raise ValueError(message)
        if seen > _MAX_VALUES:
            message = f"it holds more than {_MAX_VALUES:,} values"
            raise ValueError(message)
