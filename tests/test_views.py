"""Views without a browser: the HTML for a state."""

from __future__ import annotations

import re
from itertools import product
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import panel as pn
import pytest
from bokeh.document import Document
from bokeh.document.models import DocumentModelManager
from bokeh.models import Div, Row
from panel.io.state import set_curdoc

from explorer.latents.tester import WordTester
from explorer.model import ExplorerModel, choices_of
from explorer.pages import Pages
from explorer.plots.heat_map import heat_map
from explorer.saes import Sae, value_labels
from explorer.state import ExplorerState, SuiteChoices
from explorer.theme import DARK, LIGHT, Theme
from explorer.views.act import one_act
from explorer.views.headline import Headline
from explorer.views.heat_map import HeatMapView, open_sae
from explorer.views.markup import Markup
from explorer.views.selectors import Selectors
from explorer.views.tasks import Progress
from explorer.views.widgets import Slider
from queries import Store
from queries.schema import concept_id
from tests.questions import sae_id
from tests.tiny_suite import write_tiny_suite
from tests.unmeasured import list_letters

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def sae_of(layer: int, width: int, l0: int | None) -> Sae:
    """Describe an SAE whose L0 may be unknown."""
    return Sae(sae_id(layer, width, -1 if l0 is None else l0), layer=layer, width=width, l0=l0)


def html_of(headline: Headline) -> str:
    parts = headline.__panel__().select(Markup)
    return " ".join(part.html for part in parts if isinstance(part, Markup))


def test_headline_changes_between_concepts_without_data(tmp_path: Path) -> None:
    with Store(list_letters(write_tiny_suite(tmp_path / "tiny", saes=[(0, 1000, 10)]), "cd")) as store:
        model = ExplorerModel(store, ExplorerState(choices_of(store), letter="c"), Headline)
        headline = Headline(model)
        assert "Nothing was measured for C" in html_of(headline)
        model.state.concept = concept_id("d")
        assert "Nothing was measured for D" in html_of(headline)
        assert "No scores for D" in html_of(headline)
        model.state.concept = concept_id("s")
        assert "Nothing was measured" not in html_of(headline)


#: No two of these have the same options of L0.
RAGGED = [sae_of(4, 2048, l0) for l0 in (6, 13, 26)] + [sae_of(4, 8192, l0) for l0 in (7, 26)] + [sae_of(8, 2048, None)]
RAGGED += [sae_of(8, 8192, 7), sae_of(12, 8192, 7)._replace(canonical=True), sae_of(12, 8192, 28)]


def _by_query(state: ExplorerState, sae: Sae) -> None:
    state.from_query(f"?sae={sae.id}")


def _by_former_query(state: ExplorerState, sae: Sae) -> None:
    state.from_query(f"?layer={sae.layer}&width={sae.width}&l0={-1 if sae.l0 is None else sae.l0}")


def _by_parameter(state: ExplorerState, sae: Sae) -> None:
    state.sae = sae.id


def _by_attributes(state: ExplorerState, sae: Sae) -> None:
    for name in ("layer", "width", "l0"):
        state.apply({name: getattr(sae, name)})


def _in_one_act(state: ExplorerState, sae: Sae) -> None:
    with one_act():
        open_sae(state, ("one", sae.id))


@pytest.mark.parametrize("go", [_by_query, _by_former_query, _by_parameter, _by_attributes, _in_one_act])
def test_every_way_to_select_an_sae_updates_state_and_widgets(go: Callable[..., None]) -> None:
    """If options and value change separately, another L0 than the requested one remains selected."""
    state, document = ExplorerState({"one": SuiteChoices(RAGGED)}), Document()
    root: Any = Selectors(state).__panel__().get_root(document)
    document.add_root(root)
    for start, end in product(RAGGED, RAGGED):
        for sae in (start, end):
            with set_curdoc(document):
                go(state, sae)
            assert state.chosen_sae == sae, (start, end)
            for name in ("layer", "width", "l0"):
                html = root.select_one({"name": name}).data.html
                choices = dict(
                    re.findall(rf'data-action="{name}" data-value="(.*?)" aria-checked="(true|false)"', html)
                )
                labels = value_labels(name, state.options[name])
                assert [label.rstrip("*") for label in choices] == list(labels.values())
                (chosen,) = (label for label, is_chosen in choices.items() if is_chosen == "true")
                assert chosen.rstrip("*") == labels[getattr(sae, name)], (start, end)


def test_slider_values_are_rounded_to_steps() -> None:
    """A browser adds up steps, so rounding errors would appear in the URL."""
    state = ExplorerState({"one": SuiteChoices([sae_of(0, 1000, 10)])})
    slider: Any = Slider.of(state.param.cosine_threshold, "least cosine")[1]
    slider._process_events({"value": 0.13999999999999999})
    assert state.cosine_threshold == 0.14
    assert "cosine_threshold=0.14" in state.to_query()


def test_slider_changes_are_not_sent_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The visitor may have moved it further: it would jump back and show an outdated value."""
    state = ExplorerState({"one": SuiteChoices([sae_of(0, 1000, 10)])})
    slider: Any = Slider.of(state.param.toy_parent, "P(parent)")[1]
    document = Document()
    monkeypatch.setattr(Document, "session_context", SimpleNamespace(destroyed=False))
    monkeypatch.setattr(type(pn.state), "_unblocked", lambda *_: True)  # as in the event loop of a server
    with set_curdoc(document):
        model = slider.get_root(document)
        document.add_root(model)
        at, shown = 0.95, model.value
        for _ in range(15):
            at -= 0.05  # 0.8999999999999999
            slider._process_events({"value": at})
            assert model.value == shown  # in a browser, the position chosen by the visitor
    assert state.toy_parent == 0.2


def test_completed_tasks_are_ticked(tmp_path: Path) -> None:
    with Store(write_tiny_suite(tmp_path / "tiny", saes=[(0, 1000, 10), (0, 1000, 40)])) as store:
        model = ExplorerModel(store, ExplorerState(choices_of(store), letter="a"), Pages)
        progress = Progress(model, done=["explore_cosine", "no_such_task", "explore_cosine"])
        assert progress.done == ["explore_cosine"]
        model.state.concept = concept_id("s")
        assert model.absorbing_latents is not None
        model.state.latent = int(model.absorbing_latents["latent"].iloc[0])
        tester = WordTester(model).__panel__()
        assert isinstance(tester, Markup)
        tester._handle_msg({"action": "pack", "value": "absorbed-here"})
        tester._handle_msg({"action": "pack", "value": "absorbed"})
        model.state.concept = concept_id("t")
        model.state.sae = sae_id(0, 1000, 40)
        assert progress.done == [
            *("explore_cosine", "select_concept", "identify_absorbing", "find_silent_words", "compare_absorbed"),
            *("another_concept", "switch_sae"),
        ]
        progress.undo()
        assert progress.done[-1] == "another_concept"
        progress.reset()
        assert progress.done == []


def test_models_are_recomputed_once_per_act_and_only_if_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Document, "session_context", object())
    doc, row, label = Document(), Row(), Div()
    doc.add_root(row)
    looked: list[Document] = []
    look = DocumentModelManager.recompute

    def noted(self: DocumentModelManager) -> None:
        looked.append(doc)
        look(self)

    monkeypatch.setattr(DocumentModelManager, "recompute", noted)
    with set_curdoc(doc):
        with one_act(), doc.models.freeze():
            row.name = "neither came nor went"
        assert looked == []
        with one_act():
            doc.add_root(Div(name="root"))
        assert doc.get_model_by_name("root")
        looked.clear()
        with one_act():
            row.children = [label]
            with one_act():
                row.children = [label, Div(name="second")]
            assert looked == []
        assert len(looked) == 1
        assert doc.get_model_by_name("second")
        with pytest.raises(ValueError, match="a mistake"), one_act():  # noqa: PT012 - what came before it counts
            row.children = [label, Div(name="third")]
            raise ValueError("a mistake")
        assert doc.get_model_by_name("third")
    row.children = [label, Div(name="fourth")]
    assert doc.get_model_by_name("fourth")


def test_hidden_plot_is_redrawn_once_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, Theme]] = []

    def noted(*cells: Any, **how: Any) -> Any:
        drawn.append((how["concept"].partition(".")[2], how["theme"]))
        return heat_map(*cells, **how)

    monkeypatch.setattr("explorer.views.heat_map.heat_map", noted)
    with Store(write_tiny_suite(tmp_path / "tiny", saes=[(0, 1000, 10)])) as store:
        model = ExplorerModel(store, ExplorerState(choices_of(store), page="atlas", letter="a"), Pages)
        view = HeatMapView(model)
        view.__panel__().get_root()
        assert drawn == [("a", LIGHT)]
        model.state.concept = concept_id("b")
        assert drawn == [("a", LIGHT), ("b", LIGHT)]
        model.state.page = "explore"
        model.state.concept = concept_id("s")
        model.state.concept = concept_id("t")
        model.state.dark = True
        assert drawn == [("a", LIGHT), ("b", LIGHT)]
        model.state.page = "atlas"
        assert drawn[2:] == [("t", DARK)]
        model.state.page = "explore"
        model.state.page = "atlas"
        assert drawn[2:] == [("t", DARK)]


def test_latents_of_the_word_tester_share_a_scale(tmp_path: Path) -> None:
    with Store(write_tiny_suite(tmp_path / "tiny", saes=[(0, 1000, 10)])) as store:
        model = ExplorerModel(store, ExplorerState(choices_of(store), letter="s"), Pages)
        assert model.absorbing_latents is not None
        model.state.latent = int(model.absorbing_latents["latent"].iloc[0])
        tester: Any = WordTester(model).__panel__()
        tester._handle_msg({"action": "pack", "value": "absorbed"})
        tester._handle_msg({"action": "pack", "value": "concept"})
    bars = [
        (float(width), float(shown.replace(",", "")))
        for width, shown in re.findall(r'<i style="width: (\d+)%"></i><span>([\d.,]+)</span>', tester.html)
    ]
    highest = max(shown for _, shown in bars)
    assert len({shown for _, shown in bars}) > 2
    assert all(width == round(100 * shown / highest) for width, shown in bars)
