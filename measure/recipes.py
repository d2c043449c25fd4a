"""Recipes: settings with which a measurement follows the paper's program, SAEBench, or neither.

A recipe changes the defaults of the configuration; explicit settings take precedence. docs/method.md lists the
differences and the effect of each on the rate.
"""

from __future__ import annotations

from typing import Any, Literal

RecipeName = Literal["calibrated", "paper", "saebench"]

#: The settings of each recipe, by section; the defaults in `measure.config` are those of "calibrated".
RECIPES: dict[str, dict[str, dict[str, Any]]] = {
    "calibrated": {},
    # sae-spelling, commit 9bcada0, the program of Chanin et al. (2024).
    "paper": {
        "vocabulary": {"split": "stratified"},
        "prompts": {"draw": "each_word", "num_examples": [10], "examples": "all"},
        "method": {
            "probe": "balanced",
            "probe_epochs": 50,
            "probe_batch": 4096,
            "k_sparse": "balanced",
            "l1_epochs": 50,
            "l1_batch": 4096,
            "l1_end_rate": 1e-5,
            "auc": "pre_activation",
            "positive": "lower",
            "error": "fades",
        },
    },
    # SAEBench 0.6.0 (commit 8042bb3).
    "saebench": {
        "prompts": {"draw": "each_word", "num_examples": [10], "examples": "split", "begin": "\n"},
        "method": {
            "metric": "full",
            "probe": "balanced",
            "probe_epochs": 50,
            "probe_batch": 64,
            "k_sparse": "balanced",
            "l1_epochs": 50,
            "l1_batch": 4096,
            "l1_end_rate": 1e-5,
            "max_k": 10,
            "min_probe_f1": 0.6,
        },
    },
}

#: The program that a recipe follows.
PROGRAMS = {
    "calibrated": "this project's own",
    "paper": "sae-spelling, commit 9bcada0, the program of Chanin et al.",
    "saebench": "SAEBench 0.6.0",
}


def with_recipe(given: dict[str, Any]) -> dict[str, Any]:
    """Add the recipe's settings to a parsed configuration; its own settings take precedence."""
    recipe = given.get("recipe", "calibrated")
    settings = RECIPES.get(recipe, {}) if isinstance(recipe, str) else {}
    parts = {
        part: known | given.get(part, {}) for part, known in settings.items() if isinstance(given.get(part, {}), dict)
    }
    return given | parts
