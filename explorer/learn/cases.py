"""For each step of the page Learn, an example in the suite that is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from explorer.format import count, number, visible
from explorer.saes import distinguishing_attributes
from explorer.state import FACETS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from explorer.state import Snapshot

_TOKENS = 4


class Case(NamedTuple):
    """An example in the suite.

    Attributes
    ----------
    text : str
        What the example shows.
    button : str
        Label of the button that opens it.
    values : mapping of str to object
        Parameters of the state to set.
    """

    text: str
    button: str
    values: Mapping[str, Any]

    @property
    def address(self) -> str:
        """The address of the example, as a URL query."""
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
    """Find the example for a step.

    Parameters
    ----------
    shown : Snapshot
        The state; `learn_step` is the step.
    summary : mapping or None
        Record of the query `summary`.
    absorbing : DataFrame or None
        Result of the query `absorbing_latents`.
    counts : DataFrame or None
        Result of the query `concept_counts`.
    opening : mapping
        The initial view of the suite: sae, concept and latent, as far as given.
    token : str or None
        The token whose verdict step 5 explains; None if the suite stores none.
    metric : str or None
        The metric of that verdict.

    Returns
    -------
    Case or None
        None if the suite has no example.
    """
    if shown.sae is None:
        return None
    here = {"suite": shown.suite, "sae": shown.sae, "concept": shown.concept}
    rows = [] if absorbing is None else absorbing.to_dict("records")
    case = None
    if shown.learn_step == 2:  # noqa: PLR2004 - the steps are numbered on the page
        # For some SAEs the suite has the number of tested tokens, but no tokens by this metric.
        case = _tested(shown, here, summary) if token is not None and metric == shown.metric else None
    elif shown.learn_step == 3:  # noqa: PLR2004
        case = _highest_cosine(shown, here, rows)
    elif shown.learn_step == 4:  # noqa: PLR2004
        return _most_split(here, counts)
    elif shown.learn_step == 5:  # noqa: PLR2004
        return _token_evidence(shown, here | {"metric": metric}, token)
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
        text = f"On this SAE, latent {latent} absorbs {shown.label} on {named}: where every split latent is silent."
        return Case(text, f"Open latent {latent} in Explore", here | {"page": "explore", "latent": latent})
    other = _most(counts, "num_absorbing_latents", 1)
    if other:
        text = (
            f"No absorbing latent is known for {shown.label} on this SAE. {other['label']} has"
            f" {count(int(other['num_absorbing_latents']), 'absorbing latent')} here."
        )
        values = here | {"page": "explore", "concept": other["concept"], "latent": None}
        return Case(text, f"Open {other['label']} in Explore", values)
    place = {name: opening[name] for name in ("sae", "concept", "latent") if opening.get(name) is not None}
    if "latent" in place:
        text = "No absorbed token is known on this SAE. The suite opens on an absorbing latent of another one."
        return Case(text, f"Open latent {place['latent']} in Explore", here | place | {"page": "explore"})
    return None


def _tested(shown: Snapshot, here: dict[str, Any], summary: Mapping[str, Any] | None) -> Case | None:
    tested, absorbed = (summary["num_tested"], summary["num_absorbed"]) if summary else (None, None)
    if not tested or absorbed is None:
        return None
    text = f"On this SAE, {absorbed:,} of {tested:,} tested {shown.label} tokens are absorbed."
    only = {"evidence_verdict": "absorbed" if absorbed else "all"}
    return Case(text, "See them on Evidence", here | _evidence_filters(shown) | only)


def _highest_cosine(shown: Snapshot, here: dict[str, Any], rows: list[dict[str, Any]]) -> Case | None:
    known = [row for row in rows if row["cosine"] is not None and row["cosine"] == row["cosine"]]
    if not known:
        return None
    row = max(known, key=lambda row: row["cosine"])
    latent = int(row["latent"])
    text = (
        f"On this SAE, latent {latent} absorbs {shown.label} and has cosine {number(row['cosine'])} with the linear"
        " probe: see its position in the cosine plot."
    )
    return Case(text, f"Open latent {latent} in Explore", here | {"page": "explore", "latent": latent})


def _most_split(here: dict[str, Any], counts: pd.DataFrame | None) -> Case | None:
    most = _most(counts, "num_split_latents", 1)
    if most is None:
        return None
    number_split = int(most["num_split_latents"])
    text = (
        f"On this SAE, {most['label']} has {number_split} split latents; no concept has more."
        if number_split > 1
        else f"On this SAE, no concept is split. For {most['label']}, the main latent is the only one."
    )
    values = here | {"page": "explore", "concept": most["concept"], "latent": None}
    return Case(text, f"Open {most['label']} in Explore", values)


def _token_evidence(shown: Snapshot, here: dict[str, Any], token: str | None) -> Case | None:
    if token is None:
        return None
    # Sorted by token, it is the first of the tokens that begin with it.
    sorted_by = {"evidence_sort": "token", "evidence_descending": False}
    values = here | _evidence_filters(shown) | sorted_by | {"evidence_token": token.strip()}
    return Case(f"{visible(token)} with its numbers, by every metric.", f"Open {visible(token)} on Evidence", values)


def _evidence_filters(shown: Snapshot) -> dict[str, Any]:
    """Return the filters that limit the page Evidence to the current SAE and concept."""
    of_sae = {f"facet_{name}": getattr(shown.chosen_sae, name) for name in distinguishing_attributes(shown.saes)}
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
