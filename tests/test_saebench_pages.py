"""The explorer on an imported suite with little data: unknown L0, and numbers without the words behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from explorer import Explorer
from explorer.headline import headline
from explorer.plots.absorption import absorption_plot
from explorer.plots.sae_scores import sae_scores_plot
from explorer.saes import choose, suggest_other
from explorer.theme import LIGHT
from explorer.views.headline import figures_html
from ingest import import_results
from queries import Store
from tests.saebench_results import OLD, absorption, detail, edit_json, results_file, write_json, write_results

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("saebench")
    source = write_results(folder / "source")
    another = ("mine", "layer_5/width_16k")
    write_json(
        source / results_file(another), absorption(another, [detail("s", 10, 3, 2, 0.2), detail("t", 8, 0, 1, 0.0)])
    )
    import_results(source, folder / "demo")
    with Store(folder / "demo") as opened:
        yield opened


def test_published_numbers_are_labelled_as_published(store: Store) -> None:
    explorer = Explorer(store, layer=12, letter="s")
    summary, state = explorer.model.summary, explorer.state
    assert state.chosen_sae is not None
    assert (state.chosen_sae.width, state.chosen_sae.l0) == (4096, None)
    assert summary is not None
    assert headline(summary, "S", "letter") == (
        "2 latents share the letter S; which ones were not published. The probe finds 10 words; 3 of these are absorbed"
        " by other latents: absorption rate 30.0% (10.8–60.3)."
    )
    assert (summary["num_tested"], summary["num_absorbing_latents"], summary["num_split_latents"]) == (None, None, 2)
    assert summary["absorption_fraction"] == pytest.approx(0.2)
    assert summary["metric_version"] == "SAEBench since 2025-01-13"
    state.apply({"letter": "t"})
    assert "none of these is absorbed" in headline(explorer.model.summary, "T", "letter")
    shown = str(explorer.model.sae_record)
    assert "/".join(OLD) in shown
    explorer.state.apply({"layer": 5, "l0": 34, "letter": "s"})
    assert explorer.model.summary is not None
    assert explorer.model.summary["metric_version"] == "SAEBench since 2025-01-13"


def test_fraction_is_named_by_its_saebench_version(store: Store, tmp_path: Path) -> None:
    source = write_results(tmp_path / "source")
    for file in source.rglob("*_eval_results.json"):
        edit_json(file, lambda results: results["eval_config"].update(min_GT_probe_f1=0.6))
    import_results(source, tmp_path / "newer")
    with Store(tmp_path / "newer") as newer:
        for opened, metric in ((store, "fraction-0.3"), (newer, "fraction")):
            explorer = Explorer(opened, metric=metric, layer=5, l0=34, letter="s")
            state, model = explorer.state, explorer.model
            assert state.metrics == ["full", metric]
            # As published, because the suite has no projections to recompute it.
            tokens = dict(zip(model.concept_evidence["token"], model.concept_evidence["fraction"], strict=True))
            assert (tokens[" short"], tokens[" sea"]) == (0.75, 0.0)
            assert "tau" not in state.movable
            assert figures_html(model).count(">Absorption fraction") == 1
            state.apply({"page": "atlas"})
            assert model.sae_means["absorption_rate"].notna().all()


def test_unknown_l0s_are_last_and_not_in_plots_against_l0(store: Store) -> None:
    explorer = Explorer(store, page="atlas", layer=5)
    state, model = explorer.state, explorer.model
    assert state.options["l0"][0] == 34
    assert state.options["l0"][-1] is None
    sae, _ = choose(state.saes, {"layer": 5})
    assert sae is not None
    assert sae.l0 == 34
    other = suggest_other(state.saes, sae)
    assert other is not None
    assert other.l0 is None
    means = model.sae_means
    assert means is not None
    assert means["l0"].notna().sum() == 1
    options: dict[str, Any] = {
        "saes": model.saes,
        "by": "width",
        "noun": "letter",
        "rate": "absorption rate",
        "brushed": [],
        "current": None,
        "theme": LIGHT,
    }
    for panel, drawn in (("absorption-vs-l0", 1), ("splits-vs-l0", 1), ("absorption-vs-layer", len(means))):
        points = absorption_plot(means, panel, **options).draw().Points.I.dframe()
        assert len(points) == drawn
        # Omitted SAEs do not change the style of a width.
        whole = absorption_plot(means, "absorption-vs-layer", **options).draw().Points.I.dframe().set_index("sae")
        assert points.set_index("sae")["colour"].equals(whole.loc[points["sae"], "colour"])
    scores = store.fetch("sae_scores", suite="demo", family="first-letter", main_latent_by="k_sparse").assign(l0=None)
    plot = sae_scores_plot(
        scores.astype({"l0": float}), "precision-vs-l0", saes=model.saes, current=None, theme=LIGHT
    ).draw()
    assert len(plot.get(0)) == 0


@pytest.mark.parametrize("page", ["explore", "compare", "atlas"])
def test_every_page_and_part_is_shown_without_an_error(store: Store, page: str) -> None:
    explorer = Explorer(store, page=page)
    for sae in explorer.state.saes:
        explorer.state.apply({"sae": sae.id, "letter": "s"})
        for part in ("l0", "architecture", "concept", "pair"):
            explorer.state.compare_by = part
            assert explorer.model.error == ""
        assert explorer.layout is not None
