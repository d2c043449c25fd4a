"""The native card of a latent, from the suite's own data."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import panel as pn

from explorer.format import count
from explorer.views.markup import Markup, render, visible

if TYPE_CHECKING:
    import pandas as pd
    import param

    from explorer.model import ExplorerModel

_FIRST_CONTEXTS = 20
_BEFORE, _AFTER = 10, 8  # tokens shown around the peak


class LatentCard(pn.viewable.Viewer):
    """Shows contexts, histogram, output tokens and the part the latent plays in each letter.

    Parameters
    ----------
    model : ExplorerModel
    """

    def __init__(self, model: ExplorerModel) -> None:
        super().__init__()
        self._model = model
        self._all_contexts = False
        self._card = Markup("card", on={"more-contexts": self._show_all, "role-letter": self._go_to_letter})
        model.param.watch(self._show, ["latent_contexts", "latent_roles"])
        model.state.param.watch(self._on_latent, ["latent"])
        self._show()

    def _on_latent(self, *_: param.parameterized.Event) -> None:
        self._all_contexts = False
        self._show()

    def _show_all(self, _: object) -> None:
        self._all_contexts = True
        self._show()

    def _go_to_letter(self, letter: str) -> None:
        self._model.state.apply({"letter": letter, "latent": self._model.state.latent})

    def _show(self, *_: param.parameterized.Event) -> None:
        model, state = self._model, self._model.state
        if state.latent is None or model.latent_roles is None:
            return
        contexts = model.latent_contexts
        known = 0 if contexts is None else len(contexts)
        shown = known if self._all_contexts else min(known, _FIRST_CONTEXTS)
        roles = describe_roles(model.latent_roles, model.latent_cosines)
        mine = next((role["said"] for role in roles if role["letter"] == state.letter), None)
        histogram = model.latent_histogram
        logits = model.latent_logits
        self._card.html = render(
            "card",
            latent=state.latent,
            sae=state.sae,
            roles_said=[f"{mine} of {state.letter.upper()}"] if mine else [],
            facts=model.latent_facts,
            contexts=[] if contexts is None else [shade(row) for row in contexts.head(shown).to_dict("records")],
            hidden=known - shown,
            histogram=histogram,
            bars=[] if histogram is None else histogram_bars(histogram),
            logits=[]
            if logits is None
            else [
                ("Raised", list(zip(logits["raised_tokens"], logits["raised_logits"], strict=True))),
                ("Lowered", list(zip(logits["lowered_tokens"], logits["lowered_logits"], strict=True))),
            ],
            roles=roles,
        )

    def __panel__(self) -> pn.viewable.Viewable:
        return self._card


def shade(context: dict[str, Any]) -> dict[str, Any]:
    """Cut a context to the tokens around its peak and say how deep each is shaded.

    Parameters
    ----------
    context : dict
        A row of the query `latent_contexts`.

    Returns
    -------
    dict
        activation and source as they are; before, peak and after: lists of text, activation, and shade in percent.
    """
    peak = int(context["position"])
    start, end = max(0, peak - _BEFORE), peak + _AFTER + 1
    acts = [float(act) for act in context["activations"][start:end]]
    highest = max([*acts, 1e-9])
    parts = [
        # Running text keeps its spaces as they are; line breaks are shown, for each context is one line.
        {
            "text": token.replace("\n", visible("\n")),
            "activation": act,
            "shade": round(70 * act / highest) if act > 0 else 0,
        }
        for token, act in zip(context["tokens"][start:end], acts, strict=True)
    ]
    place = peak - start
    return {
        "activation": context["activation"],
        "source": context["source"],
        "before": parts[:place],
        "peak": parts[place : place + 1],
        "after": parts[place + 1 :],
    }


def histogram_bars(histogram: dict[str, Any]) -> list[dict[str, Any]]:
    """Say height (percent, log count) and range of each bar."""
    counts = [int(count) for count in histogram["counts"]]
    low, high = histogram["low"] or 0.0, histogram["high"] or 0.0
    step = (high - low) / max(len(counts), 1)
    top = math.log1p(max([*counts, 1]))
    return [
        {
            "count": count,
            "height": 100 * math.log1p(count) / top,
            "low": low + step * place,
            "high": low + step * (place + 1),
        }
        for place, count in enumerate(counts)
    ]


def describe_roles(roles: pd.DataFrame, cosines: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Put the latent's part in each letter into words, with its cosine to that letter's probe."""
    by_letter = {} if cosines is None else dict(zip(cosines["letter"], cosines["cosine"], strict=True))
    described = []
    for role in roles.to_dict("records"):
        parts = []
        if role["split_rank"] == 1:
            parts.append("main latent")
        elif role["split_rank"] > 1:
            parts.append(f"split latent at k = {role['split_rank']}")
        if role["num_absorbed"] > 0:
            parts.append(f"absorbs {count(role['num_absorbed'], 'token')}")
        if role["is_encoder_top"]:
            parts.append("highest encoder cosine")
        described.append({"letter": role["letter"], "said": ", ".join(parts), "cosine": by_letter.get(role["letter"])})
    return described
