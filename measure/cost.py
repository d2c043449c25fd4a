"""What a measurement will cost on this machine: time, memory and disk."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from measure.device import best_device, fast_precision
from measure.stages.erasure import ERASED
from measure.stages.vocabulary import NUM_FOLDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from measure.config import Config
    from measure.models.base import LanguageModel
    from measure.plan import Plan
    from measure.tasks import Task

#: Share of the speed of a large matrix product that the whole of a stage reaches, as timed on two cores.
_USED = 0.35
#: Candidates of an SAE for each word, as far as can be guessed before they are counted; tokens after a prompt's word.
_CANDIDATES, _SUFFIX = 0.013, 5
#: Tokens of a worked example.
_EXAMPLE = 8
_PROBE_STEPS = 200
#: Latents of an SAE whose kin are looked for, about.
_MATTER = 1500
#: What a training step takes beside its one large product, in latents.
_STEP = 2000
_STREAM_BYTES = 2
_SIDE = 1024


class Cost(NamedTuple):
    """Seconds, bytes of memory and bytes of disk."""

    seconds: float
    memory: float
    disk: float


@dataclass(frozen=True)
class Facts:
    """Of the model, the vocabulary and the text, what decides on the work.

    `block` is the number of weights in one block, `words` that of alphabetic tokens.
    """

    block: float
    num_layers: int
    d_model: int
    vocabulary: int
    words: int
    text: int


def facts_of(model: LanguageModel, config: Config) -> Facts:
    """Read the facts off a model and a configuration."""
    words = len(model.tokenizer.words())
    return Facts(
        block=12 * model.d_model**2,
        num_layers=model.num_layers,
        d_model=model.d_model,
        vocabulary=len(model.tokenizer),
        words=min(words, config.vocabulary.limit or words),
        text=sum(part.tokens for part in config.text),
    )


def effort(task: Task, facts: Facts, config: Config) -> float:
    """Return the rough number of multiplications that a task takes, in 10^9; at least one."""
    settings: Mapping[str, Any] = task.settings
    f, windows = facts, config.windows
    up_to = (max(settings.get("layers", [0])) + 1) * f.block
    alone = config.prompts.draw == "each_word" and not config.prompts.templates
    prompts = len(config.prompts.templates) or config.prompts.kept
    # Where no two words share a prompt, each takes its own prefix along.
    length = _EXAMPLE * max(config.prompts.num_examples) if alone else 0
    asked = config.prompts.sample * (1 if alone else config.prompts.drawn) + (0 if alone else 0.2 * f.words)
    layer = settings.get("layer", 0)
    on_text = (windows.evidence + windows.held_out) * windows.length
    seen = f.words + on_text
    width = task.needs["sae"].settings.get("width", 16384) if "sae" in task.needs else 0
    runs = 3 * config.method.steps + 2  # a way back is twice as long as one forth
    work: dict[str, float] = {
        "prompts": asked * (length + 1 + _SUFFIX) * f.num_layers * f.block,
        "text": f.text * 2e5,
        "text_activations": f.text * up_to,
        "activations": f.words * (1.2 * length if alone else 1 + 0.8 * prompts * bool(settings.get("mix"))) * up_to,
        "loss": 4 * windows.for_loss * windows.length * (f.num_layers * f.block + f.vocabulary * f.d_model),
        "probes": f.words * 26 * f.d_model * _PROBE_STEPS,
        "train": settings.get("tokens", 0) * (settings.get("width", 0) + _STEP) * f.d_model,
        "latents": f.words * width * f.d_model,
        "text_latents": on_text * width * f.d_model,
        "erasure": 2 * 26 * ERASED * (1 + _SUFFIX) * (f.num_layers - layer) * f.block,
        # Cross-validated, and where words are few cross-fitted.
        "k_sparse": f.words * 5e6 * (NUM_FOLDS if config.concepts else 1),
        "ablation": _CANDIDATES
        * f.words
        * (runs * (1 + _SUFFIX) * (f.num_layers - layer) + length * f.num_layers)
        * f.block,
        "projections": config.method.random_directions * 26 * f.d_model * width,
        "evidence": seen * 1e6,
        "kin": sum(
            _MATTER * settings["saes"] * need.settings.get("width", 16384) * f.d_model
            for name, need in task.needs.items()
            if name.startswith("sae-")
        ),
        "quality": windows.for_loss * windows.length * (f.num_layers * f.block + f.vocabulary * f.d_model)
        + windows.held_out * windows.length * width * f.d_model * 2,
    }
    return max(work.get(task.stage, 0) / settings.get("parts", 1) / 1e9, 1.0)


def estimate(plan: Plan, tasks: list[Task], facts: Facts, config: Config, workers: int) -> Cost:
    """Estimate what is left to do.

    Parameters
    ----------
    plan : Plan
    tasks : list of Task
        Those that are not done.
    facts : Facts
    config : Config
    workers : int
        Number of processes.
    """
    streams = len({sae.layer for sae in plan.saes})
    alone = config.prompts.draw == "each_word" and not config.prompts.templates
    prompts = 1 if alone else len(config.prompts.templates) or config.prompts.kept
    trained = any(part.path is None for part in config.saes)
    rows = facts.text + facts.words * (1 + 0.2 * alone + 0.8 * prompts * trained)
    width = max([sae.width for sae in plan.saes] + [2048])
    model = 6.0 * (facts.num_layers * facts.block + facts.vocabulary * facts.d_model)
    training = 4 * 8 * width * facts.d_model + 3 * 1024 * width * 4
    ahead = {task.stage for task in tasks}
    disk = streams * rows * facts.d_model * _STREAM_BYTES if ahead & {"activations", "text_activations"} else 0
    disk += sum(
        0.3e9 if task.stage == "package" else 12.0 * 40 * (facts.words + facts.text / 3)
        for task in tasks
        if task.stage in ("package", "latents")
    )
    seconds = sum(effort(task, facts, config) for task in tasks) / (speed() * _USED)
    return Cost(seconds, workers * (model + training + 1.5e9), disk)


def speed() -> float:
    """Time a matrix product as the model's are; return 10^9 multiplications a second."""
    device = best_device()
    one = torch.randn(_SIDE, _SIDE, device=device, dtype=fast_precision(device))
    best = 0.0
    for _ in range(4):
        start = time.perf_counter()
        float((one @ one).sum())
        best = max(best, _SIDE**3 / 1e9 / (time.perf_counter() - start))
    return best
