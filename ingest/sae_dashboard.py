"""Read the evidence in a page of SAEDashboard (or of sae_vis, from which it was derived).

Such a page is rendered by a script from one JSON object, which is decoded here without running any script. Texts are
not escaped, because the explorer escapes all texts that it shows.
"""

from __future__ import annotations

import json
import re
from operator import itemgetter
from typing import Any, TypeVar

from ingest import limits

_Kind = TypeVar("_Kind", dict[str, Any], list[Any], str)
_KINDS = {dict: "object", list: "list", str: "text"}

# Accepts NaN and infinity, which Python writes although they are not JSON, and raw line breaks in strings.
_DECODER = json.JSONDecoder(parse_constant=lambda _: None, strict=False)

# Possessive quantifiers (++, *+) do not backtrack, so matching takes linear time on any page.
_DATA = re.compile(r'\s*+(?=\{\s*+"(?:AGGDATA|DASHBOARD_DATA)")')
_DENSITY = re.compile(r"DENSITY\s*+=\s*+(\d++(?:\.\d++)?)\s*+%")
_MAX = re.compile(r"MAX\s*+=\s*+(\d++(?:\.\d++)?)")
_TAG = re.compile(r"<[^<>]*+>")

_LARGEST_FLOAT, _LARGEST_INTEGER = 3.4028234e38, 2**31 - 1  # maxima of the columns' types
#: Tolerance for equal spacing, relative to the bin width; the rounding of centres to five decimals is far below it.
_UNEVEN = 0.1


class DashboardError(ValueError):
    """A page has no evidence; the message is one clause that says why."""


def evidence(html: str, latent: int) -> dict[str, list[dict[str, Any]]]:
    """Return the evidence on a latent in a page, as rows of the suite's tables.

    Parameters
    ----------
    html : str
        The whole page.
    latent : int
        The latent, because a page may show several.

    Returns
    -------
    dict
        Rows by table name, without the columns of the SAE: one of latents, in which density and max_activation are None
        if unknown, and those of contexts, logits and histograms. Tables without data are omitted, as are histograms
        without equal bins or with fractional counts, and output tokens without a logit.

    Raises
    ------
    DashboardError
        If the page has no data on the latent, or not in SAEDashboard's format.
    """
    data = _decode(html)
    pages = _typed(data.get("DASHBOARD_DATA"), dict, "DASHBOARD_DATA")
    if str(latent) not in pages:
        raise DashboardError(f"the page holds no data on latent {latent}")
    page = _typed(pages[str(latent)], dict, f"data on latent {latent}")
    groups = [_typed(group, dict, "group") for group in _typed(page.get("tokenData"), dict, "tokenData").values()]
    histogram = _only(page, "actsHistogramData")
    found = {
        "contexts": _contexts(groups),
        "logits": _logits(_only(page, "logitsTableData")),
        "histograms": _histograms(histogram),
    }
    if not any(found.values()):
        raise DashboardError(f"the page has neither contexts nor logits nor a histogram of latent {latent}")

    found["latents"] = [
        {
            "density": _known(
                1,
                _aggregate(data, "frac_nonzero", latent),
                _written(_DENSITY, _title(histogram), per=100),
            ),
            "max_activation": _known(
                _LARGEST_FLOAT,
                _aggregate(data, "max", latent),
                _written(_MAX, _title(groups[0])) if groups else None,
                max((max(context["activations"]) for context in found["contexts"]), default=None),
            ),
        }
    ]
    return {table: [{"latent": latent, **row} for row in rows] for table, rows in found.items() if rows}


def _decode(html: str) -> dict[str, Any]:
    """Return the JSON object that the page's script returns, recognised by its first key."""
    place = 0
    while (place := html.find("return", place)) >= 0:
        place += len("return")
        if start := _DATA.match(html, place):
            if sum(map(html.count, ",[{")) > limits.PAGE_VALUES:
                raise DashboardError(f"the page holds more than {limits.PAGE_VALUES:,} values")
            try:
                return _DECODER.raw_decode(html, start.end())[0]
            except RecursionError:
                raise DashboardError("the page's data is nested too deeply") from None
            except ValueError:  # also raised for a number with thousands of digits
                raise DashboardError("the page's data is cut off or no JSON") from None
    raise DashboardError("the page holds no data of SAEDashboard")


def _aggregate(data: dict[str, Any], name: str, latent: int) -> float | None:
    """Return the latent's value in a list of values for all latents of the page, in the same order."""
    values = _typed(_typed(data.get("AGGDATA"), dict, "AGGDATA").get(name), list, name)
    shown = list(data["DASHBOARD_DATA"])
    # A page of one latent may list the values of all latents that were computed together, without saying which is its.
    return _number(values[shown.index(str(latent))]) if len(values) == len(shown) else None


def _written(pattern: re.Pattern[str], title: str, *, per: int = 1) -> float | None:
    return float(found[1]) / per if (found := pattern.search(title)) else None


def _known(most: float, *values: float | None) -> float | None:
    """Return the first value from 0 to `most`, so that a faulty page does not violate the contract."""
    return next((value for value in values if value is not None and 0 <= value <= most), None)


def _contexts(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the distinct windows of all groups (top activations, then samples per interval), strongest first."""
    windows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for place, group in enumerate(groups):
        # Windows of intervals are sampled, so some are also in the first group, which has no source.
        source = _plain(_title(group)) or None if place else None
        for context in _typed(group.get("data"), list, "data"):
            if window := _window(context):
                tokens, activations, position = window
                windows.setdefault(
                    (tuple(tokens), tuple(activations), position),
                    {
                        "activation": activations[position],
                        "tokens": tokens,
                        "activations": activations,
                        "position": position,
                        "source": source,
                    },
                )
    ranked = sorted(windows.values(), key=itemgetter("activation"), reverse=True)
    return [{"rank": rank, **window} for rank, window in enumerate(ranked)]


def _window(context: Any) -> tuple[list[str], list[float], int] | None:
    """Return tokens, activations and the position of the token that the window was chosen for; None if it is empty."""
    entries = [_typed(entry, dict, "token") for entry in _typed(context, list, "context")]
    if not entries:
        return None
    tokens = [_token(entry.get("tok")) for entry in entries]
    activations = [_number(entry.get("featAct")) or 0.0 for entry in entries]  # missing for tokens without activation
    bold = (place for place, entry in enumerate(entries) if entry.get("isBold") is True)
    return tokens, activations, next(bold, activations.index(max(activations)))


def _logits(table: dict[str, Any]) -> list[dict[str, Any]]:
    row: dict[str, list[Any]] = {}
    for side, name in (("raised", "posLogits"), ("lowered", "negLogits")):
        entries = [_typed(entry, dict, "logit") for entry in _typed(table.get(name), list, name)]
        pairs = [(_token(entry.get("symbol")), _number(entry.get("value"))) for entry in entries]
        row[f"{side}_tokens"] = [token for token, value in pairs if value is not None]
        row[f"{side}_logits"] = [value for _, value in pairs if value is not None]
    return [row] if any(row.values()) else []


def _histograms(histogram: dict[str, Any]) -> list[dict[str, Any]]:
    """Convert the centres of bins to the outer edges of the first and the last bin."""
    centres = [_number(value) for value in _typed(histogram.get("x"), list, "x")]
    counts = [_number(value) for value in _typed(histogram.get("y"), list, "y")]
    known = [centre for centre in centres if centre is not None]
    whole = [int(count) for count in counts if count is not None and count.is_integer()]
    if not len(known) == len(centres) == len(counts) == len(whole) >= 2:  # noqa: PLR2004 - one bin has no spacing
        return []
    step = (known[-1] - known[0]) / (len(known) - 1)
    uneven = max(abs(centre - known[0] - place * step) for place, centre in enumerate(known))
    if step <= 0 or uneven > _UNEVEN * step or min(whole) < 0 or max(whole) > _LARGEST_INTEGER:
        return []
    return [{"low": known[0] - step / 2, "high": known[-1] + step / 2, "counts": whole}]


def _typed(value: Any, kind: type[_Kind], name: str) -> _Kind:
    """Check the type of `value` and return it; None becomes an empty value of the type."""
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise DashboardError(f"the page's {name} is no {_KINDS[kind]}")
    return value


def _only(page: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the first component of the page called `name`; components are keyed by their position on the page."""
    parts = _typed(page.get(name), dict, name)
    return _typed(next(iter(parts.values()), None), dict, name)


def _number(value: Any) -> float | None:
    """Return a number, also from text ("+0.52"); None if it is unknown or too large for its column."""
    if value is None:
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    except (TypeError, ValueError):
        raise DashboardError("the page has another type where a number is expected") from None
    return number if abs(number) <= _LARGEST_FLOAT else None


def _token(value: Any) -> str:
    """Return a token's text, in which the characters that tokenizers use for a space are replaced."""
    text = _typed(value, str, "token").replace("▁", " ").replace("Ġ", " ")
    # Lone surrogates, which JSON may contain, are replaced, because they cannot be stored.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _title(part: dict[str, Any]) -> str:
    return _typed(part.get("title"), str, "title")


def _plain(title: str) -> str:
    """Return a title with commas in place of its tags, which are line breaks."""
    lines = (line.strip() for line in _TAG.split(title.encode("utf-8", "replace").decode()))
    return ", ".join(line for line in lines if line)
