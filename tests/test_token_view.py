"""The page of a token, and false alarms and misses of latents: every number is recomputed from the suite's files."""

from __future__ import annotations

import re
from functools import partial
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from playwright.sync_api import expect

from explorer.latents.tester import WordTester
from explorer.latents.words import LatentWords
from explorer.model import ExplorerModel, choices_of
from explorer.pages import Pages
from explorer.state import ExplorerState
from explorer.views.evidence_table import SuiteEvidence
from explorer.views.markup import Markup, chip
from explorer.views.token import OUTCOMES, TokenView
from queries import QueryError, Store
from queries.schema import concept_id
from tests.browser import wait_for
from tests.explore import part, wait_query, wait_ready
from tests.questions import DECIDING, ask
from tests.tiny_sae import AWKWARD, VOCABULARY
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.browser import PageOpener
    from tests.explore import View

EMBEDDED = Path(__file__).parents[1] / "data"
SUITES = ("smollm2-135m", "smollm2-135m-architectures")


class Files:
    """A suite's parquet files as frames, read by pandas."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getattr__(self, table: str) -> pd.DataFrame:
        frame = pd.read_parquet(self.folder / f"{table}.parquet")
        setattr(self, table, frame)
        return frame

    @property
    def by_ablation(self) -> pd.DataFrame:
        """The tested tokens that have a verdict by ablation."""
        metric = self.tested_tokens.get("metric")
        return (
            self.tested_tokens if metric is None else self.tested_tokens[metric.fillna("ig_ablation") == "ig_ablation"]
        )

    def concepts_of(self, token: str) -> set[str]:
        ids = self.tokens.loc[self.tokens["token"] == token, "token_id"]
        listed = self.token_concepts.loc[self.token_concepts["token_id"].isin(ids), "concept"]
        return {*listed, *self.tested_tokens.loc[self.tested_tokens["token"] == token, "concept"]}

    def on_vocabulary(self, sae: str, latent: int) -> dict[int, float] | None:
        """The activations of a latent by token id; None if they are not stored."""
        fired = self.token_activations
        rows = fired[(fired["sae"] == sae) & (fired["latent"] == latent)]
        return None if rows.empty else dict(zip(*rows[["token_ids", "activations"]].iloc[0], strict=True))


@pytest.fixture(scope="module")
def files() -> dict[str, Files]:
    return {name: Files(EMBEDDED / name) for name in SUITES}


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with Store(*(EMBEDDED / name for name in SUITES)) as opened:
        yield opened


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(write_tiny_suite(tmp_path_factory.mktemp("suites") / "tiny")) as opened:
        yield opened


def of_token(suite: str, token: str, **others: Any) -> dict[str, Any]:
    return {"suite": suite, "token": token, "facet_saes": None, **DECIDING, **others}


def same_number(one: float | None, other: float | None) -> bool:
    known = [value for value in (one, other) if value is not None and value == value]  # noqa: PLR0124 - NaN
    return not known or (len(known) == 2 and known[0] == pytest.approx(known[1]))


def by_latent(tested: pd.Series, column: str) -> dict[int, float]:
    """Return a value that a tested token's row stores per latent, by latent; empty if there is none."""
    stored = tested["latents"] is not None and tested[column] is not None
    return dict(zip(tested["latents"], tested[column], strict=True)) if stored else {}


TOKENS = [
    ("smollm2-135m", "using"),  # absorbed on many SAEs
    ("smollm2-135m", " Could"),
    ("smollm2-135m", " short"),  # a training word
    ("smollm2-135m-architectures", " classifier"),  # of four concepts
]


@pytest.mark.parametrize(("suite", "token"), TOKENS)
def test_verdicts_of_a_token_match_the_files(store: Store, files: dict[str, Files], suite: str, token: str) -> None:
    there, rows = files[suite], ask(store, "token_saes", of_token(suite, token))
    pairs = set(zip(rows["sae"], rows["concept"], strict=True))
    assert pairs == {(sae, concept) for sae in there.saes["sae"] for concept in there.concepts_of(token)}
    assert len(pairs) == len(rows)
    by_ablation = there.by_ablation
    stored = by_ablation.set_index(["sae", "concept", "token"])
    split = there.measurements.groupby(["sae", "concept"])["split_latents"].first()
    measured = there.measurements[there.measurements["metric"].fillna("ig_ablation") == "ig_ablation"]
    of_pair = measured.set_index(["sae", "concept"])
    why_undefined = of_pair["undefined"].dropna().to_dict() if "undefined" in of_pair else {}
    is_test = bool(there.tokens.loc[there.tokens["token"] == token, "is_test"].iloc[0])
    for row in rows.itertuples():
        key = (row.sae, row.concept, token)
        assert row.is_tested == (key in stored.index), key
        latents = split.get((row.sae, row.concept))
        assert same_number(row.num_split_latents, None if latents is None else len(latents)), key
        if row.is_tested:
            own = stored.loc[key]
            assert row.absorbed == own["is_absorption"] == row.published, key
            assert row.top_latent == own["top_latent"]
            assert row.top_effect == pytest.approx(own["top_effect"])
            assert (row.reason == "absorbed") == row.absorbed
        else:
            assert pd.isna(row.absorbed)
            if undefined := why_undefined.get((row.sae, row.concept)):
                assert (row.reason, row.undefined) == ("undefined", undefined), key
            elif row.sae not in set(by_ablation["sae"]):
                assert row.reason == "not stored", key
            elif suite == "smollm2-135m" and not is_test:
                assert row.reason == "not a test word", key
    assert rows["is_tested"].any() or not is_test


@pytest.mark.parametrize(("suite", "token"), TOKENS)
def test_active_latents_match_the_files(store: Store, files: dict[str, Files], suite: str, token: str) -> None:
    there, rows = files[suite], ask(store, "token_roles", of_token(suite, token))
    tested = there.tested_tokens[there.tested_tokens["token"] == token].set_index(["sae", "concept"])
    absorbing = there.by_ablation[there.by_ablation["is_absorption"]].groupby(["sae", "concept"])["top_latent"].agg(set)
    split = there.measurements.groupby(["sae", "concept"])["split_latents"].first()
    (token_id,) = there.tokens.loc[there.tokens["token"] == token, "token_id"]
    wanted = {
        (sae, concept, latent, role)
        for concept in there.concepts_of(token)
        for role, latents in (("split", split), ("absorbing", absorbing))
        for (sae, of), many in latents.items()
        if of == concept and many is not None
        for latent in set(many) - (set(split.get((sae, of), ())) if role == "absorbing" else set())
    }
    playing = rows[rows["role"] != "other"]
    assert set(zip(playing["sae"], playing["concept"], playing["latent"], playing["role"], strict=True)) == wanted
    for row in rows.itertuples():
        key = row.sae, row.concept
        own = tested.loc[key] if key in tested.index else None
        as_tested = {} if own is None else by_latent(own, "activations")
        if own is not None and own.get("split_activations") is not None and key in split.index:
            as_tested |= dict(zip(split[key], own["split_activations"], strict=True))
        stored = there.on_vocabulary(row.sae, row.latent)
        expected = as_tested.get(row.latent, None if stored is None else stored.get(token_id, 0.0))
        assert row.as_tested == (row.latent in as_tested), key
        assert same_number(row.activation, expected), (key, row.latent)
        if row.role == "other" and (effects := by_latent(own, "effects")):
            assert row.effect == pytest.approx(effects[row.latent])
            assert row.effect < 0
    # Of the others, those with the strongest effect.
    for key, others in rows[rows["role"] == "other"].groupby(["sae", "concept"]):
        own = tested.loc[key]
        role = set(playing.loc[(playing["sae"] == key[0]) & (playing["concept"] == key[1]), "latent"])
        if not by_latent(own, "effects"):
            assert others["projection"].is_monotonic_decreasing
            continue
        left = [effect for latent, effect in by_latent(own, "effects").items() if latent not in role]
        assert others["effect"].tolist() == pytest.approx(sorted(effect for effect in left if effect < 0)[:3])


def test_moved_thresholds_change_verdicts_as_on_evidence(store: Store) -> None:
    moved = {"cosine_threshold": 0.3, "effect_margin": 0.25, "tau": 0.01}
    rows = ask(store, "token_saes", of_token("smollm2-135m", "using", **moved))
    listed = {
        "evidence_token": "using",
        "evidence_verdict": "all",
        "evidence_sort": "token",
        "evidence_descending": False,
    }
    values = of_token("smollm2-135m", "using", **moved) | listed
    values |= {"evidence_page": None, "facet_concept": None, "facet_latent": None}
    evidence = ask(store, "evidence", values)
    evidence = evidence.query("token == 'using'").set_index("sae")
    tested = rows[rows["is_tested"]].set_index("sae")
    assert set(tested.index) == set(evidence.index)
    for name in ("absorbed", "reason", "top_latent", "published"):
        assert tested[name].to_dict() == evidence[name].to_dict(), name
    own = ask(store, "token_saes", of_token("smollm2-135m", "using"))
    assert own["absorbed"].sum() != rows["absorbed"].sum()
    one = ask(store, "token_saes", of_token("smollm2-135m", "using", facet_saes=[tested.index[0]]))
    assert one["sae"].tolist() == [tested.index[0]]


ERRING = [
    ("smollm2-135m", "l4-w2048-l0-6", "first-letter.s", 383),  # main latent
    ("smollm2-135m", "l4-w2048-l0-6", "first-letter.s", 47),  # absorbs
    (
        "smollm2-135m-architectures",
        "l8-w2048-l0-8",
        "suffix.ing",
        None,
    ),  # with words that have no concept of the family
]


@pytest.mark.parametrize(("suite", "sae", "concept", "latent"), ERRING)
def test_false_alarms_and_misses_match_the_files(
    store: Store, files: dict[str, Files], *, suite: str, sae: str, concept: str, latent: int | None
) -> None:
    there = files[suite]
    if latent is None:
        latent = int(there.measurements.query("sae == @sae and concept == @concept")["split_latents"].iloc[0][0])
    place = {"suite": suite, "sae": sae, "concept": concept, "latent": latent, **DECIDING}
    counts = ask(store, "latent_word_counts", place).iloc[0]
    words = ask(store, "latent_words", place)
    fires = there.on_vocabulary(sae, latent)
    assert fires
    family = there.token_concepts[there.token_concepts["concept"].str.startswith(concept.partition(".")[0] + ".")]
    having = set(family.loc[family["concept"] == concept, "token_id"])
    false, unlisted = set(fires) - having, set(fires) - set(family["token_id"])
    false -= unlisted
    missed = having - set(fires)
    assert counts[["num_hits", "num_false_alarms", "num_unlisted", "num_misses"]].tolist() == [
        len(having & set(fires)),
        len(false),
        len(unlisted),
        len(missed),
    ]
    test = set(there.tokens.loc[there.tokens["is_test"], "token_id"])
    assert counts["num_test_hits"] == len(having & set(fires) & test)
    assert counts["num_test_false_alarms"] == len(false & test)
    names = dict(zip(there.tokens["token_id"], there.tokens["token"], strict=True))
    tested = there.tested_tokens.query("sae == @sae and concept == @concept").set_index("token")["is_absorption"]
    absorbed = {names[one] for one in missed} & set(tested.index[tested])
    assert counts["num_missed_absorbed"] == len(absorbed)
    # The listed words: the strongest, with their kind; absorbed words first among the misses.
    loud = words[words["kind"] != "miss"]
    strongest = sorted((-fires[one], names[one]) for one in false | unlisted)[:100]
    assert list(zip(-loud["activation"], loud["token"], strict=True)) == strongest
    assert set(loud.loc[loud["kind"] == "unlisted", "token"]) <= {names[one] for one in unlisted}
    assert all(len(row.concepts) > 0 for row in loud[loud["kind"] == "false alarm"].itertuples())
    silent = words[words["kind"] == "miss"]
    assert set(silent["token"]) <= {names[one] for one in missed}
    assert len(silent) == min(100, len(missed))
    assert set(silent["token"].iloc[: len(absorbed)]) == absorbed
    assert silent["is_tested"].tolist() == silent["token"].isin(tested.index).tolist()


def test_precision_on_test_words_matches_the_suite(store: Store, files: dict[str, Files]) -> None:
    there = files["smollm2-135m"]
    some = there.encoder_top.query("rank == 0 and sae == 'l8-w2048-l0-13'")
    for row in some.itertuples():
        place = {"suite": "smollm2-135m", "sae": row.sae, "concept": row.concept, "latent": row.latent, **DECIDING}
        counts = ask(store, "latent_word_counts", place).iloc[0]
        hits, false = counts["num_test_hits"], counts["num_test_false_alarms"]
        assert hits / (hits + false) == pytest.approx(row.precision), row.concept
    assert len(some) == 26


def test_similar_tokens_are_found(tiny: Store) -> None:
    known = {token.text for token in VOCABULARY}

    def similar(text: str) -> dict[str, str]:
        frame = ask(tiny, "similar_tokens", {"suite": "tiny", "token": text})
        assert set(frame["token"]) <= known
        return dict(zip(frame["token"], frame["kind"], strict=True))

    assert similar("short") == {"short": "itself", " short": "form", " Short": "form", "SHORT": "form"}
    assert similar("sHort")["short"] == "form"
    assert similar("shot")["short"] == "near"
    assert similar("shor")["short"] == "begins"
    for nothing in ("", " ", "zzzz", "'; DROP TABLE saes; --", "%", "_"):
        assert similar(nothing) == {}
    for token in AWKWARD:
        assert similar(token)[token] == "itself"


# --- The page ------------------------------------------------------------------------------------------------------


class Shown:
    """The page of a token, and actions of its visitor."""

    def __init__(self, store: Store, token: str, **state: Any) -> None:
        self.model = ExplorerModel(store, ExplorerState(choices_of(store), **state), Pages)
        self.state = self.model.state
        self.state.open_token(token)
        shown = TokenView(self.model).__panel__()
        assert isinstance(shown, Markup)
        self.page = shown

    def act(self, action: str, value: object) -> None:
        self.page._handle_msg({"action": action, "value": value})

    @property
    def html(self) -> str:
        return self.page.html

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", self.html)))


def test_token_links_its_latents_and_verdicts(tiny: Store) -> None:
    shown = Shown(tiny, AWKWARD[0])
    assert str(chip(AWKWARD[0])) in shown.html
    saes = ask(tiny, "token_saes", of_token("tiny", AWKWARD[0]))
    roles = ask(tiny, "token_roles", of_token("tiny", AWKWARD[0]))
    assert shown.html.count('data-action="verdict"') == saes["is_tested"].sum() > 0
    fires = roles[(roles["activation"] > 0) & (roles["role"] != "other")]
    assert len(re.findall(r'data-key="(?:split|absorbing)-', shown.html)) == len(fires) > 0
    place = int(saes.index[saes["absorbed"].fillna(value=False).astype(bool)][0])
    row = saes.iloc[place]
    # Its card, and back.
    shown.act("go", f"{place} {int(row['top_latent'])}")
    assert (shown.state.page, shown.state.sae, shown.state.concept) == ("explore", row["sae"], row["concept"])
    assert shown.state.latent == row["top_latent"]
    shown.state.page = "token"
    shown.act("verdict", str(place))
    assert shown.state.page == "evidence"
    assert shown.model.suite_evidence is not None
    listed = shown.model.suite_evidence.query("token == @AWKWARD[0]")
    assert listed[["sae", "concept"]].to_numpy().tolist() == [[row["sae"], row["concept"]]]
    # Links that were not shown have no effect.
    for value in ("99999 1", "x", "", "0 99999999"):
        shown.act("go", value)
        shown.act("verdict", value)
    assert shown.state.page == "evidence"


def test_rows_are_sorted_filtered_and_counted(tiny: Store) -> None:
    shown = Shown(tiny, AWKWARD[0])

    def names() -> list[str]:
        return re.findall(r'data-key="verdict-(\d+)"', shown.html)

    in_order = names()
    assert in_order == sorted(in_order, key=int)
    shown.act("sort", "sae")
    assert names() == in_order[::-1]
    shown.act("sort", "absorbing")
    assert 'aria-sort="descending"' in shown.html
    # The overview counts each SAE once.
    counted = re.findall(r"<td>(\d*)</td>", shown.html.partition("</table>")[0])
    assert sum(int(number or 0) for number in counted) == len(tiny.suites["tiny"].manifest.saes)
    shown.act("filter", {"facet_layer": "3", "facet_width": ""})
    assert shown.state.facet_layer == 3
    assert len(names()) == len(in_order) // 2
    shown.act("token", " short")
    assert (shown.state.token, shown.state.facet_layer) == (" short", None)
    assert shown.state.to_query().endswith("token=+short")
    again = ExplorerState(choices_of(tiny))
    assert again.from_query(f"?{shown.state.to_query()}") == []
    assert again.token == " short"  # noqa: S105 - a word


@pytest.mark.parametrize("token", ["nosuch", "<b>x</b>", '"', "x" * 500, "\ud83d", "'; --", "{{ 7 * 191 }}"])
def test_unknown_token_is_reported_in_one_line(tiny: Store, token: str) -> None:
    shown = Shown(tiny, token)
    assert shown.text.count("is not a token of this suite's vocabulary.") == 1
    assert "<section" not in shown.html
    assert "<b>x" not in shown.html
    assert "1337" not in shown.html
    assert shown.model.error == ""


def test_similar_tokens_are_offered(tiny: Store) -> None:
    shown = Shown(tiny, "shorT")
    assert "Did you mean:" in shown.text
    assert 'data-action="token" data-value=" short"' in shown.html
    shown.act("look-up", {"token": " short"})
    assert "Did you mean:" not in shown.text
    assert "<section" in shown.html
    assert "Enter a token of the vocabulary" in Shown(tiny, "").text


@pytest.mark.parametrize(
    ("without", "has_activations", "message"),
    [
        ((), False, "This suite stores no activations on the vocabulary"),
        (("tested_tokens",), True, "This suite stores no tested tokens, so there are no verdicts."),
        (("tokens", "token_concepts"), True, "the suite's vocabulary does not list it"),
    ],
)
def test_missing_data_of_a_suite_is_stated(
    tmp_path: Path, without: tuple[str, ...], *, has_activations: bool, message: str
) -> None:
    folder = write_tiny_suite(tmp_path / "tiny", without=without, activations=has_activations)
    with Store(folder) as store:
        shown = Shown(store, AWKWARD[0])
        assert message in shown.text
        assert shown.model.error == ""
        rows = ask(store, "token_roles", of_token("tiny", AWKWARD[0]))
        if not has_activations:
            # Only the latents of the tested rows are known.
            assert rows.loc[~rows["as_tested"], "activation"].isna().all()
        if "tested_tokens" in without:
            assert "unknown" in shown.text
            assert set(rows["role"]) == {"split"}
        latent = int(
            ask(store, "split_latents", {**of_token("tiny", ""), "sae": "l0-w1000-l0-10", "concept": concept_id("s")})[
                "latent"
            ].iloc[0]
        )
        shown.state.apply({"page": "explore", "sae": "l0-w1000-l0-10", "concept": concept_id("s"), "latent": latent})
        words = LatentWords(shown.model).__panel__()
        assert isinstance(words, Markup)
        words._handle_msg({"action": "seen", "value": True})
        is_known = has_activations and "tokens" not in without
        assert ("false alarms and misses are unknown" in words.html) != is_known
        assert ("Fires without S" in words.html) == is_known


def test_words_of_tester_and_card_open_the_token(tiny: Store) -> None:
    sae = "l0-w1000-l0-10"
    latent = int(
        ask(tiny, "split_latents", {**of_token("tiny", ""), "sae": sae, "concept": concept_id("s")})["latent"].iloc[0]
    )
    shown = Shown(tiny, "")
    state, model = shown.state, shown.model
    state.apply({"page": "explore", "sae": sae, "concept": concept_id("s"), "latent": latent})
    tester, words = WordTester(model).__panel__(), LatentWords(model).__panel__()
    assert isinstance(tester, Markup)
    assert isinstance(words, Markup)
    words._handle_msg({"action": "seen", "value": True})
    tester._handle_msg({"action": "test", "value": {"words": "short"}})
    assert 'data-action="token" data-value=" short"' in tester.html
    tester._handle_msg({"action": "token", "value": " short"})
    assert (state.page, state.token) == ("token", " short")
    state.page = "explore"
    missed = re.search(r'data-action="token" data-value="([^"]*)"', words.html)
    assert missed
    words._handle_msg({"action": "token", "value": unescape(missed[1])})
    assert (state.page, state.token) == ("token", unescape(missed[1]))
    # Also from Evidence.
    state.apply({"page": "evidence", "evidence_token": AWKWARD[0]})
    table = SuiteEvidence(model).__panel__()
    assert isinstance(table, Markup)
    table._handle_msg({"action": "open", "value": "0"})
    table._handle_msg({"action": "token", "value": "0"})
    assert (state.page, state.token) == ("token", AWKWARD[0])


def test_false_alarms_are_queried_only_in_view(tiny: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    fetch = Store.fetch

    def noting(store: Store, name: str, /, **params: Any) -> pd.DataFrame:
        if name == "latent_words":
            asked.append(params["latent"])
        return fetch(store, name, **params)

    monkeypatch.setattr(Store, "fetch", noting)
    place = {"sae": "l0-w1000-l0-10", "concept": concept_id("s")}
    latent = int(ask(tiny, "split_latents", {**of_token("tiny", ""), **place})["latent"].iloc[0])
    other = int(
        ask(tiny, "split_latents", {**of_token("tiny", ""), **place, "concept": concept_id("t")})["latent"].iloc[0]
    )
    model = Shown(tiny, "").model
    model.state.apply({"page": "explore", **place, "latent": latent})
    words = LatentWords(model).__panel__()
    assert isinstance(words, Markup)
    see = partial(words._handle_msg, {"action": "seen", "value": True})
    model.state.effect_margin = 2.0
    assert asked == []
    assert "Fires without S" not in words.html
    see()
    assert asked == [latent]
    assert "Fires without S" in words.html
    model.state.effect_margin = 3.0
    see()
    assert asked == [latent, latent]
    # Out of view, the words of the former latent are not shown as those of the next.
    words._handle_msg({"action": "seen", "value": False})
    model.state.latent = other
    assert "Fires without S" not in words.html
    model.state.latent = None
    see()
    assert asked == [latent, latent]
    # A failed query is not shown as an empty list, and is retried.
    with monkeypatch.context() as broken:
        broken.setattr(Store, "fetch", _failing)
        model.state.latent = latent
        assert "Fires without S" not in words.html
        see()
        assert "was not answered" in words.html
    model.retry()
    see()
    assert "Fires without S" in words.html


def _failing(_: Store, name: str, /, **__: Any) -> pd.DataFrame:
    raise QueryError(name)


# --- In the browser ------------------------------------------------------------------------------------------------


@pytest.mark.browser
def test_search_token_and_latent_link_to_each_other(open_page: PageOpener, home: View) -> None:
    page = open_page("/dashboard?page=atlas")
    wait_ready(page)
    page.keyboard.press("/")
    page.keyboard.type("using")
    option = part(page, "search").get_by_role("option").filter(has_text=re.compile("^using"))
    option.first.click()
    wait_query(page, {"page": "token", "token": "using"})
    shown = part(page, "token-page")
    expect(shown.get_by_role("heading", level=1)).to_have_text("using")
    rows = ask(home.store, "token_saes", of_token(home.suite, "using"))
    # Further seeds have counts only, without single tokens.
    seeds = [sae for sae in home.store.suites[home.suite].manifest.saes if sae.repeat_of]
    expect(shown.locator(".verdicts tbody tr")).to_have_count(len(rows) - len(seeds))
    expect(shown.locator(".bare")).to_contain_text(f"Nothing is stored of this token for {len(seeds)} SAEs")
    absorbed = shown.locator(".verdicts .role.absorbing")
    expect(absorbed).to_have_count(int(rows["absorbed"].sum()))
    heads = shown.locator(".overview thead th")
    expect(heads).to_have_text(["Width", *OUTCOMES.values()])
    # By keyboard: the latent that absorbs it on the first such SAE.
    row = rows[rows["absorbed"].fillna(value=False).astype(bool)].iloc[0]
    latent = shown.locator(f"[data-key='absorbing-{row.name}-{int(row['top_latent'])}']")
    latent.focus()
    page.keyboard.press("Enter")
    wait_query(page, {"page": "explore", "letter": "u", "latent": str(int(row["top_latent"]))})
    expect(part(page, "card").locator("h2 .term").first).to_have_text(f"Latent {int(row['top_latent'])}")
    words = part(page, "latent-words")
    words.scroll_into_view_if_needed()  # they are queried when in view
    expect(words.locator("h4").first).to_contain_text("Fires without U")
    page.go_back()
    wait_query(page, {"page": "token", "token": "using"})
    expect(shown.locator(".verdicts")).to_be_visible()
    # On a phone the table is a list of cards, and nothing is wider than the page.
    page.set_viewport_size({"width": 390, "height": 844})
    expect(shown.locator(".verdicts thead")).to_be_hidden()
    wait_for(page, "() => document.documentElement.scrollWidth <= innerWidth")
