"""Kin of latents: the stored rows, the queries, and the splitting tree."""

from __future__ import annotations

import itertools
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch
from playwright.sync_api import expect

from explorer.app import Explorer
from explorer.format import count
from explorer.latents.card import LatentCard
from explorer.model import ExplorerModel, choices_of
from explorer.pages import Pages
from explorer.plots.splitting_tree import splitting_tree_plot
from explorer.plots.tree_layout import arrange_tree
from explorer.saes import Sae, by_width
from explorer.snapshot import save_snapshot
from explorer.state import ExplorerState
from explorer.theme import DARK, LIGHT, Theme, tint
from explorer.views.compare_head import parts_of
from explorer.views.splitting_tree import SplittingTree, tree_html
from measure.sparse import Sparse
from measure.stages import kin
from queries import Store, check_suite
from tests.browser import tap, wait_figure, wait_for
from tests.explore import part, wait_query
from tests.questions import DECIDING, FAMILY, shown_text
from tests.related_saes import CONCEPT, SAES, WORDS, draw, kin_of, write_related_saes
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.browser import PageOpener, Server

OF_CONCEPT = {"suite": "related", "concept": CONCEPT, **DECIDING}
OF_TREE = OF_CONCEPT | {"family": FAMILY}
#: Minimum number of latents of an SAE in the tree, if it has as many.
LEAST = 8


@pytest.fixture(scope="module")
def related(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = write_related_saes(tmp_path_factory.mktemp("kin") / "related")
    assert check_suite(folder) == []
    with Store(folder) as store:
        yield store


def words(places: Sequence[int]) -> list[str]:
    return [WORDS[place] for place in places]


# --- The stage -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [1, 7, 10**6])
def test_nearest_latents_do_not_depend_on_the_chunk_size(pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    directions, others = rng.normal(size=(9, 6)).astype(np.float32), rng.normal(size=(40, 6)).astype(np.float32)
    others[3] = 0  # a dead latent may have no direction
    monkeypatch.setattr(kin, "_COSINES", pieces * len(directions))
    latents, cosines = kin.nearest_latents(torch.from_numpy(directions), torch.from_numpy(7 * others))
    lengths = np.maximum(np.linalg.norm(others, axis=1), 1e-9)
    every = directions @ others.T / np.linalg.norm(directions, axis=1)[:, None] / lengths
    assert latents.tolist() == np.argsort(-every, axis=1)[:, :5].tolist()
    np.testing.assert_allclose(cosines, -np.sort(-every, axis=1)[:, :5], atol=1e-6)
    few, _ = kin.nearest_latents(torch.from_numpy(directions), torch.from_numpy(others[:2]))
    assert few.shape == (9, 2)


def test_overlap_is_the_jaccard_index_of_the_words() -> None:
    def overlap(words: list[int], others: list[int]) -> tuple[float | None, int, list[int]]:
        strengths = np.array(others) % 4 + 1.0
        share, number, strongest = kin.overlap_of(np.array(words), np.array(others), strengths)
        return share, number, strongest.tolist()

    assert overlap([1, 2, 3], [2, 3, 4, 5]) == (0.4, 2, [3, 2])
    assert overlap([], [2]) == (0.0, 0, [])
    assert overlap([], []) == (None, 0, [])
    assert overlap([*range(20)], [*range(20)]) == (1.0, 20, [3, 7, 11, 15, 19])


class Drawn(kin._Layer):
    """Two SAEs of each width with random directions, whose only latents with a role are the main ones."""

    widths = (12, 12, 30, 30, 70, 70, 150, 150, 400, 400)
    letters = range(3)

    def __init__(self, *_: Any) -> None:
        rng = np.random.default_rng(5)
        self.directions = [torch.from_numpy(rng.normal(size=(number, 8)).astype(np.float32)) for number in self.widths]
        self._folders = [{} for _ in self.widths]
        self._ids = np.arange(4)

    def _opened(self, place: int) -> tuple[torch.Tensor, Sparse]:
        nothing = np.zeros(0)
        return self.directions[place], Sparse(np.zeros(5, int), nothing.astype(np.int32), nothing, self.widths[place])

    def _width(self, place: int) -> int:
        return self.widths[place]

    def latents_with_kin(self) -> dict[int, np.ndarray]:
        return {place: np.array(sorted(self.main_latents(place).values())) for place in range(len(self.widths))}

    def main_latents(self, place: int) -> dict[tuple[int, int], int]:
        return {(0, letter): letter + 2 + place for letter in self.letters}


def test_stored_kin_suffice_for_trees_of_five_widths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tree from stored kin equals that from all kin, for all choices of one SAE per width."""
    layer = Drawn()
    monkeypatch.setattr(kin, "_Layer", Drawn)
    monkeypatch.setattr(kin, "load_vocabulary", lambda _: SimpleNamespace(ids=None))
    kin.run({"saes": len(Drawn.widths)}, {"vocabulary": tmp_path}, tmp_path, lambda _: None)
    stored = [pd.read_parquet(tmp_path / f"{place}.parquet") for place in range(len(Drawn.widths))]
    for rows in stored:
        assert not rows.duplicated(["latent", "other", "rank"]).any()

    def from_stored(place: int, other: int, latent: int) -> list[tuple[int, float]]:
        rows = stored[place]
        rows = rows[(rows["other"] == other) & (rows["latent"] == latent) & (rows["cosine"] > 0)]
        return list(zip(rows["other_latent"], rows["cosine"], strict=True))

    def from_all(place: int, other: int, latent: int) -> list[tuple[int, float]]:
        one, two = (layer.directions[each].numpy() for each in (place, other))
        cosines = two @ one[latent] / np.linalg.norm(two, axis=1) / np.linalg.norm(one[latent])
        return [(int(near), float(cosines[near])) for near in np.argsort(-cosines)[:5] if cosines[near] > 0]

    def tree(
        near: Callable[[int, int, int], list[tuple[int, float]]], places: Sequence[int], main: int
    ) -> list[set[int]]:
        level, levels = {main: 1.0}, []
        for place, other in itertools.pairwise(places):
            best: dict[int, float] = {}
            for latent, strength in level.items():
                for found, cosine in near(place, other, latent):
                    best[found] = max(best.get(found, 0.0), strength * cosine)
            level = {latent: best[latent] for latent in sorted(best, key=lambda each: -best[each])[:LEAST]}
            levels.append({*level})
        return levels

    for places in ((0, 2, 4, 6, 8), (1, 3, 5, 7, 9), (0, 3, 4, 7, 9)):
        for main in layer.main_latents(places[0]).values():
            expected = tree(from_all, places, main)
            assert [*map(len, expected)] == [5, 8, 8, 8]
            assert tree(from_stored, places, main) == expected


# --- Queries -------------------------------------------------------------------------------------------------------


def test_kin_of_a_latent_have_roles_for_the_concept(related: Store) -> None:
    rows = pd.DataFrame(kin_of(draw()))
    for latent in (3, 1, 7):  # split, silent, absorbing
        found = related.fetch("latent_kin", sae="w16", latent=latent, **OF_CONCEPT)
        expected = rows[(rows["sae"] == "w16") & (rows["latent"] == latent)]
        assert found["other_sae"].tolist() == [name for name in SAES for _ in range(5) if name != "w16"]
        for name in ("other_latent", "rank", "num_shared_words"):
            assert found[name].tolist() == expected[name].tolist()
        for name in ("cosine", "overlap"):
            np.testing.assert_allclose(found[name].astype(float), expected[name].astype(float), atol=1e-6)
        assert [*map(list, found["shared_words"])] == [*map(words, expected["shared_words"])]
        for row in found.itertuples():
            _, split, absorbing = SAES[row.other_sae]
            assert row.split_rank == (split.index(row.other_latent) + 1 if row.other_latent in split else 0)
            assert row.num_absorbed == int(row.other_latent in absorbing)


def tree_of(rows: pd.DataFrame, saes: Sequence[str]) -> dict[tuple[str, int], tuple[int | None, float | None]]:
    """Build the splitting tree by loops: parent and product of cosines of each latent."""
    level: dict[int, float] = {SAES[saes[0]][1][0]: 1.0}
    tree: dict[tuple[str, int], tuple[int | None, float | None]] = {(saes[0], next(iter(level))): (None, 1.0)}
    for former, sae in itertools.pairwise(saes):
        best: dict[int, tuple[float, int]] = {}
        near = rows[(rows["sae"] == former) & (rows["other_sae"] == sae) & (rows["cosine"] > 0)]
        for row in near[near["latent"].isin(level)].itertuples():
            strength = level[row.latent] * row.cosine
            if row.other_latent not in best or strength > best[row.other_latent][0]:
                best[row.other_latent] = (strength, row.latent)
        ordered = sorted(best, key=lambda latent: -best[latent][0])
        _, split, absorbing = SAES[sae]
        kept = [latent for place, latent in enumerate(ordered) if place < LEAST or latent in (*split, *absorbing)]
        level = {latent: best[latent][0] for latent in kept}
        tree |= {(sae, latent): (best[latent][1], best[latent][0]) for latent in kept}
        tree |= {(sae, latent): (None, None) for latent in split if latent not in kept and level}
    return tree


def test_tree_without_known_absorbing_latents_does_not_claim_none(related: Store) -> None:
    model = Explorer(related, concept=CONCEPT, page="compare", compare_by="splitting").model
    for metric, expected in (("ig_ablation", "of its 2 absorbing latents"), ("fraction", "absorb is unknown")):
        found = related.fetch("splitting_tree", tree_saes=[*SAES], **OF_TREE | {"metric": metric})
        html = tree_html(model, arrange_tree(found, model.state.saes), opens=False)
        assert expected in html
        assert "no absorbing latent" not in html


@pytest.mark.parametrize("saes", [["w16", "w64", "w200"], ["w16", "w200"], ["w200", "w64"], ["w64"]])
def test_splitting_tree_follows_from_the_kin(related: Store, saes: list[str]) -> None:
    found = related.fetch("splitting_tree", tree_saes=saes, **OF_TREE)
    rows = pd.DataFrame(kin_of(draw()))
    expected = tree_of(rows, saes)
    assert {*zip(found["sae"], found["latent"], strict=True)} == {*expected}
    stored = rows.set_index(["sae", "latent", "other_sae", "other_latent"])
    for row in found.itertuples():
        parent, strength = expected[row.sae, row.latent]
        assert row.level == saes.index(row.sae) + 1
        assert (None if pd.isna(row.parent) else row.parent) == parent
        assert (None if pd.isna(row.strength) else row.strength) == pytest.approx(strength, abs=1e-6)
        _, split, absorbing = SAES[row.sae]
        assert row.split_rank == (split.index(row.latent) + 1 if row.latent in split else 0)
        assert (row.num_absorbed, row.num_absorbing) == (int(row.latent in absorbing), len(absorbing))
        assert row.num_words == (draw()[row.sae].activations[:, row.latent] > 0).sum()
        assert row.has_kin
        if parent is not None:
            near: Any = stored.loc[(saes[row.level - 2], parent, row.sae, row.latent)]
            assert row.cosine == pytest.approx(near["cosine"], abs=1e-6)
            assert row.num_shared_words == near["num_shared_words"]
            assert list(row.shared_words) == words(near["shared_words"])


def test_tree_ends_where_no_kin_are_stored(tmp_path: Path) -> None:
    some = [row for row in kin_of(draw()) if row["other_sae"] != "w200"]
    with Store(write_related_saes(tmp_path / "related", kin=some)) as store:
        found = store.fetch("splitting_tree", tree_saes=[*SAES], **OF_TREE)
        wide = found[found["sae"] == "w200"]
        # Its split latent is listed alone, and not shown as one without further splitting.
        assert wide["latent"].tolist() == [150]
        assert wide["parent"].isna().all()
        assert wide["has_kin"].tolist() == [False]
        assert found.loc[found["sae"] == "w64", "has_kin"].all()
    with Store(write_related_saes(tmp_path / "none", kin=[])) as store:
        found = store.fetch("splitting_tree", tree_saes=[*SAES], **OF_TREE)
        assert found["parent"].isna().all()
        assert not found.loc[found["level"] > 1, "has_kin"].any()
        assert store.fetch("latent_kin", sae="w16", latent=3, **OF_CONCEPT).empty


# --- The tree and its plot -----------------------------------------------------------------------------------------


def shown(store: Store, *views: Any, **values: Any) -> ExplorerModel:
    return ExplorerModel(store, ExplorerState(choices_of(store), **values), *views)


def parts(view: SplittingTree) -> tuple[Any, Any, Any]:
    """Return heading, plot and table."""
    layout: Any = view.__panel__()
    head, plot, table = layout
    return head, plot, table


def test_latents_are_placed_beside_their_parent(related: Store) -> None:
    model = shown(related, SplittingTree, sae="w16")
    tree = arrange_tree(model.splitting_tree, model.state.saes)
    nodes = tree.nodes
    assert len(nodes) == len(model.splitting_tree if model.splitting_tree is not None else ())
    for _, column in nodes.groupby("level"):
        assert np.diff(np.sort(column["y"])).min(initial=1) >= 1, "no two latents stand on one row"
        assert column["x"].min() == column["x"].max()
    assert nodes["x"].unique().tolist() == [0, 0.5, 1]
    assert nodes["y"].min() == 1 - tree.rows
    assert tree.height > 36 * tree.rows
    at = nodes.set_index(["level", "latent"])["y"]
    for (level, parent), near in nodes.dropna(subset=["parent"]).groupby(["level", "parent"]):
        assert near["y"].min() <= at[level - 1, parent] <= near["y"].max()
        assert near.sort_values("y", ascending=False)["strength"].is_monotonic_decreasing, "the nearest kin first"
    assert len(tree.edges) == nodes["parent"].notna().sum()
    for node in nodes.itertuples():
        assert tree.tapped(node.x, node.y + 0.2) == (node.sae, node.latent)
    # Labels beside the last column refer to its latents.
    last = nodes[nodes["x"] == 1].iloc[0]
    assert tree.tapped(1.4, last["y"]) == (last["sae"], last["latent"])
    assert tree.tapped(0, 3) is None


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_edges_widen_with_the_cosine_and_roles_have_marks(related: Store, theme: Theme) -> None:
    model = shown(related, SplittingTree, sae="w64", latent=11)
    tree = arrange_tree(model.splitting_tree, model.state.saes)
    plot = splitting_tree_plot(tree, selected=("w64", 11), chosen="w64", theme=theme)
    layers: dict[str, Any] = {layer.name: layer.data for layer in plot.layers}  # type: ignore[union-attr]
    assert {role: len(layers[role]) for role in ("split", "absorbing", "neither")} == (
        tree.nodes["role"].value_counts().to_dict()
    )
    edges = layers["edges"].drop_duplicates(["cosine", "colour"])
    assert edges["cosine"].is_monotonic_increasing, "strong ones on top"
    np.testing.assert_allclose(edges["width"], (12 * edges["cosine"]).clip(lower=1))
    colours = {"split": theme.split, "absorbing": theme.absorbing, "neither": theme.muted}
    assert {*edges["colour"]} == {tint(colours[role], theme, 0.5) for role in edges["role"]}
    assert layers["selected"][["sae", "latent"]].to_numpy().tolist() == [["w64", 11]]
    assert (layers["chosen title"]["label"].tolist(), layers["titles"]["label"].tolist()) == (["64"], ["16", "200"])
    numbers = [label.partition(" ")[0] for label in (*layers["latents"]["label"], *layers["last latents"]["label"])]
    assert sorted(numbers, key=int) == [*map(str, sorted(tree.nodes["latent"]))]


def test_page_lists_and_links_the_kin(related: Store) -> None:
    model = shown(related, Pages, page="compare", compare_by="splitting", sae="w200")
    view = SplittingTree(model)
    head, plot, table = parts(view)
    words, rows = shown_text(head.html), model.splitting_tree
    assert rows is not None
    assert "Main latent 3 of S on layer 2, 16 latents, L0 5, and its kin" in words
    for sae, (_, split, absorbing) in list(SAES.items())[1:]:
        kin = rows[(rows["sae"] == sae) & rows["parent"].notna()]["latent"]
        numbers = [int(kin.isin(some).sum()) for some in (split, absorbing)]
        counts = f"{len(kin)} kin: {numbers[0]} of its {count(len(split), 'split latent')} {numbers[1]} of its"
        counts += f" {count(len(absorbing), 'absorbing latent')} {len(kin) - sum(numbers)} neither"
        assert f"L0 5 {counts}" in words
    table._handle_msg({"action": "unfold", "value": None})
    listed = re.findall(r"<tr>(<td>.*?)</tr>", table.html)
    assert len(listed) == len(rows)
    assert listed[0].startswith("<td>layer 2, 16 latents, L0 5</td><td>3</td><td>main latent</td><td>–</td>")
    assert plot.visible
    node = arrange_tree(rows, model.state.saes).nodes.iloc[4]
    view._tap(node["x"], node["y"])
    assert (model.state.page, model.state.sae, model.state.latent) == ("explore", node["sae"], node["latent"])
    assert model.state.concept == CONCEPT


def test_missing_tree_is_explained(tmp_path: Path) -> None:
    def message(store: Store, **values: Any) -> str:
        head, plot, _ = parts(SplittingTree(shown(store, SplittingTree, **values)))
        assert not plot.visible
        return shown_text(head.html)

    bare = write_tiny_suite(tmp_path / "bare", name="bare", without=("kin",), saes=[(0, 1000, 10), (0, 4000, 10)])
    narrow = write_tiny_suite(tmp_path / "narrow", name="narrow", saes=[(0, 1000, 10), (0, 1000, 40)])
    some = [row for row in kin_of(draw()) if row["other_sae"] != "w64"]
    cut = write_related_saes(tmp_path / "related", kin=some)
    with Store(bare, narrow) as store:
        assert "Kin of latents were not measured in this suite" in message(store, suite="bare")
        assert "The SAEs of this layer have no more than one known width" in message(store, suite="narrow")
        model = shown(store, Pages, page="compare", suite="bare")
        assert "splitting" not in parts_of(model.shown)
        model.state.apply({"suite": "narrow"})
        assert "splitting" in parts_of(model.shown)
        # Without kin, a card does not mention them.
        model.state.apply({"suite": "bare", "page": "explore", "latent": 5})
        assert "Kin on" not in LatentCard(model)._card.html
        with pytest.raises(ValueError, match="needs a suite that stores kin"):
            Explorer(store, suite="bare", latent=5).to_dataframe("latent_kin")
    with Store(cut) as store:
        assert "No kin of latent 3, the main latent of S on layer 2, 16 latents, L0 5, are stored for" in message(store)
    half = [row for row in kin_of(draw()) if row["sae"] == "w16"]
    (tmp_path / "half").mkdir()
    with Store(write_related_saes(tmp_path / "half" / "related", kin=half)) as store:
        head, plot, _ = parts(SplittingTree(shown(store, SplittingTree)))
        assert plot.visible
        unknown = "200 latents, L0 5 No latent of the tree on layer 2, 64 latents, L0 5 has kin here."
        assert unknown in shown_text(head.html)


def test_tree_uses_the_most_similar_sae_of_each_width() -> None:
    def sae(name: str, **attributes: Any) -> Sae:
        values: dict[str, Any] = {"layer": 2, "hook": "resid_post", "architecture": "TopK", "l0": 10.0}
        return Sae(name, **values | attributes)

    own = sae("own", width=4096)
    saes = [
        *(sae("wide near", width=65536, l0=12.0), sae("wide far", width=65536, l0=90.0)),
        *(sae("other layer", width=256, layer=3), sae("other hook", width=512, hook="mlp_out")),
        *(sae("another architecture", width=1024, architecture="Gated"), sae("no width", width=None)),
        *(own, sae("own again", width=4096, seed=1), sae("own far", width=4096, l0=11.0)),
    ]
    assert [one.id for one in by_width(saes, own)] == ["another architecture", "own", "wide near"]
    assert by_width(saes, saes[5]) == []


def test_card_lists_and_links_the_kin(related: Store) -> None:
    model = shown(related, Pages, page="explore", sae="w16", latent=3)
    card = LatentCard(model)._card
    rows = model.latent_kin
    assert rows is not None

    names = [f"{row.other_latent} {row.other_sae}" for row in rows.itertuples()]

    def listed() -> list[str]:
        return re.findall(r'data-action="kin" data-value="(.*?)"', card.html)

    assert listed() == [names[0], names[5]], "the nearest on each SAE"
    assert "Show 8 more" in card.html
    first = re.findall(r"<td.*?</td>", card.html[card.html.index(names[0]) - 300 :])
    assert any(f"{rows['cosine'].iloc[0]:.3f}" in cell for cell in first)
    card._handle_msg({"action": "more-kin", "value": None})
    assert listed() == names
    card._handle_msg({"action": "kin", "value": names[7]})
    where = (model.state.sae, model.state.latent, model.state.concept, model.state.page)
    assert where == (rows["other_sae"].iloc[7], rows["other_latent"].iloc[7], CONCEPT, "explore")
    # The second of two clicks: the card of the former latent is still displayed.
    card._handle_msg({"action": "kin", "value": names[7]})
    card._handle_msg({"action": "kin", "value": f"{10**6} w64"})
    assert (model.state.sae, model.state.latent, model.state.concept, model.state.page) == where


@pytest.mark.browser
def test_tree_is_a_figure_and_part_of_snapshots(related: Store, chromium: Browser, tmp_path: Path) -> None:
    explorer = Explorer(related, sae="w64")
    explorer.save_figure("splitting-tree", tmp_path / "tree.svg", size=(6, 5), font="serif")
    drawn = (tmp_path / "tree.svg").read_text("utf-8")
    rows = related.fetch("splitting_tree", tree_saes=[*SAES], **OF_TREE)
    texts = re.findall(r"<text [^>]*>([^<]*)</text>", drawn)
    assert all(any(each.split(" ")[0] == str(latent) for each in texts) for latent in rows["latent"])
    assert 'font-family="serif"' in drawn
    page = chromium.new_page(viewport={"width": 1000, "height": 900})
    page.goto(save_snapshot(related, tmp_path / "tree.html", sae="w64").as_uri())
    expect(page.locator("#splitting-tree-head")).to_contain_text("Main latent 3 of S on layer 2, 16 latents, L0 5")
    figure = page.locator("#splitting-tree-plot .bk-Figure")
    expect(figure).to_be_visible()
    tree = arrange_tree(rows, explorer.state.saes)
    assert figure.evaluate("(figure) => figure.clientHeight") == pytest.approx(tree.height, abs=1)
    placed = "() => Bokeh.documents.flatMap((one) => one.roots()).find(({ name }) => name === 'splitting-tree')"
    targets = page.evaluate(f"{placed}.renderers.find(({{ name }}) => name === 'targets').data_source.data.latent")
    assert [*targets] == tree.nodes["latent"].tolist()
    # Labels beside the last column are not clipped.
    left, right = page.evaluate(f"() => {{ const {{ x_range }} = ({placed})(); return [x_range.start, x_range.end] }}")
    assert -left == pytest.approx(40 / (1000 - 64 - 196), abs=0.02)
    assert right - 1 == pytest.approx(156 / (1000 - 64 - 196), abs=0.05)
    page.close()


# --- In the browser ------------------------------------------------------------------------------------------------


@pytest.mark.browser
def test_tap_on_the_tree_opens_the_latent_and_its_kin(
    open_page: PageOpener, serve: Callable[..., Server], related: Store
) -> None:
    server = serve(related.suites["related"].root)
    page = open_page(f"{server.url}/dashboard?page=compare&compare_by=splitting&sae=w16")
    wait_figure(page, "splitting-tree")
    rows = related.fetch("splitting_tree", tree_saes=[*SAES], **OF_TREE)
    node = arrange_tree(rows, choices_of(related)["related"].saes).nodes.iloc[2]
    tap(page, "splitting-tree", float(node["x"]), float(node["y"]))
    wait_query(page, {"page": "explore", "sae": node["sae"], "latent": str(node["latent"])})
    card = part(page, "card")
    expect(card.locator("h2 .term").first).to_have_text(f"Latent {node['latent']}")
    kin = related.fetch("latent_kin", sae=node["sae"], latent=int(node["latent"]), **OF_CONCEPT).iloc[0]
    card.locator("[data-action=kin]").first.click()
    wait_query(page, {"sae": kin["other_sae"], "latent": str(kin["other_latent"])})
    # On a phone the table is a list of cards, and nothing is wider than the page.
    page.set_viewport_size({"width": 390, "height": 844})
    wait_for(page, "() => document.documentElement.scrollWidth === 390")
    expect(card.locator(".kin thead")).to_be_hidden()
    expect(card.locator(".kin .words").first).to_be_visible()
