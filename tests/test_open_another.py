"""Opening other suites from the page, if the server is reachable from its own machine only."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect
from typer.testing import CliRunner

from explorer import session
from explorer.app import prepare_process
from explorer.cli import app
from explorer.served import MayOpen, Served, may_open
from explorer.views.open_another import OpenAnother
from ingest import cache
from queries import SuiteError
from tests.in_process import serving
from tests.saebench_results import write_results
from tests.test_accessibility import _found
from tests.tiny_suite import write_tiny_suite
from tests.visitors import ask

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser import PageOpener

SAES = [(0, 1000, 10)]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "cache"))


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return Served([str(write_tiny_suite(tmp_path / "tiny", saes=SAES))], MayOpen.ANYTHING)


@pytest.mark.security
@pytest.mark.parametrize(
    ("wanted", "address", "is_behind_proxy", "found"),
    [
        (None, None, False, MayOpen.NOTHING),
        (None, "0.0.0.0", False, MayOpen.NOTHING),  # noqa: S104 - what is refused
        (None, "127.0.0.1", True, MayOpen.NOTHING),
        (None, "127.0.0.1", False, MayOpen.ANYTHING),
        (None, "localhost", False, MayOpen.ANYTHING),
        (False, "127.0.0.1", False, MayOpen.NOTHING),
        (True, None, False, MayOpen.CATALOGUE),
        (True, "127.0.0.1", True, MayOpen.CATALOGUE),
    ],
)
def test_only_the_owner_of_the_server_may_open_any_source(
    wanted: bool | None,  # noqa: FBT001 - pytest hands it over
    address: str | None,
    is_behind_proxy: bool,  # noqa: FBT001
    found: MayOpen,
) -> None:
    assert may_open(wanted=wanted, address=address, is_behind_proxy=is_behind_proxy) is found


@pytest.mark.security
def test_origins_in_the_environment_mean_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOKEH_ALLOW_WS_ORIGIN", "explorer.example.org")
    assert may_open(wanted=None, address="127.0.0.1", is_behind_proxy=False) is MayOpen.NOTHING


@pytest.mark.security
@pytest.mark.parametrize(
    ("option", "found"),
    [([], MayOpen.ANYTHING), (["--prefix", "/explorer"], MayOpen.NOTHING), (["--use-xheaders"], MayOpen.NOTHING)],
)
def test_command_treats_proxy_options_as_a_proxy(
    option: list[str], found: MayOpen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[MayOpen] = []
    monkeypatch.setattr("explorer.server.serve", lambda served, **_: opened.append(served.may_open))
    suite = write_tiny_suite(tmp_path / "tiny", saes=SAES)
    result = CliRunner().invoke(app, ["serve", str(suite), "--address", "127.0.0.1", *option])
    assert (result.exit_code, opened) == (0, [found])


@pytest.mark.security
def test_requests_through_a_proxy_or_another_host_may_open_nothing(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Served | None] = []

    def note(*_: object, served: Served | None, **__: object) -> Any:
        found.append(served)
        raise SuiteError("no page is needed")

    monkeypatch.setattr("explorer.app._requested_page", note)
    prepare_process()
    own: list[dict[str, str]] = [{}, {"Host": "127.0.0.1:5006"}, {"Host": "[::1]:5006"}]
    others = [
        {"Host": "evil.example:5006"},
        {"Host": "localhost.evil.example"},
        {"Host": "[::1"},
        {"X_Forwarded_For": "192.0.2.1"},
        {"X_Real_IP": "192.0.2.1"},
        {"Via": "1.1 proxy"},
    ]
    with serving(lambda: session(*served, served=served)) as server:
        for sent in (*own, *others):
            ask(server.url, "/dashboard", **sent)
    assert found == [served] * len(own) + [None] * len(others)


@pytest.mark.security
@pytest.mark.parametrize("allowed", [MayOpen.NOTHING, MayOpen.CATALOGUE])
def test_other_visitors_cannot_open_other_sources(tmp_path: Path, allowed: MayOpen) -> None:
    served = Served([str(tmp_path / "tiny")], allowed)
    other = write_tiny_suite(tmp_path / "other", name="other", saes=SAES)
    for source in (str(other), "https://example.org/x.zip", "/"):
        with pytest.raises(SuiteError, match=r"^this server does not open this source$"):
            served.open(source, lambda *_: None, lambda _: None)
    assert list(served) == [str(tmp_path / "tiny")]
    if allowed is MayOpen.CATALOGUE:
        dialog = OpenAnother(served)
        dialog.ask()
        dialog._choose({"source": str(tmp_path / "other")})
        assert "See the log of the server for the reason" in dialog._dialog.html
        assert str(tmp_path) not in dialog._dialog.html.replace(f'value="{tmp_path}', "")
        assert "<form" not in dialog._dialog.html


def test_opened_suites_are_available_to_the_next_session(served: Served, tmp_path: Path) -> None:
    dialog = OpenAnother(served)
    dialog.ask()
    dialog._choose({"source": str(write_results(tmp_path / "mine"))})
    assert '<a href="?page=explore&amp;suite=mine">Show it</a>' in dialog._dialog.html
    first, added = served
    assert (first, added.startswith(str(tmp_path / "cache"))) == (str(tmp_path / "tiny"), True)
    dialog._choose({"source": str(tmp_path / "tiny")})  # which is open already
    assert '<a href="?page=explore&amp;suite=tiny">' in dialog._dialog.html
    assert len(served) == 2
    # Another suite of the same name is refused, and an empty source is ignored.
    dialog._choose({"source": str(write_tiny_suite(tmp_path / "again", saes=SAES))})
    assert "is open already; give one of them another name" in dialog._dialog.html
    dialog._choose({"source": str(tmp_path / "none")})
    assert "no such folder" in dialog._dialog.html
    dialog._choose({"source": " "})
    assert len(served) == 2
    shutil.rmtree(tmp_path / "cache")
    assert list(served) == [first]


def test_unexpected_errors_are_reported(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise ValueError("nobody expected this")

    monkeypatch.setattr(served, "open", fail)
    dialog = OpenAnother(served)
    dialog.ask()
    dialog._choose("saebench")
    assert "It could not be opened. See the log of the server for the reason." in dialog._dialog.html
    assert "nobody expected" not in dialog._dialog.html


@pytest.mark.browser
def test_visitor_opens_results_from_the_page(open_page: PageOpener, served: Served, tmp_path: Path) -> None:
    results = write_results(tmp_path / "mine")
    with serving(lambda: session(*served, served=served)) as server:
        page = open_page(f"{server.url}/dashboard")
        button = page.get_by_role("button", name="Open another")
        button.focus()
        page.keyboard.press("Enter")
        page.get_by_label("Suite or results").fill(str(tmp_path / "none"))
        page.get_by_role("button", name="Open", exact=True).click()
        page.get_by_text("no such folder").wait_for()
        # After a redraw, closing it in either way still restores the focus.
        for key in ("Escape", "Enter"):
            if key == "Enter":
                page.get_by_role("button", name="Close", exact=True).focus()
            page.keyboard.press(key)
            expect(button).to_be_focused()
            page.keyboard.press("Enter")
            page.get_by_label("Suite or results").wait_for()
        assert _found(page, (lambda page: page.get_by_role("dialog"),)) == {}
        button.click()
        page.get_by_label("Suite or results").fill(str(results))
        page.keyboard.press("Enter")
        page.get_by_role("link", name="Show it").click()
        page.locator("html.ax-ready").wait_for()
        assert page.get_by_role("combobox", name="Suite").input_value() == "mine"
