"""If queries fail, no part of the page claims that the suite has no results."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from explorer import Explorer
from explorer.model import QUESTIONS
from explorer.views.markup import Markup
from queries import QueryError, Store
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

_EMPTY = re.compile(r'<div class="empty".*?</div>', re.DOTALL)


class BrokenStore(Store):
    broken = False

    def fetch(self, name: str, /, **params: Any) -> pd.DataFrame:
        if self.broken and name not in ("saes", "concepts", "families", "metrics"):
            message = "It failed."
            raise QueryError(message)
        return super().fetch(name, **params)


def rendered_by(explorer: Explorer) -> list[str]:
    return [part.html for part in explorer.layout.select(Markup) if isinstance(part, Markup)]


@pytest.mark.parametrize("page", ["explore", "compare", "atlas", "evidence", "learn"])
def test_failed_queries_are_not_shown_as_missing_results(tmp_path: Path, page: str) -> None:
    with BrokenStore(write_tiny_suite(tmp_path / "tiny", saes=((0, 1000, 10),))) as store:
        store.broken = True
        explorer = Explorer(store, page=page, letter="s", facet_latent=5)
        rendered = rendered_by(explorer)
        assert any("It failed." in html for html in rendered)
        empty = [box for html in rendered for box in _EMPTY.findall(html)]
        assert empty
        assert [box for box in empty if "was not answered" not in box] == []
        store.broken = False
        explorer.model.retry()
        assert explorer.model.error == ""
        assert not any("was not answered" in html for html in rendered_by(explorer))
        assert not any(explorer.model.unanswered(name) for name in QUESTIONS)
