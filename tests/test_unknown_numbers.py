"""Values that a suite lacks are shown as unknown, and numbers published without tokens are used."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import holoviews as hv
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bokeh.models import HoverTool
from typer.testing import CliRunner

from explorer import Explorer, FigureError
from explorer.cli import app
from explorer.figures import FIGURES
from explorer.format import percent
from explorer.latents.card import LatentCard
from explorer.model import choices_of
from explorer.plots.absorption import PANELS
from explorer.state import ExplorerState, Thresholds
from explorer.views.atlas import Atlas
from explorer.views.compare_head import CompareHead
from explorer.views.concepts import concept_cells
from explorer.views.evidence_head import EvidenceHead
from explorer.views.evidence_table import ConceptEvidence, SuiteEvidence
from explorer.views.headline import figures_html, sentence_html
from explorer.views.heat_map import HeatMapView
from explorer.views.latent_lists import LatentLists
from explorer.views.markup import Markup, render
from explorer.views.pair import PairView
from explorer.views.sensitivity import SensitivityView
from explorer.views.thresholds import Thresholds as ThresholdsView
from ingest import import_results
from queries import Store
from queries.schema import concept_id, letter_of
from tests.questions import ask, expect_sensitivity, question_values, same, shown_text
from tests.saebench_results import absorption, detail, results_file, write_json, write_results
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KINDS = ("tokens", "published", "mixed", "uncounted", "unprobed")


def write_kind(kind: str, folder: Path) -> Path:
    """Write a suite of a kind, which determines whether and how absorption is known."""
    if kind == "tokens":
        return write_tiny_suite(folder / kind, name=kind)
    source = folder / f"{kind}-source"
    if kind == "mixed":
        write_results(source)
    else:
        sae = ("gemma-scope-2b-pt-res", "layer_3/width_16k/average_l0_5")
        details = [detail("s", 100, 25, 1, 0.3), detail("t", 8, 0, 1, 0.0), detail("u", 50, 50, 2, 0.9)]
        without = {
            "published": (),
            "uncounted": ("num_full_absorption", "full_absorption_rate"),
            "unprobed": ("num_probe_true_positives", "full_absorption_rate"),
        }[kind]
        for each in details:
            for name in without:
                del each[name]
        write_json(source / results_file(sae), absorption(sae, details))
    import_results(source, folder / kind)
    return folder / kind


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Store]]:
    folder = tmp_path_factory.mktemp("kinds")
    opened = {kind: Store(write_kind(kind, folder)) for kind in KINDS}
    yield opened
    for store in opened.values():
        store.close()


def values_of(store: Store) -> dict[str, Any]:
    (suite,) = store.suites
    return question_values(store, suite=suite, sae=str(store.fetch("saes")["sae"].iloc[0]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("policy", ["with_candidates", "all_concepts"])
def test_absorbed_counts_agree_everywhere(stores: dict[str, Store], kind: str, policy: str) -> None:
    """Concepts, means, the curve by a threshold and the counts of the suite agree, or all say that it is unknown."""
    store = stores[kind]
    values = values_of(store) | {"mean_policy": policy}
    cells = ask(store, "concept_rates", values)
    means = ask(store, "sae_means", values)
    for row in means.to_dict("records"):
        of_sae = cells[cells["sae"] == row["sae"]]
        assert same(row["num_absorbed"], of_sae["num_absorbed"].sum(min_count=1))
        if of_sae["absorption_rate"].isna().all():
            assert pd.isna(row["absorption_rate"])  # an unknown rate is not 0
        elif policy == "all_concepts":
            assert row["absorption_rate"] == pytest.approx(of_sae["absorption_rate"].mean())
    expect_sensitivity(store, values)
    info = ask(store, "suite_info", values).iloc[0]
    assert same(info["n_absorbed_tokens"], cells["num_absorbed"].sum(min_count=1))
    published = cells.loc[cells["num_tested"].isna(), "num_absorbed"]
    assert same(info["n_absorbed_published"], published.sum(min_count=1))
    assert pd.isna(info["n_tested_tokens"]) == (not len(pd.DataFrame(ask(store, "evidence", values | FACETS))))


FACETS = dict.fromkeys(("facet_saes", "facet_concept", "facet_latent"))


SENTENCES = {
    "tokens": r"\d+ of [\d,]+ tested tokens of 8 SAEs are absorbed, by \d+ latents",
    "published": "75 words of 1 SAE are absorbed, as published",
    "mixed": r"4 of 11 tested tokens of 1 SAE .* A further 3 words are absorbed as published",
    "uncounted": "How many words are absorbed is unknown",
    "unprobed": "75 words of 1 SAE are absorbed, as published",
}


@pytest.mark.parametrize("kind", KINDS)
def test_evidence_distinguishes_counted_and_published_numbers(stores: dict[str, Store], kind: str) -> None:
    model = Explorer(stores[kind], page="evidence").model
    head: Any = EvidenceHead(model).__panel__()
    text = shown_text(head.html, "")
    assert re.search(SENTENCES[kind], text), text
    assert not re.search(r"\b0 of 0\b|[–-] of|nan|None", text), text
    of_tokens = "Click a token" in text
    assert of_tokens == (kind in ("tokens", "mixed"))


@pytest.mark.parametrize("kind", KINDS)
def test_only_effective_thresholds_can_be_moved(stores: dict[str, Store], kind: str) -> None:
    """Only thresholds that change a result are offered; others are rejected in links and show no badge."""
    store = stores[kind]
    values = values_of(store)
    moves = set()
    of_seeds = ["num_seeds", "seed_low", "seed_high"]  # which are known at the suite's own thresholds only
    for of in Thresholds._fields:
        low, high = ExplorerState.param[of].softbounds
        for question in ("concept_rates", "sae_means"):
            answers = [
                ask(store, question, values | {of: value}).drop(columns=of_seeds, errors="ignore")
                for value in (low, 0.03, high)
            ]
            if not all(answers[0].equals(each) for each in answers):
                moves.add(of)
    state = ExplorerState(choices_of(store))
    model = Explorer(store, page="evidence").model
    assert set(model.state.movable) == moves
    for of in Thresholds._fields:
        low, _ = ExplorerState.param[of].softbounds
        refused = state.from_query(f"{of}={low}")
        assert bool(refused) == (of not in moves), of
        assert bool(state.moved) == (of in moves)
        # Set directly, as in a notebook, it is not shown as a difference either.
        model.state.param.update(**{of: low})
        assert bool(model.state.moved) == (of in moves)
        model.state.param.update(**model.state.thresholds_of_suite._asdict())
    side: Any = ThresholdsView(model)
    assert bool(re.search("moves? nothing", side._head.html)) == (len(moves) < len(Thresholds._fields))
    model.state.sensitivity_of = "effect_margin"
    plot = SensitivityView(model)
    if "effect_margin" not in moves and plot._plot.pane.visible:
        assert "has no effect" in plot._head.html


@pytest.mark.parametrize("own", [{}, {"tau": 0.05}, {"cosine_threshold": 0.1, "effect_margin": 2.0}])
def test_differences_of_thresholds_are_named(tmp_path: Path, own: dict[str, float]) -> None:
    """Moved thresholds are compared with the suite's; the suite states where its own differ from the paper's."""
    with Store(write_tiny_suite(tmp_path / "suite", name="suite", thresholds=own)) as store:
        model = Explorer(store).model
        side: Any = ThresholdsView(model)
        for moved in (False, True):
            if moved:
                model.state.tau = 0.1
            text = side._head.html
            assert ("differs from this suite's own" in text) == moved
            assert "from the paper" not in text.replace("than the paper", "")
            assert ("measured with other thresholds than the paper's" in text) == bool(own)
            for name, value in own.items():
                assert f"{name.replace('_', ' ')} {value:.3f}" in text
                assert f"(paper: {getattr(Thresholds(), name):.3f})" in text


def test_saes_of_unknown_l0_are_not_on_l0_axes_and_have_no_negative_l0(tmp_path: Path) -> None:
    """In plots, labels, tooltips and tables of all pages."""
    source = tmp_path / "source"
    for nth in range(3):
        sae = ("made-up", f"layer_3/trainer_{nth}")
        write_json(source / results_file(sae), absorption(sae, [detail("s", 100, 25, 1, 0.3)]))
    import_results(source, tmp_path / "suite")
    with Store(tmp_path / "suite") as store:
        model = Explorer(store, page="atlas").model
        assert model.sae_means is not None
        assert model.sae_means["l0"].isna().all()
        atlas = Atlas(model)
        shown = {atlas._panel(name): column.visible for name, column in atlas._columns.items()}
        assert shown == {"absorption-vs-l0": False, "absorption-vs-layer": True, "splits-vs-l0": False}
        for name in PANELS:
            figure = hv.render(atlas.drawing(name)().draw(), backend="bokeh")
            for axis in (figure.x_range, figure.y_range):
                assert axis.start < axis.end, name
            assert_unknown_l0s_are_labelled(figure)
        cells = hv.render(HeatMapView(model).drawing()().draw(), backend="bokeh")
        assert list(cells.xaxis[0].major_label_overrides.values()) == [sae.short for sae in model.state.saes]
        assert_unknown_l0s_are_labelled(cells)


def test_gained_and_lost_tokens_are_unknown_without_tokens(stores: dict[str, Store]) -> None:
    store = stores["mixed"]
    here, there = store.fetch("saes")["sae"]
    values = values_of(store)
    concepts = ask(store, "pair_concepts", values | {"sae": here, "other_sae": there, "other_suite": values["suite"]})
    assert concepts.set_index("label").loc["S", ["num_gained", "num_lost"]].isna().all()
    state = {"compare_by": "pair", "concept": concept_id("s"), "page": "compare", "sae": here, "other_sae": there}
    view = PairView(Explorer(store, **state).model).__panel__()
    html = " ".join(part.html for part in view.select(Markup) if isinstance(part, Markup))
    assert "Which tokens of S are gained or lost is unknown" in html
    assert not re.search(r"\((?:0|nan)\)|nan", html)


def assert_unknown_l0s_are_labelled(figure: Any) -> None:
    """Check the contents of each tooltip."""
    for tool in figure.select(HoverTool):
        fields = dict(re.findall(r">(L0|SAE)</span><span>@\{?(\w+)", tool.tooltips))
        assert "SAE" in fields
        for renderer in tool.renderers:
            data = renderer.data_source.data
            assert all("L0 unknown" in text for text in data[fields["SAE"]])
            assert all(str(text).startswith("unknown") for text in data.get(fields.get("L0"), ()))


@pytest.mark.parametrize("kind", ["published", "uncounted", "unprobed"])
def test_empty_figures_are_not_written(stores: dict[str, Store], tmp_path: Path, kind: str) -> None:
    """If an L0, rate or score is unknown, one line says so, and no file is written."""
    explorer = Explorer(stores[kind], letter="s")
    splits, rates = ({f"{of}-vs-{x}" for x in ("l0", "layer", "width")} for of in ("splits", "absorption"))
    known = splits | rates | {"absorption-heatmap", "threshold-sensitivity"} if kind == "published" else splits
    for name in FIGURES.keys() - known:
        path = tmp_path / f"{name}.svg"
        with pytest.raises(FigureError, match=f"the figure '{name}' is empty here"):
            explorer.save_figure(name, path)
        assert not path.exists()


def test_command_fails_without_known_l0s(tmp_path: Path) -> None:
    sae = ("made-up", "layer_3/trainer_0")
    write_json(tmp_path / "source" / results_file(sae), absorption(sae, [detail("s", 100, 25, 1, 0.3)]))
    import_results(tmp_path / "source", tmp_path / "suite")
    for name in ("absorption-vs-l0", "splits-vs-l0"):
        result = CliRunner().invoke(app, ["figure", name, str(tmp_path / "suite"), "-o", str(tmp_path / "figure.svg")])
        assert result.exit_code == 2
        assert f"the figure '{name}' is empty here" in result.stderr
    assert not (tmp_path / "figure.svg").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_strip_and_numbers_of_a_concept_show_what_is_known(stores: dict[str, Store], kind: str) -> None:
    explorer = Explorer(stores[kind], letter="s")
    model = explorer.model
    assert model.concepts is not None
    row = model.concepts.set_index("concept").loc[concept_id("s")]
    (cell,) = (cell for cell in concept_cells(model.concepts, "absorption rate") if cell["concept"] == concept_id("s"))
    figures = shown_text(figures_html(model))
    if pd.isna(row["num_absorbed"]):
        assert cell["label"] == "unknown what is absorbed"
        assert "Absorbing latents – unknown" in figures
    elif pd.isna(row["absorption_rate"]):
        assert cell["label"] == "absorbing latents unknown, absorption rate –"
        assert "Absorbing latents – 25 absorbed Absorption rate –" in figures
    else:
        assert cell["label"].endswith(f"absorption rate {percent(row['absorption_rate'])}")
    assert not re.search(r"of [–-]|nan|None", figures), figures


@pytest.mark.parametrize("kind", KINDS)
def test_headings_show_known_counts(stores: dict[str, Store], kind: str) -> None:
    """Lists show the number of their items, else the published one; if unknown, neither a number nor "none"."""
    info = ask(stores[kind], "suite_info", values_of(stores[kind])).iloc[0]
    concepts = stores[kind].fetch("concepts")["concept"]
    for letter in concepts[concepts.isin([concept_id(each) for each in "stu"])].map(letter_of):
        model = Explorer(stores[kind], letter=letter).model
        lists: Any = LatentLists(model).__panel__()
        tested: Any = ConceptEvidence(model).__panel__()
        suite: Any = SuiteEvidence(Explorer(stores[kind], page="evidence").model).__panel__()
        summary = model.summary
        if summary is None:
            continue
        known = {
            "Split latents": summary["num_split_latents"],
            "Absorbing latents": summary["num_absorbing_latents"],
            f"Tokens tested for {letter.upper()}": summary["num_tested"],
            "Tested tokens of the suite": info["n_tested_tokens"],
        }
        text = lists.html + tested.html + suite.html
        assert {
            title: re.search(rf"{title}(?: \(([\d,]+)\))?\s*</(?:button|h2)>", text)[1]  # type: ignore[index]
            for title in known
        } == {title: None if pd.isna(count) else f"{int(count):,}" for title, count in known.items()}
        assert ("No token was tested" in tested.html) == (summary["num_tested"] == 0)
        assert ("No split latent is known" in lists.html) == (not summary["num_split_latents"])


@pytest.mark.parametrize("is_counted", [True, False])
def test_uncounted_number_of_latents_is_a_lower_bound(tmp_path: Path, *, is_counted: bool) -> None:
    """Everywhere; a latent beyond it may exist, so it can be found and selected."""
    folder = write_tiny_suite(tmp_path / "tiny", saes=[(0, 1000, 10)])
    saes = pq.read_table(folder / "saes.parquet")
    counted = pa.array([is_counted] * len(saes))
    place = saes.column_names.index("num_latents_counted")
    pq.write_table(saes.set_column(place, "num_latents_counted", counted), folder / "saes.parquet")
    highest = saes["num_latents"][0].as_py()
    with Store(folder) as store:
        model = Explorer(store, letter="s").model
        refused = model.state.from_query(f"latent={highest}&letter=s")
        assert bool(refused) == is_counted
        assert (model.state.latent == highest) != is_counted
        assert refused or model.shown.latent == highest
        values = values_of(store)
        assert ask(store, "suite_info", values)["n_latents_max"].isna()[0] != is_counted
        found = ask(store, "search", values | {"search": str(highest)})
        assert ("latent" in set(found["kind"])) != is_counted
        model.state.latent = 0
        card: Any = LatentCard(model).__panel__()
        model.state.apply({"page": "compare", "compare_by": "concept"})
        head: Any = CompareHead(model).__panel__()
        for text in (sentence_html(model, live=False), figures_html(model), card.html, head.html):
            assert "1k latents" in text
            assert ("at least 1k latents" in text) != is_counted
        about = render("provenance", manifest=model.manifest, saes=model.manifest.saes, versions="")
        assert (f"at least {highest:,}" in about) != is_counted


def test_sentences_are_separated(tmp_path: Path) -> None:
    """A suite with unknown L0 and unknown rates states both, and the number of selected SAEs."""
    for sae in (("own", "layer_3_width_16k_a"), ("own", "layer_3_width_16k_b")):
        write_json(tmp_path / "source" / results_file(sae), absorption(sae, [{"first_letter": "s"}]))
    import_results(tmp_path / "source", tmp_path / "own")
    with Store(tmp_path / "own") as store:
        model = Explorer(store, page="atlas").model
        model.state.brushed = [("own", model.state.saes[0].id)]
        head = Atlas(model)._head.html
        assert not re.search(r"[.!?](<[^>]*>)*[A-Z0-9]", head), head
