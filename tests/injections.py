"""Texts that would have an effect if they were interpreted as more than text, and a suite that consists of them."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from tests.hostile_suite import write_hostile_suite
from tests.tiny_suite import write_tiny_suite

if TYPE_CHECKING:
    from pathlib import Path

#: Each would set this property of the page's window.
FLAG = "pwned"

#: Grouped by target.
INJECTIONS: dict[str, tuple[str, ...]] = {
    "elements": (
        "<script>pwned=1</script>",
        "</script><script>pwned=1</script>",
        "</style></title></textarea></select></template></noscript><script>pwned=1</script>",
        "<!--<script>pwned=1</script>-->",
        "]]><![CDATA[<script>pwned=1</script>]]>",
        "<img src=x onerror=pwned=1>",
        "<svg onload=pwned=1>",
        "<svg><script>pwned=1</script></svg>",
        "<math><mtext><img src onerror=pwned=1></mtext></math>",
        "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
        "<details open ontoggle=pwned=1>",
        "<input autofocus onfocus=pwned=1>",
        "<a href=javascript:pwned=1 data-action=go>link</a>",
        "<base href=//evil.example/><link rel=stylesheet href=x.css>",
        "<meta http-equiv=refresh content='0;url=//evil.example'>",
        "<style>* { background: url(//evil.example/x.png) }</style>",
        "<form action=//evil.example><button>press</button></form>",
        "<object data=//evil.example></object><embed src=//evil.example>",
    ),
    "attributes": (
        '" onmouseover=pwned=1 x="',
        "' onmouseover='pwned=1' x='",
        "x onmouseover=pwned=1",
        "` onmouseover=`pwned=1`",
        'x"><img src=x onerror=pwned=1>',
        "javascript:pwned=1",
        "data:text/html,<script>pwned=1</script>",
    ),
    "escapes": (
        "&lt;script&gt;pwned=1&lt;/script&gt;",
        "%3Cscript%3Epwned=1%3C/script%3E",
        "\\u003cscript\\u003epwned=1\\u003c/script\\u003e",
        "\\x3cscript\\x3epwned=1",
        "\\",
        '\\"];pwned=1;//',
        "\u2028pwned=1\u2029",
    ),
    "templates": (
        "{{ 7*191 }}",
        "{% raw %}{{ self }}",
        "{# gone #}",
        "[[ 7*191 ]]",
        "${pwned=1}",
        "<%= 7*191 %>",
        "`${pwned=1}`",
    ),
    "Bokeh and HoloViews": (
        "@{token}{safe}",
        "@name @latent $index $x $name",
        "@{x}{custom}",
        "$$\\href{javascript:pwned=1}{x}$$",
        "\\[ x \\]",
        "%s %(name)s {0} {name}",
    ),
    "SQL": (
        "'; DROP TABLE saes; --",
        "') UNION SELECT 1 --",
        "getvariable('tau') $tau",
        "%' OR 1=1 /*",
    ),
    "spreadsheets": (
        "=cmd|' /C calc'!A0",
        '=HYPERLINK("//evil.example")',
        "+1+1",
        "-1+1",
        "@SUM(1)",
        "\t=1+1",
        '",=1+1,"',
    ),
    "what is not seen": (
        "\u202etxt.exe\u202c",
        "zero\u200bwidth\u200d\ufeff",
        "\x1b[31mred\x1b[0m\x07",
        "a\nb\r\nc\x0bd\x0ce",
        "\x00nul\x7f",
        "\N{GRINNING FACE}\U000e0001",
        "e\u0301\u0301\u0301\u0301\u0301\u0301\u0301\u0301",
    ),
}
TEXTS = tuple(text for texts in INJECTIONS.values() for text in texts)


def write_injected_suite(folder: Path) -> tuple[Path, list[str]]:
    """Write a suite whose every text is an injection; return it with the texts of its tested tokens."""
    plain = pq.read_table(write_tiny_suite(folder / "plain", saes=[(0, 1000, 10)]) / "tested_tokens.parquet")
    tokens = plain.column("token").unique().to_pylist()
    # Injections that must begin or end a text do so; there are fewer tested tokens than injections.
    half = len(tokens)
    texts = [f"{first} {second}" for first, second in zip(cycle(TEXTS), (*TEXTS[half:], *TEXTS[:half]), strict=False)]
    return write_hostile_suite(folder / "injected", dict(zip(tokens, texts, strict=False)), " ".join(TEXTS)), texts[
        :half
    ]
