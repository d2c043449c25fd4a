"""Views without a browser: what their HTML says of a state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.model import ExplorerModel, choices_of
from explorer.state import ExplorerState
from explorer.views.headline import Headline
from explorer.views.markup import Markup
from queries import Store
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from pathlib import Path


def html_of(headline: Headline) -> str:
    parts = headline.__panel__().select(Markup)
    return " ".join(part.html for part in parts if isinstance(part, Markup))


def test_headline_follows_from_one_letter_without_data_to_the_next(tmp_path: Path) -> None:
    with Store(write_tiny_suite(tmp_path / "tiny", saes=[(0, 1000, 10)])) as store:
        model = ExplorerModel(store, ExplorerState(choices_of(store), letter="c"))
        headline = Headline(model)
        assert "Nothing was measured for C" in html_of(headline)
        model.state.letter = "d"
        assert "Nothing was measured for D" in html_of(headline)
        assert "No figures for D" in html_of(headline)
        model.state.letter = "s"
        assert "Nothing was measured" not in html_of(headline)
