"""The headline: one sentence that summarises the state shown, correct for every state, also for screen readers."""

from __future__ import annotations

from typing import Any

from explorer.format import count, percent, span_label
from queries.schema import FRACTION_0_3, FRACTIONS


def headline(
    summary: dict[str, Any] | None, label: str, noun: str, *, metric: str | None = None, has_sae: bool = True
) -> str:
    """Summarize the results for a concept on the current SAE.

    Parameters
    ----------
    summary : dict or None
        The record of the query `summary`; None if the concept was not measured.
    label : str
        Label of the concept, for example L.
    noun : str
        Noun for a concept, for example letter.
    metric : str or None
        Metric of absorption.
    has_sae : bool
        Whether the suite has an SAE.

    Returns
    -------
    str
    """
    if not has_sae:
        return "This suite has no SAEs, so there is nothing to show."
    if summary is None:
        return f"Nothing was measured for {label} on this SAE. Choose a {noun} with a count."
    found, is_share = _found(summary, label, noun)
    if summary.get("undefined"):
        return f"{found} {_undefined(summary)}"
    if metric in FRACTIONS:
        return f"{found} {_fraction(summary, label, metric)}"
    return f"{found} {_absorption(summary, label, is_share=is_share)}"


def why_no_split(summary: dict[str, Any] | None, label: str) -> str:
    """Explain why no split latent is listed; see `why_none_absorbs`."""
    number = summary and summary["num_split_latents"]
    if number:
        return f"{count(int(number), 'latent')} for {label}; only the number was published."
    return f"No split latent is known for {label} on this SAE."


def why_none_absorbs(summary: dict[str, Any] | None, metric: str | None = None) -> str:
    """Explain why no absorbing latent is listed.

    Parameters
    ----------
    summary : dict or None
        The record of the query `summary`; None if the concept was not measured.
    metric : str or None
        Metric of absorption.

    Returns
    -------
    str
    """
    if summary is None:
        return "It was not measured on this SAE."
    if summary.get("undefined"):
        return _undefined(summary)
    if metric in FRACTIONS:
        return "A fraction measures how much is absorbed, not by which latents."
    tested, absorbed, split = summary["num_tested"], summary["num_absorbed"], summary["split_latents"]
    # Candidates were counted with the stored split latents, so they do not apply at another tau.
    by_split = len(split) and summary["stored_split"]
    them = "all split latents" if len(split) > 1 else "the split latent"
    if absorbed is None:
        why = "The suite stores no verdicts here, so absorption is unknown here."
    elif absorbed:
        why = "Only the number of absorbed words was published, not the words and their latents."
    elif tested is None:
        why = "No word is absorbed, as published."
    elif tested and by_split:
        leave = "leaves" if tested == 1 else "leave"
        why = f"{count(tested, 'word')} {leave} {them} silent, but no other latent absorbs."
    elif tested:
        why = f"{count(tested, 'word')} {'was' if tested == 1 else 'were'} tested, and none is absorbed."
    elif by_split and summary["num_candidates"] == 0:
        why = f"No word that only the probe finds leaves {them} silent, so there was nothing to test."
    else:
        why = "No word was tested."
    return why


def _undefined(summary: dict[str, Any]) -> str:
    """Explain why there is no rate."""
    return f"Absorption is undefined here, because {summary['undefined']}."


def _found(summary: dict[str, Any], label: str, noun: str) -> tuple[str, bool]:
    """Return a sentence on the split latents, and whether it contains the share of words that they find."""
    split = list(summary["split_latents"])
    if not split and summary["num_split_latents"]:
        number = int(summary["num_split_latents"])
        known = f"{number} latents share" if number > 1 else "One latent stands for"
        return f"{known} the {noun} {label}; which {'ones were' if number > 1 else 'was'} not published.", False
    if not split:
        return f"No split latent is known for {label}.", False
    several = len(split) > 1
    names = f"Latents {', '.join(map(str, split[:-1]))} and {split[-1]}" if several else f"Latent {split[0]}"
    probe, found = summary["num_probe_true_positives"], summary["num_true_positives"]
    # The number of words found refers to the stored split latents, so it does not apply at another tau.
    if probe and found is not None and summary["stored_split"]:
        verb = "together find" if several else "finds"
        return f"{names} {verb} {percent(found / probe, 0)} of the {label} words that the probe finds.", True
    return f"{names} {'share' if several else 'stands for'} the {noun} {label}.", False


def _absorption(summary: dict[str, Any], label: str, *, is_share: bool) -> str:
    """Return a sentence on how many words could be absorbed, and how many are."""
    tested, absorbed, probe = summary["num_tested"], summary["num_absorbed"], summary["num_probe_true_positives"]
    candidates = summary["num_candidates"]
    # Candidates were counted with the stored split latents, so they do not apply at another tau.
    has_candidates = candidates is not None and len(summary["split_latents"]) and summary["stored_split"]
    if probe == 0:
        text = f"The probe finds no {label} word: nothing to absorb"
    elif has_candidates and max(tested or 0, absorbed or 0) <= candidates:
        text = _silent(summary, label, is_share=is_share)
    elif tested:
        text = f"{count(tested, 'word')} {'was' if tested == 1 else 'were'} tested for absorption; {_absorbed(summary)}"
    elif tested == 0:
        text = "No word was tested for absorption"
    elif absorbed is None:
        text = f"How many words are absorbed is unknown{_published_rate(summary)}"
    elif probe:
        text = f"The probe finds {count(probe, 'word')}; {_absorbed(summary)}"
    elif absorbed:
        text = f"{count(absorbed, 'word')} {'is' if absorbed == 1 else 'are'} absorbed by {_absorbing(summary)}"
    else:
        text = "No word is absorbed"
    return f"{text}."


def _fraction(summary: dict[str, Any], label: str, metric: str) -> str:
    """Return a sentence on the absorption fraction, which does not count words."""
    fraction = summary["absorption_rate"]
    if fraction is None:
        return f"How much of {label} is absorbed is unknown."
    share = percent(fraction)
    if metric == FRACTION_0_3:
        return f"Over the words that the probe finds, {share} of what latents carry of {label} is not on split latents."
    return f"Over the words that the probe finds, absorbing latents carry {share} of {label} on average."


def _silent(summary: dict[str, Any], label: str, *, is_share: bool) -> str:
    """Return a sentence on the words on which the split latents are silent, and how many of these are absorbed."""
    tested, silent = summary["num_tested"], summary.get("num_split_silent")
    # Some sources count all words that the k-sparse probe misses, including those on which a split latent fires.
    candidates = summary["num_candidates"] if silent is None else min(silent, summary["num_candidates"])
    several = len(summary["split_latents"]) > 1
    if candidates == 0:
        them = "them all" if several else "it"
        return f"No {label} word that only the probe finds leaves {them} silent: nothing to absorb"
    misses, do = ("they miss", "they do") if several else ("it misses", "it does")
    words = f"the words {misses}" if is_share else f"the {label} words that only the probe finds"
    silent = f"On {candidates:,} of {words}, {do} not fire at all"
    if tested == 0:
        return f"{silent}; none of these was tested for absorption"
    sampled = f" ({tested:,} tested)" if tested is not None and tested < candidates else ""
    return f"{silent}{sampled}; {_absorbed(summary)}"


def _absorbed(summary: dict[str, Any]) -> str:
    """Return a clause on how many of the words mentioned before are absorbed."""
    absorbed, rate = summary["num_absorbed"], summary["absorption_rate"]
    if absorbed is None:
        return f"how many of these are absorbed is unknown{_published_rate(summary)}"
    if absorbed == 0:
        text = "none of these is absorbed by another latent"
    else:
        text = f"{absorbed:,} of these {'is' if absorbed == 1 else 'are'} absorbed by {_absorbing(summary)}"
    if rate is None:
        return text
    return f"{text}: absorption rate {percent(rate)} ({span_label(summary['rate_low'], summary['rate_high'])})"


def _published_rate(summary: dict[str, Any]) -> str:
    """Return a clause with the rate that was published without a count, and the rate by chance, if known."""
    rate, random = summary["absorption_rate"], summary["random_rate"]
    if rate is None:
        return ""
    chance = "" if random is None else f"; random directions in place of the probe give {percent(random)}"
    return f"; the published rate is {percent(rate)}{chance}"


def _absorbing(summary: dict[str, Any]) -> str:
    latents = summary["num_absorbing_latents"]
    return "other latents" if latents is None else count(latents, "other latent")
