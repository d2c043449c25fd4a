"""Prompts in full become templates that tokens share."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

PLACE = "{token}"
#: Characters of a prompt, which is ten examples and a word, and places at which a token may stand in it.
_LONGEST = 10_000
_MOST = 32


def with_prompts(tested: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Give a number to each template of the prompts in which tokens were tested.

    Parameters
    ----------
    tested : pyarrow.Table
        Rows of tested_tokens, and the prompt in full as `prompt`, NULL where it is not known.

    Returns
    -------
    tested : pyarrow.Table
        The same rows with prompt_id in place of `prompt`; NULL where the token does not stand in its prompt.
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
    """Put the place-holder where each token stands in its prompt; None where it does not."""
    spans = [_spans(prompt or "", token) for prompt, token in zip(prompts, tokens, strict=True)]
    # A short token stands in other words too ("a" in "has"), but all prompts go on alike after the word that is meant.
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
    """Return where `token` stands in the last line of `prompt`, or else in all of it where it stands last."""
    if len(prompt) > _LONGEST:
        return []
    last_line = prompt.rfind("\n") + 1
    for word in filter(None, (token, token.strip())):  # spaces may be written otherwise in the prompt
        starts = [place for place in range(last_line, len(prompt)) if prompt.startswith(word, place)]
        if not starts and word in prompt:
            starts = [prompt.rindex(word)]
        if starts:
            return [(start, start + len(word)) for start in starts[:_MOST]]
    return []
