"""The evidence in dashboard pages, read without running them."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cache
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.sae_dashboard import DashboardError, evidence
from queries.conform import conform
from queries.schema import TABLES
from tests.dashboard_page import dashboard_data, dashboard_page, page_of

_SHAPE = {"contexts": 20, "intervals": 10, "interval_contexts": 5, "bins": 50, "logits": 10}

#: In the format of a page, with escapes; the script before it returns other objects.
LITERAL = r"""
<div id='dropdown-container'></div>
<script>
function place(box) { return { "left": box.left }; }
function data() { return {"AGGDATA": {"max": [34.0], "frac_nonzero": [9e-05], "skew": [], "kurtosis": [NaN]},
"DASHBOARD_DATA": {"7": {
  "featureTablesData": {"0": {"neuronAlignment": [{"index": 3, "value": "+0.156", "percentageL1": "0.5%"}]}},
  "actsHistogramData": {"0": {"x": [1.5, 4.5, 7.5], "y": [20, 3, 1], "ticks": [0], "colors": ["#fff"],
                              "title": "ACTIVATIONS<br>DENSITY = 0.008%"}},
  "logitsTableData": {"0": {"posLogits": [{"symbol": "\u2581Short", "value": "+0.52", "color": "rgba(1,2,3,0.5)"},
                                          {"symbol": "s", "value": 0.4}],
                            "negLogits": [{"symbol": "<\/script>", "value": -0.3}]}},
  "logitsHistogramData": {"0": {"x": [0], "y": [1], "ticks": []}},
  "tokenData": {
    "seq-group-2-0": {"title": "TOP ACTIVATIONS<br>MAX = 33.9", "idSuffix": "0", "data": [
      [{"tok": "\u2581a", "tokID": 1, "tokenLogit": 0.1, "isBold": false},
       {"tok": "\u2581short", "tokID": 2, "tokenLogit": 0.1, "isBold": true, "featAct": 5.25, "bgColor": "#ff8c00"},
       {"tok": "\n", "tokID": 3, "tokenLogit": 0.1, "isBold": false, "featAct": 6.5, "lossEffect": 0.1}],
      [{"tok": "say", "tokID": 4, "tokenLogit": 0.2, "isBold": false},
       {"tok": "\u0120\"s", "tokID": 5, "tokenLogit": 0.2, "isBold": true, "featAct": 34}]]},
    "seq-group-2-1": {"title": "INTERVAL 5.1 - 6.2<br>CONTAINS 3%", "data": [
      [{"tok": "\u2581a", "isBold": false}, {"tok": "\u2581short", "isBold": true, "featAct": 5.25},
       {"tok": "\n", "isBold": false, "featAct": 6.5}],
      [{"tok": "\ud83d\ude00"}, {"tok": "\u2581\u2581silver", "featAct": 6}, {"tok": "<b>", "featAct": 2}]]}
  }}}};
}
</script>
"""


def _rows(latent: int, **parts: Any) -> dict[str, list[dict[str, Any]]]:
    return evidence(page_of({"DASHBOARD_DATA": {str(latent): parts}}), latent)


def _group(*contexts: list[tuple[str, float]], title: str | None = None) -> dict[str, Any]:
    return {"title": title, "data": [[{"tok": tok, "featAct": act} for tok, act in context] for context in contexts]}


def _histogram(x: list[Any], y: list[Any], **more: Any) -> dict[str, Any]:
    return {"0": {"x": x, "y": y} | more}


_SOME = {"seq-group-2-0": _group([("a", 1.0)])}

# --- Valid pages ---------------------------------------------------------------------------------------------------


def test_page_becomes_rows() -> None:
    windows: list[dict[str, Any]] = [
        {"activation": 34, "tokens": ["say", ' "s'], "activations": [0, 34], "position": 1, "source": None},
        {
            "activation": 6,  # no token is bold, so the strongest one is used
            "tokens": ["😀", "  silver", "<b>"],
            "activations": [0, 6, 2],
            "position": 1,
            "source": "INTERVAL 5.1 - 6.2, CONTAINS 3%",
        },
        {
            "activation": 5.25,  # of the bold token, although the next one is stronger
            "tokens": [" a", " short", "\n"],
            "activations": [0, 5.25, 6.5],
            "position": 1,
            "source": None,  # repeated by the interval
        },
    ]
    assert evidence(LITERAL, 7) == {
        "latents": [{"latent": 7, "density": 9e-05, "max_activation": 34}],
        "contexts": [{"latent": 7, "rank": rank, **window} for rank, window in enumerate(windows)],
        "logits": [
            {
                "latent": 7,
                "raised_tokens": [" Short", "s"],
                "raised_logits": [0.52, 0.4],
                "lowered_tokens": ["</script>"],
                "lowered_logits": [-0.3],
            }
        ],
        "histograms": [{"latent": 7, "low": 0, "high": 9, "counts": [20, 3, 1]}],
    }


@pytest.mark.parametrize("latent", [0, 16383])
def test_generated_pages_are_read_completely(latent: int) -> None:
    data = dashboard_data(latent, seed=1, **_SHAPE)
    page = data["DASHBOARD_DATA"][str(latent)]
    rows = evidence(dashboard_page(latent, seed=1), latent)

    windows = {
        (
            tuple(entry["tok"].replace("▁", " ").replace("Ġ", " ") for entry in context),
            tuple(entry.get("featAct", 0) for entry in context),
            next(place for place, entry in enumerate(context) if entry["isBold"]),
        )
        for group in page["tokenData"].values()
        for context in group["data"]
    }
    contexts = rows["contexts"]
    assert len(contexts) == len(windows) == 20 + 10 * 5 - 1  # one of the highest interval is also a top activation
    assert {(tuple(row["tokens"]), tuple(row["activations"]), row["position"]) for row in contexts} == windows
    assert [row["rank"] for row in contexts] == list(range(len(contexts)))
    assert all(row["activation"] == row["activations"][row["position"]] for row in contexts)
    activations = [row["activation"] for row in contexts]
    assert activations == sorted(activations, reverse=True)
    assert sum(row["source"] is None for row in contexts) == 20
    assert len({row["source"] for row in contexts}) == 1 + 10

    (facts,), (logits,), (histogram,) = rows["latents"], rows["logits"], rows["histograms"]
    assert [facts["max_activation"]] == data["AGGDATA"]["max"]
    assert [facts["density"]] == data["AGGDATA"]["frac_nonzero"]
    for side, name in (("raised", "posLogits"), ("lowered", "negLogits")):
        entries = page["logitsTableData"]["0"][name]
        assert logits[f"{side}_logits"] == [entry["value"] for entry in entries]
        assert logits[f"{side}_tokens"] == [entry["symbol"].replace("▁", " ") for entry in entries]
    assert histogram["counts"] == page["actsHistogramData"]["0"]["y"]
    assert histogram["low"] == pytest.approx(0, abs=1e-4)
    assert histogram["high"] == pytest.approx(facts["max_activation"], abs=1e-4)


def test_generated_pages_have_a_realistic_size_and_are_reproducible() -> None:
    page = dashboard_page(5)
    assert 80_000 < len(page.encode()) < 120_000
    assert page == dashboard_page(5)
    assert page != dashboard_page(5, seed=1)
    assert page.count("</script>") == 3  # no token ends the script,
    assert "<!--" not in page  # or hides its end


def test_rows_fulfil_the_contracts() -> None:
    torn = _rows(3, tokenData={"seq-group-2-0": _group([("\ud83d", 1.0)], title="\udc00")})
    for rows in (evidence(dashboard_page(3), 3), torn):
        for name, found in rows.items():
            known = [column.name for column in TABLES[name].columns if column.name != "sae"]
            assert all(set(row) <= set(known) for row in found)
            sae = {"sae": "l1"}
            conform(pa.Table.from_pylist([sae | row for row in found]), TABLES[name])
    assert torn["contexts"][0]["tokens"] == ["?"]


@pytest.mark.parametrize(
    "start", ["return{", "return\n\n  {\n ", "/* return */ return\t{", 'return { "x": 1 }; return {']
)
@pytest.mark.parametrize("keys", [("AGGDATA", "DASHBOARD_DATA"), ("DASHBOARD_DATA", "AGGDATA"), ("DASHBOARD_DATA",)])
def test_data_object_is_found_at_any_position(start: str, keys: tuple[str, ...]) -> None:
    data = {key: dashboard_data(4, seed=0, **_SHAPE)[key] for key in keys}
    for written in (json.dumps(data, indent=1), json.dumps(data, ensure_ascii=False)):
        assert evidence(f"{start}{written[1:]};}}", 4) == evidence(page_of(data), 4)


def test_one_latent_of_several_is_read() -> None:
    pages = {str(latent): {"tokenData": {"g": _group([(f"t{latent}", 1.0 + latent)])}} for latent in (8, 9)}
    html = page_of({"AGGDATA": {"max": [80, 90], "frac_nonzero": [0.8, 0.9]}, "DASHBOARD_DATA": pages})
    assert evidence(html, 9)["latents"] == [{"latent": 9, "density": 0.9, "max_activation": 90}]
    assert evidence(html, 9)["contexts"][0]["tokens"] == ["t9"]


@pytest.mark.parametrize("figures", [[], [1, 2], [None], [-1], [float("nan")], [float("inf")], [1e300], [10**400]])
def test_missing_numbers_are_read_from_the_titles(figures: list[Any]) -> None:
    page = {
        "tokenData": {"g": _group([("a", 1.0)], title="TOP ACTIVATIONS<br>MAX = 34.0")},
        "actsHistogramData": _histogram([], [], title="ACTIVATIONS<br>DENSITY = 0.009%"),
    }
    data = {"AGGDATA": {"max": figures, "frac_nonzero": figures}, "DASHBOARD_DATA": {"2": page}}
    assert evidence(page_of(data), 2)["latents"] == [
        {"latent": 2, "density": pytest.approx(0.00009), "max_activation": 34.0}
    ]


def test_without_titles_the_strongest_token_is_the_maximum() -> None:
    rows = _rows(2, tokenData={"g": _group([("a", 1.0), ("b", 3.0)]), "h": _group([("c", 9.0)], title="MAX = 50.0")})
    assert rows["latents"] == [{"latent": 2, "density": None, "max_activation": 9.0}]


def test_unknown_numbers_are_none_and_empty_tables_absent() -> None:
    rows = _rows(2, logitsTableData={"0": {"posLogits": [{"symbol": "a", "value": 1}]}})
    assert rows["latents"] == [{"latent": 2, "density": None, "max_activation": None}]
    assert set(rows) == {"latents", "logits"}
    assert rows["logits"][0]["lowered_tokens"] == []


def test_impossible_numbers_are_unknown() -> None:
    rows = _rows(
        2,
        tokenData={"g": _group([("a", -1.0)], title="MAX = " + "9" * 400)},
        actsHistogramData=_histogram([], [], title="DENSITY = 101%"),
    )
    assert rows["latents"] == [{"latent": 2, "density": None, "max_activation": None}]


def test_non_finite_numbers_are_omitted() -> None:
    rows = _rows(
        2,
        tokenData={"g": {"data": [[], [{"tok": "a", "featAct": float("nan")}, {"tok": "b", "featAct": "2.5"}]]}},
        logitsTableData={"0": {"posLogits": [{"symbol": "a", "value": float("inf")}, {"symbol": "b", "value": 1}]}},
    )
    assert [row["activations"] for row in rows["contexts"]] == [[0, 2.5]]
    assert rows["logits"][0]["raised_tokens"] == ["b"]


def test_windows_differ_by_activations_or_position() -> None:
    bold = [[{"tok": "a", "featAct": 1, "isBold": place == 0}, {"tok": "a", "featAct": 1}] for place in (0, 0)]
    bold[1] = [bold[1][1], bold[1][0]]
    rows = _rows(2, tokenData={"g": {"data": [*bold, *bold]}, "h": _group([("a", 1.0), ("a", 0.5)])})
    assert [(row["activations"], row["position"]) for row in rows["contexts"]] == [
        ([1, 1], 0),
        ([1, 1], 1),
        ([1, 0.5], 0),
    ]


@pytest.mark.parametrize(
    ("x", "y", "edges"),
    [
        ([0.5, 1.5], [3, 1.0], (0, 2)),
        ([0.33333, 0.66667, 1.0], [1, 0, 1], (1 / 6, 7 / 6)),
        ([1], [1], None),
        ([], [], None),
        ([1, 2, 4], [1, 1, 1], None),
        ([2, 1], [1, 1], None),
        ([1, 1], [1, 1], None),
        ([1, 2], [1, 0.5], None),
        ([1, 2], [1, -1], None),
        ([1, 2], [1, 2**31], None),
        ([1, 2], [1], None),
        ([1, None], [1, 1], None),
        ([1, 2], [1, float("nan")], None),
    ],
)
def test_histogram_needs_equal_bins_and_counts(x: list[Any], y: list[Any], edges: tuple[float, float] | None) -> None:
    rows = _rows(2, tokenData=_SOME, actsHistogramData=_histogram(x, y))
    if edges is None:
        assert "histograms" not in rows
    else:
        (row,) = rows["histograms"]
        assert (row["low"], row["high"]) == pytest.approx(edges, abs=1e-4)
        assert [(count, type(count)) for count in row["counts"]] == [(count, int) for count in y]


# --- Pages without evidence ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("html", "reason"),
    [
        ("", "no data of SAEDashboard"),
        ("<p>return", "no data of SAEDashboard"),
        ("return {'AGGDATA': {}}", "no data of SAEDashboard"),
        (LITERAL[:-200], "cut off"),
        (LITERAL.replace("34.0", "9" * 5000), "cut off or no JSON"),
        ('return {"AGGDATA": ' + "[" * 200_000, "nested too deeply"),
        ('return {"DASHBOARD_DATA": ' + '{"a":' * 200_000, "nested too deeply"),
        (LITERAL.replace('{"7"', '{"8"'), "no data on latent 7"),
        ('return {"AGGDATA": {}}', "no data on latent 7"),
        (page_of({"DASHBOARD_DATA": []}), "DASHBOARD_DATA is no object"),
        (page_of({"DASHBOARD_DATA": {"7": "x"}}), "data on latent 7 is no object"),
        (page_of({"DASHBOARD_DATA": {"7": {}}}), "neither contexts nor logits nor a histogram"),
        (page_of({"DASHBOARD_DATA": {"7": {"tokenData": _SOME}}, "AGGDATA": 1}), "AGGDATA is no object"),
    ],
)
def test_page_without_evidence_gives_a_reason(html: str, reason: str) -> None:
    with pytest.raises(DashboardError, match=reason) as caught:
        evidence(html, 7)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"tokenData": []}, "tokenData is no object"),
        ({"tokenData": {"g": 1}}, "group is no object"),
        ({"tokenData": {"g": {"data": {}}}}, "data is no list"),
        ({"tokenData": {"g": {"data": ["x"]}}}, "context is no list"),
        ({"tokenData": {"g": {"data": [["x"]]}}}, "token is no object"),
        ({"tokenData": {"g": {"data": [[{"tok": 1}]]}}}, "token is no text"),
        ({"tokenData": {"g": {"data": [[{"tok": "a", "featAct": {}}]]}}}, "where a number is expected"),
        ({"tokenData": {"g": {"data": [[{"tok": "a", "featAct": "much"}]]}}}, "where a number is expected"),
        ({"tokenData": {"g": {"title": [], "data": [[{"tok": "a"}]]}}}, "title is no text"),
        ({"logitsTableData": {"0": []}}, "logitsTableData is no object"),
        ({"logitsTableData": {"0": {"posLogits": {}}}}, "posLogits is no list"),
        ({"logitsTableData": {"0": {"negLogits": [0.5]}}}, "logit is no object"),
        ({"actsHistogramData": "x"}, "actsHistogramData is no object"),
        ({"actsHistogramData": {"0": {"x": 1}}}, "x is no list"),
        ({"actsHistogramData": {"0": {"y": [[]]}}}, "where a number is expected"),
    ],
)
def test_data_of_another_form_is_refused(parts: dict[str, Any], reason: str) -> None:
    with pytest.raises(DashboardError, match=reason):
        _rows(7, **parts)


# --- Untrusted pages -----------------------------------------------------------------------------------------------


def _rows_or_reason(html: str) -> None:
    with suppress(DashboardError):
        rows = evidence(html, 7)
        assert len(rows["latents"]) == 1
        for table, found in rows.items():
            pa.Table.from_pylist(found).to_pandas()
            assert all(row["latent"] == 7 for row in found), table


@given(st.text(st.characters()))
@example('return {"AGGDATA"')
@example('return {"DASHBOARD_DATA": {"7": {"tokenData": {"g": {"data": [[{}]]}}}}}')
def test_any_text_produces_rows_or_an_error(html: str) -> None:
    _rows_or_reason(html)


@given(before=st.integers(0, len(LITERAL)), removed=st.integers(0, 40), put=st.text(st.characters(), max_size=8))
@settings(max_examples=300)
def test_any_damage_produces_rows_or_an_error(before: int, removed: int, put: str) -> None:
    _rows_or_reason(LITERAL[:before] + put + LITERAL[before + removed :])


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@cache
def _paths() -> list[tuple[str | int, ...]]:
    """Return the path of every value of a small page's data."""
    found: list[tuple[str | int, ...]] = []

    def walk(value: Any, path: tuple[str | int, ...]) -> None:
        found.append(path)
        for key, inner in (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        ):
            walk(inner, (*path, key))

    walk(_small(), ())
    return found


def _small() -> Any:
    return dashboard_data(7, seed=0, contexts=1, intervals=1, interval_contexts=1, bins=2, logits=1)


@given(data=st.data(), value=_ANYTHING)
@settings(max_examples=300, deadline=None)
def test_any_value_produces_rows_or_an_error(data: st.DataObject, value: Any) -> None:
    path = data.draw(st.sampled_from(_paths()))
    page = _small()
    place: Any = page
    for key in path[:-1]:
        place = place[key]
    if path:
        place[path[-1]] = value
    _rows_or_reason(page_of(page if path else value))


def _titled(part: str, title: str) -> str:
    group = {"tokenData": {"g": _group([("a", 1.0)]), "h": {"title": title}}}
    histogram = {"actsHistogramData": _histogram([], [], title=title)}
    return page_of({"DASHBOARD_DATA": {"7": {"tokenData": _SOME} | (group if part == "group" else histogram)}})


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "html",
    [
        pytest.param("return" * 1_000_000, id="return"),
        pytest.param("return" + " " * 5_000_000, id="spaces"),
        pytest.param("return { " * 500_000, id="braces"),
        pytest.param('return {"AGGDATA" ' * 200_000, id="keys"),
        pytest.param(_titled("group", "<" * 1_000_000), id="tags"),
        pytest.param(_titled("group", "< " * 500_000), id="open tags"),
        pytest.param(_titled("histogram", "DENSITY = 1." * 99_999), id="titles"),
        pytest.param(_titled("histogram", "DENSITY =" + " " * 1_000_000), id="spaces in a title"),
        pytest.param(_titled("histogram", "DENSITY = " + "1" * 1_000_000), id="digits in a title"),
    ],
)
def test_parsing_takes_linear_time(html: str) -> None:
    _rows_or_reason(html)
