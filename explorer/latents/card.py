"""The card of a latent, from the suite's own data."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from explorer.format import printable, role_label, visible
from explorer.model import records
from explorer.views.markup import Markup, render
from explorer.views.view import View

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from explorer.concepts import Concept
    from explorer.model import ExplorerModel
    from explorer.saes import Sae

_FIRST_CONTEXTS = 20
_BEFORE, _AFTER = 10, 8  # tokens shown around the peak
_DEEPEST = 56  # percent of the full colour: tokens stay readable on it


class Kin(NamedTuple):
    """The kin on a card.

    Attributes
    ----------
    rows : sequence of dict
        Rows of `latent_kin` with sae_label and role (the latent's role on that SAE).
    hidden : int
        Number of kin that are not shown.
    """

    rows: Sequence[dict[str, Any]]
    hidden: int


class LatentCard(View):
    """Shows contexts, histogram, output tokens, and the latent's role for each concept.

    Parameters
    ----------
    model : ExplorerModel
    initial_latent : int, optional
        The latent with which the page was opened, to which it does not scroll.
    """

    answers = tuple(
        f"latent_{name}" for name in ("facts", "contexts", "logits", "histogram", "roles", "cosines", "kin")
    )
    follows = ("suite", "sae", "concept", "latent")

    def __init__(self, model: ExplorerModel, initial_latent: int | None = None) -> None:
        super().__init__(model)
        self._initial_latent = initial_latent
        self._all_contexts_of: tuple[str, int] | None = None  # SAE and latent whose contexts are all shown
        self._all_kin_of: tuple[str, int] | None = None
        self._layout = self._card = Markup(
            "card",
            on={
                "more-contexts": self._show_all,
                "role": self._go_to,
                "more-kin": self._show_all_kin,
                "kin": self._go_to_kin,
            },
        )
        self._show()

    def _show_all(self, _: object) -> None:
        self._all_contexts_of = self._model.shown.sae, self._model.shown.latent
        self._show()

    def _show_all_kin(self, _: object) -> None:
        self._all_kin_of = self._model.shown.sae, self._model.shown.latent
        self._show()

    def _go_to_kin(self, name: str) -> None:
        """Select a kin by latent and SAE; clicks on an outdated card are ignored."""
        rows = self._model.latent_kin
        if not self._model.is_current or rows is None:
            return
        for sae, latent in zip(rows["other_sae"], rows["other_latent"], strict=True):
            if name == f"{latent} {sae}":
                self._model.state.apply({"sae": sae, "latent": int(latent), "page": "explore"})
                return

    def _go_to(self, concept: str) -> None:
        if self._model.is_current:
            self._model.state.apply({"concept": concept, "latent": self._model.shown.latent})

    def _show(self) -> None:
        model, shown = self._model, self._model.shown
        if shown.latent != self._initial_latent:
            self._initial_latent = None
        if shown.latent is None:
            self._card.html = ""  # so that the page scrolls to the same latent if it is selected again
        if shown.latent is None or model.latent_roles is None:
            return
        roles = describe_roles(model.latent_roles, model.latent_cosines, shown.concepts)
        own_role = next((role["text"] for role in roles if role["concept"] == shown.concept), None)
        self._card.html = card_html(
            shown.latent,
            shown.chosen_sae,
            role_texts=[f"{own_role} of {shown.label}"] if own_role else [],
            facts=named_facts(model.latent_facts, shown.concepts),
            contexts=[] if model.latent_contexts is None else model.latent_contexts.to_dict("records"),
            logits=model.latent_logits,
            histogram=model.latent_histogram,
            roles=roles,
            kin=self._kin(),
            label=shown.label,
            scroll_to=self._initial_latent is None,
            num_shown=None if self._all_contexts_of == (shown.sae, shown.latent) else _FIRST_CONTEXTS,
        )

    def _kin(self) -> Kin | None:
        """Return the kin to show: the nearest on each SAE, or all; None if the suite stores no kin."""
        model, shown = self._model, self._model.shown
        if model.latent_kin is None:
            return None
        rows = [
            row
            | {"sae_label": model.saes[shown.suite, row["other_sae"]].label}
            | {"role": role_label(row["split_rank"], row["num_absorbed"])}
            for row in records(model.latent_kin)
        ]
        nearest = rows if self._all_kin_of == (shown.sae, shown.latent) else [row for row in rows if row["rank"] == 0]
        return Kin(nearest, len(rows) - len(nearest))


def card_html(
    latent: int,
    sae: Sae | None,
    *,
    role_texts: Sequence[str],
    facts: dict[str, Any] | None,
    contexts: Sequence[dict[str, Any]],
    logits: dict[str, Any] | None,
    histogram: dict[str, Any] | None,
    roles: Sequence[dict[str, Any]],
    kin: Kin | None = None,
    label: str = "",
    scroll_to: bool = False,
    num_shown: int | None = None,
) -> str:
    """Render the card of a latent.

    Parameters
    ----------
    latent : int
    sae : Sae
    role_texts : sequence of str
        Its role for the current concept.
    facts, logits, histogram : dict or None
        Records of `latent_facts`, `latent_logits` and `latent_histogram`.
    contexts : sequence of dict
        Rows of `latent_contexts`.
    roles : sequence of dict
        What `describe_roles` returns.
    kin : Kin, optional
        None omits the section.
    label : str
        Label of the concept for which the kin's roles are given.
    scroll_to : bool
        Whether the page scrolls to the card.
    num_shown : int, optional
        Number of contexts shown at first; all by default.
    """
    return render(
        "card",
        latent=latent,
        sae=sae,
        role_texts=role_texts,
        facts=facts,
        contexts=[shade(row) for row in contexts[:num_shown]],
        hidden=0 if num_shown is None else max(len(contexts) - num_shown, 0),
        histogram=histogram,
        bars=[] if histogram is None else histogram_bars(histogram),
        logits=[]
        if logits is None
        else [
            (title, list(zip(logits[f"{which}_tokens"], logits[f"{which}_logits"], strict=True)))
            for title, which in (("Raised", "raised"), ("Lowered", "lowered"))
        ],
        roles=roles,
        kin=kin,
        label=label,
        scroll_to=scroll_to,
    )


def shade(context: dict[str, Any]) -> dict[str, Any]:
    """Cut a context to the tokens around its peak, and compute the shade of each.

    Parameters
    ----------
    context : dict
        A row of the query `latent_contexts`.

    Returns
    -------
    dict
        activation and source, unchanged; before, peak and after: lists of text, activation, and shade in percent.
    """
    peak = int(context["position"])
    start, end = max(0, peak - _BEFORE), peak + _AFTER + 1
    acts = [float(act) for act in context["activations"][start:end]]
    highest = max([*acts, 1e-9])
    parts = [
        # Spaces are unchanged; line breaks are replaced by a symbol, because each context is one line.
        {
            "text": printable(token.replace("\n", visible("\n"))),
            "activation": act,
            "shade": round(_DEEPEST * act / highest) if act > 0 else 0,
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
    """Return height (percent, log count) and range of each bar."""
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


def named_facts(facts: dict[str, Any] | None, concepts: Mapping[str, Concept]) -> dict[str, Any] | None:
    """Add to a latent's facts the label of the concept whose probe is closest to it."""
    closest = concepts.get(facts["top_concept"]) if facts and facts["top_concept"] else None
    return facts and facts | {"top_label": closest and closest.label}


def describe_roles(
    roles: pd.DataFrame, cosines: pd.DataFrame | None, concepts: Mapping[str, Concept]
) -> list[dict[str, Any]]:
    """Describe the latent's role for each concept, with its cosine with that concept's probe."""
    by_concept = {} if cosines is None else dict(zip(cosines["concept"], cosines["cosine"], strict=True))
    described = []
    for role in roles.to_dict("records"):
        parts = [role_label(role["split_rank"], role["num_absorbed"])]
        if role["is_encoder_top"]:
            parts.append("highest encoder cosine")
        concept = concepts[role["concept"]]
        described.append(
            {
                "concept": concept.id,
                "label": concept.label,
                "text": ", ".join(filter(None, parts)),
                "cosine": by_concept.get(concept.id),
            }
        )
    return described
