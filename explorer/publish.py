"""Suites as a static site for any web host: all SAEs and concepts as files that the pages load on demand."""

from __future__ import annotations

import errno
import fcntl
import glob
import json
import os
import shutil
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from explorer.cite_part import cite_part
from explorer.format import metric_label
from explorer.live import LivePart, cells_part, movable, thresholds_part, totals_part
from explorer.model import ExplorerModel, choices_of, records
from explorer.pairs import numbers_part, pair_part
from explorer.parts import (
    SHOWN,
    PartsError,
    SaeParts,
    as_data,
    bokeh_js,
    compressed,
    family_part,
    family_path,
    order_of,
    packed,
    sae_path,
    script_hash,
    suite_path,
)
from explorer.plots.absorption import saes_with_values
from explorer.plots.layers import Layer
from explorer.plots.standalone import replacement_data, standalone
from explorer.plots.sweeps import first_seeds, sweeps
from explorer.saes import ATTRIBUTES, distinguishing_attributes
from explorer.state import SEARCH_CHARACTERS, ExplorerState
from explorer.text.tour_files import TourError
from explorer.theme import DARK, FONT, LIGHT, MONO, css_variables
from explorer.views.atlas import Atlas, head_html, listed, means_html, panel_drawing, panel_titles
from explorer.views.evidence_head import EvidenceHead
from explorer.views.explanations import TITLES
from explorer.views.header import versions
from explorer.views.heat_map import HeatMapView, highest_cells, map_drawing, map_head_html, map_height
from explorer.views.help import help_html, tours_part
from explorer.views.markup import STATIC, math_font, render, styles
from explorer.views.plot_table import table_html
from explorer.views.selectors import attribute_html, badge_html, labels_of, nav_html, same_html
from queries import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from explorer.parts import Draw
    from explorer.plots.layers import Plot
    from explorer.state import Snapshot, SuiteChoices
    from explorer.tours import RenderedStep
    from queries import Store

    Progress = Callable[[str, int, int], object]

#: File that lists what an earlier publish wrote; all other files in the folder are kept.
_MARK = "site.json"
#: Folder in which the site is written before it is moved to its place.
_PARTIAL = ".partial"
#: Placeholders in search results for the latent, the SAE, and the searched text.
_SLOTS = {"latent": "\ue000", "sae": "\ue001", "text": "\ue002"}
#: Maximum tokens in a search, as on the page.
_MOST_TOKENS = 11
#: Maximum results of a search: tokens, concepts, and a latent.
_MOST_RESULTS = 20
#: Numbers by which the table of SAEs can be sorted.
_NUMBERS = (
    *("absorption_rate", "absorption_sd", "seed_low", "random_rate", "num_absorbed", "num_split_latents"),
    *("variance_explained", "loss_recovered", "dead_fraction"),
)
_PANELS = ("absorption-vs-l0", "splits-vs-l0")
_PAGES = ("explore", "compare", "atlas", "evidence")
_SCRIPTS = (
    *("reader", "cite", "live", "drawer", "guide", "reader_guide", "site"),
    *("numbers", "pair", "statistics", "atlas", "totals"),
)
#: Views of tour steps that a site does not have.
NOT_HERE = ("tester", "threshold-sensitivity")
#: Parameters on which the verdicts of a suite depend.
_DECIDING = ("suite", "metric", "tau", "cosine_threshold", "effect_margin")


class PublishError(ValueError):
    """A site cannot be published; the message is one line with the fix."""


class Published(NamedTuple):
    """Number of files and bytes of a site."""

    num_files: int
    num_bytes: int


def publish_site(store: Store, folder: Path, *, force: bool = False, progress: Progress | None = None) -> Published:
    """Write the suites of a store as a static site.

    Parameters
    ----------
    store : Store
        From `open_store`.
    folder : Path
        The folder to write; its parent must exist.
    force : bool
        Whether to replace the files of an earlier publish; all other files are kept.
    progress : callable, optional
        Called with a description, the number of finished steps and the number of all steps.

    Returns
    -------
    Published

    Raises
    ------
    PublishError
        If the folder cannot be written, contains other files, or a query fails; nothing partial is left.
    """
    sizes: list[int] = []
    try:
        folder = folder.resolve()
        # If the folder exists, inside it, because it may be a mount point in a folder that is not writable.
        within, outside = folder / _PARTIAL, folder.with_name(f".{folder.name}{_PARTIAL}")
        _clear_left(within, outside)
        _check(folder, force=force)
        beside = within if folder.exists() else outside
        beside = beside.with_name(f"{beside.name}.{os.getpid()}")
        beside.mkdir()
        held = os.open(beside, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            for path, content in _files(store, progress or (lambda *_: None)):
                file = beside / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
                sizes.append(len(content))
            _replace(beside, folder, force=force)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
            os.close(held)
    except (QueryError, PartsError, TourError) as error:
        raise PublishError(str(error)) from error
    except OSError as error:
        where = "make room, or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise PublishError(f"{folder}: cannot be written ({error.strerror}); {where}give a folder elsewhere") from error
    return Published(len(sizes), sum(sizes))


def _clear_left(*places: Path) -> None:
    """Remove the folders left by publishes that were killed; a running publish holds a lock on its folder."""
    found = [each for place in places for each in place.parent.glob(f"{glob.escape(place.name)}.*")]
    for left in found:
        if not left.suffix[1:].isdecimal() or left.is_symlink() or not left.is_dir():
            continue
        held = os.open(left, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(held)


def _check(folder: Path, *, force: bool, but: Path | None = None) -> set[str]:
    """Reject a folder that is not from an earlier publish; return the names of the files that this wrote."""
    if folder.exists() and not folder.is_dir():
        raise PublishError(f"{folder}: is not a folder; give one that is empty or does not exist yet")
    if not folder.exists() or not any(path != but for path in folder.iterdir()):
        return set()
    if not (folder / _MARK).is_file():
        raise PublishError(f"{folder}: is not empty, and no site was published there; give another folder")
    if not force:
        raise PublishError(f"{folder}: contains a site already; give another folder, or --force to replace it")
    try:
        found = json.loads((folder / _MARK).read_text(encoding="utf-8"))["written"]
        return {name for name in found if isinstance(name, str)}
    except (ValueError, KeyError, TypeError):
        raise PublishError(f"{folder / _MARK}: names no site; name another folder") from None


def _replace(beside: Path, folder: Path, *, force: bool) -> None:
    """Move a site to its place completely or not at all; other files there, such as .git or CNAME, are kept."""
    names = sorted([*(path.name for path in beside.iterdir()), _MARK])
    made = {"made_by": f"absorption-explorer {version('absorption-explorer')}", "written": names}
    (beside / _MARK).write_text(json.dumps(made, indent=1), encoding="utf-8")
    if not folder.exists():
        beside.rename(folder)
        return
    former = _check(folder, force=force, but=beside)  # another process may have published meanwhile
    for name in names:
        if name not in former and os.path.lexists(folder / name):
            raise PublishError(f"{folder / name}: is not part of the site, which would replace it; move it elsewhere")
    removed = beside / ".former"
    removed.mkdir()
    moves = [(folder / name, removed / name) for name in sorted(former) if os.path.lexists(folder / name)]
    moves += [(beside / name, folder / name) for name in names]
    try:
        for source, target in moves:
            source.rename(target)
    except BaseException:
        for source, target in reversed(moves):
            if os.path.lexists(target) and not os.path.lexists(source):
                target.rename(source)
        raise


def _files(store: Store, progress: Progress) -> Iterator[tuple[str, bytes]]:
    """Yield all files of a site with their paths."""
    choices = {name: there for name, there in choices_of(store).items() if there.saes and there.concepts}
    if not choices:
        raise PublishError(f"{', '.join(store.suites)}: no SAE with a concept, so there is nothing to publish")
    steps = sum(len(there.saes) * len(there.families) * max(len(there.movable), 1) for there in choices.values())
    done = 0
    saes = {name: there.saes for name, there in choices.items()}
    for name, there in choices.items():
        for metric in there.movable or [None]:
            model = _model(store, name, *SHOWN, metric=metric)
            other = _other_metric(model.shown)
            for family in there.families:
                figures: dict[str, Draw] = {}
                for sae in there.saes:
                    progress(f"{name}: {sae.label}", done, steps)
                    model.state.apply({"sae": sae.id, "family": family})
                    yield from _sae_files(model, figures)
                    yield f"{sae_path(model.shown, other)}/numbers.bin", packed(numbers_part(model, saes))
                    done += 1
                at = family_path(name, family, other)
                cells = {"cells": cells_part(model.shown.rate_label)}
                yield f"{at}/family.bin", packed(family_part(model.shown, figures) | cells)
                yield f"{at}/pair.bin", packed(pair_part(model, list(choices)))
                yield from _atlas_files(_model(store, name, Atlas, HeatMapView, family=family, metric=metric))
            at = suite_path(name, other)
            yield f"{at}/suite.bin", packed(_suite(_model(store, name, EvidenceHead, metric=metric)))
            yield f"{at}/search.bin", packed(_search(_model(store, name, metric=metric)))
    yield from _frame(store, choices)
    progress("Done", steps, steps)


def _model(store: Store, suite: str, *views: Any, **state: Any) -> ExplorerModel:
    given = {name: value for name, value in state.items() if value is not None}
    return ExplorerModel(store, ExplorerState(choices_of(store), suite=suite, **given), *views)


def _other_metric(shown: Snapshot) -> str | None:
    """Return the metric if it is not the suite's own; the parts that depend on it have a separate folder."""
    return None if shown.metric in shown.metrics[:1] else shown.metric


def _sae_files(model: ExplorerModel, figures: dict[str, Draw]) -> Iterator[tuple[str, bytes]]:
    """Yield the files of one SAE with one family of concepts."""
    parts, other = SaeParts(model, figures), _other_metric(model.shown)
    at = sae_path(model.shown, other)
    yield f"{at}/sae.bin", packed(parts.sae(parts.cells, choose=_chooser(model.state)))
    for cell in parts.cells:
        part, cosines = parts.concept(cell["concept"])
        yield f"{at}/{cell['concept']}.bin", packed(part)
        if other is None:  # cosines are the same for any metric
            yield f"{at}/{cell['concept']}.cos", cosines
    yield f"{at}/cards.bin", packed(parts.cards())
    if movable(model.state):
        yield f"{at}/live.bin", packed(LivePart(model).collect())


def _chooser(state: ExplorerState) -> dict[str, Any]:
    """Render the selectors of an SAE, with the SAE that each option selects."""
    distinguishing = distinguishing_attributes(state.saes)
    html = {name: attribute_html(state, name) for name in distinguishing} | {
        "same": same_html(state),
        "badge": badge_html(state),
    }
    return {
        "html": html,
        "targets": {
            name: [
                (label, there.id)
                for label, value in labels_of(state, name).items()
                if (there := state.narrowed(name, value)) is not None
            ]
            for name in ATTRIBUTES
            if name in distinguishing
        },
    }


def _atlas_files(model: ExplorerModel) -> Iterator[tuple[str, bytes]]:
    """Yield the files of Atlas: its figures, and its contents for each mean policy."""
    figures: dict[str, Any] = {}
    at = family_path(model.shown.suite, model.shown.family, _other_metric(model.shown))
    for policy in ExplorerState.param.mean_policy.objects:
        model.state.mean_policy = policy
        yield f"{at}/atlas-{policy}.bin", packed(_atlas(model, figures))
    yield f"{at}/atlas.bin", packed(figures)


def _atlas(model: ExplorerModel, figures: dict[str, Any]) -> dict[str, Any]:
    """Collect the contents of Atlas: texts (in both themes if coloured), a table, and plots; fills `figures`."""
    rows = listed(model)
    panels = {name: panel_drawing(model, name) for name in _PANELS if not saes_with_values(model.sae_means, name).empty}
    for name, draw in panels.items():
        if name not in figures:
            figures[name] = _figure(draw)
    return {
        "head": _in_both(model, partial(head_html, brushes=False)),
        "titles": panel_titles(model),
        "plots": {name: _data(draw) for name, draw in panels.items()},
        "cells": {cell: _map(model, cell, figures) for cell in ExplorerState.param.cell.objects if rows},
        "table": means_html(model),
        "saes": [row["sae"] for row in rows],
        "order": {name: _order(rows, name) for name in (*ATTRIBUTES, *_NUMBERS)},
        # For drawing again at moved thresholds.
        "numbers": list(_NUMBERS),
        **_sweeps(model),
        "colours": {
            which.name: {"ramp": which.rates, "paper": which.paper, "muted": which.muted} for which in (LIGHT, DARK)
        },
    }


def _sweeps(model: ExplorerModel) -> dict[str, list[int]]:
    """Return, for each SAE, the number of its training (shared by its seeds) and of its L0 sweep."""
    means = model.sae_means
    if means is None or means.empty:
        return {"training": [], "sweep": []}
    return {"training": first_seeds(means).tolist(), "sweep": sweeps(means).tolist()}


def _map(model: ExplorerModel, cell: str, figures: dict[str, Any]) -> dict[str, Any]:
    """Collect the contents of the heat map for one kind of cells."""
    model.state.cell = cell
    draw = map_drawing(model)
    if "absorption-heatmap" not in figures:
        figures["absorption-heatmap"] = _figure(draw)
    return {
        "head": _in_both(model, partial(map_head_html, orders=False)),
        "table": table_html(highest_cells(model)),
        "plot": _data(draw, height=map_height(model)),
    }


def _figure(draw: partial[Plot]) -> dict[str, Any]:
    layers = [layer.name for layer in draw(theme=LIGHT).layers if isinstance(layer, Layer)]
    return standalone(lambda theme: draw(theme=theme).draw(), layers)


def _data(draw: partial[Plot], *, height: int | None = None) -> dict[str, Any]:
    return replacement_data([draw(theme=which) for which in (LIGHT, DARK)], height=height)


def _order(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the rows in ascending order of a column."""
    values = [row[name] for row in rows]
    is_text = any(isinstance(value, str) for value in values)
    return order_of(pd.Series(values, dtype=object if is_text else float))


def _in_both(model: ExplorerModel, write: Callable[[ExplorerModel], str]) -> dict[str, str]:
    """Render a text in both themes."""
    found = {}
    for which in (DARK, LIGHT):
        model.state.dark = which is DARK
        found[which.name] = write(model)
    return found


def _suite(model: ExplorerModel) -> dict[str, Any]:
    """Collect the texts about a suite."""
    shown, manifest = model.shown, model.manifest
    first = [sae for sae in manifest.saes if sae.repeat_of is None]
    return {
        "about": render("provenance", manifest=manifest, versions=versions(), saes=first),
        "evidence": totals_part(model),
        "thresholds": thresholds_part(model),
        "cite": cite_part(model.store, manifest.name),
        "tours": tours_part(model.store, shown.suite, partial(_has_step, metrics=shown.metrics)),
        "made": render(
            "reader_made",
            suite=manifest.name,
            checksum=model.store.suites[manifest.name].checksum,
            metric=metric_label(shown.metric),
            version=version("absorption-explorer"),
            date=f"{datetime.now(tz=UTC):%Y-%m-%d}",
            state=shown,
        ),
    }


def _has_step(step: RenderedStep, *, metrics: Collection[str]) -> bool:
    """Return whether a site contains what a tour step shows."""
    known = {"suite", "sae", "concept", "latent", "evidence_token", "cell", "mean_policy", "page", "metric"}
    known |= {"compare_by", "other_suite", "other_sae"}
    page = step.state.get("page", "explore")
    return (
        step.at not in NOT_HERE
        and step.state.keys() <= known
        and page in _PAGES
        and (page != "compare" or step.state.get("compare_by") == "pair")
        and step.state.get("metric") in {None, *metrics}
    )


def _search(model: ExplorerModel) -> dict[str, Any]:
    """Render all possible search results of a suite, and the texts of the search."""
    shown = model.shown
    found = model.store.fetch("tested_words", **{name: getattr(shown, name) for name in _DECIDING})
    labels = {one.id: one.label for one in shown.concepts.values()}
    tokens = [row | {"label": labels[row["concept"]]} for row in records(found)]
    concepts = list(shown.concepts.values())
    latent = render("search_latent", latent=_SLOTS["latent"], sae=_SLOTS["sae"])

    def status(found: int, cut: int = 0, text: str = "") -> str:
        return render("search_status", found=found, cut=cut, text=text, sae=None)

    return {
        "slots": _SLOTS,
        "latent": latent,
        "tokens": [(row["token"], row["concept"], render("search_token", row=row)) for row in tokens],
        "concepts": [
            (
                one.id,
                one.label,
                one.phrase,
                render("search_concept", one=one, families=shown.families),
                f"{family.noun} {family.title}" if (family := shown.families.get(one.family)) else "",
            )
            for one in concepts
        ],
        "cut": status(_MOST_TOKENS, cut=_MOST_TOKENS),
        "results": [status(number) for number in range(_MOST_RESULTS)],
        "nothing": status(0, text=_SLOTS["text"]),
        "most": _MOST_TOKENS,
    }


def _frame(store: Store, choices: Mapping[str, SuiteChoices]) -> Iterator[tuple[str, bytes]]:
    """Yield the page, and the files that it loads first."""
    suites = {name: store.suites[name].manifest.title or name for name in choices}
    theme, bokeh = (STATIC / "site_theme.js").read_text(encoding="utf-8"), bokeh_js()
    nothing: dict[str, Any] = dict.fromkeys(("tokens", "concepts", "latents"), ()) | {"words": {}, "families": {}}
    search = render(
        "search", number=0, text="", has_failed=False, is_cut=False, sae=None, longest=SEARCH_CHARACTERS, **nothing
    )
    page = render(
        "site",
        kind="site",
        theme=theme,
        hashes=[script_hash(script) for script in (theme, bokeh)],
        data=as_data({"suites": {name: _start(store, name) for name in choices}, "query": "", "search": search}),
        styles="".join(
            (
                math_font(),
                styles(),
                *((STATIC / f"{name}.css").read_text(encoding="utf-8") for name in ("frame", "reader", "site")),
            )
        ),
        font=FONT,
        mono=MONO,
        light=css_variables(LIGHT),
        dark=css_variables(DARK),
        suites=suites,
        title=", ".join(suites.values()),
        brand=render("brand", suites=suites, suite=next(iter(suites)), on_page=True),
        nav=nav_html(None, _PAGES),
        help=help_html("site", _PAGES),
        topics=TITLES,
        provenance="",
        query="",
    )
    yield "index.html", page.encode()
    yield "assets/bokeh.bin", compressed(bokeh.encode())
    for name in _SCRIPTS:
        yield f"assets/{name}.js", (STATIC / f"{name}.js").read_bytes()
    yield "assets/search.js", (STATIC.parent / "views" / "search.js").read_bytes()
    yield ".nojekyll", b""  # otherwise GitHub Pages searches all files for templates


def _start(store: Store, suite: str) -> dict[str, Any]:
    """Return the choices in a suite, and its initial view."""
    state = ExplorerState(choices_of(store), suite=suite)
    return {
        "start": {name: getattr(state, name) for name in ("sae", "concept", "latent")},
        "saes": [sae.id for sae in state.saes],
        "repeats": [place for place, sae in enumerate(state.saes) if sae.repeat_of is not None],
        "own": state.thresholds_of_suite._asdict(),
        "attributes": {name: [getattr(sae, name) for sae in state.saes] for name in ATTRIBUTES},
        # By metric (the suite's own first) and threshold on which its verdicts depend: the suite's value, the limits.
        "metrics": {
            metric: {
                name: (getattr(state.thresholds_of_suite, name), *state.param[name].softbounds)
                for name in movable(ExplorerState(choices_of(store), suite=suite, metric=metric))
            }
            for metric in state.metrics
        },
        "families": {
            family: {one.id: (one.label, one.phrase) for one in state.concepts.values() if one.family == family}
            for family in state.families
        },
    }
