"""Estimate of a measurement's time, memory and disk space on this machine, from timed samples of its work."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import psutil
import torch

from measure.concepts import FIRST_LETTERS
from measure.device import best_device, fast_precision, free_memory
from measure.memory import SHARE, peak_of
from measure.models.base import Prompt
from measure.plan import family_settings
from measure.saes.loading import open_sae, width_of
from measure.saes.trained import TrainedSae
from measure.stages.ablation import AT_ONCE, Word, ablate
from measure.stages.erasure import ERASED
from measure.stages.losses import WINDOWS as OF_LOSS
from measure.stages.prompts import BATCH
from measure.stages.text_activations import WINDOWS as OF_TEXT
from measure.stages.vocabulary import NUM_FOLDS, read_vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from measure.config import ConceptsPart, Config
    from measure.models.base import LanguageModel
    from measure.plan import Plan
    from measure.saes.base import Sae
    from measure.tasks import Task

#: Guessed candidates per word on an SAE with one active latent per token; inversely proportional to the number
#: of active latents. Number of tokens after a prompt's word.
_CANDIDATES, _SUFFIX = 0.1, 5
#: Approximate tokens per worked example, and bytes of text per token.
_EXAMPLE, _BYTES = 8, 4
_PROBE_STEPS = 200
#: Approximate number of latents per SAE whose kin are searched for.
_MATTER = 1500
#: Cost of a training step in addition to its one large product, expressed as a number of latents.
_STEP = 2000
_STREAM_BYTES = 2
_SIDE = 1024
#: Numbers of windows, words, tested words and tokens in a timed sample; number of runs of each, of which the fastest
#: counts; and seconds: a sample that takes longer is not run again.
_TIMED_WINDOWS, _TIMED_WORDS, _TIMED_TESTED, _TIMED_ROWS, _OFTEN, _LONG = 2, 64, 8, 256, 3, 1.0
#: Speed of fits and of training, as a share of the speed of a large matrix product.
_USED = 0.35


class Cost(NamedTuple):
    """Seconds, bytes of memory and bytes of disk."""

    seconds: float
    memory: float
    disk: float


class Size(NamedTuple):
    """Numbers of words, test words and concepts of a family."""

    words: int
    tested: int
    concepts: int


class Piece(NamedTuple):
    """Seconds for one window, word or token, and bytes of memory while it is computed."""

    seconds: float
    memory: float


@dataclass(frozen=True)
class Facts:
    """The quantities on which the amount of work depends, and the measured cost of samples of it.

    Attributes
    ----------
    d_model : int
    families : dict of str to Size
        By family id.
    text : int
        Number of windows of text on which the model is run.
    top : int
        The highest layer with an SAE.
    length : int
        Tokens of a prompt before the word.
    window, word : Piece
        The model up to layer `top` on a window of text, or on a word in a shared prompt.
    own : Piece
        The model up to layer `top` on a prompt that is used for one word only.
    asked, tested, loss : Piece
        The model's answer for a word, the ablation of a candidate, the loss of a window.
    encoded, given_back : Piece
        Encoding or reconstruction of a token by an SAE, per latent.
    active : float
        Active latents per token.
    speed : float
        Speed of products of large matrices, 10^9 multiplications per second.
    """

    d_model: int
    families: dict[str, Size]
    text: int
    top: int
    length: int
    window: Piece
    word: Piece
    own: Piece
    asked: Piece
    tested: Piece
    loss: Piece
    encoded: Piece
    given_back: Piece
    active: float
    speed: float

    @property
    def words(self) -> int:
        """Number of words of all families; a word in several families counts once per family."""
        return sum(size.words for size in self.families.values())


def facts_of(model: LanguageModel, config: Config, base: Path) -> Facts:
    """Collect the quantities on which the amount of work depends, and time samples of the work.

    Parameters
    ----------
    model : LanguageModel
    config : Config
    base : Path
        The folder to which paths in the configuration are relative.
    """
    known = [number for number, _ in model.tokenizer.words()]
    length = _EXAMPLE * sum(config.prompts.num_examples) // len(config.prompts.num_examples) + 1
    top = max(layer for part in config.saes for layer in part.layers)
    several = (known * (1 + 4 * length // len(known)))[: max(length, _TIMED_WORDS)]
    prompt = Prompt((model.tokenizer.start, *several[: length - 1]), tuple(several[:_SUFFIX]))
    words = torch.tensor((several * _TIMED_WORDS)[:_TIMED_WORDS], device=model.device)
    answers = words[:26]
    width = config.windows.length + 1
    windows = words.repeat(-(-_TIMED_WINDOWS * width // len(words)))[: _TIMED_WINDOWS * width].view(-1, width)
    alone = torch.tensor([prompt.prefix], device=model.device)
    model.word_streams(prompt, words[:1], [top])  # computes the shared prefix once, so that it is not timed
    stream = model.streams(windows, [top])[top][:, 1:].flatten(0, 1)
    sae = _some_sae(config, base, model)
    rows = stream[torch.arange(_TIMED_ROWS, device=model.device) % len(stream)].cpu().numpy()
    directions = sae.directions[:64].to(model.device)

    def asked(tokens: torch.Tensor) -> None:
        with torch.no_grad():
            spelling = model.spell(prompt, tokens, 0, answers)
            spelling.answer(spelling.stream)

    def tested(number: int) -> None:
        active = torch.arange(len(directions)).numpy()
        some = [Word(token, 0, active, 0 * active.astype("float32")) for token in words[:number].tolist()]
        steps = config.method.steps
        list(ablate(model, prompt, answers, some, directions, layer=top, steps=steps, batch=number))

    needed = config.windows.evidence + config.windows.held_out
    num_windows = _text_tokens(config, base) // config.windows.length
    trained = any(part.path is None for part in config.saes)
    encoded = sae.encode_sparse(rows)
    return Facts(
        d_model=model.d_model,
        families=dict(_size(config, part, base, model) for part in config.families),
        text=num_windows if trained else min(num_windows, needed),
        top=top,
        length=length,
        window=_take(lambda number: model.streams(windows[:number], [top]), len(windows)),
        word=_take(lambda number: model.word_streams(prompt, words[:number], [top]), len(words)),
        own=_take(lambda _: model.streams(alone, [top]), 1),
        asked=_take(lambda number: asked(words[:number]), len(words)),
        # One more word is run, to measure the memory that it needs.
        tested=_take(tested, _TIMED_TESTED, more=1),
        loss=_take(lambda number: model.losses(windows[:number], {}), len(windows)),
        encoded=_per_latent(_take(lambda number: sae.encode_sparse(rows[:number]), len(rows)), sae),
        given_back=_per_latent(_take(lambda number: sae.reconstruct_all(stream[:number]), len(stream)), sae),
        active=len(encoded.values) / encoded.num_rows,
        speed=speed(),
    )


def _size(config: Config, part: ConceptsPart | None, base: Path, model: LanguageModel) -> tuple[str, Size]:
    """Return the id and the size of a family."""
    how = config.vocabulary.model_dump()
    vocabulary = read_vocabulary(model.tokenizer, **how, concepts=family_settings(part, base))
    size = Size(len(vocabulary.ids), len(vocabulary.test), len(vocabulary.family.measured))
    return vocabulary.family.family, size


def _some_sae(config: Config, base: Path, model: LanguageModel) -> Sae:
    """Open one of the SAEs to measure, or create one like those to train."""
    given = next((part.path for part in config.saes if part.path), None)
    if given is not None:
        return open_sae(base / given, model.device)
    d_model, width, device = model.d_model, max(config.saes[0].widths), model.device
    decoder = torch.nn.functional.normalize(torch.randn(width, d_model, device=device), dim=1)
    bias, mean, one = (torch.zeros(size, device=device) for size in (width, d_model, ()))
    # With this threshold, about k latents are active per token.
    threshold = torch.special.ndtri(torch.tensor(1 - min(config.saes[0].k) / width)).to(device)
    return TrainedSae(decoder.T.contiguous(), bias, decoder, mean, mean, one + 1, threshold)


def _text_tokens(config: Config, base: Path) -> int:
    """Return the maximum number of tokens of text; for files, it is limited by their size."""
    number = 0
    for part in config.text:
        size = sum(file.stat().st_size for file in base.glob(part.files) if file.is_file())
        number += part.tokens if part.debian else min(part.tokens, size // _BYTES)
    return number


def _take(run: Callable[[int], object], number: int, more: int = 0) -> Piece:
    """Return the cost of one item if `number` items are computed at once, and `more` items separately."""
    memory = peak_of(partial(run, number))
    best = float("inf")
    for _ in range(_OFTEN):
        start = time.perf_counter()
        run(number)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
        if best > _LONG:
            break
    return Piece(best / (number + more), memory / number)


def _per_latent(piece: Piece, sae: Sae) -> Piece:
    return Piece(*(one / sae.num_latents for one in piece))


def expect(
    plan: Plan, tasks: list[Task], model: LanguageModel, config: Config, base: Path, workers: int
) -> tuple[Cost, dict[str, float]]:
    """Estimate the cost of the remaining tasks, and the seconds for each by its digest; 0 if there are none."""
    if not tasks:
        return Cost(0, 0, 0), {}
    facts = facts_of(model, config, base)
    each = {task.digest: effort(task, facts, config) for task in tasks}
    return estimate(plan, tasks, facts, config, workers), each


def effort(task: Task, facts: Facts, config: Config) -> float:
    """Return the approximate seconds for a task on this machine if nothing else runs on it."""
    f, windows, settings = facts, config.windows, task.settings
    alone = config.prompts.draw == "each_word" and not config.prompts.templates
    prompts = len(config.prompts.templates) or config.prompts.kept
    mix = max(settings.get("mix") or [-1]) + 1
    share = (max(settings.get("layers", [0])) + 1) / (f.top + 1)
    on_text = (windows.evidence + windows.held_out) * windows.length
    family = f.families[_family(task.needs["vocabulary"])] if "vocabulary" in task.needs else Size(f.words, 0, 0)
    width = _width(task.needs["sae"]) if "sae" in task.needs else 0
    active = task.needs["sae"].settings.get("k", f.active) if "sae" in task.needs else 0
    fit = 1 / (f.speed * 1e9 * _USED)
    work = {
        "trials": config.prompts.drawn * config.prompts.sample * f.asked.seconds,
        "spelled": config.prompts.sample * (f.asked.seconds + f.own.seconds)
        if alone
        else family.tested * f.asked.seconds,
        "text": f.text * windows.length * 4e-6,
        "text_activations": f.text * f.window.seconds * share,
        "activations": family.words * 1.2 * f.own.seconds * share
        if alone
        else family.words * f.word.seconds * (share + 0.8 * prompts * mix / (f.top + 1)),
        "losses": (len(settings.get("layers", [])) + 1) * windows.for_loss * f.loss.seconds,
        "probes": family.words * family.concepts * f.d_model * _PROBE_STEPS * fit,
        "train": settings.get("tokens", 0) * (settings.get("width", 0) + _STEP) * f.d_model * fit,
        "latents": (1.2 if alone else 1) * family.words * width * f.encoded.seconds,
        "text_latents": on_text * width * f.encoded.seconds,
        # An answer with and without a probe's direction.
        "erasure": 2 * family.concepts * ERASED * f.asked.seconds,
        # Cross-validated and, if words are few, cross-fitted.
        "k_sparse": family.words * family.concepts * 2e5 * (NUM_FOLDS if config.concepts else 1) * fit,
        "ablation": _candidates(active, family, config) * (f.tested.seconds + alone * f.own.seconds),
        "projections": config.method.random_directions
        * (family.concepts * f.d_model * width * fit + family.tested * active * 5e-7),
        "evidence": ((1.2 if alone else 1) * family.words + on_text) * 1e5 * fit,
        "kin": sum(
            _MATTER * settings["saes"] * _width(need) * f.d_model * fit
            for name, need in task.needs.items()
            if name.startswith("sae-")
        ),
        "quality": windows.for_loss * f.loss.seconds
        + (windows.held_out + windows.for_loss) * windows.length * width * f.given_back.seconds,
    }
    return max(work.get(task.stage, 0) / settings.get("parts", 1), 0.01)


def _family(vocabulary: Task) -> str:
    """Return the id of the family for which a vocabulary is labelled."""
    concepts = vocabulary.settings["concepts"] or {"family": FIRST_LETTERS.family}
    return str(concepts["family"])


def _candidates(active: float, family: Size, config: Config) -> float:
    """Estimate the number of words ablated on an SAE with `active` active latents per token."""
    most = family.concepts * (config.method.limit or family.words)
    return min(_CANDIDATES * family.words / max(active, 1), most)


def _width(sae: Task) -> int:
    """Return the number of latents of an SAE, to be trained or existing."""
    return int(sae.settings["width"]) if sae.stage == "train" else width_of(sae.settings["path"])


def estimate(plan: Plan, tasks: list[Task], facts: Facts, config: Config, workers: int) -> Cost:
    """Estimate the cost of the remaining tasks.

    Parameters
    ----------
    plan : Plan
    tasks : list of Task
        The remaining tasks.
    facts : Facts
    config : Config
    workers : int
        Number of processes.
    """
    f, length = facts, config.windows.length
    saes = [sae.tasks["sae"] for sae in plan.saes]
    streams = len({sae.layer for sae in plan.saes})
    alone = config.prompts.draw == "each_word" and not config.prompts.templates
    prompts = 1 if alone else len(config.prompts.templates) or config.prompts.kept
    trained = [task.settings["width"] for task in saes if task.stage == "train"]
    layers = len({task.settings["layer"] for task in saes if task.stage == "train"})
    on_text = (config.windows.evidence + config.windows.held_out) * length
    row = 8 * (1 + f.active)
    ahead = {task.stage for task in tasks}
    disk = 0.0
    if ahead & {"activations", "text_activations"}:
        mixed = f.families[_family(plan.families[0].shared["vocabulary"])].words
        rows = streams * (f.text * length + f.words * (1 + 0.2 * alone)) + layers * 0.8 * prompts * mixed
        disk = rows * f.d_model * _STREAM_BYTES
    for task in tasks:
        disk += {"package": 0.3e9, "text_latents": row * on_text}.get(task.stage, 0)
        disk += 1.2 * row * f.families[_family(task.needs["vocabulary"])].words if task.stage == "latents" else 0
        disk += 4 * 2 * task.settings["width"] * f.d_model if task.stage == "train" else 0
    # The stage that needs most memory: probes (the stream at all words, also twice in float32), an SAE (its weights and
    # directions, and its activations on words and text), or training; in addition, one batch.
    width = max(map(_width, saes))
    training = max((4 * 8 * one * f.d_model + 3 * 1024 * one * 4 for one in trained), default=0)
    most = max(size.words for size in f.families.values())
    held = max(
        most * f.d_model * (_STREAM_BYTES + 4 + 4),
        4 * 4 * width * f.d_model + 3 * 12 * f.active * (most + on_text),
        training,
    )
    batch = max(
        OF_TEXT * f.window.memory,
        BATCH * max(f.word.memory, f.asked.memory),
        AT_ONCE * f.tested.memory,
        OF_LOSS * f.loss.memory,
    )
    batch = min(batch, SHARE * free_memory(best_device()) / workers)
    memory = psutil.Process().memory_info().rss + held + batch
    return Cost(sum(effort(task, facts, config) for task in tasks), workers * memory, disk)


def speed() -> float:
    """Return the speed of a matrix product in the precision of the model, in 10^9 multiplications per second."""
    device = best_device()
    one = torch.randn(_SIDE, _SIDE, device=device, dtype=fast_precision(device))
    best = 0.0
    for _ in range(4):
        start = time.perf_counter()
        float((one @ one).sum())
        best = max(best, _SIDE**3 / 1e9 / (time.perf_counter() - start))
    return best
