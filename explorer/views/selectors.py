"""Navigation between pages, and the choice of an SAE by its attributes, with the badge of canonical SAEs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import panel as pn

from explorer.saes import ATTRIBUTES, TITLES, distinguishing_attributes, value_label, value_labels
from explorer.state import PAGES
from explorer.views.markup import Markup, render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import param

    from explorer.state import ExplorerState

PAGE_TITLES = {name: name.capitalize() for name in PAGES}


class Selectors(pn.viewable.Viewer):
    """Chooses the page, and the SAE by each attribute with several values in the suite; each narrows the next.

    Parameters
    ----------
    state : ExplorerState
    """

    def __init__(self, state: ExplorerState) -> None:
        super().__init__()
        self._state = state
        self._nav = Markup("page", on={"page": self._go})
        self._groups = {name: Markup(name, on={name: self._narrower(name)}) for name in ATTRIBUTES}
        self._same = Markup("same", on={"sae": self._choose})
        self._badge = Markup("badge")
        self._layout = pn.Column(
            self._nav, *self._groups.values(), self._same, self._badge, sizing_mode="stretch_width"
        )
        state.param.watch(self._show, ["suite", "sae"])
        state.param.watch(self._show_page, "page")
        self._show()
        self._show_page()

    def _go(self, page: str) -> None:
        self._state.apply({"page": page})

    def _choose(self, sae: str) -> None:
        self._state.apply({"sae": sae})

    def _narrower(self, name: str) -> Callable[[str], None]:
        """Return the handler for choosing a value of an attribute by its label."""

        def narrow(label: str) -> None:
            labels = labels_of(self._state, name)
            if label in labels:
                self._state.narrow(name, labels[label])

        return narrow

    def _show(self, *_: param.parameterized.Event) -> None:
        state, distinguishing = self._state, distinguishing_attributes(self._state.saes)
        for name, group in self._groups.items():
            group.html = attribute_html(state, name) if name in distinguishing else ""
        self._same.html = same_html(state)
        self._badge.html = badge_html(state)

    def _show_page(self, *_: param.parameterized.Event) -> None:
        self._nav.html = nav_html(self._state.page)

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout


def nav_html(page: str | None, pages: Iterable[str] = PAGES) -> str:
    """Render the navigation, with the current page marked."""
    return render("nav", pages={name: PAGE_TITLES[name] for name in pages}, page=page)


def labels_of(state: ExplorerState, name: str) -> dict[str, Any]:
    """Return the possible values of an attribute by their labels; the L0 of a canonical SAE is marked."""
    marked = {sae.l0 for sae in state.alike if sae.canonical} if name == "l0" else set()
    values = state.options[name]
    return {label + "*" * (value in marked): value for value, label in value_labels(name, values).items()}


def attribute_html(state: ExplorerState, name: str) -> str:
    """Render the possible values of an attribute, with the chosen one marked."""
    labels, sae = labels_of(state, name), state.chosen_sae
    chosen = None if sae is None else getattr(sae, name)
    return render(
        "attribute",
        name=name,
        title=TITLES[name],
        has_texts=name in ("hook", "architecture"),
        labels=labels,
        chosen=next((label for label, value in labels.items() if value == chosen), None),
    )


def same_html(state: ExplorerState) -> str:
    """Render the SAEs with the same attributes as the chosen one, by their titles."""
    alike = set(state.options["sae"])
    saes = [one for one in state.saes if one.id in alike] if len(alike) > 1 else []
    return render("same_saes", saes=saes, chosen=state.sae)


def badge_html(state: ExplorerState) -> str:
    """Render the attributes that all SAEs of the suite share, and whether the chosen one is canonical."""
    sae, distinguishing = state.chosen_sae, distinguishing_attributes(state.saes)
    return render(
        "badge",
        sae=sae,
        any_canonical=any(one.canonical for one in state.saes),
        common=[
            f"{TITLES[name]} {value_label(name, getattr(sae, name))}"
            for name in ATTRIBUTES
            if sae is not None and name not in distinguishing and getattr(sae, name) is not None
        ],
    )
