"""The explanations, the glossary and the discovery tasks."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from explorer.text import LESSONS, TOPICS, compile_text, render_text
from explorer.text.glossary import GLOSSARY, definition
from explorer.text.tasks import TASKS

THRESHOLDS = {"tau": 0.03, "cosine_threshold": 0.025, "effect_margin": 1.0}
#: Values of the concept, by their names in the glossary.
CONCEPT = {"label": "L", "phrase": "starts with L"}
VALUES = {**THRESHOLDS, **CONCEPT, "metric": "ig_ablation"}
#: Further values for the lessons of the page Learn.
LESSON_VALUES = {"sparsity": 0.1, "best": "0.13", "difference": "0.20", "with_parent": "0.99", "limit": "0.058"}
METRICS = ("ig_ablation", "full", "fraction", "fraction-0.3", "another")

# All terms with a definition in the interface; a view that needs a new one adds it here.
TERMS = (
    "sae",
    "latent",
    "layer",
    "width",
    "l0",
    "hook",
    "architecture",
    "seed",
    "canonical",
    "concept",
    "probe",
    "k_sparse",
    "main_latent",
    "split_latent",
    "absorbing_latent",
    "kin",
    "overlap",
    "cosine",
    "precision",
    "recall",
    "f1",
    "auc",
    "effect",
    "effect_margin",
    "tau",
    "cosine_threshold",
    "candidates",
    "tested",
    "absorbed",
    "absorption_rate",
    "absorption_fraction",
    "soft_absorption",
    "rate_interval",
    "random_rate",
    "num_probe_true_positives",
    "num_true_positives",
    "num_split_silent",
    "density",
    "num_vocab_tokens",
    "max_activation",
    "logits",
    "histogram",
    "context",
    "encoder_top",
    "sample_portion",
    "word_tester",
    "false_alarm",
    "metric",
    "thresholds",
    "absorption_sd",
    "seed_range",
)


def source(topic: str) -> str:
    return files("explorer.text").joinpath(f"{topic}.md").read_text("utf-8")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("topic", TOPICS)
def test_topics_render_completely(topic: str, metric: str) -> None:
    html = render_text(topic, **VALUES | {"metric": metric})
    assert not re.search(r"\[\[|\]\]|\[%|%\]|\$|\\|<p>\s*</p>|<h\d", html)
    for tag in ("p", "ul", "li", "div", "span", "math", "mrow", "strong", "em"):
        assert html.count(f"<{tag}>") + html.count(f"<{tag} ") == html.count(f"</{tag}>"), tag


@pytest.mark.parametrize("topic", TOPICS)
def test_formulas_become_mathml(topic: str) -> None:
    html = render_text(topic, **VALUES)
    assert '<div class="math block">' in html
    assert html.count('<math xmlns="http://www.w3.org/1998/Math/MathML"') == html.count('class="math ')
    # LaTeX that latex2mathml does not support (such as `aligned`) leaves its ampersands in the output.
    assert "&amp;" not in html


@pytest.mark.parametrize("topic", TOPICS)
def test_html_uses_no_scripts_and_no_network(topic: str) -> None:
    assert not re.search(r"<(script|img|link|iframe|style)|\bsrc=|\son\w+=", render_text(topic, **VALUES))


@pytest.mark.parametrize("switches", [(2, False), (2, True), (1, True)], ids=str)
@pytest.mark.parametrize("topic", LESSONS)
def test_lessons_render_completely(topic: str, switches: tuple[int, bool]) -> None:
    num_latents, is_alone = switches
    html = render_text(topic, **VALUES, **LESSON_VALUES, num_latents=num_latents, is_alone=is_alone)
    assert not re.search(r"\[\[|\]\]|\[%|%\]|\$|\\|<p>\s*</p>|<h\d|&amp;", html)
    assert not re.search(r"<(script|img|link|iframe|style)|\bsrc=|\son\w+=", html)
    assert '<div class="math block">' in html


def test_live_values_appear_in_text_and_formulas() -> None:
    assert "<mtext>0.07</mtext>" in render_text("splitting", **VALUES | {"tau": 0.07})
    decision = render_text(
        "decision", **VALUES | {"effect_margin": 0.1 + 0.2, "cosine_threshold": 0.04, "phrase": "ends in -ing"}
    )
    assert "<mtext>0.3</mtext>" in decision
    assert "<mtext>0.04</mtext>" in decision
    assert "of which the concept holds: “ends in -ing”" in decision
    for topic in ("absorption", "splitting"):
        assert "-ing" in render_text(topic, **VALUES | {"label": "-ing"})
        assert "-ing" not in render_text(topic, **VALUES)


def test_decision_explains_the_selected_metric() -> None:
    texts = {metric: render_text("decision", **VALUES | {"metric": metric}) for metric in METRICS}
    assert len(set(texts.values())) == len(METRICS)
    assert [metric for metric in METRICS if "Integrated gradients" in texts[metric]] == ["ig_ablation"]
    assert all(f"<code>{metric}</code>" in text for metric, text in texts.items())


def test_paper_link_opens_in_its_own_tab() -> None:
    link = '<a href="https://arxiv.org/abs/2409.14507" target="_blank" rel="noopener noreferrer">'
    assert link in render_text("absorption", **VALUES)


def test_values_are_escaped_and_never_read_as_markdown() -> None:
    html = render_text("decision", **VALUES | {"phrase": "<b>", "metric": "**[x](https://x.y)** $a$"})
    assert "<b>" not in html
    assert "“&lt;b&gt;”" in html
    assert "<code>**[x](https://x.y)** $a$</code>" in html


def test_html_in_a_source_is_text() -> None:
    assert compile_text("<b>bold</b>").render() == "<p>&lt;b&gt;bold&lt;/b&gt;</p>"


def test_unknown_placeholder_raises() -> None:
    with pytest.raises(UndefinedError, match="nonsense"):
        compile_text("[[ nonsense ]]").render(VALUES)
    with pytest.raises(UndefinedError, match="tau"):
        render_text("splitting", label="L")


@pytest.mark.parametrize("topic", ["nonsense", "../text/absorption", ""])
def test_unknown_topic_raises(topic: str) -> None:
    with pytest.raises(KeyError, match="absorption, splitting, decision"):
        render_text(topic, **VALUES)


@pytest.mark.parametrize("term", TERMS)
def test_each_term_is_one_plain_sentence(term: str) -> None:
    sentence = definition(term)
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert ". " not in sentence
    assert not re.search(r"[<>`$\n]", sentence)


def test_glossary_has_every_placeholder_and_nothing_unused() -> None:
    placeholders = {name for topic in TOPICS for name in re.findall(r"\[\[\s*(\w+)\s*\]\]", source(topic))}
    assert placeholders == set(VALUES)
    assert placeholders - set(CONCEPT) <= set(GLOSSARY)
    assert set(GLOSSARY) == set(TERMS)
    with pytest.raises(KeyError, match="nonsense"):
        definition("nonsense")


def test_method_page_explains_every_term() -> None:
    page = (Path(__file__).parents[1] / "docs" / "method.md").read_text("utf-8")
    assert [term for term in TERMS if f"`{term}`" not in page] == []


def test_tasks_have_their_order() -> None:
    assert [task.id for task in TASKS] == [
        "select_concept",
        "compare_probe",
        "test_split_latent",
        "find_silent_words",
        "identify_absorbing",
        "compare_absorbed",
        "explore_cosine",
        "another_concept",
        "switch_sae",
        "read_k_sparse",
    ]
    for task in TASKS:
        assert task.title
        assert not task.title.endswith(".")
        assert task.hint.endswith((".", "?"))


def test_hint_without_a_canonical_sae_differs() -> None:
    hints = {task.id: task.hint_for(has_canonical=False) for task in TASKS}
    changed = [task.id for task in TASKS if task.hint_for(has_canonical=True) != hints[task.id]]
    assert changed == ["switch_sae"]
    assert "no canonical SAE" in hints["switch_sae"]
