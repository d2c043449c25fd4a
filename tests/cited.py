"""The texts of the dialog "Cite" for a view."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from explorer.cite import cite
from explorer.embed import EMBEDS, subject_of
from explorer.model import ExplorerModel
from explorer.views.cite import cited_suite

if TYPE_CHECKING:
    from explorer.state import ExplorerState
    from queries import Store


def cited_texts(store: Store, state: ExplorerState, name: str, address: str) -> list[str]:
    """Return reference, BibTeX and address of a view in a state."""
    model = ExplorerModel(store, state, EMBEDS[name].view)
    cited = cite(
        f"{EMBEDS[name].title}: {subject_of(model, EMBEDS[name].view)}",
        cited_suite(model),
        program=version("absorption-explorer"),
        on=datetime.now(UTC).date(),
        address=address,
        name=name,
    )
    return [cited.text, cited.bibtex, address]
