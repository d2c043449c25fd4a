"""The contents of a site's files: numbers of the store, no markup from a suite, no external resources."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer import open_store
from explorer.format import count, number, percent, visible
from explorer.publish import NOT_HERE, publish_site
from explorer.text.tour_files import ANCHORS
from explorer.views.markup import STATIC
from tests.hostile_suite import EVIL, Reader, write_hostile_suite
from tests.questions import DECIDING, FAMILY, ask, question_values
from tests.sites import Site, Texts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from queries import Store


def each_sae(store: Store) -> Iterator[dict[str, Any]]:
    """Yield, for each suite and SAE, a value for every parameter of every question."""
    for suite, sae in store.fetch("saes")[["suite", "sae"]].itertuples(index=False):
        yield question_values(store, suite=suite, sae=sae) | {"mean_policy": "with_candidates"}


def test_numbers_of_every_sae_and_concept_equal_the_stores(site_store: Store, site: Site) -> None:
    seen = 0
    for values in each_sae(site_store):
        suite, sae = values["suite"], values["sae"]
        cells = ask(site_store, "concept_counts", values).set_index("concept")
        counts = re.findall(r'class="count"[^>]*>([^<]*)<', site.part(suite, FAMILY, sae, "sae")["strip"])
        known = [number(value, 0).replace("–", "?") for value in cells["num_absorbing_latents"].astype(float)]
        assert counts == [value if measured else "–" for value, measured in zip(known, cells["measured"], strict=True)]
        for concept in cells.index:
            held = site.concept(suite, sae, concept)
            _expect_concept(
                site_store, values | {"concept": concept, "facet_concept": concept, "facet_saes": [sae]}, held
            )
            cosines = ask(site_store, "cosines", values | {"concept": concept})
            if len(cosines):
                kept = site.cosines(suite, sae, concept)[cosines["latent"]]
                assert np.abs(kept - cosines["cosine"].to_numpy(float)).max() <= 0.5e-4 + 1e-9
            seen += len(held["opened"])
    assert seen > 200


def _expect_concept(store: Store, values: dict[str, Any], held: dict[str, Any]) -> None:
    """Compare a concept's part with the query results."""
    split, absorbing, summary = (ask(store, name, values) for name in ("split_latents", "absorbing_latents", "summary"))
    assert (held["split"], held["absorbing"]) == (split["latent"].tolist(), absorbing["latent"].tolist())
    rows = [row for row in Texts(held["lists"]).rows if row]
    assert [row[:2] for row in rows] == [
        [str(row.latent), f"cos {number(row.cosine)}"] for frame in (split, absorbing) for row in frame.itertuples()
    ]
    if len(summary):
        of = summary.iloc[0]
        figures = Texts(held["figures"]).text
        for value in (number(of["main_f1"]), percent(of["absorption_rate"]), number(of["num_split_latents"], 0)):
            assert value in figures
    tested = ask(store, "evidence", values | {"evidence_page": None})
    table = re.findall(r"<tr data-token.*?</tr>", held["evidence"], re.DOTALL)
    assert len(table) == len(tested) == len(held["opened"])
    for row, html in zip(tested.itertuples(), table, strict=True):
        cells = re.findall(r'<td class="of-(\w+)"[^>]*>(.*?)</td>', html, re.DOTALL)
        texts = {name: Texts(cell).text.strip() for name, cell in cells}
        assert texts["token"] == visible(row.token)
        assert texts["top_latent"] == str(row.top_latent)
        assert (texts["top_effect"], texts["top_cosine"]) == (number(row.top_effect, 2), number(row.top_cosine))
        assert texts["reason"].startswith("absorbed") == bool(row.absorbed)


def test_atlas_and_search_have_the_numbers_of_the_store(site_store: Store, site: Site) -> None:
    for suite in site_store.suites:
        values = {"family": FAMILY, "scope": "suite", "suite": suite, **DECIDING}
        for policy in ("with_candidates", "all_concepts"):
            held = site.part(suite, FAMILY, f"atlas-{policy}")
            means = ask(site_store, "sae_means", values | {"mean_policy": policy})
            assert held["saes"] == means["sae"].tolist()
            _, *table = Texts(held["table"]).rows
            assert len(table) == len(means)
            for row, cells in zip(means.itertuples(), table, strict=True):
                assert {percent(row.absorption_rate), number(row.num_split_latents, 2)} <= set(cells)
            rates = ask(site_store, "concept_rates", values)
            for cell in ("absorption_rate", "num_split_latents", "f1_gap"):
                drawn = held["cells"][cell]["plot"]["columns"]["cells"]
                known = rates[rates["sae"].isin(drawn["sae"])]
                assert list(zip(drawn["sae"], drawn["concept"], strict=True)) == list(
                    zip(known["sae"], known["concept"], strict=True)
                )
                written = [re.match(r"[\d.]+|unknown", text)[0] for text in drawn["shown"]]  # type: ignore[index]
                digits = {"absorption_rate": lambda x: f"{100 * x:.1f}", "num_split_latents": lambda x: f"{x:.0f}"}
                write = digits.get(cell, lambda x: f"{x:.3f}")
                values_there = known[cell].astype(float)
                assert written == ["unknown" if np.isnan(x) else write(x).lstrip("-") for x in values_there]
        words = site.part(suite, "search")["tokens"]
        tested = ask(site_store, "tested_words", values)
        assert [word[:2] for word in words] == [[row.token, row.concept] for row in tested.itertuples()]
        for row, (_, _, html) in zip(tested.itertuples(), words, strict=True):
            assert f"tested on {count(row.num_saes, 'SAE')}, absorbed on {row.num_absorbed}" in Texts(html).text


#: The values of parts that the page inserts as HTML.
_HTML = {
    *("headline", "figures", "no_plot", "highest", "lists", "evidence", "opened", "k_sparse", "head", "table", "html"),
    *("strip", "map", "about", "made", "moved", "verdicts", "latent", "cut", "results", "nothing", "prose"),
}


def _fragments(part: Any, *, is_html: bool = False) -> Iterator[str]:
    if isinstance(part, str):
        if is_html:
            yield part
    elif isinstance(part, dict) and "item" not in part:
        for name, value in part.items():
            yield from _fragments(value, is_html=is_html or name in _HTML)
    elif isinstance(part, list):
        for value in part:
            yield from _fragments(value, is_html=is_html)


def test_no_text_of_a_suite_becomes_markup(tmp_path: Path) -> None:
    with open_store(write_hostile_suite(tmp_path / "hostile")) as store:
        publish_site(store, tmp_path / "site")
    parts = {
        path: json.loads(zlib.decompress(path.read_bytes())) for path in (tmp_path / "site" / "suites").rglob("*.bin")
    }
    fragments = [fragment for part in parts.values() for fragment in _fragments(part)]
    fragments += [word[-1] for part in parts.values() for name in ("tokens", "concepts") for word in part.get(name, ())]
    read = [Reader(fragment) for fragment in fragments]
    assert len(read) > 300
    assert not {found for each in read for found in each.found}
    texts = "\n".join(text for each in read for text in each.texts)
    assert EVIL in texts
    assert "<script>alert(1)</script>" in texts
    page = Reader((tmp_path / "site" / "index.html").read_text(encoding="utf-8"))
    assert page.found.count("<script>") == 9
    assert EVIL in "\n".join(page.texts)


def test_page_allows_only_its_own_scripts_and_no_network(site: Site) -> None:
    text = (site.folder / "index.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    allowed = dict(part.strip().partition(" ")[::2] for part in policy[1].split(";"))
    inline = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in inline]
    assert allowed["default-src"] == "'none'"
    # BokehJS, a compressed file, becomes a script of the page.
    bokeh = zlib.decompress((site.folder / "assets" / "bokeh.bin").read_bytes())
    hashes.append(base64.b64encode(hashlib.sha256(bokeh).digest()).decode())
    assert allowed["script-src"].split() == ["'self'", *(f"'sha256-{each}'" for each in hashes)]
    assert allowed["connect-src"] == "'self'"
    # The others are loaded on demand.
    scripts = [f"assets/{name}.js" for name in ("reader", "cite", "live", "drawer", "guide", "reader_guide", "site")]
    assert re.findall(r'src="([^"]*)"', text) == scripts
    assert not re.search(r"\son\w+=", text)
    assert b"sourceMappingURL" not in bokeh
    assert (site.folder / ".nojekyll").exists()


def test_every_anchor_of_a_tour_exists_on_the_site(site: Site) -> None:
    page = (site.folder / "index.html").read_text(encoding="utf-8")
    [names] = re.findall(r"const NAMES = \{(.*?)\}", (STATIC / "guide.js").read_text(encoding="utf-8"))
    named = dict(re.findall(r'([\w-]+): "([\w-]+)"', names))
    ids = set(re.findall(r' id="([^"]+)"', page))
    assert {name for name in ANCHORS if not {named.get(name, name), f"{name}-plot"} & ids} == set(NOT_HERE)
