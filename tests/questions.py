"""A value for every parameter of every question, such that each has an answer in the tiny suite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from queries import catalog

if TYPE_CHECKING:
    import pandas as pd

    from queries import Store

THRESHOLDS = {"tau": 0.03, "cosine_threshold": 0.025, "effect_margin": 1.0}


def question_values(
    store: Store, *, suite: str = "tiny", sae: tuple[int, int, int], letter: str = "s", **others: Any
) -> dict[str, Any]:
    """Choose the letter's last and first split latents on `sae`; `others` take the place of these values."""
    place = {"suite": suite} | dict(zip(("layer", "width", "l0"), sae, strict=True))
    split = store.fetch("split_latents", **place, letter=letter, tau=THRESHOLDS["tau"])["latent"].tolist()
    other = next((key for key in ((0, 1000, 10), (3, 1000, 40)) if key != sae), sae)
    return {
        **place,
        **dict(zip(("other_layer", "other_width", "other_l0"), other, strict=True)),
        **THRESHOLDS,
        "letter": letter,
        "latent": split[-1] if split else 0,
        "main_latent": split[0] if split else None,
        "main_latent_by": "k_sparse",
        "mean_policy": "all_letters",
        "scope": "suite",
        "seed": 0,
        "words": [" short", "short"],
        "evidence_token": "",
        "evidence_verdict": "all",
        "evidence_sort": "top_effect",
        "evidence_descending": False,
        "evidence_page": 0,
        **dict.fromkeys(("facet_layer", "facet_width", "facet_l0", "facet_letter", "facet_latent")),
        "sensitivity_of": "tau",
        "sensitivity_low": 0.0,
        "sensitivity_high": 0.2,
        "token": _tested(store, place, letter),
        "search": "sh",
        **others,
    }


def ask(store: Store, name: str, values: dict[str, Any]) -> pd.DataFrame:
    """Ask the question `name` with those of `values` that it takes."""
    return store.fetch(name, **{param: values[param] for param in catalog()[name].params})


def _tested(store: Store, place: dict[str, Any], letter: str) -> str | None:
    """Return the first tested token of a letter, None where there is none."""
    order = {"evidence_sort": "token", "evidence_descending": False, "evidence_page": 0}
    wanted = {"evidence_token": "", "evidence_verdict": "all", "facet_letter": letter, "facet_latent": None}
    facets = {f"facet_{name}": value for name, value in place.items() if name != "suite"}
    rows = store.fetch("evidence", suite=place["suite"], **THRESHOLDS, **order, **wanted, **facets)
    return None if rows.empty else str(rows["token"].iloc[0])
