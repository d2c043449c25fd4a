"""Snapshots: one SAE with a family of concepts as one HTML file that needs no server and no network."""

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
from explorer.views.help import still_html, tours_part
from explorer.views.markup import STATIC, math_font, render, styles
from explorer.whole_file import whole_file
from queries import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from explorer.parts import Draw
    from explorer.saes import Sae
    from explorer.tours import ToldStep
    from queries import Store

    Progress = Callable[[str, int, int], object]

#: Of the state, what a snapshot depends on.
_KEPT = ("suite", "sae", "concept", "latent", "metric", "tau", "cosine_threshold", "effect_margin")
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
        model = ExplorerModel(store, ExplorerState(choices, **{name: getattr(wanted, name) for name in _KEPT}), *SHOWN)
        return _Collector(model, sae, progress or (lambda *_: None)).html(state)
    except (QueryError, PartsError, TourError) as error:
        raise SnapshotError(str(error)) from error


class _Collector:
    """Goes through the concepts of one SAE, and puts its parts into one page."""

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
        """Put the snapshot together; `given` are the values that the reader asked for."""
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

    def _has_step(self, concepts: Collection[str], step: ToldStep) -> bool:
        """Tell whether the snapshot has what a step of a tour shows; it has tested tokens, and no page but Explore."""
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
            help=still_html("snapshot"),
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
