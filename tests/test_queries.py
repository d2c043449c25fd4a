"""Every query: its contract on suites of all shapes, and its results compared with hand-computed values and pandas."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest import write_suite
from queries import Store, catalog
from queries.first_letters import first_letters
from queries.manifest import Manifest, Method, Model, Sae
from queries.schema import TABLES, concept_id
from tests.questions import DECIDING, FAMILY, ask, keys, question_values, sae_id
from tests.tiny_sae import LETTERS as TINY_LETTERS
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TINY_SAES = ((0, 1000, 10), (3, 1000, 40))
OPTIONAL_TABLES = tuple(name for name, table in TABLES.items() if not table.required)

# --- A suite small enough for hand calculations --------------------------------------------------------------------

SAE = {"layer": 0, "width": 1000, "l0": 10}
BLIND = {"layer": 0, "width": 1000, "l0": 20}  # the same letters, but no cosines
#: Tau, cosine threshold and effect margin.
PAPER = (0.03, 0.025, 1.0)

#: By letter, F1 of k = 1, 2, ...
F1 = {
    # Steps of 0.1, then a step of 0.005, then a jump that no longer counts.
    "s": (0.5, 0.6, 0.605, 0.8, 0.8),
    "c": (0.5, None, 0.9),
    "z": tuple(0.05 * k for k in range(1, 21)),
    "u": (0.5, 0.6),
}
RANKED = {"s": (5, 3, 7, 2, 6), "c": (8, 9, 10), "z": tuple(range(30, 10, -1)), "u": (None, None)}
#: Stored split latents, which are used if no latents are ranked.
STORED = {"s": [5, 3], "c": [8], "z": list(range(30, 15, -1)), "u": [1, 2], "a": [4, 6], "d": []}

COUNTS: dict[str, dict[str, float]] = {
    "s": {
        "num_probe_true_positives": 40,
        "num_true_positives": 15,
        "num_split_silent": 22,
        "num_candidates": 20,
        "num_tested": 10,
        "sample_portion": 0.5,
        "probe_f1": 0.9,
    },
    "c": {"num_probe_true_positives": 0, "num_candidates": 0, "num_tested": 0},
    "z": {"num_probe_true_positives": 3},
}

#: token, top latent, its effect and cosine, the runner-up's effect, active latents, published verdict
TESTED: list[tuple[Any, ...]] = [
    (" short", 10, -3.0, 0.3, -0.5, [10, 11], True),
    ('s"quoted"', 10, -2.0, 0.3, -1.0, [10], True),  # exactly at the margin
    ("s'it", 11, -2.5, 0.025, None, [11], True),  # exactly at the cosine threshold, without a runner-up
    ("<b>s", 12, -1.5, -0.1, -0.25, [12], False),  # cosine too low
    ("s,comma", 10, 2.0, 0.3, 0.0, [10], False),  # ablation raises the metric
    ("s\nline", 11, -0.75, 0.2, -0.5, [11], False),  # margin too small
    ("stau", 12, -4.0, 0.4, -0.5, [12, 7], True),  # 7 splits off at a smaller tau
    ("s7", 7, -5.0, 0.5, 0.0, None, True),
    ("sold", 11, None, None, None, None, True),  # published without scores
    ("snew", 11, None, None, None, None, False),
]

#: By thresholds, the tokens that are absorbed, strongest effect first.
ABSORBED = {
    PAPER: ["s7", "stau", " short", "s'it", 's"quoted"', "sold"],
    (0.03, 0.03, 1.0): ["s7", "stau", " short", 's"quoted"', "sold"],
    (0.03, -0.2, 1.0): ["s7", "stau", " short", "s'it", 's"quoted"', "<b>s", "sold"],
    (0.03, 0.025, 1.25): ["s7", "stau", " short", "s'it", "sold"],
    (0.03, 0.025, 0.25): ["s7", "stau", " short", "s'it", 's"quoted"', "s\nline", "sold"],
    (0.0, 0.025, 1.0): [" short", "s'it", 's"quoted"', "sold"],
    (1.0, 1.0, 100.0): ["sold"],
}

VOCABULARY = [
    # token, letter, is_test
    *((f"s{number}", "s", True) for number in range(40)),
    *((f"t{number}", "t", number % 2 == 0) for number in range(20)),
    ('s"quoted"', "s", False),
    ("s'it", "s", False),
    ("<b>s", "s", False),
    ("u-unknown split", "u", None),
]
TOKEN_ID = {token: number for number, (token, *_) in enumerate(VOCABULARY, start=100)}
#: By latent, its activation by token.
ACTIVATIONS = {5: {"s0": 4.0, "<b>s": 1.5}, 10: {'s"quoted"': 9.0, "s0": 0.25}}


def _rows(*rows: dict[str, Any]) -> pa.Table:
    """Return a table of rows, with ids in place of layer, width and L0, and of letters."""
    return pa.Table.from_pylist([keys(**row) for row in rows])


def write_hand_suite(folder: Path) -> Path:
    letters = [
        {**sae, "letter": letter, "split_latents": split, **COUNTS.get(letter, {})}
        for sae in (SAE, BLIND)
        for letter, split in STORED.items()
    ]
    k_sparse = [
        {**SAE, "letter": letter, "k": place + 1, "latent": RANKED[letter][place], "f1": f1, "precision": 0.75}
        for letter, curve in F1.items()
        for place, f1 in enumerate(curve)
    ]
    # A large k that does not follow the last one, so its jump must not count.
    k_sparse.append({**SAE, "letter": "s", "k": 20, "latent": 29, "f1": 0.99, "precision": 0.99})
    columns = ("token", "top_latent", "top_effect", "top_cosine", "second_effect", "latents", "is_absorption")
    tested = [{**SAE, "letter": "s"} | dict(zip(columns, row, strict=True)) for row in TESTED]
    # The same tokens without absorption: rates of the two SAEs must not be mixed.
    tested += [row | BLIND | {"top_effect": 1.0} for row in tested]
    of_letters = [{"token_id": TOKEN_ID[token], "letter": letter} for token, letter, _ in VOCABULARY]
    tables = {
        "measurements": _rows(*letters),
        "concepts": first_letters(map(concept_id, [*STORED, *(letter for _, letter, _ in VOCABULARY)])),
        "token_concepts": _rows(*of_letters),
        "k_sparse": _rows(*k_sparse),
        "tested_tokens": _rows(*tested),
        "tokens": _rows(
            *({"token_id": TOKEN_ID[token], "token": token, "is_test": is_test} for token, _, is_test in VOCABULARY)
        ),
        "latents": _rows(
            *({**SAE, "latent": latent, "density": latent / 64, "num_vocab_tokens": 2 * latent} for latent in (10, 11))
        ),
        "cosines": _rows(*({**SAE, "letter": "s", "latent": latent, "cosine": latent / 64} for latent in range(32))),
        "token_activations": _rows(
            *(
                {
                    **SAE,
                    "latent": latent,
                    "token_ids": [TOKEN_ID[token] for token in fired],
                    "activations": list(fired.values()),
                }
                for latent, fired in ACTIVATIONS.items()
            )
        ),
    }
    saes = [Sae(sae=sae_id(0, 1000, l0), layer=0, width=1000, l0=l0, n_latents=32) for l0 in (10, 20)]
    manifest = Manifest(
        format_version=2, name="hand", model=Model(name="m"), method=Method(metric="ig_ablation"), saes=saes, tables={}
    )
    write_suite(folder, manifest, tables)
    return folder


@pytest.fixture(scope="module")
def hand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(write_hand_suite(tmp_path_factory.mktemp("hand") / "hand")) as store:
        yield store


def _thresholds(tau: float, cosine_threshold: float, effect_margin: float) -> dict[str, Any]:
    """Return these parameters and the paper's metric."""
    return DECIDING | {"tau": tau, "cosine_threshold": cosine_threshold, "effect_margin": effect_margin}


def _split(store: Store, letter: str, tau: float) -> list[int]:
    return store.fetch("split_latents", **keys(suite="hand", **SAE, letter=letter, tau=tau))["latent"].tolist()


# --- The contract, on suites of every shape ------------------------------------------------------------------------


def _required_columns_only(folder: Path) -> None:
    """Remove the optional columns from every file and from the manifest."""
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    for name, entry in manifest["tables"].items():
        table = TABLES[name]
        if name == "saes":  # otherwise further seeds would become separate SAEs
            continue
        optional = {column.name for column in table.columns if not column.required}
        entry["columns"] = {column: type_ for column, type_ in entry["columns"].items() if column not in optional}
        if not table.partitioned:
            file = folder / f"{name}.parquet"
            pq.write_table(pq.read_table(file).drop_columns(sorted(optional)), file)
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")


_WIDER = {pa.int32(): pa.int64(), pa.float32(): pa.float64(), pa.float64(): pa.float32()}


def _other_types(folder: Path) -> None:
    """Store every number with another width than in the contract, and add an unknown column."""
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    for name, entry in manifest["tables"].items():
        entry["columns"] = {}
        for file in folder.glob(f"{name}/*.parquet" if TABLES[name].partitioned else f"{name}.parquet"):
            data = pq.ParquetFile(file).read()
            for place, field in enumerate(data.schema):
                inner = field.type.value_type if pa.types.is_list(field.type) else field.type
                if inner in _WIDER:
                    wider = pa.list_(_WIDER[inner]) if pa.types.is_list(field.type) else _WIDER[inner]
                    data = data.set_column(place, field.name, data.column(place).cast(wider))
            pq.write_table(data.append_column("foreign", pa.nulls(len(data), pa.string())), file)
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")


_EVERYTHING = {"dashboards": True, "neuronpedia": True}
#: By shape of a suite: arguments of `write_tiny_suite`, and a change to the folder.
SHAPES: dict[str, tuple[dict[str, Any], Callable[[Path], None] | None]] = {
    "full": (_EVERYTHING, None),
    "letters only": ({"without": OPTIONAL_TABLES}, None),
    "required columns only": ({"dashboards": True}, _required_columns_only),
    "other types": (_EVERYTHING, _other_types),
    "no SAE": ({"saes": ()}, None),
}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Store]]:
    stores: dict[str, Store] = {}

    def shape(name: str) -> Store:
        if name not in stores:
            options, change = SHAPES[name]
            folder = tmp_path_factory.mktemp("shapes") / "tiny"
            write_tiny_suite(folder, **{"saes": TINY_SAES} | options)
            if change:
                change(folder)
            stores[name] = Store(folder)
        return stores[name]

    yield shape
    for store in stores.values():
        store.close()


@pytest.fixture(scope="module")
def tiny(shapes: Callable[[str], Store]) -> Store:
    return shapes("full")


def _params(store: Store, suite: str = "tiny") -> dict[str, Any]:
    return question_values(store, suite=suite, sae=TINY_SAES[-1])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", catalog())
def test_query_fulfils_its_contract(shapes: Callable[[str], Store], shape: str, name: str) -> None:
    store, query = shapes(shape), catalog()[name]
    assert query.doc
    assert duckdb.extract_statements(query.sql)[0].named_parameters == set(query.params)
    given = {param: _params(store)[param] for param in query.params}
    with store._connection.cursor() as cursor:
        relation = cursor.sql(query.sql, params=given)
        described = dict(zip(relation.columns, map(str, relation.types), strict=True))
    assert list(described.items()) == list(query.columns.items())
    frame = store.fetch(name, **given)
    assert list(frame.columns) == list(query.columns)
    if shape == "full":
        # The comparisons of tours need SAEs of equal L0 and two widths, or several families.
        assert len(frame) or name in {"wider_sae", "beyond_letters"}
    elif shape == "no SAE":
        # Concepts, vocabulary and the suite itself do not depend on SAEs.
        assert frame.empty == (
            name
            not in {
                *("concept_counts", "concepts", "families", "random_tokens"),
                *("search", "suite_info", "word_activations"),
            }
        )


@pytest.mark.parametrize("name", [name for name, query in catalog().items() if query.together])
@pytest.mark.parametrize("shape", SHAPES)
def test_combined_queries_equal_single_ones(shapes: Callable[[str], Store], shape: str, name: str) -> None:
    store, query = shapes(shape), catalog()[name]
    assert query.together
    param, column, of, without = query.together
    assert (query.params[param], query.columns[column]) == ("VARCHAR", "VARCHAR")
    given = {param: _params(store)[param] for param in query.params}
    given |= ({of: [sae_id(*TINY_SAES[-1])]} if of else {}) | ({without: None} if without else {})
    found = 0
    for concept in [*store.fetch("concepts")["concept"], "first-letter.nobody"]:
        asked = given | {param: concept}
        alone, together = store._run(query, asked), store.fetch(name, **asked)
        # The types of texts and of empty columns may differ.
        pd.testing.assert_frame_equal(together, alone, check_dtype=False)
        numbers = [] if alone.empty else together.select_dtypes(["number", "bool"]).columns
        assert together[numbers].dtypes.to_dict() == alone[numbers].dtypes.to_dict()
        found += len(alone)
    assert found == len(store.fetch(name, **given | {param: None}))


@pytest.mark.parametrize("name", catalog())
def test_stored_types_do_not_change_results(shapes: Callable[[str], Store], name: str) -> None:
    full, other = (ask(shapes(shape), name, _params(shapes("full"))) for shape in ("full", "other types"))
    lists = [column for column, kind in catalog()[name].columns.items() if kind == "DOUBLE[]"]
    for column in lists:
        values, others = (frame[column].explode().astype(float) for frame in (full, other))
        pd.testing.assert_series_equal(values, others, rtol=1e-6, atol=1e-6)  # differences of scores
    pd.testing.assert_frame_equal(full.drop(columns=lists), other.drop(columns=lists), rtol=1e-6)


def test_suites_are_kept_separate(tmp_path: Path) -> None:
    folders = [
        write_tiny_suite(tmp_path / name, name=name, seed=seed, saes=TINY_SAES, dashboards=True)
        for seed, name in enumerate(("one", "two"))
    ]
    differ = Counter[str]()
    with Store(*folders) as both, Store(folders[0]) as one, Store(folders[1]) as two:
        alone = {"one": one, "two": two}
        assert both.fetch("saes")["suite"].tolist() == ["one"] * 4 + ["two"] * 4  # each with a further seed
        for name in set(catalog()) - {"saes", "concepts", "families", "metrics"}:
            answers = {}
            for suite, store in alone.items():
                answers[suite] = ask(both, name, _params(store, suite))
                pd.testing.assert_frame_equal(answers[suite], ask(store, name, _params(store, suite)), obj=name)
            differ[name] = not answers["one"].equals(answers["two"])
    # The two suites share words and verdicts, and differ in latents, cosines and scores.
    assert differ["cosines"]
    assert differ["split_latents"]
    assert differ["absorbing_latents"]
    assert differ["k_sparse"]


# --- Splits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tau", "expected"),
    [
        (0.03, [5, 3]),  # the jump at k = 4 comes too late
        (0.004, [5, 3, 7, 2]),  # every step counts until F1 stays the same at k = 5
        (0.0, [5, 3, 7, 2]),  # a step of 0 is not a gain
        (0.099, [5, 3]),
        (0.1, [5]),  # must rise by more than tau
        (1.0, [5]),
    ],
)
def test_split_stops_at_the_first_step_that_fails(hand: Store, tau: float, expected: list[int]) -> None:
    assert _split(hand, "s", tau) == expected
    k_sparse = hand.fetch("k_sparse", **keys(suite="hand", **SAE, letter="s", tau=tau))
    assert k_sparse["k"].tolist() == [1, 2, 3, 4, 5, 20]
    assert k_sparse.loc[k_sparse["is_split"], "latent"].tolist() == expected


def test_split_ends_at_k_15(hand: Store) -> None:
    assert _split(hand, "z", 0.03) == list(range(30, 15, -1))


def test_unknown_f1_ends_the_split(hand: Store) -> None:
    assert _split(hand, "c", 0.03) == [8]


@pytest.mark.parametrize("tau", [0.0, 0.03, 1.0])
def test_stored_split_is_used_without_ranked_latents(hand: Store, tau: float) -> None:
    assert [_split(hand, letter, tau) for letter in "uad"] == [[1, 2], [4, 6], []]
    assert _split(hand, "q", tau) == []


def test_split_latents_have_cosine_and_gain(hand: Store) -> None:
    frame = hand.fetch("split_latents", **keys(suite="hand", **SAE, letter="s", tau=0.0))
    assert frame["k"].tolist() == [1, 2, 3, 4]
    assert frame["cosine"].tolist() == [5 / 64, 3 / 64, 7 / 64, 2 / 64]
    assert frame["f1"].tolist() == [0.5, 0.6, 0.605, 0.8]
    assert frame["f1_gain"].iloc[1:].tolist() == pytest.approx([0.1, 0.005, 0.195])
    assert math.isnan(frame["f1_gain"].iloc[0])


def test_sae_without_cosines_has_split_latents(hand: Store) -> None:
    frame = hand.fetch("split_latents", **keys(suite="hand", **BLIND, letter="s", tau=0.03))
    assert frame["latent"].tolist() == [5, 3]
    assert frame["cosine"].isna().all()
    assert hand.fetch("cosines", **keys(suite="hand", **BLIND, letter="s")).empty


# --- Verdicts, counts and rates ------------------------------------------------------------------------------------


@pytest.mark.parametrize("thresholds", ABSORBED)
def test_verdicts_follow_the_thresholds(hand: Store, thresholds: tuple[float, float, float]) -> None:
    expected = ABSORBED[thresholds]
    asked = {"suite": "hand", **SAE, **_thresholds(*thresholds)}
    assert hand.fetch("absorbed_tokens", **keys(**asked, letter="s"))["token"].tolist() == expected
    top = {token: latent for token, latent, *_ in TESTED}
    absorbing = hand.fetch("absorbing_latents", **keys(**asked, letter="s"))
    assert dict(zip(absorbing["latent"], absorbing["num_tokens"], strict=True)) == Counter(
        top[token] for token in expected
    )
    for latent in range(14):
        roles = hand.fetch("latent_roles", **keys(**asked, latent=latent)).set_index("concept")
        taken = sum(top[token] == latent for token in expected)
        assert (roles["num_absorbed"].get(concept_id("s"), 0)) == taken
    counts = hand.fetch("concept_counts", **keys(**asked, family=FAMILY)).set_index("label").loc["S"]
    assert counts["num_absorbed"] == len(expected)
    assert counts["num_absorbing_latents"] == len({top[token] for token in expected})


def test_absorbing_latents_are_sorted_by_tokens_then_effect(hand: Store) -> None:
    frame = hand.fetch("absorbing_latents", **keys(suite="hand", **SAE, letter="s", **_thresholds(*PAPER)))
    # 10 and 11 tie on tokens and on mean effect: the lower number first.
    assert frame["latent"].tolist() == [10, 11, 7, 12]
    assert frame["mean_effect"].tolist() == [-2.5, -2.5, -5.0, -4.0]
    assert [list(tokens) for tokens in frame["tokens"]] == [
        [" short", 's"quoted"'],
        ["s'it", "sold"],
        ["s7"],
        ["stau"],
    ]
    # Each has its effect; "sold" was published without one.
    effects = [effect for effects in frame["effects"] for effect in np.asarray(effects, float)]
    assert effects == pytest.approx([-3.0, -2.0, -2.5, math.nan, -5.0, -4.0], nan_ok=True)
    assert frame["cosine"].tolist() == pytest.approx([0.3, 0.025, 0.5, 0.4])
    assert frame["num_vocab_tokens"].tolist()[:2] == [20, 22]
    assert frame["density"].isna().tolist() == [False, False, True, True]


def wilson(part: float, whole: float) -> tuple[float, float]:
    """Solve (p - part/whole)^2 = z^2 p (1 - p) / whole, whose solutions are the ends of the interval."""
    share, z_squared = part / whole, 1.96**2
    low, high = sorted(np.roots([1 + z_squared / whole, -(2 * share + z_squared / whole), share**2]).real)
    return low, high


def test_rate_extrapolates_the_sample_and_has_an_interval(hand: Store) -> None:
    asked = keys(suite="hand", family=FAMILY, **SAE, letter="s")
    summary = hand.fetch("summary", **asked, **_thresholds(*PAPER)).iloc[0]
    assert list(summary["split_latents"]) == [5, 3]
    assert summary["stored_split"]
    assert (summary["main_latent"], summary["main_f1"], summary["main_precision"]) == (5, 0.5, 0.75)
    assert (summary["num_tested"], summary["num_absorbed"], summary["num_absorbing_latents"]) == (10, 6, 4)
    # Half was tested: 6 represent 12 of the 40 true positives, with the precision of 6 of 20.
    assert summary["absorption_rate"] == pytest.approx(0.3)
    assert (summary["rate_low"], summary["rate_high"]) == pytest.approx(wilson(6, 20), abs=1e-9)
    other_tau = hand.fetch("summary", **asked, **_thresholds(0.0, 0.025, 1.0)).iloc[0]
    assert not other_tau["stored_split"]
    assert other_tau["absorption_rate"] == pytest.approx(0.2)


@pytest.mark.parametrize(("part", "whole"), [(0, 7), (7, 7), (1, 1), (3, 1000), (250, 400)])
def test_wilson_interval_solves_its_equation(hand: Store, part: int, whole: int) -> None:
    with hand._connection.cursor() as cursor:
        asked = cursor.execute("SELECT unnest(wilson($part, $whole))", {"part": part, "whole": whole})
        ends = asked.fetchall()[0]
    assert ends == pytest.approx(wilson(part, whole), abs=1e-9)
    # Rounding may exceed the interval minimally, but never excludes the observed share.
    assert 0 <= ends[0] <= part / whole + 1e-12
    assert part / whole - 1e-12 <= ends[1] <= 1


def test_part_above_the_whole_counts_as_the_whole(hand: Store) -> None:
    with hand._connection.cursor() as cursor:
        over, all_of_it = (
            cursor.execute("SELECT unnest(wilson($part, 3))", {"part": part}).fetchall() for part in (5, 3)
        )
    assert over == all_of_it


def test_unknown_part_has_no_interval(hand: Store) -> None:
    with hand._connection.cursor() as cursor:
        assert cursor.execute("SELECT wilson(NULL::DOUBLE, 10), wilson(1, 0)").fetchall() == [(None, None)]


def test_concept_counts_distinguish_unmeasured_from_unabsorbed(hand: Store) -> None:
    of_family = {"suite": "hand", "family": FAMILY, **_thresholds(*PAPER)}
    frame = hand.fetch("concept_counts", **keys(**of_family, **SAE)).set_index("concept")
    known = sorted({*STORED, *(letter for _, letter, _ in VOCABULARY)})
    assert frame.index.tolist() == [concept_id(letter) for letter in known]
    assert frame["label"].tolist() == [letter.upper() for letter in known]
    assert set(frame.index[frame["measured"]]) == {concept_id(letter) for letter in STORED} < set(frame.index)
    assert frame.loc[~frame["measured"]].drop(columns=["label", "measured"]).isna().all(axis=None)
    assert frame.loc[[concept_id(letter) for letter in STORED], "num_split_latents"].tolist() == [2, 1, 15, 2, 2, 0]
    assert frame.loc[concept_id("z"), ["num_absorbed", "num_tested", "absorption_rate"]].tolist() == [0, 0, 0.0]
    # Without true positives the rate is unknown, not 0.
    assert math.isnan(frame.loc[concept_id("c"), "absorption_rate"])
    blind = hand.fetch("concept_counts", **keys(**of_family, **BLIND)).set_index("concept")
    assert blind.loc[concept_id("s"), ["num_tested", "num_absorbed", "absorption_rate"]].tolist() == [10, 0, 0.0]


def test_published_numbers_are_used_without_tokens(tmp_path: Path) -> None:
    """For results without tokens, the published numbers are used at every threshold."""
    rows = [{"layer": 0, "width": 8, "l0": 1, "letter": x, "num_probe_true_positives": 100} for x in "abc"]
    absorbed = [row | {"num_absorbed": number} for row, number in zip(rows, (25, 0, None), strict=True)]
    manifest = Manifest(
        format_version=2,
        name="published",
        model=Model(name="x"),
        method=Method(metric="full"),
        saes=[Sae(sae=sae_id(0, 8, 1), layer=0, width=8, l0=1, n_latents=8)],
        tables={},
    )
    tables = {"measurements": _rows(*absorbed), "concepts": first_letters(map(concept_id, "abc"))}
    write_suite(tmp_path / "published", manifest, tables)
    with Store(tmp_path / "published") as store:
        values = question_values(store, suite="published", sae=(0, 8, 1), letter="a")
        (info,) = ask(store, "suite_info", values).to_dict("records")
        assert info["n_absorbed_tokens"] == info["n_absorbed_published"] == 25
        assert math.isnan(info["n_tested_tokens"])
        assert math.isnan(info["n_absorbing_latents"])
        curve = ask(store, "threshold_sensitivity", values | {"mean_policy": "with_candidates"})
        assert set(curve["num_absorbed"]) == {25}
        assert curve["absorption_rate"].tolist() == pytest.approx([0.125] * len(curve))


def test_absorption_is_unknown_without_tested_tokens(shapes: Callable[[str], Store]) -> None:
    store = shapes("letters only")
    layer, width, l0 = TINY_SAES[0]
    sae = keys(suite="tiny", layer=layer, width=width, l0=l0)
    counts = store.fetch("concept_counts", **sae, family=FAMILY, **_thresholds(*PAPER))
    tested = counts[counts["num_tested"] > 0]
    assert len(tested)
    assert tested["num_absorbed"].isna().all()


@pytest.mark.parametrize(
    "thresholds", [PAPER, (0.0, 0.025, 1.0), (0.003, 0.1, 0.5), (0.045, -1.0, 0.0), (1.0, 0.15, 2.0)]
)
def test_summaries_agree_with_pandas(tiny: Store, thresholds: tuple[float, float, float]) -> None:
    """Recompute the whole chain from the files: splits, verdicts, counts, rates."""
    tau, cosine_threshold, effect_margin = thresholds
    root = Path(tiny.suites["tiny"].root)
    key = ["sae", "concept"]
    saes = [sae_id(*sae) for sae in TINY_SAES]  # without further seeds
    frames = {name: pd.read_parquet(root / f"{name}.parquet") for name in ("measurements", "k_sparse", "tested_tokens")}
    tables = {name: frame[frame["sae"].isin(saes)].groupby(key) for name, frame in frames.items()}
    for place, letters in tables["measurements"]:
        stored = letters.iloc[0]
        curve = tables["k_sparse"].get_group(place).query("k <= 15").sort_values("k")
        f1, ranked = curve["f1"].to_numpy(), curve["latent"].tolist()
        falls = np.flatnonzero(np.diff(f1) <= tau)
        split = ranked[: falls[0] + 1 if len(falls) else len(ranked)]
        absorbing, tested = [], 0
        if place in tables["tested_tokens"].groups:
            for row in tables["tested_tokens"].get_group(place).itertuples():
                tested += 1
                second = 0.0 if math.isnan(row.second_effect) else row.second_effect
                stands_out = row.top_effect < 0 and -row.top_effect - abs(second) >= effect_margin
                silent = not set(split) & {*row.latents, row.top_latent}
                if stands_out and silent and row.top_cosine >= cosine_threshold:
                    absorbing.append(row.top_latent)
        asked = dict(zip(key, place, strict=True)) | _thresholds(*thresholds)
        summary = tiny.fetch("summary", **keys(suite="tiny", family=FAMILY, **asked)).iloc[0]
        assert list(summary["split_latents"]) == split
        assert summary["num_tested"] == tested
        assert summary["num_absorbed"] == len(absorbing)
        assert summary["num_absorbing_latents"] == len(set(absorbing))
        # With a sample of the candidates, the sampled part of the true positives.
        positives = stored["num_probe_true_positives"] * stored["sample_portion"]
        assert summary["absorption_rate"] == pytest.approx(len(absorbing) / positives)
        assert (summary["rate_low"], summary["rate_high"]) == pytest.approx(wilson(len(absorbing), positives), abs=1e-9)


# --- Scores over all SAEs ------------------------------------------------------------------------------------------


def test_sae_scores_are_means_of_the_chosen_main_latent(tiny: Store) -> None:
    root = Path(tiny.suites["tiny"].root)
    for choice, table, column in (("k_sparse", "k_sparse", "k"), ("encoder", "encoder_top", "rank")):
        rows = pd.read_parquet(root / f"{table}.parquet")
        first = rows[rows[column] == rows[column].min()]
        expected = first.groupby("sae")[["precision", "recall"]].mean().loc[[sae_id(*sae) for sae in TINY_SAES]]
        scores = tiny.fetch("sae_scores", suite="tiny", family=FAMILY, main_latent_by=choice).set_index("sae")
        assert scores.index.tolist() == [sae_id(*sae) for sae in TINY_SAES]
        # Each SAE has its measured L0, not the nominal one.
        assert scores[["layer", "width", "l0"]].to_numpy().tolist() == [
            [layer, width, l0 + 0.25] for layer, width, l0 in TINY_SAES
        ]
        np.testing.assert_allclose(scores[["precision", "recall"]], expected)
        assert (scores["num_concepts"] == len(TINY_LETTERS)).all()


def test_sae_without_precision_has_no_score(shapes: Callable[[str], Store]) -> None:
    store = shapes("required columns only")
    # k_sparse may lack precision and recall: such an SAE has no row, rather than one with NaN.
    assert store.fetch("sae_scores", suite="tiny", family=FAMILY, main_latent_by="k_sparse").empty
    assert len(store.fetch("sae_scores", suite="tiny", family=FAMILY, main_latent_by="encoder")) == len(TINY_SAES)


# --- One latent ----------------------------------------------------------------------------------------------------


def test_latent_roles_include_every_role(tiny: Store) -> None:
    layer, width, l0 = TINY_SAES[0]
    sae = {"suite": "tiny", "layer": layer, "width": width, "l0": l0}
    split = tiny.fetch("split_latents", **keys(**sae, letter="s", tau=0.03))["latent"].tolist()
    roles = tiny.fetch("latent_roles", **keys(**sae, latent=split[1], **_thresholds(*PAPER))).to_dict("records")
    # In the tiny suite the last split latent has the highest encoder cosine.
    assert roles == [{"concept": concept_id("s"), "split_rank": 2, "num_absorbed": 0, "is_encoder_top": True}]
    none = tiny.fetch("latent_roles", **keys(**sae, latent=0, **_thresholds(*PAPER)))
    assert none.empty


def test_roles_of_all_latents_equal_those_of_each(tiny: Store, hand: Store) -> None:
    layer, width, l0 = TINY_SAES[0]
    tiny_sae = {"suite": "tiny", "layer": layer, "width": width, "l0": l0}
    for store, sae in ((tiny, tiny_sae), (hand, {"suite": "hand", **SAE})):
        for thresholds in (_thresholds(*PAPER), _thresholds(0.004, 0.25, 0.5)):
            roles = store.fetch("sae_roles", **keys(**sae, family=FAMILY, **thresholds))
            assert len(roles)
            for latent, mine in roles.groupby("latent"):
                own = store.fetch("latent_roles", **keys(**sae, latent=latent, **thresholds))
                pd.testing.assert_frame_equal(mine.drop(columns="latent").reset_index(drop=True), own)
            cards = store.fetch("sae_cards", **keys(**sae, family=FAMILY, **thresholds))
            assert cards["latent"].tolist() == sorted(set(roles["latent"]))
    # All latents with a role for s: 5 and 3 are split latents, the others absorb.
    hand_roles = hand.fetch("sae_roles", **keys(suite="hand", **SAE, family=FAMILY, **_thresholds(*PAPER)))
    of_s = hand_roles[hand_roles["concept"] == concept_id("s")].set_index("latent")
    assert of_s["split_rank"].to_dict() == {3: 2, 5: 1} | dict.fromkeys((7, 10, 11, 12), 0)
    assert of_s["num_absorbed"].to_dict() == {3: 0, 5: 0, 7: 1, 10: 2, 11: 2, 12: 1}


def test_cards_of_all_latents_equal_those_of_each(tiny: Store) -> None:
    values = _params(tiny)
    cards = ask(tiny, "sae_cards", values)
    contexts = ask(tiny, "sae_contexts", values)
    for _, card in cards.iterrows():
        own = values | {"latent": int(card["latent"])}
        mine = contexts[contexts["latent"] == card["latent"]].drop(columns="latent").reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, ask(tiny, "latent_contexts", own))
        for query in ("latent_facts", "latent_logits", "latent_histogram"):
            for name, theirs in ask(tiny, query, own).items():
                if name in card:
                    assert np.array_equal(card[name], theirs.iloc[0]), (query, name)
    assert len(contexts) > len(cards) > 1


def test_ablated_latents_of_a_concept_equal_those_of_its_tokens(tiny: Store) -> None:
    values = _params(tiny)
    of_concept = ask(tiny, "token_latents", values | {"token": None})
    assert len(set(of_concept["token"])) > 1
    for token, mine in of_concept.groupby("token"):
        own = ask(tiny, "token_latents", values | {"token": token})
        pd.testing.assert_frame_equal(mine.reset_index(drop=True), own)
        assert own["effect"].is_monotonic_increasing


def test_latent_evidence_equals_the_files(tiny: Store) -> None:
    params = _params(tiny)
    root = Path(tiny.suites["tiny"].root)
    latent = (params["sae"], params["latent"])
    for query, table in (
        ("latent_contexts", "contexts"),
        ("latent_logits", "logits"),
        ("latent_histogram", "histograms"),
    ):
        rows = pd.read_parquet(root / f"{table}.parquet").set_index(["sae", "latent"]).loc[[latent]]
        answer = ask(tiny, query, params)
        assert len(answer) == len(rows)
        for column in answer:
            for mine, theirs in zip(answer[column], rows[column], strict=True):
                assert np.array_equal(mine, theirs), (query, column)
    contexts = ask(tiny, "latent_contexts", params)
    assert contexts["activation"].is_monotonic_decreasing
    assert {"\n", '"'} <= set("".join(token for tokens in contexts["tokens"] for token in tokens))
    cosines = ask(tiny, "latent_cosines", params).set_index("concept")["cosine"]
    assert list(cosines.index) == [concept_id(letter) for letter in sorted(TINY_LETTERS)]
    for letter in TINY_LETTERS:
        of_letter = ask(tiny, "cosines", params | keys(letter=letter))
        assert of_letter["latent"].tolist() == list(range(1024))
        assert cosines[concept_id(letter)] == of_letter["cosine"].iloc[params["latent"]]
    assert ask(tiny, "latent_dashboard", params)["latent"].tolist() == [params["latent"]]
    assert f"<title>Latent {params['latent']}</title>" in ask(tiny, "latent_page", params)["html"].iloc[0]


# --- Words ---------------------------------------------------------------------------------------------------------


def _words(store: Store, words: list[str], *, latent: int = 10, main_latent: int | None = 5) -> pd.DataFrame:
    return store.fetch(
        "word_activations", **keys(suite="hand", **SAE, letter="s", latent=latent, main_latent=main_latent, words=words)
    )


def test_words_keep_the_given_order_and_have_both_activations(hand: Store) -> None:
    frame = _words(hand, ["<b>s", "nowhere", 's"quoted"', "s0", "s'it", "<b>s", "t1", "' OR true --", ""])
    assert frame["token"].tolist() == ["<b>s", 's"quoted"', "s0", "s'it", "t1"]
    assert [list(concepts) for concepts in frame["concepts"]] == [[concept_id(letter)] for letter in "sssst"]
    assert frame["is_test"].tolist() == [False, False, True, False, False]
    assert frame["activation"].tolist() == [0, 9, 0.25, 0, 0]
    assert frame["main_activation"].tolist() == [1.5, 0, 4, 0, 0]


def test_words_on_a_latent_without_activations_are_unknown(hand: Store) -> None:
    frame = _words(hand, ["s0", "s1"], latent=3)
    assert frame["activation"].isna().all()
    assert frame["main_activation"].tolist() == [4, 0]
    no_main = _words(hand, ["s0", "s1"], main_latent=None)
    assert no_main["activation"].tolist() == [0.25, 0]
    assert no_main["main_activation"].isna().all()


def test_no_words_give_an_empty_result(hand: Store) -> None:
    assert _words(hand, []).empty


def _draw(store: Store, letter: str, seed: int, *, of_concept: bool = True) -> list[str]:
    frame = store.fetch("random_tokens", **keys(suite="hand", letter=letter, seed=seed))
    return frame.loc[frame["of_concept"] == of_concept, "token"].tolist()


def test_random_tokens_follow_the_seed(hand: Store) -> None:
    test_tokens = {token for token, letter, is_test in VOCABULARY if letter == "s" and is_test}
    drawn = [_draw(hand, "s", seed) for seed in range(4)]
    hand._cache.clear()
    assert drawn == [_draw(hand, "s", seed) for seed in range(4)]
    for tokens in drawn:
        assert len(tokens) == len(set(tokens)) == 30
        assert set(tokens) <= test_tokens
    # There are many possible draws, so four seeds must not draw the same.
    assert len({frozenset(tokens) for tokens in drawn}) == 4


def test_random_tokens_include_other_letters_and_unknown_splits(hand: Store) -> None:
    others = _draw(hand, "s", 0, of_concept=False)
    assert sorted(others) == sorted([*(f"t{number}" for number in range(0, 20, 2)), "u-unknown split"])
    assert _draw(hand, "u", 0) == ["u-unknown split"]
    assert _draw(hand, "q", 0) == []
