"""Two SAEs side by side, letter by letter, and the tokens that are absorbed on one of them only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from explorer.format import l0_label, width_label
from explorer.state import suggest_other
from explorer.views.markup import Markup, render
from explorer.views.view import View

if TYPE_CHECKING:
    from explorer.model import ExplorerModel
    from explorer.state import SaeId


class PairView(View):
    """Compares the SAE shown with another one.

    Parameters
    ----------
    model : ExplorerModel
    """

    answers = ("pair_letters", "pair_tokens")
    follows = ("sae", "other", "saes", "letter")

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__(model)
        self._layout = self._view = Markup(
            "pair", on={"other": self._choose, "suggested": self._suggest, "swap": self._swap, "letter": self._letter}
        )
        self._show()

    def _choose(self, key: str) -> None:
        # An unknown L0 is negative: what follows the second line is one number.
        self._model.state.apply(dict(zip(("other_layer", "other_width", "other_l0"), key.split("-", 2), strict=False)))

    def _suggest(self, _: object) -> None:
        self._model.state.apply({"other_layer": "", "other_width": "", "other_l0": ""})

    def _swap(self, _: object) -> None:
        state, other = self._model.state, self._model.state.other
        if other is not None and state.sae is not None:
            sae = state.sae
            state.apply(
                {"layer": other.layer, "width": other.width, "l0": other.l0}
                | {"other_layer": sae.layer, "other_width": sae.width, "other_l0": sae.l0}
            )

    def _letter(self, letter: str) -> None:
        self._model.state.apply({"letter": letter})

    def _show(self) -> None:
        shown, letters, tokens = self._model.shown, self._model.pair_letters, self._model.pair_tokens
        sae, other = shown.sae, shown.other
        if sae is None or other is None or letters is None:
            why = "Every SAE of this layer is this one. Choose a layer with several."
            self._view.html = render("empty", title="Nothing to compare with", why=why)
            return
        rows = [] if tokens is None else tokens.to_dict("records")
        self._view.html = render(
            "pair",
            name=_name(sae),
            other_name=_name(other),
            other=other,
            choices=[(choice, _name(choice)) for choice in shown.saes if choice.key != sae.key],
            suggested=other == suggest_other(shown.saes, sae),
            letters=letters.to_dict("records"),
            letter=shown.letter,
            are_known=letters.loc[letters["letter"] == shown.letter, "num_gained"].notna().all(),
            gained=[row for row in rows if _missing(row["latent"])],
            lost=[row for row in rows if _missing(row["other_latent"])],
            both=[row for row in rows if not _missing(row["latent"]) and not _missing(row["other_latent"])],
        )


def _name(sae: SaeId) -> str:
    return f"layer {sae.layer}, {width_label(sae.width)}, L0 {l0_label(sae.l0)}"


def _missing(value: Any) -> bool:
    return value is None or value != value  # noqa: PLR0124 - NaN
