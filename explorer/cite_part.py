"""What a browser needs to cite views without a server: the texts of the dialog "Cite", with slots for what it knows."""

from __future__ import annotations

from importlib.metadata import version
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from explorer.cite import LATEX, cite
from explorer.embed import EMBEDS, subject_keys
from explorer.model import ExplorerModel, choices_of
from explorer.state import ExplorerState
from explorer.views.cite import cited_suite
from explorer.views.markup import render

if TYPE_CHECKING:
    from queries import Store

#: Strings that the browser replaces; `explorer.cite.cite` keeps them as they are.
_SLOTS = {
    "view": "\ue000",
    "day": "\ue001",
    "year": "\ue002",
    "name": "NAME.OF.VIEW",
    "address": "https://address.invalid",
}


def cite_part(store: Store, suite: str) -> dict[str, Any]:
    """Collect what `static/cite.js` fills in to cite any view of a suite.

    Parameters
    ----------
    store : Store
    suite : str
        A suite of the store.

    Returns
    -------
    dict
        The slots, the texts that contain them, the empty dialog, the characters that LaTeX escapes, the titles
        of the suite and its families, and by view its title and what it is about.
    """
    # With a latent, so that views about one are described as such.
    model = ExplorerModel(store, ExplorerState(choices_of(store), suite=suite, latent=0))
    cited = cite(
        _SLOTS["view"],
        cited_suite(model),
        program=version("absorption-explorer"),
        on=SimpleNamespace(year=_SLOTS["year"], isoformat=lambda: _SLOTS["day"]),
        address=_SLOTS["address"],
        name=_SLOTS["name"],
    )
    templates = {"text": cited.text, "bibtex": cited.bibtex, "address": _SLOTS["address"]}
    return {
        "slots": _SLOTS,
        "templates": templates,
        "dialog": render("cite", title="", frame="", **templates),
        "latex": LATEX,
        "suite": model.manifest.title or model.manifest.name,
        "families": {name: family.title for name, family in model.shown.families.items()},
        "views": {name: (embed.title, subject_keys(model, embed.view)) for name, embed in EMBEDS.items()},
    }
