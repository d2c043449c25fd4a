"""Time an update of the cosine plot, redrawn by HoloViews or patched: ``python -m benchmarks.redraw``."""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
import pandas as pd

from benchmarks.measuring import summary
from explorer.plots.cosine import cosine_plot
from explorer.theme import LIGHT

if TYPE_CHECKING:
    from explorer.plots.layers import Plot

hv.extension("bokeh", logo=False)


def main() -> None:
    """Measure in turns, and print JSON: milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    print(json.dumps({f"{latents:,} latents": _measure(latents, runs) for latents in (8192, 65_536)}, indent=2))


def _measure(latents: int, runs: int) -> dict[str, Any]:
    plots = [_plot(latents, seed) for seed in range(2)]
    shown = plots[0]
    stream: Any = hv.streams.Counter()
    plot = hv.renderer("bokeh").get_plot(hv.DynamicMap(lambda **_: shown.draw(), streams=[stream]))
    figure = hv.render(plots[0].draw())
    times: dict[str, list[float]] = {"drawn": [], "patched": []}
    for run in range(1, runs + 1):
        former, shown = shown, _plot(latents, run)
        start = time.perf_counter()
        stream.event()
        times["drawn"].append(1000 * (time.perf_counter() - start))
        start = time.perf_counter()
        shown.patch(figure, former)
        times["patched"].append(1000 * (time.perf_counter() - start))
        drawn, patched = (each.select_one({"name": "latents"}).data_source.data for each in (plot.state, figure))
        assert np.array_equal(drawn["cosine"], patched["cosine"])
    return {name: summary(values, 1) for name, values in times.items()}


def _plot(latents: int, seed: int) -> Plot:
    cosines = np.random.default_rng(seed).normal(0, 0.03, latents).astype(np.float32)
    frame = pd.DataFrame({"latent": np.arange(latents, dtype=np.int32), "cosine": cosines})
    return cosine_plot(frame, split=[1, 2], absorbing=[3], selected=None, threshold=0.025, theme=LIGHT)


if __name__ == "__main__":
    main()
