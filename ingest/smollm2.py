"""Convert the published smollm2-135m results to a suite: ``python -m ingest.smollm2 SOURCE --to FOLDER``."""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingest.conform import IngestError
from ingest.writer import write_suite
from queries.manifest import FORMAT_VERSION, MANIFEST, Manifest, Method, Model, Provenance, Sae
from queries.schema import LETTERS, SAE_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LICENSES = "LICENSES.txt"
#: Steps of the k-sparse probe that the results hold.
K_VALUES = (*range(1, 16), 20, 50)
_NUM_ENCODER_TOP = 3


def _same(*names: str) -> dict[str, str]:
    return dict(zip(names, names, strict=True))


# What the suite calls a column -> what the results call it.
_SAE = {"layer": "layer", "width": "sae_width", "l0": "sae_l0"}
_SAE_LETTER = _SAE | _same("letter")
_SAE_LATENT = _SAE | _same("latent")

_LETTERS = _SAE_LETTER | {
    "split_latents": "split_feats",
    "num_candidates": "num_false_negatives",
    **_same("num_probe_true_positives", "num_true_positives", "num_split_silent", "num_tested", "sample_portion"),
}
_PROBES = _SAE_LETTER | {f"probe_{score}": f"{score}_probe" for score in ("f1", "precision", "recall", "auc")}
_TESTED_TOKENS = _SAE_LETTER | {
    **_same("token", "token_id", "prompt_id"),
    "split_activations": "split_feat_acts",
    "split_cosines": "split_feat_probe_cos",
    "top_latent": "top_ablation_feat",
    "top_effect": "top_ablation_score",
    "top_cosine": "top_ablation_feat_probe_cos",
    "second_latent": "second_ablation_feat",
    "second_effect": "second_ablation_score",
    "second_cosine": "second_ablation_feat_probe_cos",
    "latents": "ablation_feats",
    "effects": "ablation_scores",
    "activations": "ablation_feat_acts",
    "cosines": "ablation_feat_probe_cos",
    "true_effect_top": "true_ablation_top",
    "true_effect_second": "true_ablation_second",
    **_same("spelling_metric", "model_letter", "model_correct", "probe_logit", "num_active_latents", "is_absorption"),
}
_TOKENS = _same("token_id", "token", "letter", "is_test", "model_letter", "model_metric")
_LATENTS = _SAE_LATENT | {
    "density": "density_text",
    "max_activation": "max_act_text",
    "mean_activation": "mean_act_text",
    "max_activation_vocab": "max_act_vocab",
    "encoder_decoder_cosine": "enc_dec_cos",
    "top_letter_cosine": "top_letter_cos",
    **_same("num_vocab_tokens", "num_test_tokens", "top_letter"),
}
_CONTEXTS = _SAE_LATENT | {
    "tokens": "window_tokens",
    "activations": "window_acts",
    "position": "window_pos",
    **_same("rank", "activation", "source"),
}
_LOGITS = _SAE_LATENT | _same("raised_tokens", "raised_logits", "lowered_tokens", "lowered_logits")
_HISTOGRAMS = _SAE_LATENT | {"high": "max_act_text", "counts": "counts"}
_TOKEN_ACTIVATIONS = _SAE_LATENT | _same("token_ids", "activations")
_PROMPTS = _same("prompt_id", "template", "test_accuracy")


def convert(source: Path, folder: Path, *, force: bool = False) -> Manifest:
    """Convert the results in `source` to a suite in `folder`.

    Parameters
    ----------
    source : Path
        Folder of the results as they were published.
    folder : Path
        Where the suite goes.
    force : bool
        Replace what is there.

    Returns
    -------
    Manifest
        As written.

    Raises
    ------
    IngestError
        Where a file or column of the results is missing or wrong, or `folder` may not be written.
    """
    latents = _read(source, "latent_stats", _LATENTS)
    tables = {
        "letters": _letters(source),
        "k_sparse": _k_sparse(source),
        "encoder_top": _encoder_top(source),
        "tested_tokens": _read(source, "feature_absorption_results", _TESTED_TOKENS),
        "tokens": _read(source, "english_tokens", _TOKENS),
        "latents": latents,
        "contexts": _read(source, "latent_examples", _CONTEXTS),
        "logits": _read(source, "latent_logits", _LOGITS),
        "histograms": _with_constants(_read(source, "latent_histograms", _HISTOGRAMS), low=0.0),
        "token_activations": _read(source, "latent_token_activations", _TOKEN_ACTIVATIONS),
        "prompts": _read(source, "prompts", _PROMPTS),
    }
    manifest = _manifest(source, latents)
    tables["cosines"] = _cosines(source, manifest.saes)
    notices = _existing(source / LICENSES).read_bytes()  # the contexts may be passed on only with these
    return write_suite(folder, manifest, tables, files=[(LICENSES, notices)], force=force)


def _existing(path: Path) -> Path:
    if not path.is_file():
        message = f"{path}: missing; give the folder of the complete results as they were published"
        raise IngestError(message)
    return path


def _read(source: Path, stem: str, columns: dict[str, str]) -> pa.Table:
    """Read `columns` (suite's name -> file's name) of one file of the results."""
    path = _existing(source / f"{stem}.parquet")
    try:
        data = pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        message = f"{path}: not a readable parquet file ({str(error).splitlines()[0]}); fetch it again"
        raise IngestError(message) from error
    for name in columns.values():
        if name not in data.column_names:
            message = f"{path}: column {name!r} is missing; fetch the file again"
            raise IngestError(message)
    return data.select(list(columns.values())).rename_columns(list(columns))


def _with_constants(data: pa.Table, **values: object) -> pa.Table:
    for name, value in values.items():
        data = data.append_column(name, pa.repeat(pa.scalar(value), data.num_rows))
    return data


def _letters(source: Path) -> pa.Table:
    """Lay the probes' scores, which the results keep with the k-sparse ones, beside the split latents."""
    order = [(name, "ascending") for name in _SAE_LETTER]
    letters = _read(source, "sae_split_feats", _LETTERS).sort_by(order)
    probes = _read(source, "k_sparse_results", _PROBES).sort_by(order)
    if not letters.select(list(_SAE_LETTER)).equals(probes.select(list(_SAE_LETTER))):
        message = f"{source}: sae_split_feats and k_sparse_results list different SAEs or letters; fetch both again"
        raise IngestError(message)
    for name in probes.column_names[len(_SAE_LETTER) :]:
        letters = letters.append_column(name, probes[name])
    return letters


def _k_sparse(source: Path) -> pa.Table:
    """Turn the columns of each k into rows."""
    pieces = []
    for k in K_VALUES:
        scores = {score: f"{score}_sparse_sae_{k}" for score in ("f1", "precision", "recall", "auc")}
        data = _read(source, "k_sparse_results", _SAE_LETTER | scores | {"ranked": "sparse_sae_50_feats"})
        data = data.append_column("latent", pc.list_element(data["ranked"], k - 1))
        pieces.append(_with_constants(data, k=k))
    return pa.concat_tables(pieces)


def _encoder_top(source: Path) -> pa.Table:
    """Turn the columns of each rank into rows."""
    pieces = []
    for rank in range(_NUM_ENCODER_TOP):
        columns = {
            "latent": f"sae_top_{rank}_feat",
            "encoder_cosine": f"cos_sae_top_{rank}",
            "cosine": f"dec_cos_sae_top_{rank}",
            **{score: f"{score}_sae_top_{rank}" for score in ("precision", "recall", "f1", "auc")},
        }
        pieces.append(_with_constants(_read(source, "top_feat_precision_recall", _SAE_LETTER | columns), rank=rank))
    return pa.concat_tables(pieces)


def _cosines(source: Path, saes: Sequence[Sae]) -> Iterator[pa.Table]:
    """Read the 26 arrays of one SAE after the other."""
    for sae in saes:
        folder = source / "probe_sae_cos_sims" / f"layer_{sae.layer}" / f"width_{sae.width}" / f"l0_{sae.l0}"
        arrays = []
        for letter in LETTERS:
            path = _existing(folder / f"letter_{letter}.npz")
            try:
                with path.open("rb") as stream, np.load(stream) as file:
                    arrays.append(file["arr_0"])
            except (OSError, ValueError, KeyError, BadZipFile) as error:
                message = f"{path}: not a readable array ({error}); fetch it again"
                raise IngestError(message) from error
            if arrays[-1].shape != (sae.n_latents,):
                message = f"{path}: shape {arrays[-1].shape}, but latent_stats lists {sae.n_latents}; fetch both again"
                raise IngestError(message)
        data = {
            "letter": np.repeat(list(LETTERS), sae.n_latents),
            "latent": np.tile(np.arange(sae.n_latents), len(LETTERS)),
            "cosine": np.concatenate(arrays),
        }
        yield _with_constants(pa.table(data), **dict(zip(SAE_KEY, sae.key, strict=True)))


def _manifest(source: Path, latents: pa.Table) -> Manifest:
    """Take the suite's manifest from that of the results; `latents` are counted."""
    path = _existing(source / MANIFEST)
    words = tomllib.loads(files("ingest").joinpath("smollm2.toml").read_text("utf-8"))
    counted = latents.group_by(list(SAE_KEY)).aggregate([([], "count_all")]).to_pylist()
    counts = {tuple(row[name] for name in SAE_KEY): row["count_all"] for row in counted}
    try:
        published = json.loads(path.read_text(encoding="utf-8"))
        return Manifest(
            format_version=FORMAT_VERSION,
            name=published["name"],
            title="SmolLM2-135M",
            model=Model(
                name=published["model"],
                licence=published["model_licence"],
                weights="4-bit Q4_1 GGUF build, dequantised to float32; matrix products in bfloat16",
                d_model=published["d_model"],
                num_layers=published["num_layers"],
            ),
            method=Method(
                metric=published["metric"],
                tau=published["tau"],
                cosine_threshold=published["thresholds"]["cos"],
                effect_margin=published["thresholds"]["margin"],
                notes=words["method"],
            ),
            saes=sorted((_sae(record, counts) for record in published["saes"]), key=lambda sae: sae.key),
            tables={},
            provenance=Provenance(
                date=published["date"],
                source="The smollm2-135m results as published, converted by ingest.smollm2",
                summary=words["summary"],
                corpus=published["corpus"],
                checks=_checks(published),
                limits=words["limits"],
            ),
        )
    except (ValueError, KeyError, TypeError) as error:
        message = f"{path}: {type(error).__name__} {' '.join(str(error).split())}; fetch the file again"
        raise IngestError(message) from error


def _sae(record: dict[str, Any], counts: dict[tuple[int, ...], int]) -> Sae:
    key = (record["layer"], record["sae_width"], record["sae_l0"])
    return Sae(
        layer=record["layer"],
        width=record["sae_width"],
        l0=record["sae_l0"],
        n_latents=counts[key],
        l0_measured=record["l0_measured"],
        hook=record["hook"],
        architecture="BatchTopK",
        variance_explained=record["variance_explained"],
        loss_recovered=record["ce_loss_recovered"],
        dead_fraction=record["dead_fraction"],
        tokens_seen=record["tokens_seen"],
    )


def _checks(published: dict[str, Any]) -> dict[str, Any]:
    """Name the checks that came with the results so that they can be read."""
    checks = published["checks"]
    return {
        "Tested tokens": checks["rows"],
        "Tested tokens that are absorbed": checks["flagged"],
        "Verdicts that differ when recomputed from the stored scores": checks["flag_mismatch"],
        "All tested tokens are in the test split": checks["tested_tokens_all_in_test_split"],
        "Largest difference of cosines recomputed from decoders and probes": checks["max_cosine_difference_all_saes"],
        "Largest fall of mean F1 from one k to the next": checks["largest_drop_of_mean_F1_between_neighbouring_k"],
        "Correlation of attributed and true effect, top latent": checks["corr_ig_true_top"],
        "Correlation of attributed and true effect, runner-up": checks["corr_ig_true_second"],
        "Mean true effect of absorbing latents, logits": checks["absorbed_mean_true_effect"],
        "Share of absorbed tokens with a true effect of at most -1": checks["absorbed_true_effect_at_most_minus_1"],
        "Verdicts that differ in float32, of 40 tokens": published["checks_bf16"]["flag_margin_changes"],
        "Perplexity of the model on held-out text": published["perplexity"]["ppl"],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ingest.smollm2", description=__doc__)
    parser.add_argument("source", type=Path, help="folder of the results as they were published")
    parser.add_argument("--to", type=Path, required=True, help="folder of the suite, e.g. data/smollm2-135m")
    parser.add_argument("--force", action="store_true", help="replace what is there")
    options = parser.parse_args(arguments)
    try:
        manifest = convert(options.source, options.to, force=options.force)
    except IngestError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    size = sum(path.stat().st_size for path in options.to.rglob("*") if path.is_file())
    sys.stdout.write(f"{options.to}: {len(manifest.saes)} SAEs, {len(manifest.tables)} tables, {size / 1e6:.1f} MB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
