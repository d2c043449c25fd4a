"""The tasks of a configuration: those of each SAE, and those that SAEs share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

from measure.concepts import FIRST_LETTERS
from measure.errors import MeasureError
from measure.stages.families import per_family_needs
from measure.stages.kin import OF_FAMILIES as KIN_OF_FAMILIES
from measure.stages.kin import STAGES as KIN_STAGES
from measure.stages.parts import NUM_PARTS
from measure.stages.prompts import BARE
from measure.stages.sparsity import LABELS
from measure.tasks import Task
from queries.manifest import FORMAT_VERSION

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping
    from pathlib import Path

    from measure.config import ConceptsPart, Config, SaePart
    from measure.stages.sparsity import Architecture

#: Seed of the order of batches when probes are fitted.
_PROBE_SEED = 0
#: Candidates are sampled with this seed plus the concept's index.
_CANDIDATE_SEED = 100
#: Settings of the method that k-sparse probes depend on.
_OF_K_SPARSE = {"k_sparse", "max_k", "l1", "l1_epochs", "l1_batch", "l1_end_rate"}


@dataclass(frozen=True)
class SaePlan:
    """One SAE and its tasks.

    Attributes
    ----------
    layer : int
    architecture : str
        Name in the configuration; empty for an existing SAE.
    width, k : int
        Number of latents and target k; 0 for an existing SAE.
    seed : int
    repeats : bool
        Whether it repeats the training of an earlier SAE of the plan with another seed.
    name : str or None
    tasks : dict of str to Task
        Tasks that do not depend on a family of concepts, by stage.
    families : list of dict of str to Task
        Tasks of each family, by stage, including those that SAEs share.
    """

    layer: int
    architecture: str
    width: int
    k: int
    seed: int
    repeats: bool
    name: str | None
    tasks: dict[str, Task]
    families: list[dict[str, Task]] = field(default_factory=list)

    @property
    def key_without_seed(self) -> tuple[int, str, int, int]:
        """The settings that SAEs share if they differ only in their seed."""
        return self.layer, self.architecture, self.width, self.k

    @property
    def own(self) -> list[Task]:
        """All its tasks."""
        return [*self.tasks.values(), *(task for family in self.families for task in family.values())]


@dataclass(frozen=True)
class FamilyPlan:
    """The tasks of a family of concepts that SAEs share: those of all layers, by stage, and by layer and stage."""

    shared: dict[str, Task]
    layers: dict[int, dict[str, Task]]


@dataclass(frozen=True)
class Plan:
    """All tasks of a suite.

    Attributes
    ----------
    shared : dict of str to Task
        Tasks that SAEs share, by stage; for words and prompts, those of the first family.
    families : list of FamilyPlan
    saes : list of SaePlan
    kin : dict of int to Task
        The comparison of the SAEs of a layer, by layer.
    """

    shared: dict[str, Task]
    families: list[FamilyPlan]
    saes: list[SaePlan]
    kin: dict[int, Task]

    @property
    def common(self) -> list[Task]:
        """The tasks that SAEs share, except `kin`."""
        of_families = (
            task
            for family in self.families
            for tasks in (family.shared, *family.layers.values())
            for task in tasks.values()
        )
        return [*self.shared.values(), *of_families]

    @property
    def tasks(self) -> list[Task]:
        """All tasks."""
        return [*self.common, *(task for sae in self.saes for task in sae.own), *self.kin.values()]


def without(plan: Plan, failed: Container[str]) -> Plan:
    """Return a plan without the SAEs and comparisons (kin) that depend on failed tasks.

    Which SAEs repeat another one, and which are compared, is determined anew among the remaining SAEs.

    Parameters
    ----------
    plan : Plan
    failed : container of str
        Digests of tasks.
    """
    left = []
    known: set[tuple[int, str, int, int]] = set()
    for sae in plan.saes:
        if any(task.digest in failed for task in sae.own):
            continue
        left.append(replace(sae, repeats=sae.repeats and sae.key_without_seed in known))
        known.add(sae.key_without_seed)
    kin = _kin(left, plan.families)
    return replace(plan, saes=left, kin={layer: task for layer, task in kin.items() if task.digest not in failed})


def make_plan(config: Config, base: Path) -> Plan:
    """Plan a suite.

    Parameters
    ----------
    config : Config
    base : Path
        The folder that the configuration's paths are relative to.

    Raises
    ------
    MeasureError
        If a file of the configuration is missing.
    """
    layers = sorted({layer for part in config.saes for layer in part.layers})
    trained = sorted({layer for part in config.saes if part.path is None for layer in part.layers})
    model_settings: dict[str, Any] = {"model": {"precision": config.model.precision}}
    needs: dict[str, Task] = {}
    if config.model.wheel:
        needs["model"] = Task("model", {"wheel": config.model.wheel}, label="model")
    else:
        model_settings["model"] |= _path_and_checksum(base / str(config.model.path))
    sources = [part.source for part in config.text]
    packages = {
        part.source: Task("package", {"debian": part.debian}, label=f"package {part.debian}")
        for part in config.text
        if part.debian
    }
    texts = [
        part.model_dump(include={"source", "files", "reader", "tokens", "ship", "debian"})
        | ({} if part.debian else _folder_and_checksum(part.files, base))
        for part in config.text
    ]
    windows = config.windows.model_dump(exclude={"for_loss"}) | {"train": bool(trained)}
    text = Task("text", model_settings | {"text": texts, "windows": windows}, {**needs, **packages}, "text")
    with_text = {**needs, "text": text}
    text_activations = _in_parts(
        "text_activations", model_settings | {"layers": layers}, with_text, "activations on text"
    )
    losses = _in_parts(
        "losses",
        model_settings | {"for_loss": config.windows.for_loss, "layers": layers},
        {**with_text, "text_activations": text_activations},
        "losses",
    )
    loss = Task("loss", {"sources": sources}, {"text": text, "losses": losses}, "loss")
    # SAEs are trained on text and on words of the first family.
    families = [
        _family(config, base, part, model_settings, needs, layers, mix=[] if number else trained)
        for number, part in enumerate(config.families)
    ]
    shared = {**families[0].shared, "text": text, "text_activations": text_activations, "loss": loss}
    saes = list(_saes(config, base, model_settings, needs, shared, families))
    return Plan(shared, families, saes, _kin(saes, families))


def _family(
    config: Config,
    base: Path,
    part: ConceptsPart | None,
    model_settings: dict[str, Any],
    needs: dict[str, Task],
    layers: list[int],
    *,
    mix: list[int],
) -> FamilyPlan:
    """Plan the tasks of a family that SAEs share; `part` is None for first letters without a gate."""
    of = f" ({part.family})" if part else ""
    vocabulary = Task(
        "vocabulary",
        model_settings | {"vocabulary": config.vocabulary.model_dump(), "concepts": family_settings(part, base)},
        needs,
        f"vocabulary{of}",
    )
    with_words = {**needs, "vocabulary": vocabulary}
    how = config.prompts.model_dump()
    if part and (part.templates or part.family != FIRST_LETTERS.family):
        how["templates"] = part.templates or ([] if is_asked(part) else [BARE])
    prompts = _prompts(how, model_settings, with_words, of)
    read = {**with_words, "prompts": prompts}
    activations = _in_parts(
        "activations", model_settings | {"layers": layers, "mix": mix}, read, f"activations on words{of}"
    )
    of_layers = {}
    for layer in layers:
        probes = Task(
            "probes",
            {"layer": layer, "probe": config.method.probe, "fit": _probe_settings(config)},
            {"vocabulary": vocabulary, "activations": activations},
            f"probes of layer {layer}{of}",
        )
        of_layers[layer] = {"probes": probes}
        if part and is_asked(part):
            needed = {**read, "activations": activations, "probes": probes}
            erasure = Task("erasure", model_settings | {"layer": layer}, needed, f"erasure at layer {layer}{of}")
            of_layers[layer]["erasure"] = erasure
    return FamilyPlan({"vocabulary": vocabulary, "prompts": prompts, "activations": activations}, of_layers)


def _prompts(how: Mapping[str, Any], model_settings: dict[str, Any], needs: dict[str, Task], of: str) -> Task:
    """Plan a family's prompts: generated, tried out, assigned to words, and answered by the model."""
    assignment_needs = {"vocabulary": needs["vocabulary"]}
    if how["draw"] == "best" and not how["templates"]:
        trials = _in_parts("trials", model_settings | {"prompts": how}, needs, f"trials of prompts{of}")
        assignment_needs["trials"] = trials
    assignment = Task("assignment", {"prompts": how}, assignment_needs, f"assignment of prompts{of}")
    spelled = _in_parts("spelled", model_settings, {**needs, "assignment": assignment}, f"spelling of test words{of}")
    return Task("prompts", {}, {"assignment": assignment, "spelled": spelled}, f"prompts{of}")


def family_settings(part: ConceptsPart | None, base: Path) -> dict[str, Any] | None:
    """Return a family's settings, with the path and checksum of its file; None for first letters without a gate."""
    if part is None:
        return None
    if part.file is None:
        return {"family": part.family}
    return part.model_dump(exclude={"templates"}) | _path_and_checksum(base / part.file)


def is_asked(part: ConceptsPart | None) -> bool:
    """Return whether the model is prompted for a family's concepts."""
    return part is None or part.file is None or bool(part.answers)


def _kin(saes: list[SaePlan], families: list[FamilyPlan]) -> dict[int, Task]:
    """Plan, for each layer with several SAEs, their comparison."""
    found = {}
    for layer in sorted({sae.layer for sae in saes}):
        there = [sae for sae in saes if sae.layer == layer]
        if len(there) > 1:
            needs = {f"{stage}-{place}": sae.tasks[stage] for place, sae in enumerate(there) for stage in KIN_STAGES}
            words = per_family_needs([family.shared for family in families], ["vocabulary"])
            for place, sae in enumerate(there):
                named = [{f"{stage}-{place}": tasks[stage] for stage in KIN_OF_FAMILIES} for tasks in sae.families]
                needs |= per_family_needs(named, [f"{stage}-{place}" for stage in KIN_OF_FAMILIES])
            found[layer] = Task("kin", {"saes": len(there)}, {**words, **needs}, f"kin of latents of layer {layer}")
    return found


def _saes(
    config: Config,
    base: Path,
    model_settings: dict[str, Any],
    needs: dict[str, Task],
    shared: dict[str, Task],
    families: list[FamilyPlan],
) -> Iterator[SaePlan]:
    """Plan each SAE; SAEs that repeat another one come after it."""
    known: set[tuple[int, str, int, int]] = set()
    sources = [part.source for part in config.text]
    for part in config.saes:
        for layer, architecture, width, k, seed in _combinations(part):
            trained = f"{LABELS[architecture]}, width {width:,}, k {k}, seed {seed}" if architecture else ""
            what = f"layer {layer}, {part.name or part.path or trained}"
            streams = {name: shared[name] for name in ("text", "text_activations")}
            if part.path:
                settings = {"layer": layer, **_path_and_checksum(base / part.path)}
                sae = Task("existing_sae", model_settings | settings, needs, f"SAE of {what}")
            else:
                settings = {"layer": layer, "architecture": architecture, "width": width, "k": k}
                settings |= {"seed": seed, "tokens": part.tokens}
                sae = Task("train", settings, {**streams, "activations": shared["activations"]}, f"training {what}")
            at = {"layer": layer}
            of_families = [
                _sae_family(config, concepts, family, sae, layer, model_settings, needs, what)
                for concepts, family in zip(config.families, families, strict=True)
            ]
            text_latents = Task("text_latents", at, {"sae": sae, **streams}, f"latents on text of {what}")
            read = ("vocabulary", "latents", "probes", "k_sparse", "splits", "ablation", "projections")
            evidence = Task(
                "evidence",
                model_settings
                | {"sources": sources, "layout": FORMAT_VERSION, "cosine": config.method.cosine_threshold},
                {
                    **needs,
                    "text": shared["text"],
                    "sae": sae,
                    "text_latents": text_latents,
                    **per_family_needs(of_families, read),
                },
                f"evidence of {what}",
            )
            quality = Task(
                "quality",
                model_settings | at | {"for_loss": config.windows.for_loss},
                {
                    **needs,
                    "sae": sae,
                    "text_latents": text_latents,
                    **per_family_needs(of_families, ["latents"]),
                    **{name: shared[name] for name in ("text", "text_activations", "loss")},
                },
                f"quality of {what}",
            )
            one = (layer, architecture, width, k)
            repeats = not part.path and one in known
            tasks = {"sae": sae, "text_latents": text_latents, "evidence": evidence, "quality": quality}
            yield SaePlan(layer, architecture, width, k, seed, repeats, part.name, tasks, of_families)
            known.add(one)


def _sae_family(
    config: Config,
    part: ConceptsPart | None,
    family: FamilyPlan,
    sae: Task,
    layer: int,
    model_settings: dict[str, Any],
    needs: dict[str, Task],
    what: str,
) -> dict[str, Task]:
    """Plan the tasks of a family on an SAE."""
    of = f"{what} ({part.family})" if part else what
    at, method = {"layer": layer}, config.method
    asked = {name: family.shared[name] for name in ("vocabulary", "prompts")}
    activations, of_layer = family.shared["activations"], family.layers[layer]
    latents = Task("latents", at, {"sae": sae, **asked, "activations": activations}, f"latents of {of}")
    words = {"vocabulary": asked["vocabulary"], "latents": latents}
    how = method.model_dump(include=_OF_K_SPARSE) | {"seed": _PROBE_SEED}
    k_sparse = Task("k_sparse", how, words, f"k-sparse probes of {of}")
    splits = Task("splits", {"tau": method.tau}, {"k_sparse": k_sparse}, f"splits of {of}")
    found = {"k_sparse": k_sparse, "splits": splits, "probes": of_layer["probes"]}
    gate = {}
    if part:
        gate["gate"] = Task("gate", {}, {**asked, **words, **of_layer, "k_sparse": k_sparse}, f"gate of {of}")
    candidates = Task(
        "candidates",
        at | {"limit": method.limit, "seed": _CANDIDATE_SEED},
        {**words, **found, **gate, "activations": activations},
        f"candidates of {of}",
    )
    projections = Task(
        "projections",
        at | method.model_dump(include={"cosine_threshold", "random_directions"}),
        {**asked, **words, **found, **gate, "sae": sae, "activations": activations},
        f"projections of {of}",
    )
    tasks = {
        **family.shared,
        **of_layer,
        "latents": latents,
        **found,
        **gate,
        "candidates": candidates,
        "projections": projections,
    }
    if is_asked(part):
        erasure = {name: of_layer[name] for name in ("probes", "erasure")} if "erasure" in of_layer else {}
        tasks["ablation"] = Task(
            "ablation",
            model_settings | at | method.model_dump(include={"steps", "positive", "error"}),
            {**needs, **words, **erasure, "sae": sae, "candidates": candidates, "prompts": asked["prompts"]},
            f"ablation of {of}",
        )
    return tasks


def _in_parts(stage: str, settings: Mapping[str, Any], needs: Mapping[str, Task], label: str) -> Task:
    """Plan a stage that all SAEs depend on in several parts, which run in parallel."""
    parts = {
        str(part): Task(
            stage, {**settings, "part": part, "parts": NUM_PARTS}, needs, f"{label}, part {part + 1} of {NUM_PARTS}"
        )
        for part in range(NUM_PARTS)
    }
    return Task("parts", {"parts": NUM_PARTS}, parts, label)


def _probe_settings(config: Config) -> dict[str, Any]:
    """Return the settings for fitting linear probes of the configured kind."""
    method = config.method
    if method.probe == "calibrated":
        return {"l2": method.probe_l2}
    return {"epochs": method.probe_epochs, "batch": method.probe_batch, "seed": _PROBE_SEED}


def _combinations(part: SaePart) -> Iterator[tuple[int, Architecture | Literal[""], int, int, int]]:
    """Yield layer, architecture, width, k and seed of each SAE of a section; seeds vary slowest."""
    if part.path:
        yield from product(part.layers, [""], [0], [0], part.seeds)
        return
    for seed in part.seeds:
        for each in product(part.layers, part.architectures, part.widths, part.k):
            yield *each, seed


def _path_and_checksum(path: Path) -> dict[str, str]:
    """Return the absolute path of a file or folder, and the checksum of its contents."""
    try:
        if path.exists():
            found = path.resolve()
            return {"path": str(found), "checksum": _checksum(found)}
        why = "no such file or folder"
    except OSError as error:
        why = str(error.strerror)
    message = f"{path}: {why}; fix its path in the configuration"
    raise MeasureError(message)


def _folder_and_checksum(pattern: str, base: Path) -> dict[str, str]:
    """Return the folder of local text files, and the checksum of those that match a pattern."""
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
