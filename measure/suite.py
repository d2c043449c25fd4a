"""Write a suite from the outputs of the tasks."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from measure.checks import make_checks
from measure.errors import MeasureError
from measure.metrics import measurements_of, tested_rows, undefined_measurements
from measure.models.loading import model_of
from measure.notes import notes_of
from measure.saes.loading import RECORD, open_sae
from measure.scores import auc
from measure.sparse import Sparse
from measure.stages.ablation import load_tested
from measure.stages.activations import load_tested_in
from measure.stages.candidates import load_candidates
from measure.stages.evidence import TABLES as EVIDENCE_TABLES
from measure.stages.gate import load_gate
from measure.stages.k_sparse import MAX_SPLIT, load_k_sparse
from measure.stages.latents import TEST, WORDS
from measure.stages.parts import load_streams
from measure.stages.probes import Probes, load_probes, unit_rows
from measure.stages.projections import RANDOM_SEED, load_projections, random_directions
from measure.stages.prompts import BARE, is_right, load_prompts
from measure.stages.splits import load_splits
from measure.stages.text import load_windows
from measure.stages.vocabulary import load_vocabulary
from queries.conform import arrow_schema
from queries.manifest import FIRST_LETTERS, FORMAT_VERSION, Manifest, Method, Model, Neuronpedia, Provenance
from queries.manifest import Family as FamilyRecord
from queries.manifest import Sae as SaeRecord
from queries.sae_ids import sae_ids
from queries.schema import TABLES
from queries.writer import write_suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from measure.config import Config
    from measure.plan import Plan, SaePlan
    from measure.saes.base import Sae
    from measure.stages.prompts import Chosen
    from measure.stages.vocabulary import Vocabulary

#: Number of latents per concept in the table `encoder_top`.
_ENCODER_TOP = 3
#: Contexts per latent in a slim suite.
_SLIM_CONTEXTS = 8


@dataclass(frozen=True)
class Measured:
    """The results of one SAE: its plan, its id in the suite, and its tables."""

    plan: SaePlan
    sae: str
    tables: dict[str, pa.Table]


@dataclass(frozen=True)
class Read:
    """The words of a family and their prompts; the ids of its prompts in the suite start at `first_prompt`."""

    vocabulary: Vocabulary
    chosen: Chosen
    first_prompt: int


def write_measured(
    config: Config,
    plan: Plan,
    work: Path,
    target: Path,
    *,
    base: Path,
    force: bool = False,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Manifest:
    """Write the suite of a plan whose tasks are done.

    Parameters
    ----------
    config : Config
    plan : Plan
    work : Path
        Folder of the tasks' outputs.
    target : Path
    base : Path
        The folder that the configuration's paths are relative to.
    force : bool
        Replace an existing suite at `target`.
    progress : callable
        Called with the name of the current step, the work done, and the total.

    Raises
    ------
    IngestError
        If the suite cannot be written.
    """
    families = _read_families(plan, work)
    saes = name_saes(plan.saes, work)
    measured = []
    for done, (sae, record) in enumerate(zip(plan.saes, saes, strict=True)):
        progress("Gathering results", done, len(plan.saes))
        measured.append(_measure(config, sae, record.id, work, families))
    measured.sort(key=lambda one: one.sae)
    in_full = [one for one in measured if not (config.slim and one.plan.repeats)]
    for one in measured:
        _drop_redundant(one, counts_only=config.slim and one.plan.repeats, slim=config.slim)
    tables: dict[str, Any] = {
        name: pa.concat_tables([one.tables[name] for one in measured])
        for name in ("measurements", "k_sparse", "encoder_top", "tested_tokens")
    }
    for name in EVIDENCE_TABLES:
        tables[name] = _evidence(name, in_full, work, slim=config.slim)
    if plan.kin and not config.slim:
        tables["kin"] = _kin(plan, saes, work)
    tables["cosines"] = (_cosines(one, work, families) for one in in_full)
    tables["tokens"] = _tokens(families)
    tables["token_concepts"] = _token_concepts(families)
    tables["concepts"] = _concepts(families, tables["token_concepts"])
    tables["prompts"] = _prompts(families, tables["tested_tokens"]["prompt_id"].to_pylist())
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=target.name,
        title=config.title,
        model=_model(config, plan, work),
        method=Method(
            metric=config.method.metric,
            tau=config.method.tau,
            cosine_threshold=config.method.cosine_threshold,
            effect_margin=config.method.effect_margin,
            notes=notes_of(config, [(family.vocabulary, family.chosen) for family in families]),
        ),
        families=[_family(family) for family in families],
        saes=saes,
        tables={},
        provenance=_provenance(config, plan, work, tables),
    )
    progress("Writing tables", 0, 1)
    present = {name: table for name, table in tables.items() if not isinstance(table, pa.Table) or table.num_rows}
    return write_suite(target, manifest, present, files=_notices(config, plan, work, base), force=force)


def name_saes(saes: Sequence[SaePlan], work: Path) -> list[SaeRecord]:
    """Describe the SAEs of a plan for the manifest; the id of a repetition is that of the first SAE plus its seed."""
    facts = [_facts(sae, work) for sae in saes]
    own = [place for place, sae in enumerate(saes) if not sae.repeats]
    ids = dict(zip(own, sae_ids([facts[place] for place in own]), strict=True))
    first = {saes[place].key_without_seed: place for place in reversed(own)}
    records = []
    for place, (sae, known) in enumerate(zip(saes, facts, strict=True)):
        if place in ids:
            records.append(SaeRecord(sae=ids[place], **known))
        else:
            repeated = first[sae.key_without_seed]
            names = {"sae": f"{ids[repeated]}-s{sae.seed}", "l0_nominal": facts[repeated]["l0_nominal"]}
            records.append(SaeRecord(**known | names, repeat_of=ids[repeated]))
    return records


def _facts(sae: SaePlan, work: Path) -> dict[str, Any]:
    """Return the metadata of an SAE, without its id."""
    trained = json.loads((sae.tasks["sae"].folder(work) / RECORD).read_text("utf-8"))
    quality = _read(sae, "quality", work)
    return {
        "title": sae.name,
        "layer": sae.layer,
        "hook": f"blocks.{sae.layer}.hook_resid_post",
        "width": quality["n_latents"],
        "n_latents": quality["n_latents"],
        "l0": quality["l0"],
        "l0_nominal": round(quality["l0"]),
        "architecture": quality["architecture"],
        "neuronpedia": _neuronpedia(quality["neuronpedia"]),
        "seed": sae.seed if sae.k else None,
        "tokens_seen": trained.get("tokens_seen"),
        "variance_explained": quality["variance_explained"],
        "loss_recovered": quality["loss_recovered"],
        "dead_fraction": quality["dead_fraction"],
    }


def _neuronpedia(name: str | None) -> Neuronpedia | None:
    """Parse an SAE's id on Neuronpedia, model/SAE, as stored in its checkpoint."""
    model, _, source = (name or "").partition("/")
    return Neuronpedia(model=model, source=source) if model and source else None


def _read(sae: SaePlan, stage: str, work: Path) -> dict[str, Any]:
    return json.loads((sae.tasks[stage].folder(work) / f"{stage}.json").read_text("utf-8"))


def _rows(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Make a table with the columns of its contract except `sae`; columns missing in a row are NULL."""
    columns = [column for column in TABLES[name].columns if column.name != "sae"]
    return pa.Table.from_pylist(rows, arrow_schema(columns))


def _with_sae(table: pa.Table, sae: str) -> pa.Table:
    """Add the column `sae`."""
    return table.add_column(0, "sae", pa.repeat(pa.scalar(sae), table.num_rows))


def _read_families(plan: Plan, work: Path) -> list[Read]:
    """Read the words and prompts of each family."""
    families, first = [], 0
    for family in plan.families:
        chosen = load_prompts(family.shared["prompts"].folder(work))
        families.append(Read(load_vocabulary(family.shared["vocabulary"].folder(work)), chosen, first))
        first += len(chosen.templates)
    return families


def _family(read: Read) -> FamilyRecord:
    """Describe a family for the manifest; one without a gate is the standard family of first letters."""
    family, chosen = read.vocabulary.family, read.chosen
    if not family.gated:
        return FIRST_LETTERS
    alone = chosen.prompt_per_word or chosen.templates == [BARE]
    return FamilyRecord(
        family=family.family,
        title=family.title,
        noun=family.noun,
        exclusive=bool((read.vocabulary.labels.sum(1) <= 1).all()),
        prompt=None if alone else chosen.templates[0],
        answers=list(family.answers),
    )


def _measure(config: Config, sae: SaePlan, name: str, work: Path, families: Sequence[Read]) -> Measured:
    """Make the tables of one SAE that are not written by its stage `evidence`."""
    opened = open_sae(sae.tasks["sae"].folder(work), torch.device("cpu"))
    found = [
        _measure_family(config, {stage: task.folder(work) for stage, task in tasks.items()}, sae.layer, opened, read)
        for tasks, read in zip(sae.families, families, strict=True)
    ]
    tables = {table: pa.concat_tables([of_family[table] for of_family in found]) for table in found[0]}
    return Measured(sae, name, {table: _with_sae(rows, name) for table, rows in tables.items()})


def _measure_family(
    config: Config, folders: dict[str, Path], layer: int, opened: Sae, read: Read
) -> dict[str, pa.Table]:
    """Make these tables for one SAE and family."""
    vocabulary, chosen = read.vocabulary, read.chosen
    fitted = load_probes(folders["probes"])
    k_sparse, splits, gate = load_k_sparse(folders["k_sparse"]), load_splits(folders["splits"]), load_gate(folders)
    tested, projected = load_tested(folders.get("ablation")), load_projections(folders["projections"])
    words, as_tested = (Sparse.load(folders["latents"] / f"{name}.npz") for name in (WORDS, TEST))
    directions = opened.directions.numpy()
    cosines = [probes.cosines(directions) for probes in fitted.folds]
    split = {place: k_sparse.probes[place][number].latents for place, number in splits.items()}
    in_test = load_tested_in(folders["activations"], layer, vocabulary, chosen)
    rows = tested_rows(
        tested,
        projected,
        as_tested,
        vocabulary,
        chosen,
        split={place: (split[place], by_k[max(by_k)].latents[:MAX_SPLIT]) for place, by_k in k_sparse.probes.items()},
        cosines=cosines,
        unit_projections=[directions @ unit_rows(probes.weights).T for probes in fitted.folds],
        logits=fitted.logits(in_test, vocabulary.test_folds),
        first_prompt=read.first_prompt,
        effect_margin=config.method.effect_margin,
        cosine_threshold=config.method.cosine_threshold,
    )
    random = Probes(random_directions(config.method.random_directions, directions.shape[1], RANDOM_SEED), np.zeros(0))
    random_cosines = random.cosines(directions)
    candidates = load_candidates(folders["candidates"])
    measurements = [
        row
        for place, found in candidates.items()
        for row in measurements_of(
            place,
            vocabulary,
            chosen,
            split[place],
            found,
            projected.get(place),
            gate.get(place),
            fitted.scores[place],
            rows,
            random_cosines,
            config.method,
        )
    ]
    for place in sorted(gate.keys() - candidates.keys()):
        measurements += undefined_measurements(vocabulary.family.concept(place), gate[place])
    ranked = [
        {"concept": vocabulary.family.concept(place), "k": k, "latent": int(probe.latents[-1])}
        | k_sparse.scores[place][k]._asdict()
        for place, by_k in k_sparse.probes.items()
        for k, probe in by_k.items()
    ]
    pre_activations = None
    if config.method.auc == "pre_activation":
        scored = load_streams(folders["activations"], f"words-{layer}")[vocabulary.scored]
        pre_activations = _pre_activations(opened, scored)
    encoder = fitted.folds[0].cosines(opened.encoder.numpy())
    return {
        "measurements": _rows("measurements", measurements),
        "k_sparse": _rows("k_sparse", ranked),
        "encoder_top": _encoder_top(encoder, cosines[0], words, vocabulary, sorted(splits), pre_activations),
        "tested_tokens": _rows("tested_tokens", rows),
    }


def _pre_activations(sae: Sae, stream: np.ndarray) -> Callable[[int], np.ndarray]:
    """Return a function from a latent to its pre-activations at each word, up to bias and scale, (words,)."""
    seen = sae.seen(torch.from_numpy(stream.astype(np.float32)))
    return lambda latent: (seen @ sae.encoder[latent]).numpy()


def _encoder_top(
    encoder: np.ndarray,
    decoder: np.ndarray,
    words: Sparse,
    vocabulary: Vocabulary,
    places: list[int],
    pre_activations: Callable[[int], np.ndarray] | None,
) -> pa.Table:
    """Score the latents with the highest encoder cosines per probe as the classifier `activation > 0`.

    The AUC is that of the activation or, if given, of the pre-activation.
    """
    test = words.take(vocabulary.scored)
    rows = []
    for letter in places:
        scored = vocabulary.is_scored(letter)
        truth = vocabulary.labels[vocabulary.scored, letter][scored]
        best = np.argsort(-encoder[letter], kind="stable")[:_ENCODER_TOP]
        for rank, (latent, values) in enumerate(zip(best.tolist(), test.dense(best)[scored].T, strict=True)):
            right, predicted = int((truth & (values > 0)).sum()), int((values > 0).sum())
            rows.append(
                {
                    "concept": vocabulary.family.concept(letter),
                    "rank": rank,
                    "latent": latent,
                    "encoder_cosine": float(encoder[letter, latent]),
                    "cosine": float(decoder[letter, latent]),
                    "precision": right / max(predicted, 1),
                    "recall": right / max(int(truth.sum()), 1),
                    "f1": 2 * right / max(predicted + int(truth.sum()), 1),
                    "auc": auc(values if pre_activations is None else pre_activations(latent)[scored], truth),
                }
            )
    return _rows("encoder_top", rows)


def _evidence(name: str, measured: list[Measured], work: Path, *, slim: bool) -> Iterator[pa.Table]:
    """Read a table of the stage `evidence`, SAE by SAE."""
    for one in measured:
        file = one.plan.tasks["evidence"].folder(work) / f"{name}.parquet"
        rows = pq.ParquetFile(file).read()
        if slim and name != "latents":
            rows = rows.filter(pc.is_in(rows["latent"], pa.array(_with_a_role(one), pa.int32())))
        if slim and name == "contexts":
            rows = rows.filter(pc.less(rows["rank"], _SLIM_CONTEXTS))
        yield _with_sae(rows, one.sae)


def _with_a_role(one: Measured) -> list[int]:
    """List the latents of an SAE that are split, absorb, or have the highest encoder cosine with a probe."""
    tested, measurements = one.tables["tested_tokens"], one.tables["measurements"]
    absorbing = tested.filter(tested["is_absorption"])["top_latent"].to_pylist()
    split = pc.list_flatten(measurements["split_latents"]).to_pylist()
    encoder = one.tables["encoder_top"]
    best = encoder.filter(pc.equal(encoder["rank"], 0))["latent"].to_pylist()
    return sorted({*absorbing, *split, *best} - {None})


def _drop_redundant(one: Measured, *, counts_only: bool, slim: bool) -> None:
    """Remove redundant data from an SAE's tables, in place.

    With `counts_only` these are the tested tokens. Otherwise it is the number of absorbed tokens, which can be counted
    among the tested tokens, and in a slim suite the activations on tokens that were judged by projection.
    """
    tested, measurements = one.tables["tested_tokens"], one.tables["measurements"]
    if counts_only:
        one.tables["tested_tokens"] = tested.slice(0, 0)
        return
    one.tables["measurements"] = _without(measurements, "num_absorbed", measurements["metric"])
    if slim:
        by_projection = pc.if_else(pc.equal(tested["metric"], "ig_ablation"), None, tested["metric"])
        one.tables["tested_tokens"] = _without(tested, "activations", by_projection)


def _without(table: pa.Table, name: str, where: pa.ChunkedArray) -> pa.Table:
    """Set a column to NULL in the rows where `where` is not NULL."""
    place, column = table.schema.get_field_index(name), table.schema.field(name)
    kept = pc.if_else(pc.is_valid(where), pa.scalar(None, column.type), table[name])
    return table.set_column(place, column, kept)


def _kin(plan: Plan, saes: Sequence[SaeRecord], work: Path) -> Iterator[pa.Table]:
    """Read the kin of each SAE's latents, and replace the stage's SAE indices by ids."""
    for sae in sorted(saes, key=lambda sae: sae.id):
        if sae.layer in plan.kin:
            names = [other.id for other in saes if other.layer == sae.layer]
            file = plan.kin[sae.layer].folder(work) / f"{names.index(sae.id)}.parquet"
            rows = pq.ParquetFile(file).read()
            others = pa.array(names).take(rows["other"].combine_chunks())
            yield _with_sae(rows.append_column("other_sae", others), sae.id)


def _cosines(one: Measured, work: Path, families: Sequence[Read]) -> pa.Table:
    """Compute the cosines of decoder rows with the probes of all families, sorted by concept and latent (the key)."""
    directions = open_sae(one.plan.tasks["sae"].folder(work), torch.device("cpu")).directions.numpy()
    by_concept: dict[str, np.ndarray] = {}
    for read, tasks in zip(families, one.plan.families, strict=True):
        cosines = load_probes(tasks["probes"].folder(work)).folds[0].cosines(directions)
        for place in load_splits(tasks["splits"].folder(work)):
            by_concept[read.vocabulary.family.concept(place)] = cosines[place]
    number, concepts = len(directions), sorted(by_concept)
    table = pa.table(
        {
            "concept": np.repeat(concepts, number),
            "latent": np.tile(np.arange(number, dtype=np.int32), len(concepts)),
            "cosine": np.concatenate([by_concept[concept].astype(np.float32) for concept in concepts]),
        }
    )
    return _with_sae(table, one.sae)


def _tokens(families: Sequence[Read]) -> pa.Table:
    """List the words of all families, with the model's answers if only one family has answers."""
    tokens: dict[int, dict[str, Any]] = {}
    asked = [read for read in families if read.vocabulary.family.answers]
    for read in families:
        vocabulary = read.vocabulary
        rows = zip(vocabulary.ids.tolist(), vocabulary.texts.tolist(), vocabulary.is_test.tolist(), strict=True)
        for number, text, is_test in rows:
            row = tokens.setdefault(number, {"token_id": number, "token": text, "is_test": False})
            row["is_test"] |= is_test
    for read in asked if len(asked) == 1 else []:
        vocabulary, spelled = read.vocabulary, read.chosen.spelled
        ids = vocabulary.ids[vocabulary.test].tolist()
        for number, answer, metric in zip(ids, spelled.answers.tolist(), spelled.metrics.tolist(), strict=True):
            if answer >= 0:
                known = metric if np.isfinite(metric) else None
                tokens[number] |= {"model_answer": vocabulary.family.names[answer], "model_metric": known}
    return _rows("tokens", [tokens[number] for number in sorted(tokens)])


def _token_concepts(families: Sequence[Read]) -> pa.Table:
    """List pairs of word and concept."""
    pairs = []
    for read in families:
        words, places = np.nonzero(read.vocabulary.labels[:, list(read.vocabulary.family.measured)])
        names = np.array([read.vocabulary.family.concept(place) for place in read.vocabulary.family.measured])
        pairs.append(pa.table({"token_id": read.vocabulary.ids[words].astype(np.int32), "concept": names[places]}))
    return pa.concat_tables(pairs)


def _concepts(families: Sequence[Read], token_concepts: pa.Table) -> pa.Table:
    """List the concepts that at least one word has, in the families' order."""
    numbers = Counter(token_concepts["concept"].to_pylist())
    rows = [
        {
            "concept": family.concept(place),
            "family": family.family,
            "label": family.labels[place],
            "phrase": family.phrases[place],
            "parent": family.parent(place),
            "position": place,
            "num_tokens": numbers[family.concept(place)],
        }
        for family in (read.vocabulary.family for read in families)
        for place in family.measured
        if family.concept(place) in numbers
    ]
    return pa.Table.from_pylist(rows, arrow_schema(TABLES["concepts"].columns))


def _prompts(families: Sequence[Read], tested: Iterable[int]) -> pa.Table:
    """List the prompts of each family; if each word has its own, only those of the tested words."""
    rows, used = [], {*tested}
    for read in families:
        vocabulary, chosen = read.vocabulary, read.chosen
        asked = chosen.spelled.answers >= 0
        right = is_right(chosen.spelled.answers, vocabulary.labels[vocabulary.test])
        for number, template in enumerate(chosen.templates):
            here = right[asked & (chosen.tested_in == number)]
            if not chosen.prompt_per_word or read.first_prompt + number in used:
                accuracy = float(here.mean()) if len(here) else None
                rows.append({"prompt_id": read.first_prompt + number, "template": template, "test_accuracy": accuracy})
    return _rows("prompts", rows)


def _model(config: Config, plan: Plan, work: Path) -> Model:
    task = plan.shared["vocabulary"]
    model = model_of(task.settings, {name: need.folder(work) for name, need in task.needs.items()})
    weights = f"{config.model.wheel or config.model.path}; matrix products in {config.model.precision}"
    return Model(
        name=config.model.name or model.name,
        licence=config.model.licence,
        weights=weights,
        d_model=model.d_model,
        num_layers=model.num_layers,
    )


def _provenance(config: Config, plan: Plan, work: Path, tables: dict[str, Any]) -> Provenance:
    windows = load_windows(plan.shared["text"].folder(work))
    length = windows.ids.shape[1] - 1
    trained = any(part.path is None for part in config.saes)
    corpus = []
    for place, part in enumerate(config.text):
        of_source = windows.sources == place
        held_out = int(of_source[: windows.num_held_out].sum())
        corpus.append(
            {
                "source": part.source,
                "title": part.title,
                "licence": part.licence,
                "package": part.debian,
                "train_tokens": (int(of_source.sum()) - held_out) * length * trained,
                "heldout_tokens": held_out * length,
                "evidence_tokens": int(of_source[windows.evidence].sum()) * length,
                "contexts_shipped": part.ship,
            }
        )
    loss = json.loads((plan.shared["loss"].folder(work) / "loss.json").read_text("utf-8"))
    return Provenance(
        made_by=f"absorption-explorer measure, configuration {config.name}",
        date=dt.datetime.now(tz=dt.UTC).date().isoformat(),
        source=f"torch {torch.__version__.split('+')[0]}, numpy {np.__version__}",
        summary=config.summary,
        corpus=corpus,
        checks=make_checks(config, loss, tables),
        limits=config.limits,
    )


def _notices(config: Config, plan: Plan, work: Path, base: Path) -> Iterator[tuple[str, bytes]]:
    """Collect the licence notices of the texts whose contexts are in the suite."""
    shipped = [part for part in config.text if part.ship]
    lines = ["Notices for the short text contexts in contexts.parquet (column source)", ""]
    lines += [f"{part.source}   {part.title}: {part.licence}" for part in shipped]
    if config.model.licence:
        lines += ["", f"Tokens of the vocabulary and model-derived numbers: {config.model.licence}."]
    for part in shipped:
        if part.notice:
            folder = plan.shared["text"].needs[part.source].folder(work) if part.debian else base
            if not (folder / part.notice).is_file():
                message = f"text: {part.source!r} has no notice {part.notice!r}; fix it and run the same command again"
                raise MeasureError(message)
            lines += ["", "=" * 70, part.source.upper(), "", (folder / part.notice).read_text("utf-8", "replace")]
    yield "LICENSES.txt", "\n".join([*lines, ""]).encode()
