"""The import of the published explorer's data folder, with valid and invalid files."""

# ruff: noqa: S608 - the only values in statements are paths and column names of this file

from __future__ import annotations

import errno
import io
import os
import shutil
import tarfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest import IngestError, import_results
from ingest import pages as pages_module
from queries import Store, check_suite
from queries import writer as writer_module
from queries.manifest import Neuronpedia
from queries.schema import LETTERS, TABLES, letter_of
from queries.suite import read_suite
from tests.dashboard_page import dashboard_page
from tests.published_results import K_VALUES, N_LATENTS, SAES, SHOWN, ranked_rows, write_published_results
from tests.questions import keys
from tests.result_files import edit

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.report import Report
    from queries.manifest import Manifest

_SAE = "'l' || layer || '-w' || sae_width || '-l0-' || sae_l0 AS sae"
_CONCEPT = "'first-letter.' || letter AS concept"

#: Expected contents of each table, queried from the results themselves.
EXPECTED = {
    "measurements": f"SELECT {_SAE}, {_CONCEPT}, s.split_feats, num_probe_true_positives, num_true_positives,"
    " num_split_silent, num_false_negatives, num_tested, sample_portion,"
    " f1_probe, precision_probe, recall_probe, auc_probe"
    " FROM {sae_split_feats} AS s JOIN {k_sparse_results} USING (layer, sae_width, sae_l0, letter)",
    "k_sparse": " UNION ALL ".join(
        f"SELECT {_SAE}, {_CONCEPT}, {k}, sparse_sae_50_feats[{k}], f1_sparse_sae_{k}, precision_sparse_sae_{k},"
        f" recall_sparse_sae_{k}, auc_sparse_sae_{k} FROM {{k_sparse_results}}"
        for k in K_VALUES
    ),
    "encoder_top": " UNION ALL ".join(
        f"SELECT {_SAE}, {_CONCEPT}, {i}, sae_top_{i}_feat, cos_sae_top_{i}, dec_cos_sae_top_{i},"
        f" precision_sae_top_{i}, recall_sae_top_{i},"
        f" f1_sae_top_{i}, auc_sae_top_{i} FROM {{top_feat_precision_recall}}"
        for i in range(3)
    ),
    "tested_tokens": f"SELECT {_SAE}, {_CONCEPT}, token, token_id, prompt_id, split_feat_acts, split_feat_probe_cos,"
    " top_ablation_feat, top_ablation_score, top_ablation_feat_probe_cos,"
    " second_ablation_feat, second_ablation_score, second_ablation_feat_probe_cos,"
    " ablation_feats, ablation_scores, ablation_feat_acts, ablation_feat_probe_cos,"
    " nullif(true_ablation_top, 'nan'), true_ablation_second, spelling_metric, model_letter, model_correct,"
    " probe_logit, num_active_latents, is_absorption FROM {feature_absorption_results}",
    "tokens": "SELECT token_id, token, is_test, model_letter, model_metric FROM {english_tokens}",
    "token_concepts": f"SELECT token_id, {_CONCEPT} FROM {{english_tokens}}",
    "latents": f"SELECT {_SAE}, latent, density_text, max_act_text, mean_act_text, num_vocab_tokens, num_test_tokens,"
    " max_act_vocab, enc_dec_cos, 'first-letter.' || top_letter, top_letter_cos FROM {latent_stats}",
    "contexts": f"SELECT {_SAE}, latent, rank, activation, window_tokens, window_acts, window_pos, source"
    " FROM {latent_examples}",
    "logits": f"SELECT {_SAE}, latent, raised_tokens, raised_logits, lowered_tokens, lowered_logits"
    " FROM {latent_logits}",
    "histograms": f"SELECT {_SAE}, latent, 0, max_act_text, counts FROM {{latent_histograms}}",
    "token_activations": f"SELECT {_SAE}, latent, token_ids, activations FROM {{latent_token_activations}}",
    "prompts": "SELECT prompt_id, template, test_accuracy FROM {prompts}",
}


#: Columns of other formats; `metric` is the suite's own.
NOT_PUBLISHED: dict[str, set[str]] = {name: set() for name in EXPECTED} | {
    "measurements": {
        *("num_split_latents", "num_absorbed", "absorption_rate", "random_rate", "absorption_fraction"),
        *("metric", "metric_version", "undefined", "rate_low", "rate_high", "num_right", "right_rate"),
        *("shuffled_f1", "model_accuracy", "erasure_effect"),
    },
    "tested_tokens": {
        *("main_projection", "absorbing_projection", "total_projection", "top_projection", "second_projection"),
        *("latents_projection", "projections", "absorption_fraction", "metric", "metric_version"),
        *("answer_log_odds", "erasure_effect"),
    },
}
IDS = ["l4-w64-l0-7", "l8-w64-l0-9"]
COSINES = "probe_sae_cos_sims/layer_8/width_64/l0_9/letter_q.npz"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results") / "published"
    return write_published_results(root)


@pytest.fixture(scope="module")
def converted(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("data") / "deep" / "made-up"
    _, report = import_results(results, target)
    assert (report.rejected, report.notes, report.skipped) == ([], [], set())
    return target


@dataclass
class Import:
    """An import of a copy of the results, which may be modified first."""

    source: Path
    target: Path
    manifest: Manifest = field(init=False)
    report: Report = field(init=False)

    def run(self, **options: Any) -> Import:
        self.manifest, self.report = import_results(self.source, self.target, **options)
        return self

    def rewrite(self, stem: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        edit(self.source / f"{stem}.parquet", change)

    def reasons(self, file: str) -> list[str]:
        return [reason for name, reason in self.report.rejected if name == file]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect() as connection:
            return connection.execute(sql.format(suite=self.target)).fetchall()

    def leftovers(self) -> list[str]:
        return sorted(path.name for path in self.target.parent.iterdir() if path != self.target)


@pytest.fixture
def case(results: Path, tmp_path: Path) -> Import:
    shutil.copytree(results, tmp_path / "source")
    (tmp_path / "data").mkdir()
    return Import(tmp_path / "source", tmp_path / "data" / "suite")


# --- Valid results -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXPECTED)
def test_tables_contain_the_published_values(results: Path, converted: Path, name: str) -> None:
    paths = {path.stem: f"'{path}'" for path in results.glob("*.parquet")}
    expected = EXPECTED[name].format(**paths)
    with duckdb.connect() as connection:
        key = ", ".join(column for column in TABLES[name].key if column not in NOT_PUBLISHED[name])
        published = [row[0] for row in connection.execute(f"DESCRIBE {expected}").fetchall()]
        columns = [column.name for column in TABLES[name].columns if column.name not in NOT_PUBLISHED[name]]
        actual = f"SELECT {', '.join(columns)} FROM '{converted}/{name}.parquet'"
        # Both sides are cast to the suite's column types; float32 values must be unchanged.
        connection.execute(f"CREATE TABLE expected AS {actual} LIMIT 0; INSERT INTO expected {expected}")
        wanted = connection.execute(f"FROM expected ORDER BY {key}").fetchall()
        assert connection.execute(actual).fetchall() == wanted
    assert len(published) == len(columns)
    assert wanted


def test_cosines_contain_the_published_arrays(results: Path, converted: Path) -> None:
    for layer, width, l0 in SAES:
        frame = pd.read_parquet(converted / f"cosines/l{layer}-w{width}-l0-{l0}.parquet")
        assert len(frame) == N_LATENTS * len(LETTERS)
        for concept, rows in frame.groupby("concept"):
            letter = letter_of(concept)
            published = np.load(results / f"probe_sae_cos_sims/layer_{layer}/width_{width}/l0_{l0}/letter_{letter}.npz")
            np.testing.assert_array_equal(rows["latent"], np.arange(N_LATENTS))
            np.testing.assert_array_equal(rows["cosine"], published["arr_0"])


def test_manifest_has_the_published_values(results: Path, converted: Path) -> None:
    manifest = read_suite(converted).manifest
    assert (manifest.name, manifest.model.name, manifest.model.licence) == ("made-up", "m", "Apache-2.0")
    assert (manifest.method.tau, manifest.method.cosine_threshold, manifest.method.effect_margin) == (0.04, 0.03, 1.5)
    assert [sae.id for sae in manifest.saes] == IDS
    assert [(sae.layer, sae.width, sae.l0_nominal, sae.l0) for sae in manifest.saes] == [(*sae, 6.5) for sae in SAES]
    assert all(sae.n_latents == N_LATENTS and sae.cosines and sae.loss_recovered == 0.8 for sae in manifest.saes)
    assert manifest.tables["k_sparse"].rows == len(SAES) * len(SHOWN) * len(K_VALUES)
    assert manifest.tables["cosines"].rows == len(SAES) * len(LETTERS) * N_LATENTS
    assert str(results) not in (converted / "manifest.json").read_text("utf-8")
    assert (converted / "LICENSES.txt").read_text("utf-8") == "notices"
    assert check_suite(converted) == []
    with duckdb.connect() as connection:
        for table in ("measurements", "tested_tokens"):
            found = connection.execute(f"SELECT DISTINCT metric FROM '{converted}/{table}.parquet'").fetchall()
            assert found == [("ig_ablation",)]


def test_results_without_a_manifest_are_read_as_gemma_scope(case: Import) -> None:
    (case.source / "manifest.json").unlink()
    for stem in ("sae_split_feats", "feature_absorption_results", "k_sparse_results", "top_feat_precision_recall"):
        # Layer 3 has a canonical SAE of nominal width 16000 and L0 59; other tables give the number of latents.
        width = 16384 if stem == "k_sparse_results" else 16000
        frame = pd.read_parquet(case.source / f"{stem}.parquet").assign(layer=3, sae_width=width, sae_l0=59)
        once = frame.drop_duplicates([name for name in ("letter", "token") if name in frame])
        once.to_parquet(case.source / f"{stem}.parquet", index=False)
    for stem in ("latent_stats", "latent_examples", "latent_logits", "latent_histograms", "latent_token_activations"):
        (case.source / f"{stem}.parquet").unlink()
    folder = case.source / "probe_sae_cos_sims" / "layer_3" / "width_16k" / "l0_59"
    folder.mkdir(parents=True)
    for letter in "aS":
        np.savez(folder / f"letter_{letter}.npz", np.full(16384, 0.5, np.float16))
    shutil.rmtree(case.source / "probe_sae_cos_sims" / "layer_4")
    shutil.rmtree(case.source / "probe_sae_cos_sims" / "layer_8")
    case.run()
    (sae,) = case.manifest.saes
    assert (sae.id, sae.layer, sae.width, sae.l0, sae.n_latents) == ("l3-w16000-l0-59", 3, 16000, 59, 16384)
    assert sae.neuronpedia == Neuronpedia(model="gemma-2-2b", source="3-gemmascope-res-16k")
    assert case.manifest.model.name == "gemma-2-2b"
    assert case.rows("SELECT DISTINCT sae FROM '{suite}/k_sparse.parquet'") == [("l3-w16000-l0-59",)]
    assert case.rows(
        "SELECT concept, count(*), max(cosine) FROM '{suite}/cosines/*.parquet' GROUP BY 1 ORDER BY 1"
    ) == [
        ("first-letter.a", 16384, 0.5),
        ("first-letter.s", 16384, 0.5),
    ]
    assert check_suite(case.target) == []


def test_versions_of_the_tested_tokens_give_the_same_verdicts(case: Import) -> None:
    whole = pd.read_parquet(case.source / "feature_absorption_results.parquet")
    lists = ["ablation_feats", "ablation_scores", "ablation_feat_acts", "ablation_feat_probe_cos"]
    question = "SELECT sae, concept, token, top_latent, top_effect, is_absorption FROM '{suite}/tested_tokens.parquet'"
    ranked = "SELECT latents, effects, activations, cosines FROM '{suite}/tested_tokens.parquet'"
    wanted, wanted_lists = case.run().rows(question), case.rows(ranked)

    # Scalars under the names of lists.
    scalars = whole.drop(columns=[*lists, "top_ablation_feat", "top_ablation_feat_probe_cos"]).assign(
        ablation_feat=whole["top_ablation_feat"],
        ablation_feat_act=1.5,
        ablation_feat_probe_cos=whole["top_ablation_feat_probe_cos"],
    )
    case.rewrite("feature_absorption_results", lambda _: scalars)
    assert case.run(force=True).rows(question) == wanted
    first = case.rows(
        "SELECT latents[1] = top_latent, latents[2] = second_latent, activations FROM '{suite}/tested_tokens.parquet'"
    )
    assert set(map(str, first)) == {"(True, True, [1.5, None])"}

    # One row per ranked latent: only the first has the verdict.
    case.rewrite("feature_absorption_results", lambda _: ranked_rows(whole).sample(frac=1, random_state=0))
    assert case.run(force=True).rows(question) == wanted
    assert "verdict is that of feat_order 0" in case.report.notes[0]
    lengths = [len(row[0]) for row in case.rows(ranked)]
    assert lengths == [len(row[0]) for row in wanted_lists]


def test_verdict_is_read_from_the_first_rank(case: Import) -> None:
    def lose(tested: pd.DataFrame) -> pd.DataFrame:
        rows = ranked_rows(tested)
        first = rows["feat_order"] == 0
        rows["is_absorption"] = rows["is_absorption"].astype(object).mask(first & rows["token"].eq('s"q'))
        return rows[~(first & rows["token"].eq("s,c"))]

    case.rewrite("feature_absorption_results", lose)
    case.run()
    assert case.rows("SELECT DISTINCT token FROM '{suite}/tested_tokens.parquet' ORDER BY 1") == [
        (" short",),
        ("s\nn",),
    ]
    assert case.reasons("feature_absorption_results.parquet") == [
        "12 tokens have no verdict where feat_order is 0; download the complete file"
    ]
    assert check_suite(case.target) == []


def test_split_latents_are_derived_if_not_stored(case: Import) -> None:
    for stem in ("sae_split_feats", "k_sparse_results"):
        case.rewrite(stem, lambda frame: frame.drop(columns="split_feats"))
    scores = {f"f1_sparse_sae_{k}": 0.5 + 0.05 * min(k, 3) for k in K_VALUES}  # rises for two more latents
    case.rewrite("k_sparse_results", lambda frame: frame.assign(**scores))
    case.run()
    found = case.rows("SELECT split_latents FROM '{suite}/measurements.parquet' ORDER BY sae, concept")
    ranked = case.rows(
        "SELECT list(latent ORDER BY k) FILTER (k <= 3) FROM '{suite}/k_sparse.parquet'"
        " GROUP BY sae, concept ORDER BY sae, concept"
    )
    assert found == ranked


@pytest.mark.parametrize("kept", ["top_feat_precision_recall", "english_tokens", "probe_sae_cos_sims"])
def test_concepts_are_listed_from_any_file(case: Import, kept: str) -> None:
    for path in case.source.iterdir():
        if path.stem not in (kept, "manifest", "top_feat_precision_recall"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    case.run()
    found = {row[0] for row in case.rows("SELECT label FROM '{suite}/concepts.parquet'")}
    assert found == set(LETTERS.upper() if kept == "probe_sae_cos_sims" else SHOWN.upper())
    assert check_suite(case.target) == []


def test_full_prompts_become_templates(case: Import) -> None:
    (case.source / "prompts.parquet").unlink()
    case.rewrite(
        "feature_absorption_results",
        lambda frame: frame.drop(columns="prompt_id").assign(
            prompt=["dog has the first letter: D\n" + token + " has the first letter:" for token in frame["token"]]
        ),
    )
    case.run()
    assert case.rows("SELECT template FROM '{suite}/prompts.parquet'") == [
        ("dog has the first letter: D\n{token} has the first letter:",)
    ]


def test_dashboard_pages_become_evidence_and_are_kept(case: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages_module, "PAGES", 2)
    folder = case.source / "non_canonical_dashboards" / "layer_8" / "width_64"
    folder.mkdir(parents=True)
    for latent in (3, 5):
        (folder / f"average_l0_9_feature_{latent}.html").write_text(dashboard_page(latent), encoding="utf-8")
    (folder / "average_l0_9_feature_7.html").write_text("<p>no data</p>", encoding="utf-8")
    (folder / "average_l0_9_feature_8.html").write_text("x" * (20 * 2**20 + 1), encoding="utf-8")
    secret = case.source.parent / "secret.html"
    secret.write_text("secret")
    (folder / "average_l0_9_feature_9.html").symlink_to(secret)
    (folder / "average_l0_9_feature_3 copy.html").write_text("what is this?")
    for stem in ("latent_stats", "latent_examples", "latent_logits", "latent_histograms"):
        (case.source / f"{stem}.parquet").unlink()
    case.run()
    assert {name.rpartition("_")[2]: reason.split(",")[0] for name, reason in case.report.rejected} == {
        "8.html": "has 20 MB",
        "9.html": "is a link out of the source and is not followed; put the page itself there",
        "3 copy.html": "the name contains no SAE and letter or latent; rename it like the others",
    }
    assert case.report.notes == [
        "1 dashboards are kept as pages only, without evidence: the page holds no data of SAEDashboard"
    ]
    place = {"suite": "suite", "layer": 8, "width": 64, "l0": 9}
    with Store(case.target) as store:
        assert store.fetch("latent_page", **keys(**place, latent=7))["html"].tolist() == ["<p>no data</p>"]
        assert store.fetch("latent_page", **keys(**place, latent=9)).empty
        assert len(store.fetch("latent_contexts", **keys(**place, latent=5))) > 5
        assert len(store.fetch("latent_logits", **keys(**place, latent=5))) == 1
        assert store.fetch("latent_facts", **keys(**place, latent=3))["max_activation"].iloc[0] > 0
    assert check_suite(case.target) == []


def test_archives_are_unpacked_safely(case: Import, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "results"), "gztar", root_dir=case.source.parent, base_dir="source")
    manifest, _ = import_results(Path(archive), case.target)
    assert [sae.id for sae in manifest.saes] == IDS
    assert case.leftovers() == []
    evil = [tmp_path / "evil.tar", tmp_path / "link.tar", tmp_path / "evil.zip", tmp_path / "none.zip"]
    with tarfile.open(evil[0], "w") as tar:
        tar.addfile(tarfile.TarInfo("../../outside"), io.BytesIO())
    with tarfile.open(evil[1], "w") as tar:
        link = tarfile.TarInfo("inside")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(link)
    with zipfile.ZipFile(evil[2], "w") as archive_:
        archive_.writestr("../outside", "")
    evil[3].write_bytes(b"PK no zip")
    for path in evil:
        with pytest.raises(IngestError, match=rf"{path.name}: cannot be unpacked"):
            import_results(path, tmp_path / "data" / "other")
    assert not list(tmp_path.rglob("outside"))
    assert case.leftovers() == []


# --- Bad input -----------------------------------------------------------------------------------------------------


def test_invalid_arrays_are_omitted_and_the_rest_is_imported(case: Import) -> None:
    folder = (case.source / COSINES).parent
    good = np.load(folder / "letter_a.npz")["arr_0"]
    (folder / "letter_b.npz").write_bytes((folder / "letter_b.npz").read_bytes()[:200])
    np.savez(folder / "letter_c.npz", good[:-1])
    np.savez(folder / "letter_d.npz", np.append(good[:-3], [np.nan, np.inf, 1.5]))
    np.savez(folder / "letter_e.npz", np.full_like(good, np.nan))
    np.savez(folder / "letter_f.npz", other=good)
    np.savez(folder / "letter_g.npz", np.array([{}]), allow_pickle=True)
    (folder / "letter_h.npz").write_bytes(b"")
    (folder / "letter_ä.npz").write_bytes(b"")
    np.savez(folder / "letter_A.npz", good)
    case.run()
    reasons = {Path(name).stem.removeprefix("letter_"): reason for name, reason in case.report.rejected}
    assert set(reasons) == set("bcdefghä") | {"a"}
    assert "download it again" in reasons["b"]
    assert "the SAE's others have (64,)" in reasons["c"]
    assert reasons["d"].startswith("3 values are not cosines")
    assert "no value of the array is a cosine" in reasons["e"]
    kept = case.rows("SELECT concept[14:], count(cosine) FROM '{suite}/cosines/l8-*.parquet' GROUP BY ALL")
    assert dict(kept) == {letter: N_LATENTS - 3 * (letter == "d") for letter in LETTERS if letter not in "bcefgh"}
    assert check_suite(case.target) == []


def test_invalid_rows_are_omitted_and_the_rest_is_imported(case: Import) -> None:
    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        frame = pd.concat([frame, frame.iloc[[0]], frame.iloc[[1, 2, 3]]], ignore_index=True)
        number = len(frame)
        frame["letter"] = frame["letter"].str.upper()
        frame.loc[number - 3, "letter"] = "É"
        frame.loc[number - 2, "letter"] = None
        frame.loc[number - 1, "letter"] = "aa"
        return frame

    before = len(pd.read_parquet(case.source / "sae_split_feats.parquet"))
    case.rewrite("sae_split_feats", spoil)
    case.rewrite("k_sparse_results", lambda frame: frame.assign(f1_probe=[np.inf, np.nan, *frame["f1_probe"][2:]]))
    case.run()
    assert case.reasons("sae_split_feats.parquet") == [
        f"1 row has no letter (row {before + 2})",
        f"2 rows have a letter that is none of a-z (row {before + 1}, {before + 3})",
        f"1 row has the sae, concept of a row before (row {before})",
    ]
    assert case.reasons("k_sparse_results.parquet") == ["f1_probe: 1 infinite values are left empty"]
    assert case.rows("SELECT count(*), count(probe_f1) FROM '{suite}/measurements.parquet'") == [(before, before - 2)]
    assert check_suite(case.target) == []


def test_unusual_tokens_are_kept(case: Import) -> None:
    path = case.source / "feature_absorption_results.parquet"
    table = pq.read_table(path)
    raw = [b"<script>alert(1)</script>", b"s\xff\xfe", b"_Short", "▁süß".encode(), "▁silk".encode()]
    tokens = raw + [token.encode() for token in table["token"].to_pylist()[len(raw) :]]
    # A text column with undecodable bytes, as written without validation.
    spoilt = pa.StringArray.from_buffers(len(tokens), *pa.array(tokens, pa.binary()).buffers()[1:])
    pq.write_table(table.set_column(table.column_names.index("token"), "token", spoilt), path)
    case.run()
    found = {row[0] for row in case.rows("SELECT token FROM '{suite}/tested_tokens.parquet'")}
    assert {"<script>alert(1)</script>", "s��", " Short", " süß", " silk"} <= found


@pytest.mark.parametrize(
    ("stem", "column", "is_needed"),
    [
        ("feature_absorption_results", "is_absorption", True),
        ("feature_absorption_results", "second_ablation_score", False),
        ("sae_split_feats", "sae_l0", True),
        ("latent_logits", "raised_tokens", True),
    ],
)
def test_missing_columns_are_reported(case: Import, stem: str, column: str, *, is_needed: bool) -> None:
    case.rewrite(stem, lambda frame: frame.drop(columns=column))
    case.run()
    reason = f"column {column!r} is missing; download the complete file"
    assert case.reasons(f"{stem}.parquet") == ([reason] if is_needed else [])
    assert [sae.id for sae in case.manifest.saes] == IDS
    assert check_suite(case.target) == []


@pytest.mark.parametrize(
    "stem", ["latent_logits", "feature_absorption_results", "top_feat_precision_recall", "manifest"]
)
def test_damaged_files_are_omitted_and_the_rest_is_imported(case: Import, stem: str) -> None:
    (path,) = case.source.glob(f"{stem}.*")
    path.write_bytes(path.read_bytes()[:-20])
    case.run()
    assert len(case.reasons(path.name)) == 1
    assert [sae.id for sae in case.manifest.saes] == IDS
    assert check_suite(case.target) == []


def test_folder_without_results_is_named(tmp_path: Path) -> None:
    for path, reason in ((tmp_path, "contains no results in a known format"), (tmp_path / "none", "no such folder")):
        with pytest.raises(IngestError, match=f"^{path}: {reason}"):
            import_results(path, tmp_path / "data" / "suite")
    (tmp_path / "k_sparse_results.parquet").write_bytes(b"PAR1")
    with pytest.raises(IngestError, match="no SAE can be read"):
        import_results(tmp_path, tmp_path / "data" / "suite")
    assert not list((tmp_path / "data").iterdir())


# --- All or nothing ------------------------------------------------------------------------------------------------


def test_only_suites_are_replaced_with_force_and_by_a_complete_one(case: Import) -> None:
    case.target.mkdir()
    (case.target / "mine").touch()
    with pytest.raises(IngestError, match="--force"):
        case.run()
    with pytest.raises(IngestError, match="is not a suite"):
        case.run(force=True)
    assert [path.name for path in case.target.iterdir()] == ["mine"]
    (case.target / "mine").rename(case.target / "manifest.json")
    case.run(force=True)
    whole = (case.target / "manifest.json").read_text("utf-8")
    shutil.rmtree(case.source / "probe_sae_cos_sims")
    for file in case.source.glob("*.parquet"):
        file.write_bytes(b"")
    with pytest.raises(IngestError):
        case.run(force=True)
    assert (case.target / "manifest.json").read_text("utf-8") == whole
    assert case.leftovers() == []


def test_interrupted_import_is_resumed(case: Import) -> None:
    def interrupt(_: str, done: int, total: int) -> None:
        if total > 1 and done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        case.run(progress=interrupt)
    assert not case.target.exists()
    partial = case.target.parent / ".suite.partial"
    finished = {path.stem: path for path in partial.glob("cosines/*.parquet")}
    assert finished
    # One of the finished files is damaged: it is written again, the others are kept.
    times = {name: path.stat().st_mtime_ns for name, path in finished.items()}
    damaged = min(finished)
    finished[damaged].write_bytes(b"damaged")
    case.run()
    kept = {
        name: (case.target / path.relative_to(partial)).stat().st_mtime_ns == times[name]
        for name, path in finished.items()
    }
    assert kept == {name: name != damaged for name in finished}
    assert check_suite(case.target) == []
    assert case.leftovers() == []
    assert not list(case.target.rglob(".*"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_full_disk_leaves_no_files(case: Import, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(path: Path, *_: object) -> Path:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(writer_module, "write_file", fail)
    with pytest.raises(IngestError) as caught:
        case.run()
    assert os.strerror(number) in str(caught.value)
    assert "nothing was written" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(case.target.parent.iterdir()) == []


def test_unwritable_target_is_named(case: Import) -> None:
    (case.target.parent / "file").touch()
    with pytest.raises(IngestError, match="cannot be written"):
        import_results(case.source, case.target.parent / "file" / "suite")


def test_simultaneous_imports_are_refused(case: Import) -> None:
    def again(*_: object) -> None:
        with pytest.raises(IngestError, match="another import is writing it"):
            import_results(case.source, case.target)

    case.run(progress=again)
    assert check_suite(case.target) == []


def test_source_that_changes_during_the_import_is_refused(case: Import) -> None:
    def change(what: str, *_: object) -> None:
        if what == "Writing tables":
            os.utime(case.source / COSINES, ns=(0, 0))

    with pytest.raises(IngestError, match="changed while it was read"):
        case.run(progress=change)
    assert list(case.target.parent.iterdir()) == []
