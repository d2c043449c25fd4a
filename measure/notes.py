"""The notes of a suite on its method: sentences with the numbers of this measurement."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

from measure.config import MethodPart, PromptsPart, VocabularyPart
from measure.recipes import PROGRAMS, RECIPES
from measure.stages.gate import LEAST_MAIN_F1, LEAST_PROBE_F1
from measure.stages.k_sparse import K_VALUES
from measure.stages.prompts import BARE, is_right
from measure.stages.vocabulary import SMALL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from measure.config import Config
    from measure.stages.prompts import Chosen
    from measure.stages.vocabulary import Vocabulary

_PARTS: dict[str, type[BaseModel]] = {"vocabulary": VocabularyPart, "prompts": PromptsPart, "method": MethodPart}
#: The settings that some recipe changes, by section of the configuration.
_OF_RECIPES = {part: sorted({name for parts in RECIPES.values() for name in parts.get(part, {})}) for part in _PARTS}

#: Texts for notes.txt, by setting and value.
_SENTENCES = {
    "split": {
        "random": "a random fifth of them ({num_test:,}) is the test split",
        "stratified": "a fifth of each letter's ({num_test:,}) is the test split",
    },
    "draw": {
        "best": "Each token is read in one of {num_prompts} spelling prompts with worked examples",
        "each_word": (
            "Each token is read in a spelling prompt of its own with random worked examples, and tokens are tested in"
            " another one than the probes were scored in"
        ),
    },
    "probe": {
        "calibrated": (
            "Linear probes are logistic regressions on standardised activations, with the threshold that is best on the"
            " training tokens; for cosines their directions are mapped back to raw activations."
        ),
        "balanced": (
            "Linear probes are logistic regressions on raw activations with class weights, in {probe_epochs} epochs of"
            " batches of {probe_batch:,}, with threshold 0."
        ),
    },
    "k_sparse": {
        "calibrated": (
            "an unweighted one, with the threshold that is best on the training tokens, is then fitted to the first k"
        ),
        "balanced": "one with class weights and threshold 0 is then fitted to the first k",
    },
    "positive": {
        "upper": "the answers are capitals after a space",
        "lower": (
            "the wrong answers are capitals after a space, and the right one is the bare lower-case letter, as in"
            " sae-spelling's program"
        ),
    },
    "error": {
        "stays": "the SAE's error stays in the stream",
        "fades": "the SAE's error fades with the latents",
    },
}


def notes_of(config: Config, families: Sequence[tuple[Vocabulary, Chosen]]) -> list[str]:
    """Return the notes on the method, one paragraph each.

    Parameters
    ----------
    config : Config
    families : sequence of pair of Vocabulary and Chosen
        The words of each family, and their prompts.
    """
    method, windows = config.method, config.windows
    choices = {name: getattr(method, name) for name in ("probe", "k_sparse", "positive", "error")}
    numbers = {
        "held_out": windows.held_out * windows.length,
        "for_loss": windows.for_loss * (windows.length - 1),
        "steps": method.steps,
        "probe_epochs": method.probe_epochs,
        "probe_batch": method.probe_batch,
        "k_values": ", ".join(str(k) for k in K_VALUES if k <= method.max_k),
        "random_directions": method.random_directions,
    }
    sentences = {name: _SENTENCES[name][value].format(**numbers) for name, value in choices.items()}
    text = _read("notes.txt").format(**numbers, **sentences)
    of_families = [line for vocabulary, chosen in families for line in _of_family(config, vocabulary, chosen)]
    if config.concepts:
        of_families.append(_read("notes_concepts.txt").format(small=SMALL, probe=LEAST_PROBE_F1, main=LEAST_MAIN_F1))
    if len(families) > 1:
        of_families.append("Activations on a word of several families are those in the prompt of the first.")
    return [recipe_note(config), *of_families, *text.splitlines()]


def _read(name: str) -> str:
    return (files("measure") / name).read_text("utf-8").strip()


def _of_family(config: Config, vocabulary: Vocabulary, chosen: Chosen) -> list[str]:
    """Describe the words of a family, their split, and their prompts."""
    family, asked = vocabulary.family, chosen.spelled.answers >= 0
    numbers = {"num_test": len(vocabulary.test), "num_prompts": len(chosen.templates)}
    if family.question:
        # Templates from the configuration are shared by all words, whatever `draw` says.
        draw = _SENTENCES["draw"]["each_word" if chosen.prompt_per_word else "best"].format(**numbers)
    else:
        alone = chosen.templates == [BARE]
        draw = "Each token stands alone" if alone else "Each token is read in one of the given prompts"
    prompts = f"{draw}; the residual stream is read at the token itself. The model"
    if family.answers:
        right = is_right(chosen.spelled.answers, vocabulary.labels[vocabulary.test])[asked].mean()
        prompts = f"{prompts} answers {right:.0%} of {int(asked.sum()):,} test tokens correctly."
    else:
        prompts = f"{prompts} is not asked."
    if family.gated:
        return [f"{family.title}: {len(vocabulary.ids):,} tokens. {prompts}"]
    split = _SENTENCES["split"][config.vocabulary.split].format(**numbers)
    words = (
        f"The vocabulary has {len(vocabulary.ids):,} alphabetic tokens; {split}, and every figure is measured on it."
    )
    return [f"{words} Probes were fitted on the other tokens.", prompts]


def recipe_note(config: Config) -> str:
    """Name the recipe, and the settings in which the configuration differs from it."""
    other = []
    for part, kind in _PARTS.items():
        expected: dict[str, Any] = RECIPES[config.recipe].get(part, {})
        of_recipe, own = kind.model_validate(expected), getattr(config, part)
        names = [name for name in _OF_RECIPES[part] if getattr(of_recipe, name) != getattr(own, name)]
        other += [f"{name} = {getattr(own, name)!r}" for name in names]
    if config.prompts.templates:
        other.append("prompts given as templates")
    but = f", but for {'; '.join(other)}" if other else ""
    return f"Recipe: {config.recipe} ({PROGRAMS[config.recipe]}){but}."
