"""Snapshots: one SAE with a family of concepts as one HTML file that works without server and network."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.cite_part import cite_part
from explorer.format import metric_label
from explorer.model import ExplorerModel, choices_of
from explorer.parts import (
    SHOWN,
    PartsError,
    SaeParts,
    as_data,
    bokeh_js,
    family_part,
    family_path,
    packed,
    sae_path,
    script_hash,
)
from explorer.state import ExplorerState
from explorer.text.tour_files import TourError
from explorer.theme import DARK, FONT, LIGHT, MONO, css_variables
from explorer.views.explanations import TITLES
from explorer.views.header import versions
from explorer.views.help import help_html, tours_part
from explorer.views.markup import STATIC, math_font, render, styles
from explorer.whole_file import whole_file
from queries import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from explorer.parts import Draw
    from explorer.saes import Sae
    from explorer.tours import RenderedStep
    from queries import Store

    Progress = Callable[[str, int, int], object]

#: Parameters of the state on which a snapshot depends.
_KEPT = ("suite", "sae", "concept", "latent", "metric", "tau", "cosine_threshold", "effect_margin")
#: Maximum latents of an SAE: a concept has one cosine per latent, and no query returns more rows than this.
_MAX_LATENTS = 2_000_000
#: Maximum concepts in a file; from a larger family, those with most absorbing latents are chosen.
_MOST_CONCEPTS = 60


class SnapshotError(ValueError):
    """A snapshot cannot be created; the message is one line with the fix."""


def save_snapshot(
    store: Store, path: Path | str, *, force: bool = False, progress: Progress | None = None, **state: Any
) -> Path:
    """Write one SAE, with the concepts of a family, to an HTML file that works without server and network.

    Parameters
    ----------
    store : Store
        From `open_store`.
    path : Path or str
        The file to write.
    force : bool
        Whether to replace an existing file.
    progress : callable, optional
        Called with a description, the number of finished steps and the number of all steps.
    **state
        Parameters of the state, as for `Explorer`: suite, sae, concept, latent and the thresholds.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    SnapshotError
        If the state is invalid, a query fails, or the file cannot be written; no partial file is left.
    """
    path = Path(path)
    if path.is_dir():
        raise SnapshotError(f"{path}: is a folder; name a file in it")
    if path.exists() and not force:
        raise SnapshotError(f"{path}: exists already; give another name, or --force (force=True) to replace it")
    try:
        # Opened first, so that a folder without write permission is noticed at once.
        with whole_file(path) as file:
            file.write(snapshot_html(store, progress=progress, **state).encode())
    except OSError as error:
        raise SnapshotError(f"{path}: cannot be written ({error.strerror}); name a file elsewhere") from error
    return path


def snapshot_html(store: Store, *, progress: Progress | None = None, **state: Any) -> str:
    """Return the HTML of a snapshot; see `save_snapshot`."""
    try:
        choices = choices_of(store)
        try:
            wanted = ExplorerState(choices, **state)
        except ValueError as error:
            raise SnapshotError(str(error)) from error
        sae = wanted.chosen_sae
        if sae is None:
            raise SnapshotError(f"{wanted.suite}: this suite has no SAEs, so there is nothing to show in a snapshot")
        if sae.n_latents > _MAX_LATENTS:
            raise SnapshotError(
                f"{wanted.suite}: this SAE has {sae.n_latents:,} latents, a snapshot can contain {_MAX_LATENTS:,} at"
                " most; choose another"
            )
        model = ExplorerModel(store, ExplorerState(choices, **{name: getattr(wanted, name) for name in _KEPT}), *SHOWN)
        return _Collector(model, sae, progress or (lambda *_: None)).html(state)
    except (QueryError, PartsError, TourError) as error:
        raise SnapshotError(str(error)) from error


class _Collector:
    """Collects the parts of one SAE and its concepts into one page."""

    def __init__(self, model: ExplorerModel, sae: Sae, progress: Progress) -> None:
        self._model, self._sae, self._progress = model, sae, progress
        self._start = {name: getattr(model.state, name) for name in _KEPT}
        self._query = model.state.to_query()
        self._figures: dict[str, Draw] = {}
        self._parts = SaeParts(model, self._figures)
        cells = self._parts.cells
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

    def html(self, given: Mapping[str, Any]) -> str:
        """Return the snapshot; `given` are the values of the state that the caller passed."""
        start = self._start["concept"]
        if start not in self._concepts and not {"concept", "letter"} & given.keys() and self._concepts:
            start = self._concepts[0]
        model, state, shown = self._model, self._model.state, self._model.shown
        wanted = list(dict.fromkeys([*self._concepts, start]))
        noun = state.noun
        steps = len(wanted) + 1
        of_sae = sae_path(shown)
        parts = {f"{of_sae}/sae.bin": packed(self._parts.sae(list(self._cells.values())))}
        for place, concept in enumerate(wanted):
            self._progress(f"{noun[:1].upper()}{noun[1:]} {state.concepts[concept].label}", place, steps)
            part, cosines = self._parts.concept(concept)
            parts |= {f"{of_sae}/{concept}.bin": packed(part), f"{of_sae}/{concept}.cos": cosines}
        self._progress("Cards", steps - 1, steps)
        parts[f"{of_sae}/cards.bin"] = packed(self._parts.cards())
        parts[f"{family_path(shown.suite, shown.family)}/family.bin"] = packed(family_part(shown, self._figures))
        parts[f"suites/{shown.suite}/suite.bin"] = packed({"cite": cite_part(model.store, shown.suite)})
        data = {
            "suites": {
                shown.suite: {
                    "start": {"sae": shown.sae, "concept": start, "latent": self._start["latent"]},
                    "saes": [shown.sae],
                    "families": {
                        shown.family: {
                            name: [state.concepts[name].label, state.concepts[name].phrase] for name in wanted
                        }
                    },
                }
            },
            "query": self._query,
            "tours": tours_part(model.store, shown.suite, partial(self._has_step, wanted)),
            "parts": {path: base64.b64encode(part).decode() for path, part in parts.items()},
        }
        page = self._page(data)
        self._progress("Done", steps, steps)
        return page

    def _has_step(self, concepts: Collection[str], step: RenderedStep) -> bool:
        """Return whether the snapshot contains what a tour step shows; its only page is Explore."""
        here = {"suite": self._start["suite"], "page": "explore", "sae": self._sae.id, "metric": self._start["metric"]}
        kept = {"concept", "latent", "evidence_token"}
        return (
            step.at not in ("tester", "pair", "pair-rates", "threshold-sensitivity")
            and all(key in kept or here.get(key) == value for key, value in step.state.items())
            and step.state.get("concept") in concepts
            and not self._model.state.moved
        )

    def _page(self, data: dict[str, Any]) -> str:
        model, state = self._model, self._model.state
        manifest = model.manifest
        own = (
            (STATIC / f"{name}.js").read_text(encoding="utf-8") for name in ("reader", "cite", "guide", "reader_guide")
        )
        scripts = [bokeh_js(), *own]
        absent = [
            what
            for what, there in (
                ("the cosines of this SAE", bool(self._parts.cosines)),
                ("text, output tokens and histograms of its latents", self._parts.has_examples),
                ("tested tokens", "tested_tokens" in manifest.tables),
                ("scores of k-sparse probes", "k_sparse" in manifest.tables),
            )
            if not there
        ]
        return render(
            "snapshot",
            kind="snapshot",
            hashes=[script_hash(script) for script in scripts],
            scripts=scripts,
            data=as_data(data),
            styles="".join(
                (
                    math_font(),
                    styles(),
                    *((STATIC / f"{name}.css").read_text(encoding="utf-8") for name in ("reader", "snapshot")),
                )
            ),
            font=FONT,
            mono=MONO,
            light=css_variables(LIGHT),
            dark=css_variables(DARK),
            title=manifest.title or manifest.name,
            suite=manifest.name,
            checksum=model.store.suites[manifest.name].checksum,
            sae=self._sae,
            state=state,
            metric=metric_label(state.metric),
            nouns=state.nouns,
            help=help_html("snapshot"),
            left_out=self._left_out,
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
