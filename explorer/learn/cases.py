"""Where each step of the page Learn leads: a case in the suite that is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from explorer.format import count, number, visible
from explorer.saes import telling
from explorer.state import FACETS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from explorer.state import Snapshot

_TOKENS = 4


class Case(NamedTuple):
    """A case.

    Attributes
    ----------
    said : str
        What is to be seen there.
    button : str
    values : mapping of str to object
        What of the state leads there.
    """

    said: str
    button: str
    values: Mapping[str, Any]

    @property
    def address(self) -> str:
        """The address that leads there, as a URL's query."""
        known = {name: value for name, value in self.values.items() if value not in (None, "")}
        return f"?{urlencode({'page': known['page'], **known})}"


def case_of(
    shown: Snapshot,
    *,
    summary: Mapping[str, Any] | None,
    absorbing: pd.DataFrame | None,
    counts: pd.DataFrame | None,
    opening: Mapping[str, Any],
    token: str | None,
    metric: str | None,
) -> Case | None:
    """Find the case of a step.

    Parameters
    ----------
    shown : Snapshot
        Its `learn_step` is the step.
    summary : mapping or None
        Record of the query `summary`.
    absorbing : DataFrame or None
        Answer of the query `absorbing_latents`.
    counts : DataFrame or None
        Answer of the query `concept_counts`.
    opening : mapping
        What the suite opens on: sae, concept and latent, as far as it names them.
    token : str or None
        The token that step 5 takes apart; None where the suite stores none.
    metric : str or None
        The metric by which it does.

    Returns
    -------
    Case or None
        None where the suite has none.
    """
    if shown.sae is None:
        return None
    here = {"suite": shown.suite, "sae": shown.sae, "concept": shown.concept}
    rows = [] if absorbing is None else absorbing.to_dict("records")
    case = None
    if shown.learn_step == 2:  # noqa: PLR2004 - the steps are numbered on the page
        # Of some SAEs the suite has a count of tested tokens, and no tokens by this metric.
        case = _tested(shown, here, summary) if token is not None and metric == shown.metric else None
    elif shown.learn_step == 3:  # noqa: PLR2004
        case = _aligned(shown, here, rows)
    elif shown.learn_step == 4:  # noqa: PLR2004
        return _split(here, counts)
    elif shown.learn_step == 5:  # noqa: PLR2004
        return _questioned(shown, here | {"metric": metric}, token)
    return case or _absorbed(shown, here, rows, counts, opening)


def _absorbed(
    shown: Snapshot,
    here: dict[str, Any],
    rows: list[dict[str, Any]],
    counts: pd.DataFrame | None,
    opening: Mapping[str, Any],
) -> Case | None:
    if rows:
        latent, tokens = int(rows[0]["latent"]), list(rows[0]["tokens"])
        named = ", ".join(map(visible, tokens[:_TOKENS])) + (", …" if len(tokens) > _TOKENS else "")
        said = f"On this SAE, latent {latent} absorbs {shown.label} on {named}: there every split latent is silent."
        return Case(said, f"Open latent {latent} in Explore", here | {"page": "explore", "latent": latent})
    other = _most(counts, "num_absorbing_latents", 1)
    if other:
        said = (
            f"No absorbing latent is known for {shown.label} on this SAE. {other['label']} has"
            f" {count(int(other['num_absorbing_latents']), 'absorbing latent')} here."
        )
        values = here | {"page": "explore", "concept": other["concept"], "latent": None}
        return Case(said, f"Open {other['label']} in Explore", values)
    place = {name: opening[name] for name in ("sae", "concept", "latent") if opening.get(name) is not None}
    if "latent" in place:
        said = "Nothing is known to be absorbed on this SAE. The suite opens on an absorbing latent of another one."
        return Case(said, f"Open latent {place['latent']} in Explore", here | place | {"page": "explore"})
    return None


def _tested(shown: Snapshot, here: dict[str, Any], summary: Mapping[str, Any] | None) -> Case | None:
    tested, absorbed = (summary["num_tested"], summary["num_absorbed"]) if summary else (None, None)
    if not tested or absorbed is None:
        return None
    said = f"On this SAE, {absorbed:,} of {tested:,} tested {shown.label} tokens are absorbed."
    only = {"evidence_verdict": "absorbed" if absorbed else "all"}
    return Case(said, "See them on Evidence", here | _narrowed(shown) | only)


def _aligned(shown: Snapshot, here: dict[str, Any], rows: list[dict[str, Any]]) -> Case | None:
    known = [row for row in rows if row["cosine"] is not None and row["cosine"] == row["cosine"]]
    if not known:
        return None
    row = max(known, key=lambda row: row["cosine"])
    latent = int(row["latent"])
    said = (
        f"On this SAE, latent {latent} absorbs {shown.label} and has cosine {number(row['cosine'])} with the linear"
        " probe: see where it lies in the cosine plot."
    )
    return Case(said, f"Open latent {latent} in Explore", here | {"page": "explore", "latent": latent})


def _split(here: dict[str, Any], counts: pd.DataFrame | None) -> Case | None:
    most = _most(counts, "num_split_latents", 1)
    if most is None:
        return None
    number_split = int(most["num_split_latents"])
    said = (
        f"On this SAE, {most['label']} has {number_split} split latents; no concept has more."
        if number_split > 1
        else f"On this SAE, no concept is split. For {most['label']}, the main latent stands alone."
    )
    values = here | {"page": "explore", "concept": most["concept"], "latent": None}
    return Case(said, f"Open {most['label']} in Explore", values)


def _questioned(shown: Snapshot, here: dict[str, Any], token: str | None) -> Case | None:
    if token is None:
        return None
    # Of the tokens that begin like it, it comes first.
    sorted_by = {"evidence_sort": "token", "evidence_descending": False}
    values = here | _narrowed(shown) | sorted_by | {"evidence_token": token.strip()}
    return Case(f"{visible(token)} with its numbers, on every metric.", f"Open {visible(token)} on Evidence", values)


def _narrowed(shown: Snapshot) -> dict[str, Any]:
    """Return what narrows the page Evidence to the SAE and the concept shown, and to nothing else."""
    of_sae = {f"facet_{name}": getattr(shown.chosen_sae, name) for name in telling(shown.saes)}
    return (
        {"page": "evidence", "evidence_token": "", "evidence_verdict": "all"}
        | dict.fromkeys(FACETS)
        | of_sae
        | {"facet_concept": shown.concept}
    )


def _most(counts: pd.DataFrame | None, column: str, least: int) -> dict[str, Any] | None:
    if counts is None:
        return None
    there = counts[counts[column].fillna(0) >= least]
    return None if there.empty else there.sort_values(column, ascending=False, kind="stable").iloc[0].to_dict()
