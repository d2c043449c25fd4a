"""Figures for papers: files with the requested size, font and theme, or an error in one line."""

from __future__ import annotations

import re
import shutil
import struct
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from explorer import Explorer, FigureError, open_store
from explorer.cli import app
from explorer.figures import FIGURES
from explorer.store import SWEEPS
from explorer.theme import DARK, LIGHT
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def explorer() -> Iterator[Explorer]:
    with open_store(SWEEPS) as store:
        yield Explorer(store, sae="l12-w8192-l0-7", concept="first-letter.l", latent=3983)


@pytest.mark.browser
def test_svg_has_size_font_and_theme_and_does_not_change_the_explorer(explorer: Explorer, tmp_path: Path) -> None:
    before = explorer.state.to_query()
    for dark, which in ((False, LIGHT), (True, DARK)):
        path = tmp_path / f"{which.name}.svg"
        explorer.save_figure("cosine", path, size=(6, 3), font="serif", font_size=9, dark=dark)
        drawn = path.read_text(encoding="utf-8")
        assert 'width="576" height="288"' in drawn
        texts = re.findall(r"<text [^>]*>[^<]*</text>", drawn)
        assert texts
        assert all('font-family="serif"' in text and 'font-size="12px"' in text for text in texts)
        for label in ("cosine with the probe", "split latents", "absorbing latents", "cosine threshold"):
            assert sum(f">{label}<" in text for text in texts) == 1, label
        assert {which.paper, which.muted, which.rule} <= set(re.findall(r"#[0-9a-f]{6}", drawn))
    assert explorer.state.to_query() == before


@pytest.mark.browser
def test_png_of_every_figure_has_the_requested_pixels(explorer: Explorer, tmp_path: Path) -> None:
    for name in ("k-sparse", "precision-vs-recall", "absorption-vs-l0", "absorption-heatmap", "threshold-sensitivity"):
        path = tmp_path / f"{name}.png"
        explorer.save_figure(name, path, size=(4, 2), dpi=144)
        assert struct.unpack(">II", path.read_bytes()[16:24]) == (576, 288)


@pytest.mark.browser
def test_labels_of_rows_and_columns_fit_a_small_figure(explorer: Explorer, tmp_path: Path) -> None:
    explorer.save_figure("absorption-heatmap", tmp_path / "map.svg", size=(3.3, 2.5), font_size=9)
    drawn = (tmp_path / "map.svg").read_text(encoding="utf-8")
    sizes = {
        label: float(size)
        for size, label in re.findall(r'<text [^>]*font-size="([\d.]+)px"[^>]*>([A-Z]|[^<]* · [^<]*)</text>', drawn)
    }
    rows, columns = ([sizes[label] for label in sizes if (len(label) == 1) is letter] for letter in (True, False))
    assert len(rows) == 26
    assert len(columns) == 22
    assert sum(rows) < 240
    assert sum(columns) < 317
    assert "absorption rate" in drawn


def test_figure_errors_are_reported_in_one_line(
    explorer: Explorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there.svg").write_text("kept")
    refused = {
        ("cosine", "there.svg"): r"there\.svg exists already",
        ("cosine", "figure.pdf"): r"neither \.svg nor \.png",
        ("cosine", "no/figure.svg"): "is not a folder",
        ("cosines", "figure.svg"): "there is no figure 'cosines'; choose one of cosine, k-sparse",
    }
    for (name, file), why in refused.items():
        with pytest.raises(FigureError, match=why):
            explorer.save_figure(name, tmp_path / file)
    assert (tmp_path / "there.svg").read_text() == "kept"
    with pytest.raises(FigureError, match="must be above 0"):
        explorer.save_figure("cosine", tmp_path / "figure.svg", size=(0, 3))
    with open_store(write_tiny_suite(tmp_path / "bare", cosines=False)) as store, pytest.raises(FigureError) as empty:
        Explorer(store).save_figure("cosine", tmp_path / "figure.svg")
    assert "the figure 'cosine' is empty here" in str(empty.value)
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    with pytest.raises(FigureError, match=r"pip install 'absorption-explorer\[figures\]'"):
        explorer.save_figure("cosine", tmp_path / "figure.svg")
    assert not (tmp_path / "figure.svg").exists()


@pytest.mark.browser
def test_missing_browser_error_names_the_fix(
    explorer: Explorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    with pytest.raises(FigureError, match="playwright install chromium"):
        explorer.save_figure("cosine", tmp_path / "figure.svg")


@pytest.mark.browser
def test_command_writes_a_figure(tmp_path: Path) -> None:
    path = tmp_path / "figure.svg"
    command = ["figure", "cosine", "-o", str(path), "--concept", "first-letter.s", "--size", "4", "2"]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert 'width="384" height="192"' in path.read_text(encoding="utf-8")
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 2
    assert "exists already" in again.stderr
    assert set(FIGURES) >= {"cosine", "k-sparse", "absorption-heatmap"}
