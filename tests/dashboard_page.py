"""Synthetic pages in SAEDashboard's format, for tests and benchmarks of their import."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

#: As a SentencePiece tokenizer has them; some break careless quoting, in JSON, in a script, and in HTML.
VOCABULARY = (
    *("▁the", "▁of", "▁short", "▁stone", "▁silver", "▁sound", "▁spring", "▁and", "▁s", "s", "ing", "ed", ",", "."),
    *("\n", "\n\n", "▁▁", "▁é", "▁日本", "😀", "\u2028", "<eos>", "(", "{{", "}}", "\\", "\\u2581", '"', '▁"', "'"),
    *("</script>", "▁<script>alert(1)</script>", "<b>", "<!--", "&amp;"),
)
_BEFORE, _AFTER = 5, 5  # tokens around the one that a window was chosen for
_SILENT_SHARE = 0.8


def dashboard_page(
    latent: int,
    *,
    seed: int = 0,
    contexts: int = 20,
    intervals: int = 10,
    interval_contexts: int = 5,
    bins: int = 50,
    logits: int = 10,
) -> str:
    """Return a deterministic page of about 100 KB by default.

    Parameters
    ----------
    latent, seed : int
        Draw everything.
    contexts : int
        Windows in the group of the top activations.
    intervals, interval_contexts : int
        Number of intervals of the activation, and windows of each.
    bins : int
        Of the histogram.
    logits : int
        Output tokens on either side.
    """
    return page_of(
        dashboard_data(
            latent,
            seed=seed,
            contexts=contexts,
            intervals=intervals,
            interval_contexts=interval_contexts,
            bins=bins,
            logits=logits,
        )
    )


def page_of(data: Any) -> str:
    """Return the page with `data`."""
    # To a browser a script ends at "</script", even inside a string, and does not if "<!--<script" stands before it.
    written = json.dumps(data).replace("</", "<\\/").replace("<!--", "\\u003c!--")
    return _PAGE.replace("DATA_OF_THE_PAGE", written)


def dashboard_data(
    latent: int, *, seed: int, contexts: int, intervals: int, interval_contexts: int, bins: int, logits: int
) -> dict[str, Any]:
    """Return the data for `page_of`; the arguments are those of `dashboard_page`."""
    rng = np.random.default_rng((seed, latent))
    largest = round(float(rng.uniform(5, 80)), 3)
    density = round(float(rng.uniform(1e-5, 0.02)), 5)
    effects = rng.normal(0, 0.4, len(VOCABULARY))

    peaks = np.sort(rng.uniform(0.5, 1, contexts))[::-1] * largest
    peaks[:1] = largest
    top = [_window(rng, effects, peak, largest) for peak in peaks]
    groups = [{"data": top, "idSuffix": "0", "title": f"TOP ACTIVATIONS<br>MAX = {largest:.3f}"}]
    edges = np.linspace(0, largest, intervals + 1)
    for low, high in zip(edges[-2::-1], edges[:0:-1], strict=True):
        drawn = [_window(rng, effects, peak, largest) for peak in rng.uniform(low, high, interval_contexts)]
        if high == largest:
            drawn[:1] = top[: len(drawn[:1])]  # the highest interval is drawn from among the top activations, too
        title = f"INTERVAL {low:.3f} - {high:.3f}<br>CONTAINS {density / intervals:.3%}"
        groups.append({"data": drawn, "idSuffix": "0", "title": title})

    centres = np.linspace(0, largest, bins, endpoint=False) + largest / bins / 2
    return {
        "AGGDATA": {"max": [largest], "frac_nonzero": [density], "skew": [], "kurtosis": []},
        "DASHBOARD_DATA": {
            str(latent): {
                "featureTablesData": {"0": {name: _table(rng) for name in _TABLES}},
                "actsHistogramData": {
                    "0": {
                        "y": rng.poisson(1000 * np.exp(-np.arange(bins) / 8)).tolist(),
                        "x": centres.round(5).tolist(),
                        "ticks": [0, *np.linspace(0, largest, 4)[1:].round(1).tolist()],
                        "colors": [_shade(centre / largest) for centre in centres],
                        "title": f"ACTIVATIONS<br>DENSITY = {density:.3%}",
                    }
                },
                "logitsTableData": {
                    "0": {
                        "negLogits": _logits(rng, logits, sign=-1),
                        "posLogits": _logits(rng, logits, sign=1),
                    }
                },
                "logitsHistogramData": {
                    "0": {
                        "y": rng.poisson(5000 * np.exp(-(np.linspace(-3, 3, bins) ** 2))).tolist(),
                        "x": np.linspace(-1.5, 1.5, bins).round(5).tolist(),
                        "ticks": [-1.2, -0.6, 0, 0.6, 1.2],
                    }
                },
                "tokenData": {f"seq-group-2-{place}": group for place, group in enumerate(groups)},
            }
        },
    }


_TABLES = ("neuronAlignment", "correlatedNeurons", "correlatedFeatures")


def _table(rng: np.random.Generator) -> list[dict[str, Any]]:
    return [
        {"index": int(index), "value": f"{value:+.3f}", "percentageL1": f"{share:.1%}"}
        for index, value, share in zip(
            rng.integers(16384, size=3), rng.uniform(-0.3, 0.3, 3), rng.uniform(0, 0.01, 3), strict=True
        )
    ]


def _logits(rng: np.random.Generator, number: int, *, sign: int) -> list[dict[str, Any]]:
    values = sign * np.sort(rng.uniform(0.3, 1.5, number))[::-1]
    tokens = rng.integers(len(VOCABULARY), size=number)
    return [
        {"symbol": VOCABULARY[token], "value": round(float(value), 2), "color": "rgba(128,128,255,0.5)"}
        for token, value in zip(tokens, values, strict=True)
    ]


def _window(rng: np.random.Generator, effects: np.ndarray, peak: float, largest: float) -> list[dict[str, Any]]:
    """Return one window around a token of activation `peak`; the others are silent or weaker."""
    length = _BEFORE + 1 + _AFTER
    numbers = rng.integers(len(VOCABULARY), size=length).tolist()
    activations = np.where(rng.random(length) < _SILENT_SHARE, 0, rng.random(length) * peak)
    activations[_BEFORE] = peak
    return [
        {
            "tok": VOCABULARY[number],
            "tokID": number,
            "tokenLogit": round(float(effects[number]), 4),
            "isBold": place == _BEFORE,
        }
        | ({"featAct": round(activation, 4), "bgColor": _shade(activation / largest)} if activation > 0 else {})
        # What the latent does to the prediction of a token shows on the token after it.
        | (_hover(effects, numbers) if place == _BEFORE + 1 else {})
        for place, (number, activation) in enumerate(zip(numbers, activations.tolist(), strict=True))
    ]


def _hover(effects: np.ndarray, numbers: Sequence[int]) -> dict[str, Any]:
    order = sorted(numbers, key=lambda number: -float(effects[number]))
    sides = {"pos": order[:5], "neg": order[:-6:-1]}
    return {
        key: value
        for side, chosen in sides.items()
        for key, value in (
            (f"{side}Toks", [VOCABULARY[number] for number in chosen]),
            (f"{side}Val", [round(float(effects[number]), 4) for number in chosen]),
        )
    } | {"lossEffect": 0.0, "uColor": "rgb(255,255,255)"}


def _shade(share: float) -> str:
    """Return a colour between white and orange."""
    return f"#ff{round(255 - 115 * share):02x}{round(255 * (1 - share)):02x}"


_PAGE = """
<div id='dropdown-container'></div>

<div class='grid-container'>
    <div id='column-0' class="grid-column" style='width: 420px; max-height: 750px; '>
        <div id='feature-tables-0'>
            <h4>NEURON ALIGNMENT</h4>
            <table class="table-left"></table>
            <h4>CORRELATED NEURONS</h4>
            <table class="table-left"></table>
            <h4>CORRELATED FEATURES</h4>
            <table class="table-left"></table>
        </div>
    </div>
    <div id='column-1' class="grid-column" style='width: 420px; max-height: 750px; '>
        <div id='histogram-acts-0' class='plotly-hist'></div>
        <div id='logits-table-0' class='logits-table'>
            <div class='negative'><table></table></div>
            <div class='positive'><table></table></div>
        </div>
        <div id='histogram-logits-0' class='plotly-hist'></div>
    </div>
    <div id='column-2' class="grid-column" style='max-height: 750px; '></div>
</div>

<style>
body { font-family: system-ui, sans-serif; font-size: 14px; color: #222; background: #fff; }
.grid-container { display: grid; grid-auto-flow: column; justify-content: start; gap: 20px; overflow-x: auto; }
.grid-column { padding: 8px 12px; overflow: auto; border-radius: 6px; box-shadow: 0 2px 6px rgba(0, 0, 0, 0.2); }
.plotly-hist { height: 160px; margin-bottom: 12px; }
.logits-table { display: flex; gap: 16px; }
.logits-table table { border-spacing: 0; font-size: 12px; }
.logits-table td.value { text-align: right; padding-left: 8px; }
.logits-table .negative code { background: rgba(255, 128, 128, 0.4); }
.logits-table .positive code { background: rgba(128, 128, 255, 0.4); }
.table-left { width: 100%; font-size: 12px; }
.seq { white-space: nowrap; line-height: 22px; }
.seq .token { font-family: ui-monospace, monospace; border-bottom: 3px solid transparent; }
.seq .token.bold { font-weight: 700; }
.tooltip { position: absolute; padding: 6px; background: #fff; border: 1px solid #888; pointer-events: none; }
</style>

<script src="https://d3js.org/d3.v6.min.js"></script>
<script src="https://cdn.plot.ly/plotly-latest.min.js"></script>

<script>
document.addEventListener("DOMContentLoaded", function (event) {
    const ALL_DATA = defineData();
    setupPage(ALL_DATA['DASHBOARD_DATA'], ALL_DATA['AGGDATA']);
});

function setupPage(DASHBOARD_DATA, AGGDATA) {
    const keys = Object.keys(DASHBOARD_DATA);
    const select = d3.select("#dropdown-container").append("select");
    select.selectAll("option").data(keys).enter().append("option").text(key => key);
    select.on("change", function () { createVis(DASHBOARD_DATA[this.value]); });
    createVis(DASHBOARD_DATA[keys[0]]);
}

function placeOf(element) {
    const box = element.getBoundingClientRect();
    return { "left": box.left, "top": box.bottom };
}

function drawHistogram(id, histogram) {
    const layout = { title: histogram.title, margin: { t: 40, r: 10, b: 30, l: 40 }, bargap: 0.05 };
    layout.xaxis = { tickvals: histogram.ticks };
    Plotly.newPlot(id, [{ type: "bar", x: histogram.x, y: histogram.y, marker: { color: histogram.colors } }], layout);
}

function drawLogits(selector, rows) {
    const row = d3.select(selector).selectAll("tr").data(rows).join("tr");
    row.append("td").append("code").text(d => d.symbol);
    row.append("td").attr("class", "value").text(d => (d.value > 0 ? "+" : "") + d.value.toFixed(2));
}

function drawGroup(column, group) {
    column.append("h4").html(group.title);
    const seq = column.append("div").selectAll("div.seq").data(group.data).join("div").attr("class", "seq");
    seq.selectAll("span").data(d => d).join("span")
        .attr("class", d => d.isBold ? "token bold" : "token")
        .style("background-color", d => d.bgColor || null)
        .text(d => d.tok)
        .on("mouseover", function (event, d) {
            const place = placeOf(this);
            d3.select("body").append("div").attr("class", "tooltip")
                .style("left", place.left + "px").style("top", place.top + "px")
                .text("activation " + (d.featAct || 0).toFixed(3) + ", logit " + d.tokenLogit.toFixed(3));
        })
        .on("mouseout", () => d3.selectAll(".tooltip").remove());
}

function createVis(DATA) {
    d3.selectAll(".logits-table tr, #column-2 > *").remove();
    Object.entries(DATA.actsHistogramData).forEach(([id, data]) => drawHistogram("histogram-acts-" + id, data));
    Object.entries(DATA.logitsHistogramData).forEach(([id, data]) => drawHistogram("histogram-logits-" + id, data));
    Object.entries(DATA.logitsTableData).forEach(([id, data]) => {
        drawLogits("#logits-table-" + id + " .negative table", data.negLogits);
        drawLogits("#logits-table-" + id + " .positive table", data.posLogits);
    });
    Object.values(DATA.tokenData).forEach(group => drawGroup(d3.select("#column-2"), group));
}

function defineData() {
    return DATA_OF_THE_PAGE;
}
</script>
"""
