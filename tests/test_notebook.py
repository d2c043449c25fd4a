"""The notebooks run from beginning to end; in JupyterLab, a click in a cell reaches Python."""

from __future__ import annotations

import base64
import json
import re
import shutil
import struct
import sys
from html import escape
from typing import TYPE_CHECKING, Any

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from playwright.sync_api import expect

from explorer import Explorer, open_store
from explorer.store import SWEEPS
from explorer.views.markup import Markup
from tests.browser import ROOT, Server, free_port, start_process, tap

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.browser import PageOpener

TOUR, COLAB = ROOT / "docs" / "notebook.ipynb", ROOT / "deploy" / "colab.ipynb"
WIDGET = "application/vnd.jupyter.widget-view+json"
VIEWS = ("explorer", "explorer.cosine", "explorer.card", "explorer.k_sparse", "explorer.heat_map")
#: What Panel requests from the network in a notebook, without needing it.
OFFLINE = r"failed to load https://cdn\.holoviz\.org/.*es-module-shims"


@pytest.fixture(autouse=True)
def own_jupyter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """Isolate Jupyter from the user's settings, and disable its announcements."""
    settings = tmp_path / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    names = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    }
    own = {name: str(tmp_path / folder) for name, folder in names.items()} | {"JUPYTER_PLATFORM_DIRS": "1"}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    return own


@pytest.fixture
def lab(tmp_path: Path, own_jupyter: dict[str, str]) -> Iterator[Server]:
    """JupyterLab without a token, in a folder with a copy of the tour."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    shutil.copy(TOUR, folder)
    port = free_port()
    options = {
        "ServerApp.port": port,
        "ServerApp.root_dir": folder,
        "ServerApp.allow_root": True,
        "ServerApp.disable_check_xsrf": True,
        "IdentityProvider.token": "",
        "LabApp.open_browser": False,
    }
    command = [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]
    server = start_process(command, tmp_path / "lab.log", port, "/api", environment=own_jupyter)
    yield server
    server.stop()


def outputs_of(cell: Any) -> list[Any]:
    return list(cell.get("outputs", []))


def test_tour_shows_every_view_and_exports_pictures_of_them() -> None:
    tour = nbformat.read(TOUR, as_version=4)
    assert [cell.id for cell in tour.cells if outputs_of(cell)] == [], "the tour is committed without outputs"
    NotebookClient(tour, timeout=120, resources={"metadata": {"path": str(ROOT)}}).execute()
    outputs = {cell.source.splitlines()[-1]: outputs_of(cell) for cell in tour.cells if cell.cell_type == "code"}
    shown = [line for line, (*_, last) in ((k, v) for k, v in outputs.items() if v) if WIDGET in last.get("data", {})]
    assert shown == list(VIEWS)
    # Warnings, such as missing comms, would be on stderr.
    complaints = [each for found in outputs.values() for each in found if each.get("name") == "stderr"]
    assert complaints == []
    exported, _ = HTMLExporter().from_notebook_node(tour)
    pictures = re.findall(r'<img [^>]*class="ax-picture [^>]*src="data:image/png;base64,([^"]+)"', exported)
    assert len(pictures) == len(VIEWS)
    sizes = [struct.unpack(">II", base64.b64decode(picture)[16:24]) for picture in pictures]
    assert all(width > 1000 and height > 300 for width, height in sizes), sizes


def test_colab_notebook_runs_once_the_package_is_installed(tmp_path: Path) -> None:
    notebook = nbformat.read(COLAB, as_version=4)
    assert [cell.id for cell in notebook.cells if outputs_of(cell)] == [], "it is committed without outputs"
    notebook.cells = [cell for cell in notebook.cells if "install" not in cell.metadata.get("tags", [])]
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = {cell.source.splitlines()[-1]: outputs_of(cell) for cell in notebook.cells if cell.cell_type == "code"}
    complaints = [each for found in outputs.values() for each in found if each.get("name") == "stderr"]
    assert complaints == []
    (snapshot,) = (each.data["text/html"] for each in outputs['HTML(f"<div>{frame}</div>")'])
    assert escape((tmp_path / "absorption.html").read_text()) in snapshot
    # Panel's mode for Colab: no widgets, and scripts with each view.
    assert {"text/html", "application/vnd.holoviews_exec.v0+json"} <= set(outputs["explorer.cosine"][-1].data)


def test_views_of_an_explorer_share_its_state_on_any_page() -> None:
    with open_store(SWEEPS) as store:
        explorer, other = Explorer(store, letter="s"), Explorer(store, letter="c")
        model = explorer.model
        assert model.concept_rates is None
        assert explorer.heat_map is explorer.heat_map
        assert isinstance(model.concept_rates, pd.DataFrame)
        explorer.state.page = "compare"
        _ = explorer.cosine
        explorer.state.concept = "first-letter.t"
        assert model.cosines is not None
        assert model.cosines["cosine"].tolist() == explorer.to_dataframe("cosines")["cosine"].tolist()
        assert other.state.concept == "first-letter.c"


def test_exported_tables_are_complete_and_may_be_modified() -> None:
    with open_store(SWEEPS) as store:
        explorer = Explorer(store, letter="s")
        explorer.state.page = "evidence"
        tokens = explorer.to_dataframe("suite_evidence")
        shown = explorer.model.suite_evidence
        assert shown is not None
        assert len(tokens) > len(shown)
        tokens = explorer.to_dataframe("concept_evidence")
        tokens["concept"] = "changed"
        assert set(explorer.to_dataframe("concept_evidence")["concept"]) == {"first-letter.s"}
        with pytest.raises(ValueError, match="there is no table 'cosine'; choose one of concepts, summary, cosines"):
            explorer.to_dataframe("cosine")
        with pytest.raises(ValueError, match=r"the table 'latent_roles' needs a selected latent: set state\.latent"):
            explorer.to_dataframe("latent_roles")


def test_cosine_plot_alone_has_no_links_to_other_views() -> None:
    with open_store(SWEEPS) as store:
        explorer = Explorer(store, letter="s")
        shown = (part for part in explorer.cosine.select() if isinstance(part, Markup))
        (words,) = (part for part in shown if part.css_name == "selection")
        assert "Tap a latent in the plot to select it." in words.html
        explorer.state.latent = 47
        assert "Latent 47" in words.html
        assert "card" not in words.html


@pytest.mark.browser
@pytest.mark.timeout(600)
def test_jupyterlab_taps_reach_python_and_tables_can_be_saved(lab: Server, open_page: PageOpener) -> None:
    page = open_page(f"{lab.url}/doc/tree/{TOUR.name}", height=1600, allow=[OFFLINE, r"net::ERR_FAILED"])
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    with open_store(SWEEPS) as store:
        explorer = Explorer(store, sae="l12-w8192-l0-7", concept="first-letter.l")
        cosines = explorer.to_dataframe("cosines").set_index("latent")["cosine"]
        main = int(explorer.to_dataframe("split_latents")["latent"].iloc[0])
    # The kernel starts and pictures are drawn before the first plot, which may take more than a minute.
    drawn = "() => window.Bokeh?.index && [...Bokeh.index.query(({model}) => model.name === 'cosine')].length > 0"
    page.wait_for_function(drawn, timeout=240_000)
    # The kernel handles clicks only after all cells have run.
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=240_000)
    tap(page, "cosine", main, float(cosines[main]))
    # The change caused by the tap is displayed.
    page.locator("strong", has_text=f"Latent {main}").first.wait_for()
    # The pictures for exports exist, and are hidden beside live views.
    expect(page.locator("img.ax-picture").first).to_be_attached()
    expect(page.locator("img.ax-picture").locator("visible=true")).to_have_count(0)
    # Exports work here, too.
    page.get_by_role("button", name="Export the cosines").first.click()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV", exact=True).click()
    assert download.value.suggested_filename == "smollm2-135m_l12-w8192-l0-7_first-letter.l_cosines.csv"
    page.get_by_role("button", name="Close", exact=True).click()
    page.get_by_text('print(f"concept').click()
    page.keyboard.press("Shift+Enter")
    page.get_by_text(f"concept first-letter.l, latent {main}", exact=True).wait_for()
    # Search results cover the contents below, and can be clicked.
    page.locator("#search").first.fill(str(main + 1))
    page.locator("#found-latent").first.click()
    page.locator("strong", has_text=f"Latent {main + 1}").first.wait_for()


_IN_A_FRAME = """([code, html]) => {
  document.body.dataset.vscodeThemeKind = "vscode-light"
  document.body.innerHTML = '<div style="height: 3000px"></div><div id="output" style="height: 1000px"></div>'
  const el = document.querySelector("#output").attachShadow({ mode: "open" })
  const listeners = {}
  const on = (what, listener) => { listeners[what] = listener }
  const send_msg = (sent) => { window.sent = sent }
  const model = { html: "", css_name: "export", on, send_msg, document: { is_idle: true } }
  el.append(new Function(`${code.replaceAll("export function", "function")}; return render`)()({ model, el }))
  model.html = html
  listeners.html()
  window.heard = 0
  window.addEventListener("click", () => window.heard += 1)
}"""


@pytest.mark.browser
def test_dialogs_and_links_work_in_the_tall_frame_of_vs_code(chromium: Browser) -> None:
    """It shows all outputs in one frame, as tall as the notebook, and opens each link that is clicked in it."""
    code = ROOT.joinpath("explorer", "views", "markup.js").read_text("utf-8")
    page = chromium.new_page(viewport={"width": 800, "height": 600})
    page.set_content('<body style="margin: 0"><iframe style="border: 0; width: 100%; height: 6000px"></iframe>')
    page.evaluate("scrollTo(0, 3100)")
    frame = page.frames[1]
    dialog = '<dialog data-modal style="box-sizing: border-box; height: 900px">Export</dialog>'
    frame.evaluate(_IN_A_FRAME, [code, dialog])
    frame.wait_for_function(
        """() => {
          const dialog = document.querySelector("#output").shadowRoot.querySelector("dialog")
          const { top, bottom } = dialog.getBoundingClientRect()
          return 3100 < top && top < bottom && bottom < 3700
        }"""
    )
    frame.evaluate(_IN_A_FRAME, [code, '<a href="?page=atlas" data-action="page" data-value="atlas">Atlas</a>'])
    frame.get_by_role("link", name="Atlas").click()
    assert frame.evaluate("sent") == {"action": "page", "value": "atlas"}
    assert frame.evaluate("heard") == 0
    page.close()
