"""Sentences that say what the state shows; true for every state, in plain text for screen readers too."""

from __future__ import annotations

from typing import Any

from explorer.format import count


def headline(summary: dict[str, Any] | None, letter: str, *, has_sae: bool = True) -> str:
    """Say what is known of `letter` on the SAE shown.

    Parameters
    ----------
    summary : dict or None
        The record of the query `summary`; None where the letter was not measured.
    letter : str
        Lower-case letter.
    has_sae : bool
        Whether there is an SAE to speak of.

    Returns
    -------
    str
    """
    if not has_sae:
        return "This suite holds no SAE, so there is nothing to show yet."
    upper = letter.upper()
    if summary is None:
        return f"Nothing was measured for {upper} on this SAE. Choose a letter with a count."
    return " ".join(sentence for sentence in (_found(summary, upper), _silent(summary, upper)) if sentence)


def why_none_absorbs(summary: dict[str, Any] | None) -> str:
    """Say why no absorbing latent is known, where none is.

    Parameters
    ----------
    summary : dict or None
        The record of the query `summary`; None where the letter was not measured.

    Returns
    -------
    str
    """
    if summary is None:
        return "The letter was not measured on this SAE."
    if summary["num_absorbed"] is None:
        return "The suite stores no tested tokens, so absorption is unknown here."
    tested = summary["num_tested"]
    if tested is None:
        return "Only how many words are absorbed was published, not the words and their latents."
    # Candidates were counted with the stored split latents, and say nothing of those of another tau.
    if not summary["stored_split"] or (not tested and summary["num_candidates"] != 0):
        were = "was" if tested == 1 else "were"
        return f"{count(tested, 'word')} {were} tested, and none is absorbed." if tested else "No word was tested."
    them = "all split latents" if len(summary["split_latents"]) > 1 else "the split latent"
    if not tested:
        return f"No word that only the probe finds leaves {them} silent, so there was nothing to test."
    leave = "leaves" if tested == 1 else "leave"
    return f"{count(tested, 'word')} {leave} {them} silent, but no other latent takes over."


def _found(summary: dict[str, Any], upper: str) -> str:
    split = list(summary["split_latents"])
    if not split and summary["num_split_latents"]:
        number = int(summary["num_split_latents"])
        known = f"{number} latents share" if number > 1 else "One latent stands for"
        return f"{known} the letter {upper}; which {'ones were' if number > 1 else 'was'} not published."
    if not split:
        return f"No split latent is known for {upper}."
    several = len(split) > 1
    names = f"Latents {', '.join(map(str, split[:-1]))} and {split[-1]}" if several else f"Latent {split[0]}"
    probe, found = summary["num_probe_true_positives"], summary["num_true_positives"]
    # The count of words found belongs to the stored split latents, not to those of another tau.
    if probe and found is not None and summary["stored_split"]:
        verb = "together find" if several else "finds"
        return f"{names} {verb} {100 * found / probe:.0f} % of the {upper}-words that the probe finds."
    return f"{names} {'share' if several else 'stands for'} the letter {upper}."


def _silent(summary: dict[str, Any], upper: str) -> str:
    tested, absorbed = summary["num_tested"], summary["num_absorbed"]
    split, candidates = summary["split_latents"], summary["num_candidates"]
    if absorbed is not None and tested is None:
        probe = summary["num_probe_true_positives"]
        return f"The probe finds {count(probe, 'word')}; {_absorbed(summary)}." if probe else ""
    if absorbed is None or not len(split):
        return ""
    # Candidates were counted with the stored split latents, and say nothing of those of another tau.
    if candidates is None or not summary["stored_split"]:
        if not tested:
            return ""
        return (
            f"{count(tested, 'word')} {'was' if tested == 1 else 'were'} tested for absorption; {_absorbed(summary)}."
        )
    they_are, them = ("They are all", "them all") if len(split) > 1 else ("It is", "it")
    if candidates == 0:
        return f"No {upper}-word that only the probe finds leaves {them} silent: nothing to absorb."
    sampled = f" ({tested:,} tested)" if tested < candidates else ""
    return f"{they_are} silent on {candidates:,} of the others{sampled}; {_absorbed(summary)}."


def _absorbed(summary: dict[str, Any]) -> str:
    absorbed, rate = summary["num_absorbed"], summary["absorption_rate"]
    if absorbed == 0:
        said = "none of these is absorbed by another latent"
    else:
        latents = summary["num_absorbing_latents"]
        by = "other latents" if latents is None else count(latents, "other latent")
        said = f"{absorbed:,} of these {'is' if absorbed == 1 else 'are'} absorbed by {by}"
    if rate is None:
        return said
    low, high = 100 * summary["rate_low"], 100 * summary["rate_high"]
    return f"{said}: absorption rate {100 * rate:.1f} % ({low:.1f}–{high:.1f})"
