"""The headline is a true sentence for every combination of known and unknown values of a concept."""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING, Any

from explorer.headline import headline, why_none_absorbs

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Values by name: unknown, none, one, several; split latents are given as lists.
KNOWN: dict[str, tuple[Any, ...]] = {
    "split_latents": ([], [65], [65, 7]),
    "num_split_latents": (None, 0, 1, 2),
    "stored_split": (None, False, True),
    "num_probe_true_positives": (None, 0, 1, 800),
    "num_true_positives": (None, 0, 1, 600),
    "num_candidates": (None, 0, 1, 120),
    "num_tested": (None, 0, 1, 90, 120, 800),
    "num_absorbed": (None, 0, 1, 24),
    "num_absorbing_latents": (None, 0, 1, 5),
}


def summaries() -> Iterator[dict[str, Any]]:
    """Return all consistent summaries: no part exceeds its whole, and a rate is known if its parts are."""
    for values in product(*KNOWN.values()):
        row = dict(zip(KNOWN, values, strict=True))
        split, probe, absorbed = row["split_latents"], row["num_probe_true_positives"], row["num_absorbed"]
        found, candidates, tested = row["num_true_positives"], row["num_candidates"], row["num_tested"]
        absorbing = row["num_absorbing_latents"]
        if split and row["num_split_latents"] != len(split):
            continue
        if not split and row["stored_split"]:
            continue
        if any(
            part is not None and probe is not None and part > probe for part in (found, candidates, tested, absorbed)
        ):
            continue
        if None not in (found, candidates, probe) and found + candidates > probe:
            continue
        if None not in (absorbed, tested) and absorbed > tested:
            continue
        # Absorbing latents are known only if absorbed words are, and there are no more of them than words.
        if absorbed is None and absorbing is not None:
            continue
        if None not in (absorbed, absorbing) and not (absorbed > 0) <= absorbing <= absorbed:
            continue
        rate = absorbed / probe if absorbed is not None and probe else None
        yield row | {
            "absorption_rate": rate,
            "rate_low": None if rate is None else 0.01,
            "rate_high": None if rate is None else 0.99,
            "random_rate": None,
            "sample_portion": 1.0,
        }


def test_candidates_on_which_a_split_latent_fires_are_not_called_silent() -> None:
    row: dict[str, Any] = dict.fromkeys(KNOWN) | {"split_latents": [65], "stored_split": True, "num_candidates": 727}
    row |= {"absorption_rate": 0.12, "random_rate": 0.03, "num_split_silent": 308}
    assert "On 308 of the L words that only the probe finds, it does not fire at all" in headline(row, "L", "letter")


def test_headline_is_true_for_every_combination() -> None:
    count = 0
    for row in summaries():
        count += 1
        text = headline(row, "L", "letter")
        about = f"{text!r} of {row}"
        sentences = re.findall(r"[^.]*(?:\d\.\d[^.]*)*\.", text)
        assert "".join(sentences) == text, about
        assert not re.search(
            r"None|nan|\b0 of|\b1 (?:words|L words|latents|other latents)\b|\b1 of \w+ are\b|  ", text
        ), about
        assert not re.search(r"\b(?:\d\d+|[02-9]) (?:word|L word|latent|other latent)\b", text), about
        # Words that refer back have an antecedent.
        if re.search(r"\b(?:the others|it misses|they miss)\b", text):
            assert re.search(r"\bfinds? \d+% of the L words", sentences[0]), about
        for sentence in sentences:
            for back in re.finditer(r"\bof these\b", sentence):
                assert re.search(r"\d(?:,\d{3})* (?:of the )?(?:L )?words?\b|\d tested", sentence[: back.start()]), (
                    about
                )
        if re.search(r"\b(?:it|they|them)\b", text, re.IGNORECASE):
            assert row["split_latents"], about
            assert bool(re.search(r"\b(?:they|them)\b", text, re.IGNORECASE)) == (len(row["split_latents"]) > 1), about
        expect_absorbed(row, text, about)
        expect_numbers(row, text, about)
    assert count > 1000


def expect_absorbed(row: dict[str, Any], sentence: str, about: str) -> None:
    """The headline states known values, and that others are unknown or untested, and nothing else."""
    absorbed, tested, rate = row["num_absorbed"], row["num_tested"], row["absorption_rate"]
    if "nothing to absorb" in sentence:
        assert not absorbed, about
        assert row["num_candidates"] == 0 or row["num_probe_true_positives"] == 0, about
    elif re.search(r"none of these was tested|No word was tested", sentence):
        assert tested == 0, about
        assert not absorbed, about
    elif absorbed is None:
        assert "unknown" in sentence, about
    elif absorbed:
        assert re.search(rf"\b{absorbed} (?:of these|words?) (?:is|are) absorbed by \w", sentence), about
    else:
        assert re.search(r"none of these is absorbed|No word is absorbed", sentence), about
    assert ("unknown" not in sentence) or absorbed is None, about
    # The rate follows a count of words; without a count, the numbers below contain it.
    if rate is not None and re.search(r"of these (?:is|are) absorbed by", sentence):
        assert f"absorption rate {100 * rate:.1f}%" in sentence, about
    assert "absorption rate" not in sentence or rate is not None, about


def expect_numbers(row: dict[str, Any], sentence: str, about: str) -> None:
    """Every number in it is one of the summary's."""
    percents = [row[name] for name in ("absorption_rate", "rate_low", "rate_high")]
    true = {str(value) for value in row.values() if isinstance(value, int) and not isinstance(value, bool)}
    true |= {str(latent) for latent in row["split_latents"]} | {
        f"{100 * value:.1f}" for value in percents if value is not None
    }
    if row["num_probe_true_positives"] and row["num_true_positives"] is not None:
        true.add(f"{100 * row['num_true_positives'] / row['num_probe_true_positives']:.0f}")
    assert set(re.findall(r"\d+(?:\.\d+)?", sentence)) <= true, about


def test_reason_for_no_absorption_is_true_for_every_combination() -> None:
    for row in summaries():
        if row["num_absorbing_latents"]:
            continue
        sentence = why_none_absorbs(row)
        about = f"{sentence!r} of {row}"
        assert not re.search(r"None|nan|\b1 words\b|\b0 word", sentence), about
        assert ("unknown" in sentence) == (row["num_absorbed"] is None), about
        if row["num_absorbed"]:
            assert "none is absorbed" not in sentence, about
            assert "no other latent absorbs" not in sentence, about
        if re.search(r"\b(?:all split latents|the split latent)\b", sentence):
            assert row["split_latents"], about
