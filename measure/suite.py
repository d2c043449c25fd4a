"""What was measured becomes a suite."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from measure.checks import make_checks
from measure.errors import MeasureError
from measure.models.loading import model_of
from measure.saes.loading import RECORD, open_sae
from measure.scores import auc
from measure.sparse import Sparse
from measure.stages.ablation import KEPT, is_absorption, load_tested
from measure.stages.candidates import load_candidates
from measure.stages.evidence import TABLES as EVIDENCE_TABLES
from measure.stages.k_sparse import load_k_sparse
from measure.stages.latents import WORDS
from measure.stages.parts import load_streams
from measure.stages.probes import load_probes
from measure.stages.prompts import load_prompts
from measure.stages.splits import load_splits
from measure.stages.text import load_windows
from measure.stages.vocabulary import load_vocabulary
from queries.conform import arrow_schema
from queries.first_letters import first_letters
from queries.manifest import FORMAT_VERSION, Manifest, Method, Model, Neuronpedia, Provenance
from queries.manifest import Sae as SaeRecord
from queries.sae_ids import sae_ids
from queries.schema import LETTERS, TABLES, concept_id
from queries.writer import write_suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from measure.config import Config
    from measure.plan import Plan, SaePlan
    from measure.stages.ablation import Tested
    from measure.stages.probes import Probes
    from measure.stages.prompts import Chosen, Spelled
    from measure.stages.vocabulary import Vocabulary

_ENCODER_TOP = 3


@dataclass(frozen=True)
class Measured:
    """One SAE, measured: its plan, its id in the suite, and its tables."""

    plan: SaePlan
    sae: str
    tables: dict[str, pa.Table]


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
        Where the tasks' folders lie.
    target : Path
    base : Path
        The folder that paths of the configuration start from.
    force : bool
        Replace the suite that is at `target`.
    progress : callable
        Told what is being done, how much of it is done, and how much there is.

    Raises
    ------
    IngestError
        Where the suite cannot be written.
    """
    vocabulary = load_vocabulary(plan.shared["vocabulary"].folder(work))
    chosen = load_prompts(plan.shared["prompts"].folder(work))
    saes = name_saes(plan.saes, work)
    measured = []
    for done, (sae, record) in enumerate(zip(plan.saes, saes, strict=True)):
        progress("Gathering results", done, len(plan.saes))
        measured.append(_measure(config, sae, record.id, work, vocabulary, chosen))
    measured.sort(key=lambda one: one.sae)
    tables: dict[str, Any] = {
        name: pa.concat_tables([one.tables[name] for one in measured])
        for name in ("measurements", "k_sparse", "encoder_top", "tested_tokens")
    }
    for name in EVIDENCE_TABLES:
        tables[name] = _evidence(name, measured, work)
    if plan.kin:
        tables["kin"] = _kin(plan, saes, work)
    tables["cosines"] = (_cosines(one, work) for one in measured)
    tables["tokens"] = _tokens(vocabulary, chosen.spelled)
    tables["token_concepts"] = pa.table(
        {"token_id": vocabulary.ids.astype(np.int32), "concept": _concepts(vocabulary.letters)}
    )
    tables["concepts"] = first_letters(tables["measurements"]["concept"].to_pylist(), tables["token_concepts"])
    tables["prompts"] = _prompts(vocabulary, chosen)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name=target.name,
        title=config.title,
        model=_model(config, plan, work),
        method=Method(
            metric="ig_ablation",
            tau=config.method.tau,
            cosine_threshold=config.method.cosine_threshold,
            effect_margin=config.method.effect_margin,
            notes=_notes(config, vocabulary, chosen),
        ),
        saes=saes,
        tables={},
        provenance=_provenance(config, plan, work, tables),
    )
    progress("Writing tables", 0, 1)
    present = {name: table for name, table in tables.items() if not isinstance(table, pa.Table) or table.num_rows}
    return write_suite(target, manifest, present, files=_notices(config, plan, work, base), force=force)


def name_saes(saes: Sequence[SaePlan], work: Path) -> list[SaeRecord]:
    """Describe the measured SAEs of a plan, each with an id; a further seed is named after the SAE that it repeats."""
    facts = [_facts(sae, work) for sae in saes]
    own = [place for place, sae in enumerate(saes) if not sae.repeats]
    ids = dict(zip(own, sae_ids([facts[place] for place in own]), strict=True))
    first = {(saes[place].layer, saes[place].width, saes[place].k): place for place in reversed(own)}
    records = []
    for place, (sae, said) in enumerate(zip(saes, facts, strict=True)):
        if place in ids:
            records.append(SaeRecord(sae=ids[place], **said))
        else:
            repeated = first[sae.layer, sae.width, sae.k]
            called = {"sae": f"{ids[repeated]}-s{sae.seed}", "l0_nominal": facts[repeated]["l0_nominal"]}
            records.append(SaeRecord(**said | called, repeat_of=ids[repeated]))
    return records


def _facts(sae: SaePlan, work: Path) -> dict[str, Any]:
    """Return what is known of an SAE."""
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
    """Read where Neuronpedia hosts an SAE, as its checkpoint says it: model/SAE."""
    model, _, source = (name or "").partition("/")
    return Neuronpedia(model=model, source=source) if model and source else None


def _read(sae: SaePlan, stage: str, work: Path) -> dict[str, Any]:
    return json.loads((sae.tasks[stage].folder(work) / f"{stage}.json").read_text("utf-8"))


def _rows(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Make rows of a table, its columns those of the contract: no SAE's depend on what was found of it."""
    columns = [column for column in TABLES[name].columns if column.name != "sae"]
    return pa.Table.from_pylist(rows, arrow_schema(columns))


def _with_sae(table: pa.Table, sae: str) -> pa.Table:
    """Say on every row which SAE it is of."""
    return table.add_column(0, "sae", pa.repeat(pa.scalar(sae), table.num_rows))


def _concepts(letters: Iterable[int]) -> list[str]:
    return [concept_id(LETTERS[letter]) for letter in letters]


def _measure(config: Config, sae: SaePlan, name: str, work: Path, vocabulary: Vocabulary, chosen: Chosen) -> Measured:
    """Make the small tables of one SAE."""
    folders = {name: task.folder(work) for name, task in sae.tasks.items()}
    probes, probe_scores = load_probes(folders["probes"])
    k_sparse, splits = load_k_sparse(folders["k_sparse"]), load_splits(folders["splits"])
    candidates, tested = load_candidates(folders["candidates"]), load_tested(folders["ablation"])
    words = Sparse.load(folders["latents"] / f"{WORDS}.npz")
    opened = open_sae(folders["sae"], torch.device("cpu"))
    cosines = probes.cosines(opened.directions.numpy())
    split = {letter: k_sparse.probes[letter][number].latents for letter, number in splits.items()}
    measurements = [
        {
            "concept": concept_id(LETTERS[letter]),
            "split_latents": split[letter].tolist(),
            **{name: value for name, value in found._asdict().items() if name != "tested"},
            "num_tested": len(found.tested),
            "sample_portion": found.sample_portion,
            **{f"probe_{name}": value for name, value in probe_scores[letter]._asdict().items()},
        }
        for letter, found in candidates.items()
    ]
    ranked = [
        {"concept": concept_id(LETTERS[letter]), "k": k, "latent": int(probe.latents[-1])}
        | k_sparse.scores[letter][k]._asdict()
        for letter, by_k in k_sparse.probes.items()
        for k, probe in by_k.items()
    ]
    tables = {
        "measurements": _rows("measurements", measurements),
        "k_sparse": _rows("k_sparse", ranked),
        "encoder_top": _encoder_top(probes.cosines(opened.encoder.numpy()), cosines, words, vocabulary, sorted(splits)),
        "tested_tokens": _tested(
            config,
            tested,
            words,
            vocabulary,
            chosen,
            split,
            cosines,
            probes,
            sae.tasks["candidates"].needs["activations"].folder(work),
            sae.layer,
        ),
    }
    return Measured(sae, name, {table: _with_sae(rows, name) for table, rows in tables.items()})


def _encoder_top(
    encoder: np.ndarray, decoder: np.ndarray, words: Sparse, vocabulary: Vocabulary, letters: list[int]
) -> pa.Table:
    """Score the latents whose encoder points most along each probe, as 'fires at all'."""
    test = words.take(vocabulary.test)
    rows = []
    for letter in letters:
        truth = vocabulary.letters[vocabulary.test] == letter
        best = np.argsort(-encoder[letter], kind="stable")[:_ENCODER_TOP]
        for rank, (latent, values) in enumerate(zip(best.tolist(), test.dense(best).T, strict=True)):
            right, said = int((truth & (values > 0)).sum()), int((values > 0).sum())
            rows.append(
                {
                    "concept": concept_id(LETTERS[letter]),
                    "rank": rank,
                    "latent": latent,
                    "encoder_cosine": float(encoder[letter, latent]),
                    "cosine": float(decoder[letter, latent]),
                    "precision": right / max(said, 1),
                    "recall": right / max(int(truth.sum()), 1),
                    "f1": 2 * right / max(said + int(truth.sum()), 1),
                    "auc": auc(values, truth),
                }
            )
    return _rows("encoder_top", rows)


def _tested(
    config: Config,
    tested: Tested,
    words: Sparse,
    vocabulary: Vocabulary,
    chosen: Chosen,
    split: dict[int, np.ndarray],
    cosines: np.ndarray,
    probes: Probes,
    activations: Path,
    layer: int,
) -> pa.Table:
    """Write a row for each tested word, with its verdict."""
    stream = load_streams(activations, f"words-{layer}")
    rows = []
    for word, letter, found in zip(tested.words.tolist(), tested.letters.tolist(), tested.effects, strict=True):
        latents, values = words.row(word)
        order = np.argsort(found.effects, kind="stable")
        top = order[0]
        second = order[1] if len(order) > 1 and found.effects[order[1]] < 0 else None
        largest = np.argsort(-np.abs(found.effects), kind="stable")[:KEPT]
        shown = largest[np.argsort(found.effects[largest], kind="stable")]
        strength = dict(zip(latents.tolist(), values.tolist(), strict=True))
        split_activations = [strength.get(latent, 0.0) for latent in split[letter].tolist()]
        second_effect = 0.0 if second is None else float(found.effects[second])
        top_effect, top_cosine = float(found.effects[top]), float(cosines[letter, latents[top]])
        rows.append(
            {
                "concept": concept_id(LETTERS[letter]),
                "token": str(vocabulary.texts[word]),
                "token_id": int(vocabulary.ids[word]),
                "prompt_id": int(chosen.assigned[word]),
                "split_activations": split_activations,
                "split_cosines": cosines[letter, split[letter]].tolist(),
                "top_latent": int(latents[top]),
                "top_effect": top_effect,
                "top_cosine": top_cosine,
                "second_latent": None if second is None else int(latents[second]),
                "second_effect": second_effect,
                "second_cosine": None if second is None else float(cosines[letter, latents[second]]),
                "latents": latents[shown].tolist(),
                "effects": found.effects[shown].tolist(),
                "activations": values[shown].tolist(),
                "cosines": cosines[letter, latents[shown]].tolist(),
                "true_effect_top": found.true_top,
                "true_effect_second": None if second is None else found.true_second,
                "answer_metric": found.metric,
                "model_answer": LETTERS[found.answer],
                "model_correct": found.answer == letter,
                "probe_logit": float(probes.logits(stream[word : word + 1])[0, letter]),
                "num_active_latents": len(latents),
                "is_absorption": is_absorption(
                    split_activations=np.array(split_activations),
                    top_effect=top_effect,
                    second_effect=second_effect,
                    top_cosine=top_cosine,
                    effect_margin=config.method.effect_margin,
                    cosine_threshold=config.method.cosine_threshold,
                ),
            }
        )
    return _rows("tested_tokens", rows)


def _evidence(name: str, measured: list[Measured], work: Path) -> Iterator[pa.Table]:
    """Read a table that the stage evidence wrote, SAE by SAE."""
    for one in measured:
        file = one.plan.tasks["evidence"].folder(work) / f"{name}.parquet"
        yield _with_sae(pq.ParquetFile(file).read(), one.sae)


def _kin(plan: Plan, saes: Sequence[SaeRecord], work: Path) -> Iterator[pa.Table]:
    """Read the kin of each SAE's latents, and name the SAEs of the layer, which the stage knows by their places."""
    for sae in sorted(saes, key=lambda sae: sae.id):
        if sae.layer in plan.kin:
            names = [other.id for other in saes if other.layer == sae.layer]
            file = plan.kin[sae.layer].folder(work) / f"{names.index(sae.id)}.parquet"
            rows = pq.ParquetFile(file).read()
            others = pa.array(names).take(rows["other"].combine_chunks())
            yield _with_sae(rows.append_column("other_sae", others), sae.id)


def _cosines(one: Measured, work: Path) -> pa.Table:
    folders = {name: one.plan.tasks[name].folder(work) for name in ("sae", "probes", "splits")}
    probes, _ = load_probes(folders["probes"])
    letters = sorted(load_splits(folders["splits"]))
    cosines = probes.cosines(open_sae(folders["sae"], torch.device("cpu")).directions.numpy())[letters]
    number = cosines.shape[1]
    table = pa.table(
        {
            "concept": np.repeat(_concepts(letters), number),
            "latent": np.tile(np.arange(number, dtype=np.int32), len(letters)),
            "cosine": cosines.astype(np.float32).ravel(),
        }
    )
    return _with_sae(table, one.sae)


def _tokens(vocabulary: Vocabulary, spelled: Spelled) -> pa.Table:
    answers, metrics = np.full(len(vocabulary.ids), None, object), np.full(len(vocabulary.ids), np.nan, np.float32)
    answers[vocabulary.test] = [LETTERS[answer] for answer in spelled.answers]
    metrics[vocabulary.test] = spelled.metrics
    return pa.table(
        {
            "token_id": vocabulary.ids.astype(np.int32),
            "token": vocabulary.texts.tolist(),
            "is_test": vocabulary.is_test,
            "model_answer": pa.array(answers.tolist(), pa.string()),
            "model_metric": metrics,
        }
    )


def _prompts(vocabulary: Vocabulary, chosen: Chosen) -> pa.Table:
    right = chosen.spelled.answers == vocabulary.letters[vocabulary.test]
    of_test = chosen.assigned[vocabulary.test]
    numbers = range(len(chosen.templates))
    return pa.table(
        {
            "prompt_id": list(numbers),
            "template": chosen.templates,
            "test_accuracy": [
                float(right[of_test == number].mean()) if (of_test == number).any() else None for number in numbers
            ],
        }
    )


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


def _notes(config: Config, vocabulary: Vocabulary, chosen: Chosen) -> list[str]:
    """Say in sentences how it was measured: the paragraphs of notes.txt, with the numbers of this measurement."""
    windows = config.windows
    text = (files("measure") / "notes.txt").read_text("utf-8")
    return text.format(
        num_words=len(vocabulary.ids),
        num_test=len(vocabulary.test),
        num_prompts=len(chosen.templates),
        right=(chosen.spelled.answers == vocabulary.letters[vocabulary.test]).mean(),
        held_out=windows.held_out * windows.length,
        for_loss=windows.for_loss * (windows.length - 1),
        steps=config.method.steps,
    ).splitlines()


def _provenance(config: Config, plan: Plan, work: Path, tables: dict[str, Any]) -> Provenance:
    windows = load_windows(plan.shared["text"].folder(work))
    length = windows.ids.shape[1] - 1
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
                "train_tokens": (int(of_source.sum()) - held_out) * length,
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
    """Gather the notices of the texts whose contexts are in the suite."""
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
