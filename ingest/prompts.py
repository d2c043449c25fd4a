"""Turn full prompts into templates that tokens share."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

PLACE = "{token}"
#: Maximum length of a prompt in characters (it has ten examples and a word), and of occurrences of a token in it.
_LONGEST = 10_000
_MOST = 32


def with_prompts(tested: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Replace the prompts of tested tokens by ids of templates.

    Parameters
    ----------
    tested : pyarrow.Table
        Rows of tested_tokens with the full prompt in `prompt`, NULL if unknown.

    Returns
    -------
    tested : pyarrow.Table
        The same rows with prompt_id in place of `prompt`; NULL if the token does not occur in its prompt.
    prompts : pyarrow.Table
        Rows of the table prompts.
    """
    texts = templates(tested["prompt"].to_pylist(), tested["token"].to_pylist())
    numbers: dict[str, int] = {}
    ids = [None if text is None else numbers.setdefault(text, len(numbers)) for text in texts]
    kept = [name for name in tested.column_names if name not in ("prompt", "prompt_id")]
    prompts = pa.table(
        {"prompt_id": pa.array(numbers.values(), pa.int32()), "template": pa.array(numbers.keys(), pa.string())}
    )
    return tested.select(kept).append_column("prompt_id", pa.array(ids, pa.int32())), prompts


def templates(prompts: Sequence[str | None], tokens: Sequence[str]) -> list[str | None]:
    """Replace each token in its prompt by the placeholder; None if it does not occur there."""
    spans = [_spans(prompt or "", token) for prompt, token in zip(prompts, tokens, strict=True)]
    # A short token occurs in other words, too ("a" in "has"), but all prompts have the same text after the right one.
    endings = Counter(
        hash(prompt[end:]) for prompt, found in zip(prompts, spans, strict=True) if prompt for _, end in found
    )
    return [_template(prompt or "", found, endings) for prompt, found in zip(prompts, spans, strict=True)]


def _template(prompt: str, spans: list[tuple[int, int]], endings: Counter[int]) -> str | None:
    if not spans:
        return None
    start, end = max(spans, key=lambda span: (endings[hash(prompt[span[1] :])], span))
    return prompt[:start] + PLACE + prompt[end:]


def _spans(prompt: str, token: str) -> list[tuple[int, int]]:
    """Return the spans of `token` in the last line of `prompt`, or else its last occurrence anywhere."""
    if len(prompt) > _LONGEST:
        return []
    last_line = prompt.rfind("\n") + 1
    for word in filter(None, (token, token.strip())):  # leading spaces may differ in the prompt
        starts = [place for place in range(last_line, len(prompt)) if prompt.startswith(word, place)]
        if not starts and word in prompt:
            starts = [prompt.rindex(word)]
        if starts:
            return [(start, start + len(word)) for start in starts[:_MOST]]
    return []
