"""The head of the page Compare, with the switch between its comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.concepts import plural
from explorer.saes import ATTRIBUTES, TITLES, distinguishing_attributes
from explorer.views.markup import Markup, render
from explorer.views.view import View

if TYPE_CHECKING:
    from explorer.model import ExplorerModel
    from explorer.state import Snapshot


class CompareHead(View):
    """Names the comparison and switches to others.

    Parameters
    ----------
    model : ExplorerModel
    """

    follows = ("suite", "sae", "concept", "comparison", "compared_concepts", "has_kin")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._layout = self._head = Markup("page-head", on=model.state.setters("compare_by"))
        self._show()

    def _show(self) -> None:
        self._head.html = head_html(self._model.shown)


def head_html(shown: Snapshot, *, only: str = "") -> str:
    """Render the description of the comparison, with the switch unless `only` one comparison is available."""
    part = only or shown.comparison
    return render(
        "compare_head",
        parts={} if only else parts_of(shown),
        part=part,
        label=shown.label,
        nouns=shown.nouns,
        sae=shown.chosen_sae,
        attribute=TITLES.get(part, "").lower(),
        num_shown=len(shown.compared_concepts),
        num_concepts=sum(concept.family == shown.family for concept in shown.concepts.values()),
    )


def parts_of(shown: Snapshot) -> dict[str, str]:
    """Return the possible comparisons: SAEs that differ in an attribute, concepts, two SAEs, or widths."""
    names = [name for name in distinguishing_attributes(shown.saes) if name not in ("l0", "width")]
    names += [shown.comparison] * (shown.comparison in ATTRIBUTES and shown.comparison not in (*names, "l0", "width"))
    return {
        "l0": "all SAEs of this layer",
        **{name: plural(TITLES[name].lower()) for name in names},
        "concept": f"all {shown.nouns} of this SAE",
        "pair": "two SAEs",
        **({"splitting": "splitting over widths"} if shown.has_kin or shown.comparison == "splitting" else {}),
    }
