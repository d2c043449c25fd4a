"""Texts, comments and documents are in plain words; phrases that are hard to understand must not return."""

import re
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Each phrase in lower case, and what to write instead.
CLUMSY = {
    "take it away": "export",
    "taken away": "removed, exported",
    "least lead": "minimum effect margin",
    "least cosine": "minimum cosine",
    "rise of f1": "F1 gain",
    "leads by": "margin 0.63 < 1.00",
    ", short of ": "margin 0.63 < 1.00",
    "decided anew": "recomputed",
    "decide anew": "recompute",
    "joins at k": "added at k",
    "its part in": "role for",
    "play a part": "have a role",
    "plays a part": "has a role",
    "plays no part": "has no role",
    "share the concept openly": "are selected by the k-sparse probe",
    "left aside": "ignored",
    "leave aside": "ignore",
    " mend ": "fix",
    " mended": "fixed",
    " rightly": "correctly",
    "four times in five": "with a power of 80%",
    "what chance gives": "the rate by chance",
    "type on to": "keep typing to",
    "not a single token of": "not single tokens in",
    "other than in the paper": "differences from the paper",
    "has its price": "costs sparsity",
    "nothing left out": "complete",
    "no verdict to question": "(nothing)",
    "one row a ": "one row per",
    "one row an ": "one row per",
    "latents a token": "latents per token",
    "once an sae": "once per SAE",
    "make the call that": "return the call that",
    "values in force": "current values",
    "thresholds in force": "current thresholds",
    "what the metric gives": "name of the metric's rate",
    "what a concept is called": "noun for a concept",
    "targets of the pointer": "targets (for hovering)",
    "left to scroll": "scrolls the page",
    "set side by side": "compared",
    "tells apart": "distinguishes",
    "links of old": "former links",
    "comes too late": "out of order",
    "leave rows out": "omit rows",
    "is no table of": "is not a table of",
    "given up": "cancelled",
    "the reader's acts": "the visitor's actions",
    "one a letter": "one per letter",
    "a module a format": "one module per format",
    "do the stage": "run the stage",
    "told in a line": "called with a line of text",
    "more are no faster": "larger batches are no faster",
    "give back": "reconstruct",
    "gives back": "reconstructs",
    "parted by": "separated by",
    "at right angles": "orthogonal",
    "by way of": "through",
    "a stranger": "untrusted",
    "knows no ": "does not have",
}
#: A number, a space and a percent sign that does not end a Jinja tag.
PERCENT = re.compile(r"\d %(?![}\]\d])")
PLACES = ("explorer", "ingest", "measure", "queries", "benchmarks", "docs", "deploy", ".ci")
PAGES = ("README.md", "SECURITY.md", "CHANGELOG.md")
KINDS = {".py", ".sql", ".html", ".js", ".toml", ".md", ".txt", ".ipynb", ".conf", ".service", ""}


def test_texts_use_plain_words() -> None:
    found = []
    for file in chain((ROOT / page for page in PAGES), *((ROOT / place).rglob("*") for place in PLACES)):
        if file.suffix not in KINDS or not file.is_file():
            continue
        text = file.read_text("utf-8")
        lower = text.lower()
        found += [(str(file), phrase, better) for phrase, better in CLUMSY.items() if phrase in lower]
        found += [(str(file), match[0], "83%") for match in PERCENT.finditer(text)]
    assert found == []
