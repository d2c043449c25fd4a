"""Stage: the prompts that ask the model for a word's concept, their assignment to words, and the model's answers.

It combines the outputs of the stages `trials`, `assignment` and `spelled`.
"""

from __future__ import annotations

import json
import shutil
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import torch

from measure.concepts import FIRST_LETTERS
from measure.errors import MeasureError
from measure.memory import batch_size
from measure.models.base import Prompt
from measure.spelling import spelling_metric
from measure.stages.parts import part_folders
from queries.schema import LETTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from measure.concepts import Family
    from measure.models.base import LanguageModel
    from measure.stages.vocabulary import Vocabulary
    from measure.tokenizer import Tokenizer

#: Maximum batch size; larger batches are no faster.
BATCH = 512
#: The template of a family without prompts: the word alone.
BARE = "{token}"
Result = TypeVar("Result")


class Spelled(NamedTuple):
    """The model's answers for words.

    Attributes
    ----------
    answers : numpy.ndarray
        Index of the concept that it answers with (a is 0); -1 if it was not asked.
    metrics : numpy.ndarray
        The metric (`spelling_metric`), as a mean over the concepts of a word; NaN if it has none.
    """

    answers: np.ndarray
    metrics: np.ndarray


def template(examples: Iterable[str], family: Family, begin: str = "") -> str:
    """Build a template with worked examples, in which {token} stands for the word; it starts with `begin`."""
    lines = [f"{word}{family.question} {family.answer(word)}\n" for word in examples]
    return "".join([begin, *lines, "{token}", family.question])


def to_prompt(text: str, tokenizer: Tokenizer) -> Prompt:
    """Tokenize a template."""
    before, after = text.split("{token}")
    return Prompt((tokenizer.start, *tokenizer.encode(before)), tuple(tokenizer.encode_on(after)))


def answer_tokens(tokenizer: Tokenizer, answers: Sequence[str] = FIRST_LETTERS.answers) -> list[int]:
    """Return the id of the first token of each answer.

    Raises
    ------
    MeasureError
        If a letter after a space is not a single token, or two answers begin with the same token.
    """
    tokens: list[int] = []
    built_in = tuple(answers) == FIRST_LETTERS.answers
    for answer in answers:
        ids = tokenizer.encode_on(f" {answer}")
        if built_in and len(ids) != 1:
            message = (
                f"the tokenizer has no token for ' {answer}', so the model cannot be asked for it; use another model"
            )
            raise MeasureError(message)
        if ids[0] in tokens:
            other = answers[tokens.index(ids[0])]
            fix = "use another model" if built_in else "give other answers"
            message = (
                f"the answers ' {other}' and ' {answer}' begin with the same token, so they cannot be told apart; {fix}"
            )
            raise MeasureError(message)
        tokens.append(ids[0])
    return tokens


def lower_case_tokens(tokenizer: Tokenizer) -> list[int]:
    """Return the last token of each bare letter a to z, which sae-spelling's metric uses as the right answer.

    The worked examples of sae-spelling, and the wrong answers in its metric, have the form " A"; but its program passes
    the bare letter to the metric (`letter_delta_metric`).
    """
    return [tokenizer.encode(letter)[-1] for letter in LETTERS]


def draw_templates(vocabulary: Vocabulary, *, number: int, num_examples: Sequence[int], seed: int) -> list[str]:
    """Draw templates at random: their examples are training words of distinct letters, 90% of them after a space."""
    rng = np.random.RandomState(seed)
    words: dict[bool, dict[int, list[str]]] = {True: {}, False: {}}
    for place in vocabulary.train:
        text = vocabulary.texts[place]
        if len(text.strip()) > 1:
            words[text.startswith(" ")].setdefault(int(vocabulary.labels[place].argmax()), []).append(text)
    known = sorted({*words[True], *words[False]})
    templates = []
    for place in range(number):
        count = min(num_examples[place % len(num_examples)], len(known))
        examples = []
        for letter in rng.permutation(known)[:count]:
            spaced = rng.random_sample() < 0.9  # noqa: PLR2004 - see above
            among = words[spaced].get(letter) or words[not spaced][letter]
            examples.append(among[rng.randint(len(among))])
        templates.append(template(examples, vocabulary.family))
    return templates


def draw_for_each_word(
    vocabulary: Vocabulary, *, num_examples: Sequence[int], examples: str, begin: str, seed: int
) -> tuple[list[str], list[str]]:
    """Draw a template for each word, and a second one for each test word, in which it is tested.

    As in the reference programs, the examples of a template are random words other than its own.

    Parameters
    ----------
    vocabulary : Vocabulary
    num_examples : sequence of int
        Numbers of examples, used in turn.
    examples : {"all", "train", "split"}
        The words that examples are drawn from: all, the training words, or the word's own split. With "split", second
        templates use all words, as in SAEBench.
    begin : str
        Text at the start of templates.
    seed : int

    Returns
    -------
    first, second : list of str
        One per word, and one per test word.
    """
    rng = np.random.default_rng(seed)
    every = np.arange(len(vocabulary.ids))
    among = {"all": (every, every), "train": (vocabulary.train,) * 2, "split": (vocabulary.train, vocabulary.test)}

    def draw(word: int, words: np.ndarray) -> str:
        count = num_examples[word % len(num_examples)]
        drawn = rng.choice(len(words), min(count + 1, len(words)), replace=False)
        others = [place for place in words[drawn].tolist() if place != word][:count]
        return template((str(vocabulary.texts[place]) for place in others), vocabulary.family, begin)

    first = [draw(word, among[examples][int(vocabulary.is_test[word])]) for word in every.tolist()]
    again = among["all" if examples == "split" else examples][0]
    return first, [draw(word, again) for word in vocabulary.test.tolist()]


def spell_words(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    words: np.ndarray,
    labels: np.ndarray,
    assigned: np.ndarray,
    answers: Sequence[str] = FIRST_LETTERS.answers,
) -> Spelled:
    """Compute the model's answers for words, each in its prompt.

    Parameters
    ----------
    model : LanguageModel
    prompts : sequence of Prompt
    words : numpy.ndarray
        Token ids.
    labels : numpy.ndarray of bool
        Which concepts each word has, (words, concepts).
    assigned : numpy.ndarray
        Index of the prompt of each word.
    answers : sequence of str
        The answer for each concept; by default those of letters.
    """
    choices = torch.tensor(answer_tokens(model.tokenizer, answers), device=model.device)
    given, metrics = np.zeros(len(words), int), np.full(len(words), np.nan, np.float32)

    def spell(prompt: Prompt, tokens: Tensor) -> Tensor:
        with torch.no_grad():
            spelling = model.spell(prompt, tokens, 0, choices)
            return spelling.answer(spelling.stream)

    for places, logits in batches(spell, model.device, prompts, words, assigned):
        given[places] = logits.argmax(1).cpu().numpy()
        rows, concepts = np.nonzero(labels[places])
        right, of_rows = (torch.from_numpy(one).to(model.device) for one in (labels[places], rows))
        found = spelling_metric(logits[of_rows], torch.from_numpy(concepts).to(model.device), right=right[of_rows])
        number = np.bincount(rows, minlength=len(places))
        total = np.bincount(rows, found.cpu().numpy(), len(places))
        metrics[places[number > 0]] = (total / np.maximum(number, 1))[number > 0]
    return Spelled(given, metrics)


def batches(
    run: Callable[[Prompt, Tensor], Result],
    device: torch.device,
    prompts: Sequence[Prompt],
    words: np.ndarray,
    assigned: np.ndarray,
) -> Iterator[tuple[np.ndarray, Result]]:
    """Run words prompt by prompt, in batches that fit into memory; yield each batch's indices and result."""
    for number, prompt in enumerate(prompts):
        of_prompt = np.flatnonzero(assigned == number)
        if not len(of_prompt):
            continue
        tokens = torch.from_numpy(words[of_prompt].astype(np.int64)).to(device)
        if len(tokens) > 1:
            run(prompt, tokens[:1])  # caches the prefix before the memory of a batch is measured
        size = batch_size(partial(run, prompt, tokens[:1]), device, min(len(tokens), BATCH))
        for start in range(0, len(tokens), size):
            yield of_prompt[start : start + size], run(prompt, tokens[start : start + size])


def assign_prompts(num_words: int, num_prompts: int, seed: int) -> np.ndarray:
    """Draw the index of a prompt for each word."""
    return np.random.RandomState(seed).randint(0, num_prompts, num_words)


def share_spelled(model: LanguageModel, vocabulary: Vocabulary, text: str, *, num_words: int, seed: int) -> float:
    """Return the share of a sample of training words that the model answers correctly in a prompt."""
    sample = np.random.RandomState(seed).permutation(vocabulary.train)[:num_words]
    prompt, labels = to_prompt(text, model.tokenizer), vocabulary.labels[sample]
    assigned, answers = np.zeros(len(sample), int), vocabulary.family.answers
    spelled = spell_words(model, [prompt], vocabulary.ids[sample], labels, assigned, answers)
    return float(is_right(spelled.answers, labels).mean())


def is_right(answers: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return a mask of the words that the model answers correctly; False if it was not asked."""
    return (answers >= 0) & labels[np.arange(len(answers)), answers]


class Chosen(NamedTuple):
    """The prompts, their assignment to words, and the model's answers in them.

    Attributes
    ----------
    templates : list of str
    shares : list of float or None
        Share of a sample of training words that the model answers correctly; None if not measured.
    assigned : numpy.ndarray
        Index of the prompt of each word of the vocabulary.
    tested_in : numpy.ndarray
        Index of the prompt that each test word is tested in; if each word has its own prompt, a second one.
    spelled : Spelled
        Answers for the test words in `tested_in`.
    prompt_per_word : bool
        Whether each word has its own prompt, and a second one for testing.
    """

    templates: list[str]
    shares: list[float | None]
    assigned: np.ndarray
    tested_in: np.ndarray
    spelled: Spelled
    prompt_per_word: bool


def load_prompts(folder: Path) -> Chosen:
    """Load the stage's output."""
    known = json.loads((folder / "prompts.json").read_text("utf-8"))
    with np.load(folder / "spelled.npz") as arrays:
        return Chosen(
            known["templates"],
            known["shares"],
            arrays["assigned"],
            arrays["tested_in"],
            Spelled(arrays["answers"], arrays["metrics"]),
            known["prompt_per_word"],
        )


def run(settings: Mapping[str, Any], needs: Mapping[str, Path], out: Path, progress: Callable[[float], None]) -> None:  # noqa: ARG001 - nothing is configured
    """Run the stage: combine the assignment with the answers for the test words, which were computed in parts."""
    shutil.copy(needs["assignment"] / "prompts.json", out)
    with np.load(needs["assignment"] / "assigned.npz") as assigned:
        arrays = {name: assigned[name] for name in ("assigned", "tested_in")}
    number = len(arrays["tested_in"])
    arrays |= {"answers": np.full(number, -1), "metrics": np.full(number, np.nan, np.float32)}
    for part in part_folders(needs["spelled"]):
        with np.load(part / "spelled.npz") as spelled:
            for name in Spelled._fields:
                arrays[name][spelled["rows"]] = spelled[name]
    np.savez(out / "spelled.npz", **arrays)
    progress(1)
