"""How a view is cited: what it shows, of which suite, made by which program, where it is and when it was seen."""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol

#: What an address may hold that goes into BibTeX as it is; all else is percent-encoded in one that a browser shows.
_ADDRESS = re.compile(r"(?:https?|file)://[!#-;=?-\[\]_a-z~]+", re.IGNORECASE)
#: How LaTeX takes letters that mean something to it.
LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    # Not "\\{": BibTeX counts braces with no regard to backslashes, and one without a partner would end the entry.
    "{": r"\textbraceleft{}",
    "}": r"\textbraceright{}",
    **{letter: f"\\{letter}" for letter in "$&#_%"},
}


class Seen(Protocol):
    """The day on which a view was seen, as `datetime.date` has it."""

    @property
    def year(self) -> object:
        """The year."""

    def isoformat(self) -> str:
        """Write the day."""


class CitedSuite(NamedTuple):
    """What is said of a suite.

    Attributes
    ----------
    name, model : str
    version : str or None
        What tells it from others of its name: when it was made. None where it does not say so.
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


def cite(view: str, suite: CitedSuite, *, program: str, on: Seen, address: str | None, name: str) -> Citation:
    """Cite a view.

    Parameters
    ----------
    view : str
        What it shows, and of what, in words.
    suite : CitedSuite
    program : str
        The version of Absorption Explorer.
    on : Seen
        When it was seen.
    address : str or None
        Where it is; omitted where there is none, or where it is no address.
    name : str
        What the view is called in addresses, for the key.
    """
    address = address if address and _ADDRESS.fullmatch(address) else None
    made = f"of {suite.version}" if suite.version else "version not stated"
    data = f"Suite {suite.name} ({made}; model {suite.model}), SHA-256 of its manifest {suite.checksum}"
    seen = f"{address}, seen on {on.isoformat()}" if address else f"Seen on {on.isoformat()}"
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
        f"{view}. Absorption Explorer {program}. {data}. {seen}.",
        "\n".join([f"@misc{{{key},", *lines, "}"]),
    )


def _in_latex(text: str) -> str:
    """Write text so that LaTeX prints it."""
    return "".join(LATEX.get(letter, letter) for letter in text)
