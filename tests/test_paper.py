"""All figures of a paper from one file: either all are written, or none and one line states the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from explorer import figures
from explorer.cli import app
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from pathlib import Path

COSINE = '[[figure]]\nname = "cosine"\nfile = "cosine.svg"\nlayer = 3\nwidth = 4000\nl0 = 40\nletter = "s"\n'
K_SPARSE = """
[[figure]]
name = "k-sparse"
file = "k.svg"
size = [3, 3]
dark = true
sae = "l3-w4000-l0-40"
concept = "first-letter.s"
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_suite(tmp_path_factory.mktemp("suites") / "tiny")


def run(paper: Path, text: str | bytes | None, *options: str) -> Any:
    if isinstance(text, bytes):
        paper.write_bytes(text)
    elif text is not None:
        paper.write_text(text)
    return CliRunner().invoke(app, ["figures", str(paper), *options])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"\xff\xfe", "is not TOML"),
        ("[[figure]", "is not TOML: "),
        ("", "figure: Field required"),
        ("figure = []", "figure: List should have at least 1 item"),
        (f"colour = 1\n{COSINE}", "colour: Extra inputs are not permitted"),
        (f"size = [6]\n{COSINE}", "size"),
        (f"dpi = '300'\n{COSINE}", "dpi: Input should be a valid number"),
        (f"dpi = 0\n{COSINE}", "figure 1 (cosine.svg): size, font size and dpi must be above 0"),
        ('[[figure]]\nname = "cosine"', "figure 1: file: Field required"),
        (
            f'font = "a;}}</style>"\n{COSINE}',
            "figure 1 (cosine.svg): 'a;}</style>' is not a font family; give names",
        ),
        (f"{COSINE}colour = 1\n", "figure 1 (cosine.svg): 'colour' is not known here"),
        (f"{COSINE}tau = 7\n", "figure 1 (cosine.svg): tau = '7' is out of range (0 to 1)"),
        (COSINE.replace('"s"', '"é"'), "figure 1 (cosine.svg): concept = 'first-letter.é' does not exist here"),
        (COSINE.replace('"cosine"', '"cosines"'), "name = 'cosines' does not exist here (there is cosine, k-sparse"),
        (COSINE.replace(".svg", ".pdf"), "cosine.pdf is neither .svg nor .png"),
        (COSINE.replace("cosine.svg", "none/cosine.svg"), "none is not a folder; create it first"),
        (f"{COSINE}suite = 'none'\n", "none: no such folder; give a suite"),
        (COSINE + COSINE, "figure 2 (cosine.svg): another figure has the same file"),
        (COSINE + COSINE.replace("cosine.svg", "../p/cosine.svg"), "figure 2 (../p/cosine.svg): another figure has"),
        (COSINE.replace("cosine.svg", "there.svg"), "figure 1 (there.svg): "),
        (COSINE.replace("cosine.svg", "there.svg"), "there.svg exists already"),
        (COSINE.replace("cosine.svg", "a\\u0000.svg"), "cannot be written: embedded null"),
        (COSINE.replace("cosine.svg", f"{'x' * 300}.svg"), "cannot be written: File name too long"),
        (f"{COSINE}latent = 1.5\n", "latent = '1.5' is not an integer"),
    ],
)
def test_errors_are_one_line_and_nothing_is_written(
    suite: Path, tmp_path: Path, text: str | bytes | None, why: str
) -> None:
    tmp_path = tmp_path / "p"
    tmp_path.mkdir()
    (tmp_path / "there.svg").write_text("kept")
    good = COSINE.replace("cosine.svg", "good.svg")
    if isinstance(text, str) and "[[figure]]" in text and text != '[[figure]]\nname = "cosine"':
        text = f"suite = '{suite}'\n{text}" + (good if "figure 2" not in why else "")
    result = run(tmp_path / "paper.toml", text)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("absorption-explorer: ")
    assert result.stderr.count("\n") == 1
    assert why in result.stderr
    assert {file.name for file in tmp_path.iterdir()} <= {"paper.toml", "there.svg"}
    assert (tmp_path / "there.svg").read_text() == "kept"


@pytest.mark.parametrize(("drawn", "name"), [(b"", "b.png"), (b"whole", f"{'x' * 246}.svg")])
def test_failure_of_a_later_figure_writes_none(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn: bytes, name: str
) -> None:
    monkeypatch.setattr(figures, "in_browser", lambda _: [b"whole", drawn])
    (tmp_path / "cosine.svg").write_text("kept")
    text = f"suite = '{suite}'\n{COSINE}{COSINE.replace('cosine.svg', name)}"
    result = run(tmp_path / "paper.toml", text, "--force")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert name in result.stderr
    assert {file.name for file in tmp_path.iterdir()} == {"paper.toml", "cosine.svg"}
    assert (tmp_path / "cosine.svg").read_text() == "kept"


@pytest.mark.browser
def test_one_command_writes_all_figures_again(suite: Path, tmp_path: Path) -> None:
    text = f"suite = '{suite}'\nsize = [4, 2]\nfont = 'serif'\n{COSINE}{K_SPARSE}"
    paper = tmp_path / "paper.toml"
    made = run(paper, text)
    assert made.exit_code == 0, made.stderr
    assert [line.partition(":")[0] for line in made.stdout.splitlines()] == [
        str(tmp_path / name) for name in ("cosine.svg", "k.svg")
    ]
    drawn = {name: (tmp_path / name).read_text("utf-8") for name in ("cosine.svg", "k.svg")}
    assert 'width="384" height="192"' in drawn["cosine.svg"]
    assert 'width="288" height="288"' in drawn["k.svg"]
    assert all('font-family="serif"' in each for each in drawn.values())
    assert run(paper, None).exit_code == 2
    assert run(paper, None, "--force").exit_code == 0
    assert {file.name for file in tmp_path.iterdir()} == {"paper.toml", "cosine.svg", "k.svg"}
