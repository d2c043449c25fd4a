"""Soft absorption: the shares of a concept carried by latents on each true positive, as numbers, plots and page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import expect
from typer.testing import CliRunner

from explorer.app import Explorer
from explorer.cli import app
from explorer.embed import EMBEDS
from explorer.figures import FigureError
from explorer.format import metric_label, percent
from explorer.model import ExplorerModel, choices_of
from explorer.plots.layers import Layer
from explorer.plots.shares import PARTS, concept_shares_plot, token_shares_plot
from explorer.snapshot import save_snapshot
from explorer.state import ExplorerState
from explorer.theme import LIGHT
from explorer.views.shares import SharesView
from queries import Store
from tests.browser import wait_figure
from tests.explore import part, wait_ready
from tests.questions import shown_text
from tests.several_metrics import CONCEPT, SAE, evidence, taken_apart, write_several_metrics
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

    from explorer.plots.layers import Plot
    from tests.browser import PageOpener, Server

SHARES = [*PARTS]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_several_metrics(tmp_path_factory.mktemp("shares") / "several")


@pytest.fixture(scope="module")
def store(suite: Path) -> Iterator[Store]:
    with Store(suite) as opened:
        yield opened


def shares_of(tokens: pd.DataFrame) -> pd.DataFrame:
    """Compute each token's shares of the projection with NumPy; NaN if the projection is not positive."""
    main, absorbing, total = (tokens[f"{name}_projection"].to_numpy() for name in ("main", "absorbing", "total"))
    total = np.where(total > 0, total, np.nan)
    parts = np.array([main, absorbing, total - main - absorbing]) / total
    return pd.DataFrame(dict(zip(SHARES, parts, strict=True)), index=tokens["token"])


@pytest.mark.parametrize(("tau", "split"), [(0.03, None), (0.05, {1, 2}), (0.2, {1})])
def test_shares_match_numpy_for_each_true_positive(store: Store, tau: float, split: set[int] | None) -> None:
    tokens = evidence() if split is None else taken_apart(evidence(), split)
    expected = shares_of(tokens)
    rows = store.fetch("token_shares", suite="several", sae=SAE, concept=CONCEPT, tau=tau).set_index("token")
    np.testing.assert_allclose(rows[SHARES], expected.loc[rows.index], atol=1e-3, rtol=1e-4)
    assert len(rows) == len(tokens)
    known = rows["main_share"].dropna()
    assert known.is_monotonic_decreasing
    assert rows["main_share"].notna().tolist() == [True] * len(known) + [False] * (len(rows) - len(known))
    asked: dict[str, Any] = {"suite": "several", "sae": SAE, "compared_concepts": [CONCEPT], "tau": tau}
    (mean,) = store.fetch("concept_shares", **asked).to_dict("records")
    np.testing.assert_allclose([mean[name] for name in SHARES], expected.mean(), rtol=1e-4)
    assert (mean["num_tokens"], mean["num_shared"], mean["num_unknown"]) == (len(tokens), len(known), 0)


def data_of(plot: Plot) -> dict[str, pd.DataFrame]:
    return {layer.name: pd.DataFrame(layer.source()) for layer in plot.layers if isinstance(layer, Layer)}


def test_bars_are_as_high_as_their_shares_and_do_not_overlap(store: Store) -> None:
    rows = store.fetch("token_shares", suite="several", sae=SAE, concept=CONCEPT, tau=0.03)
    known = rows.dropna(subset="main_share")
    assert (known[SHARES] < 0).any().all() or (known["other_share"] < 0).any(), "the case has nothing below 0"
    layers = data_of(token_shares_plot(rows, theme=LIGHT))
    for name, title in PARTS.items():
        drawn = layers[title]
        np.testing.assert_allclose(drawn["top"] - drawn["bottom"], known[name].abs(), atol=1e-9)
        assert ((drawn["bottom"] >= -1e-9) == (known[name].to_numpy() >= 0)).all()
        assert drawn["left"].tolist() == [*range(len(known))]
    stacks = layers["targets"]
    whole = sum((layers[title]["top"] - layers[title]["bottom"] for title in PARTS.values()), start=0)
    np.testing.assert_allclose(stacks["top"] - stacks["bottom"], whole, atol=1e-9)
    np.testing.assert_allclose(stacks["top"] + stacks["bottom"], 1, atol=1e-9)
    assert stacks["token"].tolist() == known["token"].tolist()
    of_concepts = pd.DataFrame(
        {
            "concept": ["f.a", "f.b", "f.c"],
            "label": ["A", "B", "C"],
            **dict(zip(SHARES, ([0.5, np.nan, 1.25], [0.25, np.nan, 0.25], [0.25, np.nan, -0.5]), strict=True)),
        }
    )
    plot = concept_shares_plot(of_concepts, chosen="f.c", theme=LIGHT)
    drawn = data_of(plot)
    assert drawn["neither"][["bottom", "top"]].to_numpy().tolist() == [[0.75, 1.0], [-0.5, 0.0]]
    assert drawn["chosen"][["bottom", "top"]].to_numpy().tolist() == [[-0.5, 1.5]]
    assert plot.y == pytest.approx((-0.525, 1.575))
    for empty in (token_shares_plot(None, theme=LIGHT), concept_shares_plot(None, chosen=None, theme=LIGHT)):
        assert all(frame.empty for frame in data_of(empty).values())


def test_view_shows_the_means_and_is_hidden_without_projections(store: Store, tmp_path: Path) -> None:
    view = SharesView(ExplorerModel(store, ExplorerState(choices_of(store)), SharesView))
    layout: Any = view.__panel__()
    head, tokens, table, concepts, _ = layout
    expected = shares_of(evidence())
    means = ", ".join(f"{title} {percent(expected[name].mean())}" for name, title in PARTS.items())
    apart = int(expected["main_share"].isna().sum())
    sentence = f"Mean over {len(expected) - apart} S tokens that the probe finds: {means}."
    assert f"{sentence} Omitted: {apart} without a positive projection." in shown_text(head.html)
    assert (tokens.visible, concepts.visible) == (True, True)
    table._handle_msg({"action": "unfold", "value": None})
    assert len(re.findall(r"<tr><td>", table.html)) == len(expected)
    # A link with another tau refers to other split latents.
    view._model.state.apply({"tau": 0.2})
    moved = shares_of(taken_apart(evidence(), {1}))["main_share"].mean()
    assert f"split latents {percent(moved)}" in shown_text(head.html)
    with Store(write_tiny_suite(tmp_path / "bare", without=("tested_tokens",))) as bare:
        absent = SharesView(ExplorerModel(bare, ExplorerState(choices_of(bare)), SharesView))
        assert not absent._layout.visible
        alone: Any = EMBEDS["token-shares"].make(absent._model)
        assert alone._layout.visible
        assert "Shares unknown This suite stores no projections" in shown_text(alone._layout[0].html)
        with pytest.raises(FigureError, match="the figure 'token-shares' is empty here"):
            Explorer(bare).save_figure("token-shares", tmp_path / "figure.svg")


def test_shares_at_another_tau_need_all_projections(tmp_path: Path) -> None:
    with Store(write_tiny_suite(tmp_path / "tiny")) as tiny:
        view = SharesView(ExplorerModel(tiny, ExplorerState(choices_of(tiny), letter="s"), SharesView))
        layout: Any = view.__panel__()
        head, tokens, _, concepts, _ = layout
        assert (tokens.visible, concepts.visible) == (True, True)
        measured = view._model.summary or {}
        missing = measured["num_probe_true_positives"] - measured["num_tested"]
        assert f"Not stored: {missing} more." in shown_text(head.html)
        view._model.state.apply({"tau": 0.2})
        assert layout.visible
        assert (tokens.visible, concepts.visible) == (False, False)
        assert "Unknown at this tau The suite stores the shares of S for its own tau only, 0.03." in shown_text(
            head.html
        )


def text_of_means() -> str:
    expected = shares_of(evidence()).mean()
    return ", ".join(f"{name} {percent(expected[share])}" for share, name in PARTS.items())


@pytest.mark.browser
def test_page_shows_shares_and_verdicts_of_every_metric(
    suite: Path, serve: Callable[..., Server], open_page: PageOpener
) -> None:
    server = serve(suite)
    page = open_page(f"{server.url}/dashboard?page=evidence&metric=fraction-0.3&evidence_verdict=disagree")
    wait_ready(page)
    expect(part(page, "section").filter(has_text="Who carries S")).to_contain_text(text_of_means())
    for name in ("token-shares", "concept-shares"):
        wait_figure(page, name)
    table = part(page, "evidence").filter(has_text="Tested tokens of the suite")
    table.locator("[data-key=token-0]").click()
    rows = table.locator(".by-metric tbody tr")
    expect(rows).to_have_count(4)
    expect(rows.nth(3)).to_contain_text("fraction before 0.4.1")


def test_commands_accept_a_metric(suite: Path, tmp_path: Path) -> None:
    for command in (["figure", "threshold-sensitivity"], ["snapshot"]):
        asked = [*command, str(suite), "-o", str(tmp_path / "file.svg"), "--metric", "fraction-0.2"]
        result = CliRunner().invoke(app, asked)
        assert result.exit_code == 2
        assert (
            "metric = 'fraction-0.2' does not exist here (there is ig_ablation, fraction, fraction-0.3" in result.stderr
        )
    done = CliRunner().invoke(
        app, ["snapshot", str(suite), "-o", str(tmp_path / "file.html"), "--metric", "fraction-0.3"]
    )
    assert done.exit_code == 0
    assert "Metric: fraction before 0.4.1." in (tmp_path / "file.html").read_text("utf-8")


@pytest.mark.browser
@pytest.mark.parametrize("metric", ["full", "fraction-0.3"])
def test_snapshot_shows_the_shares(store: Store, chromium: Browser, tmp_path: Path, metric: str) -> None:
    file = save_snapshot(store, tmp_path / "snapshot.html", metric=metric)
    page = chromium.new_page()
    page.goto(file.as_uri())
    expect(page.locator("#token-shares-head")).to_contain_text(text_of_means())
    expect(page.locator("#failed")).to_be_hidden()
    for name in ("token-shares", "concept-shares"):
        expect(page.locator(f"#{name}-plot .bk-Figure")).to_be_visible()
    expect(page.locator("#splitting-tree-part")).to_be_hidden()
    page.locator("#evidence [data-action=open]").first.click()
    expect(page.locator("#evidence .by-metric tbody tr")).to_have_count(4)
    expect(page.locator("footer")).to_contain_text(f"Metric: {metric_label(metric)}.")
    page.close()
