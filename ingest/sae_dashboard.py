"""Read the evidence that a page of SAEDashboard (or sae_vis, which it grew from) carries in its script.

Such a page is drawn from one JSON object. It is decoded here, in place, and nothing of the page is ever run; its texts
are left as they are, for the explorer escapes whatever it shows.
"""

from __future__ import annotations

import json
import re
from operator import itemgetter
from typing import Any, TypeVar

from ingest import limits

_Kind = TypeVar("_Kind", dict[str, Any], list[Any], str)
_KINDS = {dict: "object", list: "list", str: "text"}

# JSON knows no NaN and no infinity, Python's writer writes them; raw line breaks in strings are forgiven.
_DECODER = json.JSONDecoder(parse_constant=lambda _: None, strict=False)

# Possessive quantifiers (++, *+) never walk back, so each pattern is linear on any page.
_DATA = re.compile(r'\s*+(?=\{\s*+"(?:AGGDATA|DASHBOARD_DATA)")')
_DENSITY = re.compile(r"DENSITY\s*+=\s*+(\d++(?:\.\d++)?)\s*+%")
_MAX = re.compile(r"MAX\s*+=\s*+(\d++(?:\.\d++)?)")
_TAG = re.compile(r"<[^<>]*+>")

_LARGEST_FLOAT, _LARGEST_INTEGER = 3.4028234e38, 2**31 - 1  # what the columns' types hold
_UNEVEN = 0.1  # of a bin: centres are rounded to five decimals, other spacings than equal ones are far off


class DashboardError(ValueError):
    """A page holds no evidence; the message is one clause that says why."""


def evidence(html: str, latent: int) -> dict[str, list[dict[str, Any]]]:
    """Return what a page knows of a latent, as rows of the suite's tables.

    Parameters
    ----------
    html : str
        The whole page.
    latent : int
        A page may show several latents.

    Returns
    -------
    dict
        Rows by table name, without the columns of the SAE: one of latents, where density and max_activation are None
        if unknown, and those of contexts, logits and histograms. A table for which the page has nothing is omitted;
        so are a histogram without equal bins and whole counts, and output tokens without a logit.

    Raises
    ------
    DashboardError
        Where the page holds no data on the latent, or not in the form that SAEDashboard gives it.
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
    """Return the object that the page's script returns; the first that starts like it counts."""
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
            except ValueError:  # a number of thousands of digits is one too
                raise DashboardError("the page's data is cut off or no JSON") from None
    raise DashboardError("the page holds no data of SAEDashboard")


def _aggregate(data: dict[str, Any], name: str, latent: int) -> float | None:
    """Return the latent's figure among those of the run, which tell whose they are by their order alone."""
    values = _typed(_typed(data.get("AGGDATA"), dict, "AGGDATA").get(name), list, name)
    shown = list(data["DASHBOARD_DATA"])
    # A page of one latent may list the figures of all that were computed with it.
    return _number(values[shown.index(str(latent))]) if len(values) == len(shown) else None


def _written(pattern: re.Pattern[str], title: str, *, per: int = 1) -> float | None:
    return float(found[1]) / per if (found := pattern.search(title)) else None


def _known(most: float, *figures: float | None) -> float | None:
    """Return the first figure that is possible: an odd page must not break the contract of all."""
    return next((figure for figure in figures if figure is not None and 0 <= figure <= most), None)


def _contexts(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each window once, strongest first: the top activations, then a few of every interval of the activation."""
    windows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for place, group in enumerate(groups):
        # The intervals are drawn at random, so they repeat windows of the first group, which has no source to name.
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
    """Return tokens, activations and the place of the token that the window was chosen for; None where it is empty."""
    entries = [_typed(entry, dict, "token") for entry in _typed(context, list, "context")]
    if not entries:
        return None
    tokens = [_token(entry.get("tok")) for entry in entries]
    activations = [_number(entry.get("featAct")) or 0.0 for entry in entries]  # silent tokens have none
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
    """Turn centres of bins into the edges of the first and the last."""
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
    """Return `value`, which must be of a kind; what is absent or null counts as empty."""
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise DashboardError(f"the page's {name} is no {_KINDS[kind]}")
    return value


def _only(page: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the part of the page called `name`, which lies under the number of its place on the page."""
    parts = _typed(page.get(name), dict, name)
    return _typed(next(iter(parts.values()), None), dict, name)


def _number(value: Any) -> float | None:
    """Return a number, which may be written as text ("+0.52"); None where it is unknown or beyond its column."""
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
    """Return a token's text: the marks that tokenizers write for a space become one."""
    text = _typed(value, str, "token").replace("▁", " ").replace("Ġ", " ")
    # Half a character (a lone surrogate, which JSON may hold) fits no file.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _title(part: dict[str, Any]) -> str:
    return _typed(part.get("title"), str, "title")


def _plain(title: str) -> str:
    """Return a title without its tags, which are line breaks."""
    lines = (line.strip() for line in _TAG.split(title.encode("utf-8", "replace").decode()))
    return ", ".join(line for line in lines if line)
