"""A value for every parameter of every query, with which each query has rows in the tiny suite."""

from __future__ import annotations

import re
from math import isclose, isnan
from typing import TYPE_CHECKING, Any

from queries import catalog
from queries.manifest_1 import former_id
from queries.schema import LETTERS, concept_id

if TYPE_CHECKING:
    import pandas as pd

    from queries import Store

FAMILY = "first-letter"
THRESHOLDS = {"tau": 0.03, "cosine_threshold": 0.025, "effect_margin": 1.0}
#: Parameters that determine all verdicts.
DECIDING = {"metric": "ig_ablation", **THRESHOLDS}


def sae_id(layer: int, width: int, l0: int) -> str:
    """Return the id of an SAE."""
    return former_id(layer, width, l0)


def keys(**values: Any) -> dict[str, Any]:
    """Replace layer, width and L0 by the SAE's id, and a letter by the concept's."""
    if "l0" in values:
        values["sae"] = sae_id(*(values.pop(name) for name in ("layer", "width", "l0")))
    if "other_l0" in values:
        values["other_sae"] = sae_id(*(values.pop(f"other_{name}") for name in ("layer", "width", "l0")))
    if "letter" in values:
        values["concept"] = concept_id(values.pop("letter"))
    return values


def question_values(
    store: Store, *, suite: str = "tiny", sae: tuple[int, int, int] | str, letter: str = "s", **others: Any
) -> dict[str, Any]:
    """Return values for the letter's last and first split latents on `sae` (id or key), updated with `others`."""
    sae = sae if isinstance(sae, str) else sae_id(*sae)
    place, concept = {"suite": suite, "sae": sae}, concept_id(letter)
    split = store.fetch("split_latents", **place, concept=concept, tau=THRESHOLDS["tau"])["latent"].tolist()
    other = next((name for name in (sae_id(0, 1000, 10), sae_id(3, 1000, 40)) if name != sae), sae)
    saes = store.fetch("saes")
    metrics = store.fetch("metrics")
    metric = next(iter(metrics.loc[metrics["suite"] == suite, "metric"]), "ig_ablation")
    of_suite = saes[saes["suite"] == suite].set_index("sae")["layer"]
    layer = of_suite.index[of_suite == of_suite.get(sae)].tolist()
    return {
        **place,
        "other_suite": suite,
        "other_sae": other,
        "compared": layer,
        "tree_saes": [sae, *(name for name in layer if name != sae)],
        "compared_concepts": [concept_id(each) for each in LETTERS],
        "family": FAMILY,
        "metric": metric,
        **THRESHOLDS,
        "concept": concept,
        "latent": split[-1] if split else 0,
        "main_latent": split[0] if split else None,
        "main_latent_by": "k_sparse",
        "mean_policy": "all_concepts",
        "scope": "suite",
        "seed": 0,
        "words": [" short", "short"],
        "evidence_token": "",
        "evidence_verdict": "all",
        "evidence_sort": "top_effect",
        "evidence_descending": False,
        "evidence_page": 0,
        **dict.fromkeys(("facet_saes", "facet_concept", "facet_latent")),
        "sensitivity_of": "tau",
        "sensitivity_low": 0.0,
        "sensitivity_high": 0.2,
        "token": _tested(store, concept, metric, **place),
        "search": "sh",
        **others,
    }


def ask(store: Store, name: str, values: dict[str, Any]) -> pd.DataFrame:
    """Run the query `name` with those of `values` that are its parameters."""
    return store.fetch(name, **{param: values[param] for param in catalog()[name].params})


def same(one: float | None, other: float | None) -> bool:
    """Return whether two numbers are equal, or both unknown."""
    known = [value for value in (one, other) if value is not None and not isnan(value)]
    return not known or (len(known) == 2 and isclose(*known, rel_tol=1e-9))


def expect_sensitivity(store: Store, values: dict[str, Any]) -> int:
    """Compare each SAE's curve, at the thresholds of `values`, with Atlas; return the number of known rates."""
    means = ask(store, "sae_means", {"scope": "suite", **values}).set_index("sae")
    tested = means[means["num_tested"] > 0]
    # If tokens are stored, only SAEs with tokens have curves.
    drawn = means if tested.empty else tested
    for of in THRESHOLDS:
        for sae, mean in means.iterrows():
            span = {"sensitivity_of": of, "sensitivity_low": 0.0, "sensitivity_high": 0.2}
            curve = ask(store, "threshold_sensitivity", values | span | {"sae": sae})
            if curve.empty:
                assert means["absorption_rate"].isna().all(), (of, sae)
                continue
            at = curve[curve["value"] == values[of]].iloc[0]
            is_drawn = sae in drawn.index
            assert same(at["absorption_rate"], mean["absorption_rate"] if is_drawn else None), (of, sae)
            assert same(at["num_absorbed"], mean["num_absorbed"] if is_drawn else None), (of, sae)
            assert same(at["suite_absorption_rate"], drawn["absorption_rate"].mean()), (of, sae)
            for row in curve.iloc[[3, -2]].itertuples():
                there = ask(store, "sae_means", {"scope": "suite", **values, of: row.value}).set_index("sae")
                expected = there["absorption_rate"].get(sae) if is_drawn else None
                assert same(row.absorption_rate, expected), (of, sae, row.value)
    return int(means["absorption_rate"].notna().sum())


def _tested(store: Store, concept: str, metric: str, *, suite: str, sae: str) -> str | None:
    """Return the first tested token of a concept, or None."""
    order = {"evidence_sort": "token", "evidence_descending": False, "evidence_page": 0}
    wanted = {"evidence_token": "", "evidence_verdict": "all", "facet_latent": None, "metric": metric}
    rows = store.fetch(
        "evidence", suite=suite, facet_saes=[sae], facet_concept=concept, **THRESHOLDS, **order, **wanted
    )
    return None if rows.empty else str(rows["token"].iloc[0])


def shown_text(html: str, between: str = " ") -> str:
    """Return the text of a part of the page, without the definitions that open beside its terms."""
    html = re.sub(r'<span class="definition".*?</span>', "", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", between, html).split())
