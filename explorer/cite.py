"""Citations of views: content, suite, version of the program, address and date of access."""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol

#: Addresses that can be used in BibTeX unchanged; browsers percent-encode all other characters.
_ADDRESS = re.compile(r"(?:https?|file)://[!#-;=?-\[\]_a-z~]+", re.IGNORECASE)
#: LaTeX commands for its special characters.
LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    # Not "\\{", because BibTeX counts braces even after a backslash, and an unbalanced one would end the entry.
    "{": r"\textbraceleft{}",
    "}": r"\textbraceright{}",
    **{letter: f"\\{letter}" for letter in "$&#_%"},
}


class AccessDate(Protocol):
    """The date of access, with the interface of `datetime.date`."""

    @property
    def year(self) -> object:
        """The year."""

    def isoformat(self) -> str:
        """Return the date as YYYY-MM-DD."""


class CitedSuite(NamedTuple):
    """A suite in a citation.

    Attributes
    ----------
    name, model : str
    version : str or None
        Date of its creation, which distinguishes it from others of its name; None if unknown.
    checksum : str
        SHA-256 of its manifest.
    """

    name: str
    model: str
    version: str | None
    checksum: str


class Citation(NamedTuple):
    """A citation as a sentence and as BibTeX.

    Attributes
    ----------
    text, bibtex : str
    """

    text: str
    bibtex: str


def cite(view: str, suite: CitedSuite, *, program: str, on: AccessDate, address: str | None, name: str) -> Citation:
    """Cite a view.

    Parameters
    ----------
    view : str
        Description of its contents.
    suite : CitedSuite
    program : str
        The version of Absorption Explorer.
    on : AccessDate
        Date of access.
    address : str or None
        Its address; omitted if None or not a valid address.
    name : str
        Name of the view in addresses, for the BibTeX key.
    """
    address = address if address and _ADDRESS.fullmatch(address) else None
    made = f"of {suite.version}" if suite.version else "version not stated"
    data = f"Suite {suite.name} ({made}; model {suite.model}), SHA-256 of its manifest {suite.checksum}"
    accessed = f"{address}, accessed on {on.isoformat()}" if address else f"Accessed on {on.isoformat()}"
    fields = {
        "title": f"{{{_in_latex(view)}}}",
        "author": "{Absorption Explorer contributors}",
        "year": str(on.year),
        "howpublished": _in_latex(f"Absorption Explorer {program}"),
        "note": _in_latex(data),
        **({"url": address} if address else {}),
        "urldate": on.isoformat(),
    }
    width = max(map(len, fields))
    lines = [f"  {key:<{width}} = {{{value}}}," for key, value in fields.items()]
    key = re.sub(r"[^A-Za-z0-9.-]+", "-", f"absorption-explorer-{suite.name}-{name}")
    return Citation(
        f"{view}. Absorption Explorer {program}. {data}. {accessed}.",
        "\n".join([f"@misc{{{key},", *lines, "}"]),
    )


def _in_latex(text: str) -> str:
    """Escape text for LaTeX."""
    return "".join(LATEX.get(letter, letter) for letter in text)
