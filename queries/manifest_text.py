"""Parses and checks ``manifest.json``."""

from __future__ import annotations

import math

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from queries.manifest import BIGINT_MAX, FORMAT_VERSIONS, TEXT_LENGTH, Manifest, SuiteError, first_problem
from queries.manifest_1 import with_current_saes
from queries.sae_ids import sorted_saes

#: Maximum values in a manifest, at any depth: twice what MAX_SAES need. Each may be an error, which takes time.
_MAX_VALUES = 400_000


class _Version(BaseModel):
    format_version: int


def parse_manifest(text: str, file: object) -> Manifest:
    """Parse and check the text of a manifest; `file` is its name in messages.

    Raises
    ------
    SuiteError
        If it is not JSON, or violates the contract.
    """
    try:
        content = from_json(text)
        _check_values(content)
        # The version first, because the fields of other versions are unknown.
        version = _Version.model_validate(content).format_version
        if version not in FORMAT_VERSIONS:
            known = " and ".join(map(str, FORMAT_VERSIONS))
            message = (
                f"{file}: format_version {version} is unknown (this program reads {known}); import the suite"
                " again or update the program"
            )
            raise SuiteError(message)
        manifest = Manifest.model_validate(with_current_saes(content) if version == 1 else content)
        return manifest.model_copy(update={"saes": sorted_saes(manifest.saes)})
    except ValidationError as error:
        message = f"{file}: {first_problem(error)}; fix the manifest or import the suite again"
        raise SuiteError(message) from error
    except ValueError as error:
        message = f"{file}: the JSON cannot be used ({error}); fix the manifest or import the suite again"
        raise SuiteError(message) from error


def _check_values(content: object) -> None:
    """Check that every value, including free texts, can be stored and written.

    The parser limits their depth.

    Raises
    ------
    ValueError
        At the first value that is too long or too large.
    """
    pending, num_values = [content], 0
    while pending:
        value = pending.pop()
        match value:
            case dict():
                pending += [*value, *value.values()]
                num_values += len(value)
            case list():
                pending += value
                num_values += len(value)
            case str() if len(value) > TEXT_LENGTH:
                message = f"contains a text of {len(value):,} characters, {TEXT_LENGTH:,} at most"
                raise ValueError(message)
            case float() if not math.isfinite(value):
                message = f"contains a number that is not finite ({value})"
                raise ValueError(message)
            case int() if abs(value) > BIGINT_MAX:
                message = "contains an integer of more than 64 bits"
                raise ValueError(message)
        if num_values > _MAX_VALUES:
            message = f"contains more than {_MAX_VALUES:,} values"
            raise ValueError(message)
