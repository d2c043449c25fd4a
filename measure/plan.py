"""What a configuration comes to: the tasks of each SAE, and what they share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

from measure.errors import MeasureError
from measure.stages.kin import STAGES as KIN_STAGES
from measure.stages.parts import NUM_PARTS
from measure.stages.sparsity import LABELS
from measure.tasks import Task
from queries.manifest import FORMAT_VERSION

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping
    from pathlib import Path

    from measure.config import Config, SaePart
    from measure.stages.sparsity import Architecture

#: Seed of the order of batches in fits.
_PROBE_SEED = 0
#: Candidates are drawn by this seed and the letter's place.
_CANDIDATE_SEED = 100
#: What of the method decides on k-sparse probes.
_OF_K_SPARSE = {"k_sparse", "max_k", "l1", "l1_epochs", "l1_batch", "l1_end_rate"}


@dataclass(frozen=True)
class SaePlan:
    """One SAE: what it is, and its tasks by stage.

    Attributes
    ----------
    layer : int
    architecture : str
        As a configuration names it; empty where it is read off the weights.
    width, k : int
        Number of latents and target k of an SAE that is trained; 0 where they are read off its weights.
    seed : int
    repeats : bool
        Whether it is a training of another SAE of the suite with another seed.
    name : str or None
    tasks : dict of str to Task
    """

    layer: int
    architecture: str
    width: int
    k: int
    seed: int
    repeats: bool
    name: str | None
    tasks: dict[str, Task]

    @property
    def but_seed(self) -> tuple[int, str, int, int]:
        """What SAEs have in common that differ in their seed only."""
        return self.layer, self.architecture, self.width, self.k


@dataclass(frozen=True)
class Plan:
    """All tasks of a suite: those that its SAEs share, by stage; probes and kin, by layer; and the SAEs."""

    shared: dict[str, Task]
    probes: dict[int, Task]
    saes: list[SaePlan]
    kin: dict[int, Task]

    @property
    def tasks(self) -> list[Task]:
        """The tasks that the suite is written from."""
        return [
            *self.shared.values(),
            *self.probes.values(),
            *(task for sae in self.saes for task in sae.tasks.values()),
            *self.kin.values(),
        ]


def without(plan: Plan, failed: Container[str]) -> Plan:
    """Return a plan without the SAEs of which a task failed, nor kin that failed.

    Of the SAEs left, each first one is repeated by the others, and kin are looked for among them.

    Parameters
    ----------
    plan : Plan
    failed : container of str
        Digests of tasks.
    """
    left = []
    known: set[tuple[int, str, int, int]] = set()
    for sae in plan.saes:
        if any(task.digest in failed for task in sae.tasks.values()):
            continue
        left.append(replace(sae, repeats=sae.repeats and sae.but_seed in known))
        known.add(sae.but_seed)
    kin = _kin(left, plan.shared["vocabulary"])
    return replace(plan, saes=left, kin={layer: task for layer, task in kin.items() if task.digest not in failed})


def make_plan(config: Config, base: Path) -> Plan:
    """Plan a suite; `base` is the folder that paths of the configuration start from.

    Raises
    ------
    MeasureError
        Where a file that it names is missing.
    """
    layers = sorted({layer for part in config.saes for layer in part.layers})
    trained = sorted({layer for part in config.saes if part.path is None for layer in part.layers})
    model_settings: dict[str, Any] = {"model": {"precision": config.model.precision}}
    needs: dict[str, Task] = {}
    if config.model.wheel:
        needs["model"] = Task("model", {"wheel": config.model.wheel}, label="model")
    else:
        path = _existing(base / str(config.model.path))
        model_settings["model"] |= {"path": str(path), "checksum": _checksum(path)}
    vocabulary = Task(
        "vocabulary", model_settings | {"vocabulary": config.vocabulary.model_dump()}, needs, "vocabulary"
    )
    with_words = {**needs, "vocabulary": vocabulary}
    prompts = _prompts(config, model_settings, with_words)
    sources = [part.source for part in config.text]
    packages = {
        part.source: Task("package", {"debian": part.debian}, label=f"package {part.debian}")
        for part in config.text
        if part.debian
    }
    texts = [
        part.model_dump(include={"source", "files", "reader", "tokens", "ship", "debian"})
        | ({} if part.debian else _local(part.files, base))
        for part in config.text
    ]
    windows = config.windows.model_dump(exclude={"for_loss"}) | {"train": bool(trained)}
    text = Task("text", model_settings | {"text": texts, "windows": windows}, {**needs, **packages}, "text")
    with_text = {**needs, "text": text}
    text_activations = _in_parts(
        "text_activations", model_settings | {"layers": layers}, with_text, "activations on text"
    )
    activations = _in_parts(
        "activations",
        model_settings | {"layers": layers, "mix": trained},
        {**with_words, "prompts": prompts},
        "activations on words",
    )
    losses = _in_parts(
        "losses",
        model_settings | {"for_loss": config.windows.for_loss, "layers": layers},
        {**with_text, "text_activations": text_activations},
        "losses",
    )
    loss = Task("loss", {"sources": sources}, {"text": text, "losses": losses}, "loss")
    probes = {
        layer: Task(
            "probes",
            {"layer": layer, "probe": config.method.probe, "fit": _fit(config)},
            {"vocabulary": vocabulary, "activations": activations},
            f"probes of layer {layer}",
        )
        for layer in layers
    }
    shared = {
        "vocabulary": vocabulary,
        "prompts": prompts,
        "text": text,
        "activations": activations,
        "text_activations": text_activations,
        "loss": loss,
    }
    saes = list(_saes(config, base, model_settings, needs, shared, probes))
    return Plan(shared, probes, saes, _kin(saes, vocabulary))


def _prompts(config: Config, model_settings: dict[str, Any], needs: dict[str, Task]) -> Task:
    """Plan how prompts are drawn, tried and assigned, and how the model spells test words in them."""
    how = {"prompts": config.prompts.model_dump()}
    settings = model_settings | how
    assigning = {"vocabulary": needs["vocabulary"]}
    if config.prompts.draw == "best" and not config.prompts.templates:
        assigning["trials"] = _in_parts("trials", settings, needs, "trials of prompts")
    assignment = Task("assignment", how, assigning, "assignment of prompts")
    spelled = _in_parts("spelled", model_settings, {**needs, "assignment": assignment}, "spelling of test words")
    return Task("prompts", {}, {"assignment": assignment, "spelled": spelled}, "prompts")


def _kin(saes: list[SaePlan], vocabulary: Task) -> dict[int, Task]:
    """Plan, by layer, the comparison of its SAEs with each other, where there are several."""
    found = {}
    for layer in sorted({sae.layer for sae in saes}):
        there = [sae for sae in saes if sae.layer == layer]
        needs = {f"{stage}-{place}": sae.tasks[stage] for place, sae in enumerate(there) for stage in KIN_STAGES}
        if len(there) > 1:
            needs = {"vocabulary": vocabulary, **needs}
            found[layer] = Task("kin", {"saes": len(there)}, needs, f"kin of latents of layer {layer}")
    return found


def _saes(
    config: Config,
    base: Path,
    model_settings: dict[str, Any],
    needs: dict[str, Task],
    shared: dict[str, Task],
    probes: dict[int, Task],
) -> Iterator[SaePlan]:
    """Plan each SAE, those that repeat another after it."""
    known: set[tuple[int, str, int, int]] = set()
    sources = [part.source for part in config.text]
    for part in config.saes:
        for layer, architecture, width, k, seed in _each(part):
            trained = f"{LABELS[architecture]}, width {width:,}, k {k}, seed {seed}" if architecture else ""
            what = f"layer {layer}, {part.name or part.path or trained}"
            streams = {name: shared[name] for name in ("text", "activations", "text_activations")}
            if part.path:
                path = _existing(base / part.path)
                settings = {"layer": layer, "path": str(path), "checksum": _checksum(path)}
                sae = Task("existing_sae", model_settings | settings, needs, f"SAE of {what}")
            else:
                settings = {"layer": layer, "architecture": architecture, "width": width, "k": k}
                settings |= {"seed": seed, "tokens": part.tokens}
                sae = Task("train", settings, streams, f"training {what}")
            at = {"layer": layer}
            asked = {name: shared[name] for name in ("vocabulary", "prompts")}
            latents = Task("latents", at, {"sae": sae, **asked, **streams}, f"latents of {what}")
            words = {"vocabulary": shared["vocabulary"], "latents": latents}
            how = config.method.model_dump(include=_OF_K_SPARSE) | {"seed": _PROBE_SEED}
            k_sparse = Task("k_sparse", how, words, f"k-sparse probes of {what}")
            splits = Task("splits", {"tau": config.method.tau}, {"k_sparse": k_sparse}, f"splits of {what}")
            found = {"k_sparse": k_sparse, "splits": splits, "probes": probes[layer]}
            candidates = Task(
                "candidates",
                at | {"limit": config.method.limit, "seed": _CANDIDATE_SEED},
                {**words, **found, "activations": shared["activations"]},
                f"candidates of {what}",
            )
            ablation = Task(
                "ablation",
                model_settings | at | config.method.model_dump(include={"steps", "positive", "error"}),
                {**needs, **words, "sae": sae, "candidates": candidates, "prompts": shared["prompts"]},
                f"ablation of {what}",
            )
            projections = Task(
                "projections",
                at | config.method.model_dump(include={"cosine_threshold", "random_directions"}),
                {**asked, **words, **found, "sae": sae, "activations": shared["activations"]},
                f"projections of {what}",
            )
            evidence = Task(
                "evidence",
                model_settings
                | {"sources": sources, "layout": FORMAT_VERSION, "cosine": config.method.cosine_threshold},
                {
                    **needs,
                    **words,
                    **found,
                    "text": shared["text"],
                    "sae": sae,
                    "ablation": ablation,
                    "projections": projections,
                },
                f"evidence of {what}",
            )
            quality = Task(
                "quality",
                model_settings | at | {"for_loss": config.windows.for_loss},
                {
                    **needs,
                    "sae": sae,
                    "latents": latents,
                    **{name: shared[name] for name in ("text", "text_activations", "loss")},
                },
                f"quality of {what}",
            )
            one = (layer, architecture, width, k)
            tasks = {
                "sae": sae,
                "latents": latents,
                **found,
                "candidates": candidates,
                "ablation": ablation,
                "projections": projections,
                "evidence": evidence,
                "quality": quality,
            }
            yield SaePlan(layer, architecture, width, k, seed, not part.path and one in known, part.name, tasks)
            known.add(one)


def _in_parts(stage: str, settings: Mapping[str, Any], needs: Mapping[str, Task], label: str) -> Task:
    """Plan a stage that all SAEs wait for as parts that workers share."""
    parts = {
        str(part): Task(
            stage, {**settings, "part": part, "parts": NUM_PARTS}, needs, f"{label}, part {part + 1} of {NUM_PARTS}"
        )
        for part in range(NUM_PARTS)
    }
    return Task("parts", {"parts": NUM_PARTS}, parts, label)


def _fit(config: Config) -> dict[str, Any]:
    """Say how linear probes are fitted: of the settings, those that the kind of probe has."""
    method = config.method
    if method.probe == "calibrated":
        return {"l2": method.probe_l2}
    return {"epochs": method.probe_epochs, "batch": method.probe_batch, "seed": _PROBE_SEED}


def _each(part: SaePart) -> Iterator[tuple[int, Architecture | Literal[""], int, int, int]]:
    """List layer, architecture, width, k and seed of each SAE of a part, the first seed of all before the next."""
    if part.path:
        yield from product(part.layers, [""], [0], [0], part.seeds)
        return
    for seed in part.seeds:
        for each in product(part.layers, part.architectures, part.widths, part.k):
            yield *each, seed


def _existing(path: Path) -> Path:
    if not path.exists():
        message = f"{path}: no such file or folder; fix its path in the configuration"
        raise MeasureError(message)
    return path.resolve()


def _local(pattern: str, base: Path) -> dict[str, str]:
    """Say where text lies that comes from no package, and what it is."""
    files = sorted(file for file in base.glob(pattern) if file.is_file())
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    return {"folder": str(base.resolve()), "checksum": digest}


def _checksum(path: Path) -> str:
    """Return the SHA-256 of a file, or of all files of a folder."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
