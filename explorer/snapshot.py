"""Snapshots: one SAE with a family of concepts as one HTML file that needs no server and no network."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bokeh
import numpy as np
import pandas as pd

from explorer.evidence import decisive
from explorer.format import metric_label
from explorer.latents.card import card_html, describe_roles, named_facts
from explorer.model import ExplorerModel, choices_of, param_of, records
from explorer.plots.cosine import cosine_plot, y_range
from explorer.plots.k_sparse import bars_of, k_sparse_plot, labels_of
from explorer.plots.layers import Layer
from explorer.plots.node_link import without_session
from explorer.plots.shares import concept_shares_plot, token_shares_plot
from explorer.plots.splitting_tree import BESIDE, splitting_tree_plot
from explorer.plots.standalone import exchanged, standalone
from explorer.plots.tree_layout import arrange_tree
from explorer.state import ExplorerState
from explorer.theme import DARK, FONT, LIGHT, MONO, Theme, css_variables
from explorer.views.concepts import Concepts, concept_cells, strip_html
from explorer.views.cosine import CosineView, highest, no_cosines_html, roles
from explorer.views.evidence_table import ablated, count_tested, decided, judged, shown_columns, sortable
from explorer.views.explanations import TITLES, prose_html
from explorer.views.header import versions
from explorer.views.headline import Headline, figures_html, sentence_html
from explorer.views.k_sparse import KSparseView, scores
from explorer.views.latent_lists import LatentLists, lists_html
from explorer.views.markup import STATIC, render, styles
from explorer.views.plot_table import table_html
from explorer.views.shares import SharesView, concept_table, shares_html, token_table
from explorer.views.splitting_tree import SplittingTree, saes_of, tree_html, tree_table
from explorer.whole_file import whole_file
from queries import QueryError, catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import holoviews as hv

    from explorer.plots.layers import Plot
    from explorer.saes import Sae
    from queries import Store

    Progress = Callable[[str, int, int], object]

#: Of the state, what a snapshot depends on.
_KEPT = ("suite", "sae", "concept", "latent", "metric", "tau", "cosine_threshold", "effect_margin")
#: What shows on the page the answers that it keeps, but for the tested tokens, which it asks for as a whole.
_SHOWN = (Concepts, Headline, CosineView, LatentLists, KSparseView, SharesView, SplittingTree)
#: Cosines are shown with four decimals, and kept with as many.
_SCALE = 10_000
_UNKNOWN = -32_768
#: Each concept holds a number for each of them, and no question returns more rows.
_MAX_LATENTS = 2_000_000
#: Concepts that a file holds: of a larger family those with most absorbing latents.
_MOST_CONCEPTS = 60


class SnapshotError(ValueError):
    """A snapshot cannot be made; the message is one line that says what to do."""


def save_snapshot(
    store: Store, path: Path | str, *, force: bool = False, progress: Progress | None = None, **state: Any
) -> Path:
    """Write one SAE, with the concepts of a family, to an HTML file that opens without server and network.

    Parameters
    ----------
    store : Store
        From `open_store`.
    path : Path or str
        The file to write.
    force : bool
        Whether to replace a file that is there.
    progress : callable, optional
        Takes what is being done, and how many steps of how many are.
    **state
        What to show, as for `Explorer`: suite, sae, concept, latent and the thresholds.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    SnapshotError
        Where the state cannot be shown, a question fails, or the file cannot be written; nothing half-written is left.
    """
    path = Path(path)
    if path.is_dir():
        raise SnapshotError(f"{path}: is a folder; name a file in it")
    if path.exists() and not force:
        raise SnapshotError(f"{path}: exists already; give another name, or --force (force=True) to replace it")
    try:
        # Opened before the work is done, so that a folder that cannot be written to is found at once.
        with whole_file(path) as file:
            file.write(snapshot_html(store, progress=progress, **state).encode())
    except OSError as error:
        raise SnapshotError(f"{path}: cannot be written ({error.strerror}); name a file elsewhere") from error
    return path


def snapshot_html(store: Store, *, progress: Progress | None = None, **state: Any) -> str:
    """Make a snapshot; see `save_snapshot`."""
    try:
        choices = choices_of(store)
        try:
            wanted = ExplorerState(choices, **state)
        except ValueError as error:
            raise SnapshotError(str(error)) from error
        sae = wanted.chosen_sae
        if sae is None:
            raise SnapshotError(f"{wanted.suite}: this suite holds no SAE, so there is nothing to make a snapshot of")
        if sae.n_latents > _MAX_LATENTS:
            raise SnapshotError(
                f"{wanted.suite}: this SAE has {sae.n_latents:,} latents, a snapshot holds {_MAX_LATENTS:,} at"
                " most; choose another"
            )
        model = ExplorerModel(store, ExplorerState(choices, **{name: getattr(wanted, name) for name in _KEPT}), *_SHOWN)
        return _Collector(model, sae, progress or (lambda *_: None)).html(state)
    except QueryError as error:
        raise SnapshotError(str(error)) from error


class _Collector:
    """Goes through the concepts of one SAE as a reader of the page would, and keeps what the page shows."""

    def __init__(self, model: ExplorerModel, sae: Sae, progress: Progress) -> None:
        self._model, self._sae, self._progress = model, sae, progress
        self._start = {name: getattr(model.state, name) for name in _KEPT}
        self._query = model.state.to_query()
        cells = concept_cells(model.concepts, model.shown.rate_label)
        measured = [cell for cell in cells if cell["measured"]]
        chosen = {model.state.concept}
        if len(measured) > _MOST_CONCEPTS:
            most = sorted(measured, key=lambda cell: -cell["count"] if isinstance(cell["count"], int) else 1)
            chosen |= {cell["concept"] for cell in most[:_MOST_CONCEPTS]}
            self._left_out = len(measured) - _MOST_CONCEPTS
            cells = [cell for cell in cells if cell["concept"] in chosen]
        else:
            self._left_out = 0
        self._cells = {cell["concept"]: cell for cell in cells}
        self._concepts = [concept for concept, cell in self._cells.items() if cell["measured"]]
        self._cosines: dict[str, np.ndarray] = {}
        # What the plots are drawn of; the snapshot's script puts the concept's data in its place.
        self._plot: pd.DataFrame | None = None
        self._scores: pd.DataFrame | None = None
        self._drawings: dict[str, partial[Plot]] = {}
        self._has_examples = False

    def html(self, given: Mapping[str, Any]) -> str:
        """Put the snapshot together; `given` are the values that the reader asked for."""
        start = self._start["concept"]
        if start not in self._concepts and not {"concept", "letter"} & given.keys() and self._concepts:
            start = self._concepts[0]
        wanted = list(dict.fromkeys([*self._concepts, start]))
        labels = {name: self._model.state.concepts[name].label for name in wanted}
        noun = self._model.state.noun
        steps = len(wanted) + 1
        concepts = {}
        for place, concept in enumerate(wanted):
            self._progress(f"{noun[:1].upper()}{noun[1:]} {labels[concept]}", place, steps)
            concepts[concept] = _packed(self._concept(concept))
        self._progress("Cards", steps - 1, steps)
        cards = self._cards()
        data = {
            "concept": start,
            "latent": self._start["latent"],
            "concepts": concepts,
            "labels": labels,
            "cosines": {concept: _packed_cosines(cosines) for concept, cosines in self._cosines.items()},
            "cards": _packed(cards),
            "n_latents": self._sae.n_latents if self._sae.counted else None,
            "sorted_by": decisive(self._start["metric"]),
            "beside": BESIDE,
            "figures": self._figures(),
        }
        page = self._page(data, start)
        self._progress("Done", steps, steps)
        return page

    def _concept(self, concept: str) -> dict[str, Any]:
        """Collect what the page shows of one concept."""
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
            self._keep(concept, cosines)
            marked = cosines[cosines["latent"].isin([*split, *absorbing])].dropna()
            marks = dict(zip(marked["latent"].tolist(), marked["cosine"].tolist(), strict=True))
        found = {
            "headline": sentence_html(model, live=False),
            "figures": figures_html(model),
            "no_plot": "" if known else no_cosines_html(model),
            "highest": table_html(highest(cosines, parts)),
            "lists": lists_html(model, selected=None),
            "k_sparse": table_html(scores(model.k_sparse, f"The k-sparse probes for {label} as a table")),
            "prose": {topic: prose_html(model, topic) for topic in TITLES},
            **self._evidence(label),
            "bars": self._bars(),
            "plots": self._plots(),
            "split": split,
            "absorbing": absorbing,
            "marks": marks,
            "roles": parts,
            "y_range": y_range(cosines),
        }
        self._check()
        return found

    def _keep(self, concept: str, cosines: pd.DataFrame) -> None:
        """Keep the cosines of a concept by latent."""
        latents = cosines["latent"].to_numpy()
        if latents.min() < 0 or latents.max() >= self._sae.n_latents:
            raise SnapshotError(
                f"{self._start['suite']}: has cosines of latents that this SAE does not have; import the suite again"
            )
        dense = np.full(self._sae.n_latents, np.nan, np.float32)
        dense[latents] = cosines["cosine"].to_numpy()
        self._cosines[concept] = dense
        if self._plot is None:
            self._plot = cosines

    def _evidence(self, label: str) -> dict[str, Any]:
        """Collect all tested tokens of the concept, what each opens, and their order by each column."""
        model = self._model
        tested = model.whole("concept_evidence")
        rows = [row | {"is_open": False} for row in judged(tested, model.shown)]
        latents, verdicts = (
            dict(list(self._ask(query, token=None).groupby("token"))) for query in ("token_latents", "token_verdicts")
        )
        columns = shown_columns(model.shown, of_suite=False)
        ordered = sortable(columns)
        return {
            "evidence": render(
                "snapshot_evidence",
                label=label,
                rows=rows,
                num_tested=count_tested(len(rows), (model.summary or {}).get("num_tested")),
                columns=columns,
                sortable=ordered,
            ),
            "opened": [
                render(
                    "snapshot_opened",
                    row=row,
                    bars=ablated(latents.get(row["token"]), model.shown.metric),
                    by_metric=decided(verdicts.get(row["token"]), model.shown),
                )
                for row in rows
            ],
            "order": {name: _order(tested[name]) for name in ordered},
        }

    def _cards(self) -> dict[int, dict[str, Any]]:
        """Write the cards of all latents that play a part for any concept of the family."""
        roles, cards, contexts = (self._ask(query) for query in ("sae_roles", "sae_cards", "sae_contexts"))
        contexts_of: dict[int, list[dict[str, Any]]] = {}
        for context in records(contexts):
            contexts_of.setdefault(context["latent"], []).append(context)
        roles_of = dict(list(roles.groupby("latent")))
        self._has_examples = bool(contexts_of) or bool(cards[["raised_tokens", "counts"]].notna().to_numpy().any())
        found = {}
        for card in records(cards):
            latent = card["latent"]
            own = pd.DataFrame(
                {"concept": list(self._cosines), "cosine": [float(cos[latent]) for cos in self._cosines.values()]}
            )
            described = describe_roles(roles_of[latent], own, self._model.shown.concepts)
            has_facts = any(card[name] is not None for name in ("density", "max_activation", "num_vocab_tokens"))
            found[latent] = {
                "html": card_html(
                    latent,
                    self._sae,
                    said=[],
                    facts=named_facts(card, self._model.shown.concepts) if has_facts else None,
                    contexts=contexts_of.get(latent, []),
                    logits=None if card["raised_tokens"] is None else card,
                    histogram=None if card["counts"] is None else card,
                    roles=described,
                ),
                "said": {role["concept"]: f"{role['said']} of {role['label']}" for role in described},
            }
        return found

    def _bars(self) -> dict[str, Any] | None:
        """Say what the k-sparse plot shows of the concept; None where it has no scores."""
        k_sparse = self._model.k_sparse
        if k_sparse is None or k_sparse.empty:
            return None
        self._scores = k_sparse
        bars = bars_of(k_sparse, "f1")
        columns = {name: [None if pd.isna(value) else value for value in bars[name].tolist()] for name in bars}
        return {"columns": columns, "labels": labels_of(bars), "probe": (self._model.summary or {}).get("probe_f1")}

    def _plots(self) -> dict[str, Any]:
        """Collect the further plots of the concept, each with head and table, where there is anything to draw."""
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
                self._drawings.setdefault(name, draw)
                drawn = exchanged([draw(theme=which) for which in (LIGHT, DARK)], height=height)
                found[name] = {"head": head, "table": table_html(table), **drawn}
        return found

    def _figures(self) -> dict[str, Any]:
        """Draw the plots whose data the snapshot's script exchanges."""
        threshold = self._model.state.cosine_threshold
        none: dict[str, Any] = {"split": (), "absorbing": (), "selected": None}
        return {
            **{
                name: standalone(
                    partial(_by_itself, draw),
                    [layer.name for layer in draw(theme=LIGHT).layers if isinstance(layer, Layer)],
                )
                for name, draw in self._drawings.items()
            },
            "cosine": standalone(
                lambda theme: cosine_plot(self._plot, **none, threshold=threshold, theme=theme).draw(),
                ("line", "band", "split", "absorbing", "selected"),
            ),
            "k-sparse": standalone(
                lambda theme: k_sparse_plot(self._scores, score="f1", probe=None, selected=None, theme=theme).draw(),
                ("bars", "selected"),
            ),
        }

    def _page(self, data: dict[str, Any], start: str) -> str:
        model, state = self._model, self._model.state
        manifest = model.manifest
        # In a script nothing is an entity, but "</script" ends it, and "<!--" may keep it from ending.
        payload = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
        scripts = [_bokeh_js(), (STATIC / "snapshot.js").read_text(encoding="utf-8")]
        absent = [
            what
            for what, there in (
                ("the cosines of this SAE", bool(self._cosines)),
                ("text, output tokens and histograms of its latents", self._has_examples),
                ("tested tokens", "tested_tokens" in manifest.tables),
                ("scores of k-sparse probes", "k_sparse" in manifest.tables),
            )
            if not there
        ]
        return render(
            "snapshot",
            hashes=[_hash(script) for script in scripts],
            scripts=scripts,
            data=payload,
            styles=styles() + (STATIC / "snapshot.css").read_text(encoding="utf-8"),
            font=FONT,
            mono=MONO,
            light=css_variables(LIGHT),
            dark=css_variables(DARK),
            title=manifest.title or manifest.name,
            suite=manifest.name,
            sae=self._sae,
            state=state,
            own=state.thresholds_of_suite,
            metric=metric_label(state.metric),
            noun=state.noun,
            nouns=state.nouns,
            left_out=self._left_out,
            concepts=strip_html(list(self._cells.values()), chosen=start, noun=state.noun),
            topics=TITLES,
            provenance=render(
                "provenance",
                manifest=manifest,
                versions=versions(),
                saes=[sae for sae in manifest.saes if sae.id == self._sae.id],
            ),
            absent=absent,
            version=version("absorption-explorer"),
            date=f"{datetime.now(tz=UTC):%Y-%m-%d}",
            query=self._query,
        )

    def _check(self) -> None:
        """Give up where a question could not be answered: a snapshot tells all or is not made."""
        if self._model.error:
            raise SnapshotError(self._model.error)

    def _ask(self, query: str, **params: Any) -> pd.DataFrame:
        wanted = {
            name: params[name] if name in params else param_of(self._model.shown, name)
            for name in catalog()[query].params
        }
        try:
            return self._model.store.fetch(query, **wanted)
        except QueryError as failure:
            raise SnapshotError(str(failure)) from failure


def _by_itself(draw: partial[Plot], theme: Theme) -> hv.Overlay:
    return without_session(draw(theme=theme)).draw()


def _order(column: pd.Series) -> dict[str, Any]:
    """Say in which order of rows a column ascends, and how many of them, at the end, are unknown."""
    if column.dtype == object or pd.api.types.is_string_dtype(column):
        column = column.str.strip().str.lower()
    rows = column.argsort(kind="stable")
    return {"rows": rows.tolist(), "unknown": int(column.isna().sum())}


def _packed(value: Any) -> str:
    """Compress a value as JSON; numbers that are none stand for what is unknown."""
    return _compressed(json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode())


def _packed_cosines(cosines: np.ndarray) -> str:
    """Compress cosines as whole ten-thousandths in 16 bits: all low bytes, then all high bytes, which differ little."""
    whole = np.where(np.isnan(cosines), _UNKNOWN, np.round(np.nan_to_num(cosines.astype(float)) * _SCALE))
    return _compressed(whole.astype("<i2").view(np.uint8).reshape(-1, 2).T.tobytes())


def _compressed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 9)).decode()


def _bokeh_js() -> str:
    """Read BokehJS without its extensions, and without the address of a map that debuggers would ask for."""
    code = (files(bokeh) / "server" / "static" / "js" / "bokeh.min.js").read_text(encoding="utf-8")
    return code.partition("//# sourceMappingURL")[0]


def _hash(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
