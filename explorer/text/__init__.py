r"""The explanations: Markdown with formulas and live values, rendered to HTML that needs no script and no network.

A topic is a file ``<topic>.md`` in this folder. Three things can stand in it besides plain Markdown:

- formulas, ``$...$`` in a line and ``$$...$$`` as a paragraph, which become MathML;
- live values, ``[[ tau ]]``, and inside a formula ``\text{[[tau]]}`` (without blanks);
- Jinja statements, ``[% if ... %]``, each a paragraph of its own, with single quotes.

Jinja's usual braces would collide with those of LaTeX; square brackets pass through Markdown untouched. A topic is
turned into HTML once and kept as a Jinja template: a moved slider only fills in numbers, and a value is never read as
Markdown.
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

#: The explanations there are, in the order in which the Explore page shows them.
TOPICS = ("absorption", "splitting", "decision")
#: The texts of the page Learn, by step.
LESSONS = ("learn_toy", "learn_training", "learn_probe", "learn_splitting", "learn_verdict")

_STATEMENT_PARAGRAPH = re.compile(r"<p>(\[%[^\n]*%\])</p>")


def _formula(latex: str, options: dict[str, Any]) -> str:
    return convert(latex, display="block" if options["display_mode"] else "inline")


def _link_open(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    """Open links in a tab of their own: the reader's state stays, and the other page learns nothing of it."""
    tokens[index].attrSet("target", "_blank")
    tokens[index].attrSet("rel", "noopener noreferrer")
    return renderer.renderToken(tokens, index, options, env)


def _shown(value: object) -> object:
    """Shorten a float to the digits that a slider sets (0.1 + 0.2 is 0.3), leave the rest as it is."""
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
    """Turn an explanation's source into a template of HTML that waits for the live values.

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
    """Turn a plain text, such as a value of an address, into a template; nothing in it is escaped."""
    return _PLAIN.from_string(source)


@cache
def _template(topic: str) -> Template:
    return compile_text(files(__name__).joinpath(f"{topic}.md").read_text("utf-8"))


def render_text(topic: str, **values: object) -> str:
    """Render one explanation with the values in force.

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
