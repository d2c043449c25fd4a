"""SQL literals: the only module that writes values into a statement."""

from __future__ import annotations


def literal(value: object, kind: str = "") -> str:
    """Return a value as an SQL literal, cast to the DuckDB type `kind` if given."""
    match value:
        case None:
            text = "NULL"
        case bool() | int():
            text = str(value)
        case float():
            # As a text, because a decimal literal would lose digits.
            text, kind = f"'{value}'", kind or "DOUBLE"
        case list() | tuple():
            text = f"[{', '.join(map(literal, value))}]"
        case dict():
            text = f"MAP {{{', '.join(f'{literal(key)}: {literal(each)}' for key, each in value.items())}}}"
        case _:
            # A null character would end the statement.
            parts = ["'" + part.replace("'", "''") + "'" for part in str(value).split("\0")]
            text = f"({' || chr(0) || '.join(parts)})" if len(parts) > 1 else parts[0]
    return f"{text}::{kind}" if kind else text
