"""The page Learn: the toy's closed forms, compared with independent computations, and real cases and verdicts."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest

from explorer import Explorer, open_store
from explorer.learn.cases import case_of
from explorer.learn.probing import fit_probe, k_sparse, num_split
from explorer.learn.toy import (
    INPUTS,
    Toy,
    absorbing_sae,
    absorption_loss,
    best_absorption,
    best_hedging,
    expected_loss,
    hedging_loss,
    hedging_sae,
    measured_absorption,
)
from explorer.learn.training import STARTS, train
from explorer.learn.verdict import chosen_token, conditions, decisive_metric, tokens_of
from explorer.model import ExplorerModel, choices_of, records
from explorer.pages import Pages
from explorer.pages.learn import Learn
from explorer.plots.layers import Layer
from explorer.plots.toy import vectors_plot
from explorer.state import ExplorerState
from explorer.store import ARCHITECTURES, SWEEPS
from explorer.theme import LIGHT
from explorer.views.markup import STATIC, Markup
from ingest import import_results
from queries.schema import FRACTIONS, concept_id
from tests.own_tables import write_results
from tests.several_metrics import write_several_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from queries import Store

#: The child implies the parent or not; independent features, and features that exclude each other.
IMPLIED = [Toy(), Toy(0.2, 0.02), Toy(0.5, 0.9), Toy(0.3, 0.2, 0.0, 0.5)]
LOOSE = [Toy(0.5, 0.3, 0.1), Toy(0.5, 0.3, 0.3), Toy(0.5, 0.1, 0.6), Toy(0.2, 0.5, 0.05, 0.3)]
PLACES = np.linspace(0.0, 1.0, 11)
TAU = 0.03


@pytest.fixture(scope="module")
def stores() -> Iterator[dict[str, Store]]:
    """Both embedded suites."""
    with open_store(SWEEPS) as sweeps, open_store(ARCHITECTURES) as architectures:
        yield {"sweeps": sweeps, "architectures": architectures}


# --- The toy ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("toy", [*IMPLIED, *LOOSE], ids=str)
def test_closed_forms_match_the_sae(toy: Toy) -> None:
    for place in PLACES:
        assert absorption_loss(toy, place) == pytest.approx(expected_loss(toy, absorbing_sae(place)))
        hedging = 2 * place - 1
        assert hedging_loss(toy, hedging) == pytest.approx(expected_loss(toy, hedging_sae(toy, hedging)))
        assert measured_absorption(absorbing_sae(place).activations) == pytest.approx(place)


@pytest.mark.parametrize("toy", [IMPLIED[0], LOOSE[0]], ids=str)
def test_closed_forms_match_means_over_sampled_inputs(toy: Toy) -> None:
    rng = np.random.default_rng(0)
    number = 200_000
    has_parent = rng.random(number) < toy.parent
    has_child = rng.random(number) < np.where(has_parent, toy.child, toy.alone)
    inputs = np.column_stack([has_parent, has_child]).astype(float)
    assert np.corrcoef(inputs.T)[0, 1] == pytest.approx(toy.correlation, abs=0.01)
    for sae, loss in (
        (absorbing_sae(0.7), absorption_loss(toy, 0.7)),
        (hedging_sae(toy, 0.4), hedging_loss(toy, 0.4)),
    ):
        active = np.maximum(0, inputs @ sae.encoder.T + sae.bias)
        error = ((active @ sae.decoder + sae.decoder_bias - inputs) ** 2).sum(axis=1).mean()
        sparsity = (active @ np.linalg.norm(sae.decoder, axis=1)).mean()
        assert (error, sparsity) == pytest.approx((loss.error, loss.sparsity), abs=0.005)
    # The best weight of the child for a latent that fires on the parent is the slope of a regression.
    slope, _ = np.linalg.lstsq(np.column_stack([has_parent, np.ones(number)]), has_child.astype(float))[0]
    assert best_hedging(toy._replace(sparsity=0.0)) == pytest.approx(slope, abs=0.01)


@pytest.mark.parametrize("toy", IMPLIED, ids=str)
def test_absorption_adds_no_error_and_reduces_the_sparsity_loss(toy: Toy) -> None:
    loss = absorption_loss(toy, PLACES)
    assert np.allclose(loss.error, 0)
    assert (np.diff(loss.total) < 0).all()
    assert best_absorption(toy) == 1
    outputs = absorbing_sae(0.5).outputs
    assert np.allclose(outputs[toy.probabilities > 0], INPUTS[toy.probabilities > 0])


@pytest.mark.parametrize("toy", [*IMPLIED, *LOOSE], ids=str)
def test_best_values_minimize_the_loss(toy: Toy) -> None:
    grid = np.linspace(0, 1, 1001)
    assert best_absorption(toy) == pytest.approx(grid[absorption_loss(toy, grid).total.argmin()], abs=0.001)
    grid = 2 * grid - 1
    best = best_hedging(toy)
    assert best == pytest.approx(grid[hedging_loss(toy, grid).total.argmin()], abs=0.002)
    assert np.sign(round(best, 6)) == np.sign(round(toy.correlation, 6))


@pytest.mark.parametrize("toy", [*IMPLIED, *LOOSE], ids=str)
def test_training_converges_to_the_theoretical_optimum(toy: Toy) -> None:
    for seed in (0, 1):
        training = train(toy, seed)
        assert training.absorption.shape[1] == STARTS
        assert training.absorption[-1] == pytest.approx(best_absorption(toy), abs=0.03)
        # The sliders' SAEs do not shrink activations; trained ones may, and only therefore have a lower loss.
        least = absorption_loss(toy, best_absorption(toy)).total
        assert (training.loss[-1] <= least + 1e-4).all()
        for sae, loss in zip(training.ends, training.loss[-1], strict=True):
            assert expected_loss(toy, sae).total == pytest.approx(loss)
    starts = [train(toy, seed).absorption[0] for seed in (0, 1)]
    assert not np.allclose(*starts)


@pytest.mark.parametrize(("absorption", "names"), [(0.0, ["d1, e1", "d2, e2"]), (0.6, ["d1", "e1", "d2", "e2"])])
def test_coinciding_arrows_share_a_label(absorption: float, names: list[str]) -> None:
    (layer,) = (layer for layer in vectors_plot(absorbing_sae(absorption), theme=LIGHT).layers if layer.name == "names")
    assert isinstance(layer, Layer)
    assert list(layer.data["label"]) == names


def test_training_is_reproducible_for_a_seed() -> None:
    first = train(Toy(), 3)
    train.cache_clear()
    assert np.array_equal(train(Toy(), 3).loss, first.loss)


def test_probe_finds_the_parent_where_the_latent_is_silent() -> None:
    for parent, child, alone in product((0.05, 0.5, 0.95), (0.01, 0.3, 0.95), (0.0, 0.1, 0.95)):
        toy = Toy(parent, child, alone)
        probe = fit_probe(toy)
        occurs = toy.probabilities > 0
        assert ((probe.scores > 0) == (INPUTS[:, 0] > 0))[occurs].all()
        of_parent, of_child = probe.cosines(np.eye(2))
        assert of_parent > max(0.95, of_child)
    assert absorbing_sae(1.0).activations[0, 0] == 0


@pytest.mark.parametrize("child", [0.01, 0.05, 0.06, 0.3])
def test_rare_child_is_absorbed_and_frequent_one_splits(child: float) -> None:
    toy = Toy(child=child)
    probes = k_sparse(toy, absorbing_sae(1.0))
    assert [probe.f1 for probe in probes] == pytest.approx([2 * (1 - child) / (2 - child), 1.0])
    assert (num_split(probes, TAU) == 2) == (child > 2 * TAU / (1 + TAU))
    assert num_split(k_sparse(toy, absorbing_sae(0.99)), TAU) == 1


# --- The suite -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", ["sweeps", "architectures"])
def test_first_failing_condition_is_the_reason_of_the_query(suite: str, stores: dict[str, Store]) -> None:
    """The first condition that fails is the reason that the queries give, under moved thresholds too."""
    failing = {
        "split latent fires": "silent",
        "no effect": "lower the answer's logit",
        "effect margin": "clearly more",
        "cosine": "cosine with the probe",
        "projection": "carry enough",
    }
    store, seen = stores[suite], set()
    state = ExplorerState(choices_of(store))
    model = ExplorerModel(store, state, Learn)
    state.apply({"page": "learn", "learn_step": 5})
    for letter, margin, cosine in product("qta", (1.0, 0.2), (0.025, 0.15)):
        state.apply({"concept": concept_id(letter), "effect_margin": margin, "cosine_threshold": cosine})
        if model.verdicts_by_metric is None:
            continue
        thresholds = {"cosine_threshold": state.cosine_threshold, "effect_margin": state.effect_margin}
        for row in records(model.verdicts_by_metric):
            walk = conditions(row, [1], **thresholds)
            failed = next((step for step in walk if step.holds is False), None)
            seen.add(row["reason"])
            if row["metric"] in FRACTIONS:
                assert failed is None
                assert walk[-1].holds is None
            elif row["reason"] == "absorbed":
                assert failed is None, row
            else:
                assert failed is not None, row
                assert failing[row["reason"]] in failed.question, row
    assert {"absorbed", "effect margin", "cosine"} <= seen


@pytest.mark.parametrize("suite", ["sweeps", "architectures"])
def test_every_step_links_a_real_case(suite: str, stores: dict[str, Store]) -> None:
    store = stores[suite]
    state = ExplorerState(choices_of(store), page="learn")
    model = ExplorerModel(store, state, Learn)
    for sae, step in product((state.saes[0], state.saes[-1]), range(1, 6)):
        state.apply({"sae": sae.id, "learn_step": step})
        opening = model.manifest.opening
        metric = decisive_metric(model.verdicts_by_metric, state.metric)
        tokens = tokens_of(model.verdicts_by_metric, metric)
        token = chosen_token(tokens, "")
        case = case_of(
            model.shown,
            summary=model.summary,
            absorbing=model.absorbing_latents,
            counts=model.concepts,
            opening=opening.model_dump() if opening else {},
            metric=metric,
            token=token,
        )
        if case is None:
            assert step == 5
            assert not tokens
            continue
        there = ExplorerState(choices_of(store))
        assert there.from_query(case.address) == [], case
        assert there.page in ("explore", "evidence")
        by_button = ExplorerState(choices_of(store), sae=sae.id)
        assert by_button.apply(case.values) == []
        assert by_button.url_values() == there.url_values()
        led = ExplorerModel(store, there, Pages.options[there.page])
        if there.page == "explore" and there.latent is not None:
            assert led.absorbing_latents is not None
            assert there.latent in led.absorbing_latents["latent"].tolist()
        elif there.page == "explore":
            assert led.summary is not None
        else:
            assert led.suite_evidence is not None
            assert len(led.suite_evidence), (case, tokens)
            assert set(led.suite_evidence["concept"]) == {state.concept}
            assert set(led.suite_evidence["sae"]) == {sae.id}
        if step == 5:
            assert led.suite_evidence is not None
            assert token in led.suite_evidence["token"].tolist()


def test_every_step_is_shown_for_suites_with_other_data(tmp_path: Path) -> None:
    """Suites without k-sparse probes, with several metrics, and without tested tokens."""
    own = tmp_path / "suite"
    import_results(write_results(tmp_path / "own"), own)
    several = write_several_metrics(tmp_path / "several")
    for folder in (own, several):
        with open_store(folder) as store:
            explorer = Explorer(store, page="learn")
            assert explorer.layout
            for concept, step in product(explorer.state.concepts, range(1, 6)):
                assert explorer.state.apply({"concept": concept, "learn_step": step}) == []
                assert explorer.model.error == ""
                assert "A real case" in _html(explorer, "learn-foot")
            if folder == own:
                explorer.state.apply({"concept": "pos.verb", "learn_step": 5, "learn_token": " walk"})
                verdict = _html(explorer, "verdict")
                assert "Latent 4 has the most negative effect" in verdict
                assert "Margin over the next: 0.50 &lt; 1.00." in verdict
                assert "<b>Not absorbed</b>: condition 4 fails" in verdict
                assert "the suite stores no projections of this token" in verdict
                assert "This suite stores no list of latents for this token." in verdict


def _html(explorer: Explorer, name: str) -> str:
    parts = explorer.layout.select(Markup)
    return "".join(part.html for part in parts if isinstance(part, Markup) and part.css_name == name)


def test_address_contains_the_toy(stores: dict[str, Store]) -> None:
    values = {"learn_step": 1, "absorption": 0.6, "toy_parent": 0.2, "toy_child": 0.05, "toy_alone": 0.1, "toy_seed": 7}
    state = ExplorerState(choices_of(stores["sweeps"]), page="learn", **values)
    again = ExplorerState(choices_of(stores["sweeps"]))
    assert again.from_query(state.to_query()) == []
    assert again.url_values() == state.url_values()
    again = ExplorerState(choices_of(stores["sweeps"]))
    refused = again.from_query("?page=learn&learn_step=9&absorption=2&toy_sparsity=nan")
    assert len(refused) == 3
    assert (again.learn_step, again.absorption, again.toy_sparsity) == (1, 0.0, 0.1)


def test_font_of_formulas_is_small_and_licensed() -> None:
    font = (STATIC / "math.woff2").read_bytes()
    assert font[:4] == b"wOF2"
    assert len(font) < 30_000
    assert "SIL Open Font License, Version 1.1" in (STATIC / "math-font-license.txt").read_text("utf-8")
