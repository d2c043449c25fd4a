"""The table of tested tokens: sae-spelling writes one per SAE, the published explorer has one for all SAEs.

Its versions differ: there is one row per token, or one per token and ranked latent; and columns with the same name
contain the top latent's value or a list of those of the first ten.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from ingest.source import same
from ingest.sql import join
from queries.conform import with_all_columns
from queries.schema import TABLES, Column, Table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ingest.source import Columns, Source


def _with(table: Table, *columns: Column) -> Table:
    """Return a contract with additional optional columns."""
    return replace(table, columns=(*table.columns, *(replace(column, required=False) for column in columns)))


#: The contract of a tested token's row in files, which also have values of the whole concept and the full prompt.
TESTED = _with(
    TABLES["tested_tokens"],
    *map(TABLES["measurements"].column, ("split_latents", "num_probe_true_positives", "sample_portion")),
    Column("prompt", "VARCHAR", ""),
)
_ONE_ROW = _with(TESTED, Column("top_activation", "FLOAT", ""))
_RANKED = replace(
    _ONE_ROW,
    key=(*TESTED.key, "feat_order"),
    columns=(
        # Only the first rank has a verdict.
        *(replace(column, required=column.required and column.name != "is_absorption") for column in _ONE_ROW.columns),
        Column("feat_order", "INTEGER", ""),
    ),
)

# A column in suites -> its name in files.
_COLUMNS: Columns = {
    **same("token", "prompt", "sample_portion", "num_probe_true_positives", "is_absorption"),
    **same("model_correct", "probe_logit", "num_active_latents"),
    "answer_metric": "spelling_metric",
    "model_answer": "model_letter",
    "split_latents": "split_feats",
    "split_activations": "split_feat_acts",
    "split_cosines": "split_feat_probe_cos",
    "second_latent": "second_ablation_feat",
    "second_effect": "second_ablation_score",
    "second_cosine": "second_ablation_feat_probe_cos",
    "true_effect_top": "true_ablation_top",
    "true_effect_second": "true_ablation_second",
}
_TOP = {
    "top_latent": ("top_ablation_feat", "ablation_feat"),
    "top_effect": ("top_ablation_score", "ablation_score"),
    "top_activation": ("ablation_feat_act",),
    "top_cosine": ("top_ablation_feat_probe_cos", "ablation_feat_probe_cos"),
}
_LISTS = {
    "latents": ("ablation_feats", "ablation_feat"),
    "effects": ("ablation_scores",),
    "activations": ("ablation_feat_acts", "ablation_feat_act"),
    "cosines": ("ablation_feat_probe_cos",),
}
_TOP_OR_LIST = {"ablation_feat", "ablation_feat_act", "ablation_feat_probe_cos"}


def read_tested(source: Source, file: Path, keys: Columns, **constants: object) -> pa.Table | None:
    """Read a parquet file of tested tokens, of any version.

    Parameters
    ----------
    source : Source
    file : Path
    keys : dict of str to str or tuple of str
        Columns with layer, width, l0 and letter, if the file has them, and columns that only this source has.
    **constants
        Values for those that it lacks.

    Returns
    -------
    pyarrow.Table or None
        Rows of `TESTED`, one per token; None if the file was rejected.
    """
    types = source.columns(file)
    if "feat_order" in types:
        top = {name: names[::-1] for name, names in _TOP.items()}  # columns with values per rank take precedence
        ranked = source.read(file, _RANKED, keys | _COLUMNS | top | same("feat_order"), **constants)
        return None if ranked is None else _judged(source, file, with_all_columns(_RANKED, ranked))
    lists = {name for name in _TOP_OR_LIST if name in types and pa.types.is_nested(types[name])}
    columns = keys | _COLUMNS | _without(lists, _TOP) | _without(_TOP_OR_LIST - lists, _LISTS)
    rows = source.read(file, _ONE_ROW, columns, **constants)
    return None if rows is None else join("top_latents", tested=with_all_columns(_ONE_ROW, rows))


def _without(names: set[str], columns: Mapping[str, tuple[str, ...]]) -> Columns:
    return {name: tuple(one for one in given if one not in names) for name, given in columns.items()}


def _judged(source: Source, file: Path, ranked: pa.Table) -> pa.Table:
    """Merge the rows of each token's ranked latents, and report the tokens without a verdict."""
    source.report.note("Files with a row for each ranked latent: the verdict is that of feat_order 0.")
    judged = join("ranked_latents", ranked=ranked)
    lost = ranked.group_by(list(TESTED.key)).aggregate([]).num_rows - judged.num_rows
    if lost:
        source.report.reject(file, f"{lost:,} tokens have no verdict where feat_order is 0; download the complete file")
    return judged
