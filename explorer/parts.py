"""The contents of pages for an SAE and its concepts, as compressed parts, for use without a server."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import bokeh
import numpy as np
import pandas as pd

from explorer.evidence import decisive
from explorer.latents.card import card_html, describe_roles, named_facts
from explorer.model import param_of, records
from explorer.plots.cosine import cosine_plot, y_range
from explorer.plots.k_sparse import bars_of, k_sparse_plot, labels_of
from explorer.plots.shares import bar_ticks, concept_shares_plot, token_shares_plot
from explorer.plots.splitting_tree import BESIDE, splitting_tree_plot
from explorer.plots.standalone import cached_standalone, replacement_data
from explorer.plots.tree_layout import arrange_tree
from explorer.theme import DARK, LIGHT
from explorer.views.concepts import Concepts, concept_cells, strip_html
from explorer.views.cosine import CosineView, highest, no_cosines_html, roles
from explorer.views.evidence_table import (
    ablated_rows,
    column_terms,
    count_tested,
    decided_rows,
    judged,
    offered_verdicts,
    shown_columns,
    sortable,
)
from explorer.views.explanations import TITLES, prose_html
from explorer.views.headline import Headline, figures_html, sentence_html
from explorer.views.k_sparse import KSparseView, scores
from explorer.views.latent_lists import LatentLists, lists_html
from explorer.views.markup import render
from explorer.views.plot_table import table_html
from explorer.views.shares import SharesView, concept_table, shares_html, token_table
from explorer.views.splitting_tree import SplittingTree, saes_of, tree_html, tree_table
from queries import QueryError, catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from explorer.model import ExplorerModel
    from explorer.plots.layers import Plot
    from explorer.state import Snapshot

    Draw = Callable[..., Plot]

#: Views whose results the parts contain, except for the tested tokens, which are queried completely.
SHOWN = (Concepts, Headline, CosineView, LatentLists, KSparseView, SharesView, SplittingTree)
#: Cosines are displayed and stored with four decimals.
_SCALE = 10_000
_UNKNOWN = -32_768
#: Placeholders in explanations, which the browser replaces with the label and the phrase of a concept.
_SLOTS = {"label": "\ue000", "phrase": "\ue001"}


class PartsError(ValueError):
    """Parts cannot be created; the message is one line with the fix."""


def suite_path(suite: str, metric: str | None = None) -> str:
    """Return the folder of a suite's parts; for a `metric` other than the suite's own, of the parts that differ."""
    return f"metrics/{suite}/{metric}" if metric else f"suites/{suite}"


def family_path(suite: str, family: str | None, metric: str | None = None) -> str:
    """Return the folder of the parts of a family of concepts."""
    return f"{suite_path(suite, metric)}/{family or 'none'}"


def sae_path(at: Snapshot, metric: str | None = None) -> str:
    """Return the folder of the parts of an SAE with a family of concepts."""
    return f"{family_path(at.suite, at.family, metric)}/{at.sae}"


class SaeParts:
    """The contents of the page for one SAE and a family of concepts.

    Parameters
    ----------
    model : ExplorerModel
        A model that shows the SAE and any concept of the family, with the views `SHOWN`. Its state is changed.
    figures : dict of str to callable
        Filled with a function for each figure that draws it for the first available data; for other concepts, the
        browser replaces the data.

    Attributes
    ----------
    cells : list of dict
        The concepts of the family (`explorer.views.concepts.concept_cells`).
    cosines : dict of str to ndarray of shape (n_latents,)
        Cosines by concept, for the concepts requested so far.
    has_examples : bool
        Whether any card created so far shows text, output tokens or a histogram.
    """

    def __init__(self, model: ExplorerModel, figures: dict[str, Draw]) -> None:
        self._model, self._figures = model, figures
        self._sae = model.shown.chosen_sae
        self.cells = concept_cells(model.concepts, model.shown.rate_label)
        self.cosines: dict[str, np.ndarray] = {}
        self.has_examples = False

    def sae(self, cells: list[dict[str, Any]], *, choose: dict[str, Any] | None = None) -> dict[str, Any]:
        """Collect the contents that do not depend on the concept: `cells` of concepts, and the selectors (`choose`)."""
        shown = self._model.shown
        families = {name: family.title for name, family in shown.families.items()} if choose else {}
        return {
            "label": self._sae.label,
            "n_latents": self._sae.n_latents if self._sae.counted else None,
            "strip": strip_html(
                cells, chosen=None, noun=shown.noun, families=families, family=shown.family, listed=len(cells)
            ),
            "choose": choose,
        }

    def concept(self, concept: str) -> tuple[dict[str, Any], bytes]:
        """Collect the contents for one concept, and its compressed cosines, which may be empty."""
        model = self._model
        model.state.apply({"concept": concept})
        label = model.state.label
        split, absorbing = (
            [] if frame is None else frame["latent"].tolist()
            for frame in (model.split_latents, model.absorbing_latents)
        )
        cosines = model.cosines
        known = cosines is not None and not cosines.empty

        parts = roles(label, split, absorbing)
        marks = {}
        if known:
            self._store_cosines(concept, cosines)
            marked = cosines[cosines["latent"].isin([*split, *absorbing])].dropna()
            marks = dict(zip(marked["latent"].tolist(), marked["cosine"].tolist(), strict=True))
        found = {
            "headline": sentence_html(model, live=False),
            "figures": figures_html(model),
            "no_plot": "" if known else no_cosines_html(model),
            "highest": table_html(highest(cosines, parts)),
            "lists": lists_html(model, selected=None),
            "k_sparse": table_html(scores(model.k_sparse, f"The k-sparse probes for {label} as a table")),
            **self._evidence(label),
            "bars": self._bars(),
            "plots": self._plots(),
            "split": split,
            "absorbing": absorbing,
            "marks": marks,
            "roles": parts,
            "y_range": y_range(cosines),
        }
        if model.error:  # parts must be complete
            raise PartsError(model.error)
        return found, packed_cosines(self.cosines[concept]) if known else compressed(b"")

    def _store_cosines(self, concept: str, cosines: pd.DataFrame) -> None:
        """Store the cosines of a concept by latent."""
        latents = cosines["latent"].to_numpy()
        if latents.min() < 0 or latents.max() >= self._sae.n_latents:
            raise PartsError(
                f"{self._model.shown.suite}: has cosines of latents that this SAE does not have; import the suite again"
            )
        dense = np.full(self._sae.n_latents, np.nan, np.float32)
        dense[latents] = cosines["cosine"].to_numpy()
        self.cosines[concept] = dense
        none: dict[str, Any] = {"split": (), "absorbing": (), "selected": None}
        threshold = self._model.shown.cosine_threshold
        self._figures.setdefault("cosine", partial(cosine_plot, cosines, **none, threshold=threshold))

    def _evidence(self, label: str) -> dict[str, Any]:
        """Collect all tested tokens of the concept, the details of each, and their order by each column."""
        model = self._model
        tested = model.whole("concept_evidence")
        rows = [row | {"is_open": False} for row in judged(tested, model.shown)]
        latents, verdicts = (_by_token(self._fetch(query, token=None)) for query in ("token_latents", "token_verdicts"))
        columns = shown_columns(model.shown, of_suite=False)
        ordered = sortable(columns)
        return {
            "evidence": render(
                "reader_evidence",
                label=label,
                rows=rows,
                num_tested=count_tested(len(rows), (model.summary or {}).get("num_tested")),
                columns=columns,
                sortable=ordered,
                defined=column_terms(columns),
                verdicts={name: title for name, title in offered_verdicts(model.shown).items() if name != "disagree"},
            ),
            "opened": [
                render(
                    "reader_opened",
                    row=row,
                    bars=ablated_rows(latents.get(row["token"], []), model.shown.metric),
                    by_metric=decided_rows(verdicts.get(row["token"], []), model.shown),
                )
                for row in rows
            ],
            "order": {name: order_of(tested[name]) for name in ordered},
        }

    def cards(self) -> dict[int, dict[str, Any]]:
        """Render the cards of all latents with a role for any concept of the family, with the cosines collected."""
        roles, cards, contexts = (self._fetch(query) for query in ("sae_roles", "sae_cards", "sae_contexts"))
        contexts_of: dict[int, list[dict[str, Any]]] = {}
        for context in records(contexts):
            contexts_of.setdefault(context["latent"], []).append(context)
        roles_of = dict(list(roles.groupby("latent")))
        self.has_examples = bool(contexts_of) or bool(cards[["raised_tokens", "counts"]].notna().to_numpy().any())
        found = {}
        for card in records(cards):
            latent = card["latent"]
            own = pd.DataFrame(
                {"concept": list(self.cosines), "cosine": [float(cos[latent]) for cos in self.cosines.values()]}
            )
            described = describe_roles(roles_of[latent], own, self._model.shown.concepts)
            has_facts = any(card[name] is not None for name in ("density", "max_activation", "num_vocab_tokens"))
            found[latent] = {
                "html": card_html(
                    latent,
                    self._sae,
                    role_texts=[],
                    facts=named_facts(card, self._model.shown.concepts) if has_facts else None,
                    contexts=contexts_of.get(latent, []),
                    logits=None if card["raised_tokens"] is None else card,
                    histogram=None if card["counts"] is None else card,
                    roles=described,
                ),
                "roles": {role["concept"]: f"{role['text']} of {role['label']}" for role in described},
            }
        return found

    def _bars(self) -> dict[str, Any] | None:
        """Return the data of the k-sparse plot for the concept; None if it has no scores."""
        k_sparse = self._model.k_sparse
        if k_sparse is None or k_sparse.empty:
            return None
        self._figures.setdefault("k-sparse", partial(k_sparse_plot, k_sparse, score="f1", probe=None, selected=None))
        bars = bars_of(k_sparse, "f1")
        columns = {name: [None if pd.isna(value) else value for value in bars[name].tolist()] for name in bars}
        return {"columns": columns, "labels": labels_of(bars), "probe": (self._model.summary or {}).get("probe_f1")}

    def _plots(self) -> dict[str, Any]:
        """Collect the further plots of the concept that have data, each with head and table."""
        model, shown = self._model, self._model.shown
        tree = arrange_tree(model.splitting_tree, saes_of(model))
        tokens = partial(token_shares_plot, model.token_shares)
        concepts = partial(concept_shares_plot, model.concept_shares, chosen=shown.concept)
        widths = partial(splitting_tree_plot, tree, selected=(None, None), chosen=shown.sae)
        plots = {
            "token-shares": (tokens, shares_html(model), token_table(model.token_shares), None),
            "concept-shares": (concepts, "", concept_table(model.concept_shares, shown), None),
            "splitting-tree": (widths, tree_html(model, tree, opens=False), tree_table(tree), tree.height),
        }
        found = {}
        for name, (draw, head, table, height) in plots.items():
            if table is not None:
                self._figures.setdefault(name, draw)
                drawn = replacement_data([draw(theme=which) for which in (LIGHT, DARK)], height=height)
                found[name] = {"head": head, "table": table_html(table), **drawn}
        if "concept-shares" in found:
            found["concept-shares"]["ticks"] = bar_ticks(model.concept_shares)
        return found

    def _fetch(self, query: str, **params: Any) -> pd.DataFrame:
        wanted = {
            name: params[name] if name in params else param_of(self._model.shown, name)
            for name in catalog()[query].params
        }
        try:
            return self._model.store.fetch(query, **wanted)
        except QueryError as failure:
            raise PartsError(str(failure)) from failure


def _by_token(frame: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Group the rows of a query by token; creating a data frame per token would take most of the publishing time."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in records(frame):
        groups.setdefault(row["token"], []).append(row)
    return groups


def family_part(shown: Snapshot, figures: Mapping[str, Draw]) -> dict[str, Any]:
    """Collect the contents that are equal for all SAEs of a family: figures, and explanations with `_SLOTS`."""
    of_any = type(shown)(**vars(shown) | _SLOTS)
    return {
        "figures": {name: cached_standalone(draw) for name, draw in figures.items()},
        "sorted_by": decisive(shown.metric),
        "beside": BESIDE,
        "noun": shown.noun,
        "prose": {topic: prose_html(of_any, topic) for topic in TITLES},
        "slots": _SLOTS,
    }


def order_of(column: pd.Series) -> dict[str, Any]:
    """Return the rows in ascending order of a column, and the number of unknown values at the end."""
    if column.dtype == object or pd.api.types.is_string_dtype(column):
        column = column.str.strip().str.lower()
    rows = column.argsort(kind="stable")
    return {"rows": rows.tolist(), "unknown": int(column.isna().sum())}


def packed(value: Any) -> bytes:
    """Compress a value as JSON."""
    return compressed(json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode())


def packed_cosines(cosines: np.ndarray) -> bytes:
    """Compress cosines as 16-bit integers in units of 1/10,000: first all low bytes, then all high bytes."""
    whole = np.where(np.isnan(cosines), _UNKNOWN, np.round(np.nan_to_num(cosines.astype(float)) * _SCALE))
    return compressed(whole.astype("<i2").view(np.uint8).reshape(-1, 2).T.tobytes())


def compressed(content: bytes) -> bytes:
    """Compress bytes in the format that the browser decompresses."""
    return zlib.compress(content, 9)


def bokeh_js() -> str:
    """Return BokehJS without extensions, and without the address of a source map that debuggers would request."""
    code = (files(bokeh) / "server" / "static" / "js" / "bokeh.min.js").read_text(encoding="utf-8")
    return code.partition("//# sourceMappingURL")[0]


def as_data(value: Any) -> str:
    """Return a value as JSON for a script element, in which "<" is escaped because of "</script" and "<!--"."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def script_hash(script: str) -> str:
    """Return the hash of a script for a content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
