r"""The explanations: Markdown with formulas and live values, rendered to HTML without scripts and network requests.

A topic is a file ``<topic>.md`` in this folder. Besides plain Markdown, it can contain

- formulas, ``$...$`` in a line and ``$$...$$`` as a paragraph, which become MathML;
- live values, ``[[ tau ]]``, and inside a formula ``\text{[[tau]]}`` (without blanks);
- Jinja statements, ``[% if ... %]``, each a paragraph of its own, with single quotes.

Jinja's usual braces would collide with those of LaTeX; Markdown leaves square brackets unchanged. A topic is
converted to HTML once and kept as a Jinja template, so that a moved slider only fills in numbers, and a value is never
parsed as Markdown.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined, Template
from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

from explorer.format import number, percent, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.renderer import RendererHTML
    from markdown_it.token import Token
    from markdown_it.utils import EnvType, OptionsDict

#: The explanations, in the order of the page Explore.
TOPICS = ("absorption", "splitting", "decision")
#: The texts of the page Learn, by step.
LESSONS = ("learn_toy", "learn_training", "learn_probe", "learn_splitting", "learn_verdict")

_STATEMENT_PARAGRAPH = re.compile(r"<p>(\[%[^\n]*%\])</p>")


def _formula(latex: str, options: dict[str, Any]) -> str:
    return convert(latex, display="block" if options["display_mode"] else "inline")


def _link_open(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    """Open links in a new tab, so that the state is kept, and without a referrer, which would contain it."""
    tokens[index].attrSet("target", "_blank")
    tokens[index].attrSet("rel", "noopener noreferrer")
    return renderer.renderToken(tokens, index, options, env)


def _shown(value: object) -> object:
    """Round floats to the precision of a slider (0.1 + 0.2 becomes 0.3); return other values unchanged."""
    return f"{value:.6g}" if isinstance(value, float) else value


_MARKDOWN = MarkdownIt("commonmark", {"html": False}).use(dollarmath_plugin, renderer=_formula)
_MARKDOWN.add_render_rule("link_open", _link_open)

_JINJA = Environment(
    variable_start_string="[[",
    variable_end_string="]]",
    block_start_string="[%",
    block_end_string="%]",
    comment_start_string="[#",
    comment_end_string="#]",
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_shown,
)
_PLAIN = _JINJA.overlay(autoescape=False)
_JINJA.filters |= {"percent": percent, "num": number, "visible": visible}


def compile_text(source: str) -> Template:
    """Compile an explanation to a template of HTML, into which live values are filled.

    Parameters
    ----------
    source : str
        Markdown as described at the top of this module.

    Returns
    -------
    jinja2.Template
    """
    return _JINJA.from_string(_STATEMENT_PARAGRAPH.sub(r"\1", _MARKDOWN.render(source)))


def compile_plain(source: str) -> Template:
    """Compile a plain text, such as a value of an address, to a template without escaping."""
    return _PLAIN.from_string(source)


@cache
def _template(topic: str) -> Template:
    return compile_text(files(__name__).joinpath(f"{topic}.md").read_text("utf-8"))


def render_text(topic: str, **values: object) -> str:
    """Render one explanation with the current values.

    Parameters
    ----------
    topic : str
        One of `TOPICS` or `LESSONS`.
    **values : object
        The live values: of `TOPICS` ``tau``, ``cosine_threshold``, ``effect_margin``, ``label``, ``phrase`` and
        ``metric``, of `LESSONS` those of `explorer.views.lesson_text`. Each is escaped; those that the topic does not
        mention are ignored.

    Returns
    -------
    str
        HTML without a heading.

    Raises
    ------
    KeyError
        If there is no such topic.
    jinja2.UndefinedError
        If the topic mentions a value that was not given.
    """
    if topic not in (*TOPICS, *LESSONS):
        raise KeyError(f"no explanation is called {topic!r}; there are {', '.join((*TOPICS, *LESSONS))}")
    return _template(topic).render(values)
