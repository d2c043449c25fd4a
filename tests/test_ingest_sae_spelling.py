"""The reader of sae-spelling's outputs, on synthetic ones with the same layout (`tests.sae_spelling_results`)."""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest import sae_spelling
from ingest.source import Source
from queries.conform import IngestError
from tests.imported_suite import Suite, importing
from tests.questions import THRESHOLDS
from tests.result_files import columnless, edit, emptied, keep, rowless, save, truncated
from tests.sae_spelling_results import (
    ENCODER,
    K_SPARSE,
    METADATA,
    RAW,
    SECOND,
    TESTED,
    k_sparse,
    ranked_rows,
    token_row,
    write_results,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FIRST_SAE = {"layer": 3, "width": 16_000, "l0": 59}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_results(tmp_path / "results")


@pytest.fixture
def imported(tmp_path: Path) -> Iterator[Callable[..., Suite]]:
    yield from importing(sae_spelling.read, tmp_path)


@pytest.mark.usefixtures("root")
def test_rates_match_the_paper(imported: Callable[..., Suite]) -> None:
    suite = imported()
    # s: 2 of 4 sampled of 8 candidates are absorbed, with 40 true positives of the probe; a: 1 of 20.
    assert suite.rates() == {(3, "a"): 0.05, (3, "s"): 0.1, (3, "z"): None, (4, "s"): 0.0}
    # " sun" fails by the margin only, " sea" by the cosine only.
    assert suite.rates(effect_margin=0.3)[3, "s"] == pytest.approx(0.15)
    assert suite.rates(cosine_threshold=0.0)[3, "s"] == pytest.approx(0.15)
    means = {
        policy: suite.ask("sae_means", scope="suite", mean_policy=policy, **THRESHOLDS)[0]["absorption_rate"]
        for policy in ("with_candidates", "all_concepts")
    }
    assert means == {"with_candidates": pytest.approx(0.075), "all_concepts": pytest.approx(0.05)}
    assert not suite.report.rejected
    assert suite.findings.manifest.method.metric == "ig_ablation"
    assert set(suite.table("tested_tokens")["metric"]) == {"ig_ablation"}


@pytest.mark.usefixtures("root")
def test_letters_have_their_counts(imported: Callable[..., Suite]) -> None:
    (row,) = imported().ask("summary", **FIRST_SAE, letter="s", **THRESHOLDS)
    expected = {
        "main_latent": 6510,
        "main_f1": 0.81,
        "probe_f1": 0.95,
        "num_probe_true_positives": 40,
        "num_candidates": 8,
        "num_tested": 4,
        "sample_portion": 0.5,
        "num_absorbed": 2,
        "num_absorbing_latents": 1,
    }
    assert {name: row[name] for name in expected} == expected
    assert row["split_latents"].tolist() == [6510, 77]


@pytest.mark.usefixtures("root")
def test_splits_follow_tau(imported: Callable[..., Suite]) -> None:
    suite = imported()
    assert {letter: suite.splits(letter) for letter in "asz"} == {"a": [12], "s": [6510, 77], "z": [5, 6, 7]}
    assert suite.splits("s", tau=0.06) == [6510]
    assert suite.splits("s", tau=0.005) == [6510, 77, 100]
    rows = suite.ask("k_sparse", **FIRST_SAE, letter="z", tau=0.03)
    assert [row["k"] for row in rows] == [*range(1, 16), 20, 50]
    assert [row["latent"] for row in rows][-3:] == [111, 116, 146]


@pytest.mark.usefixtures("root")
def test_tokens_keep_effects_and_verdicts(imported: Callable[..., Suite]) -> None:
    suite = imported()
    absorbed = suite.ask("absorbed_tokens", **FIRST_SAE, letter="s", **THRESHOLDS)
    assert absorbed == [
        {"token": " saw", "latent": 1085, "effect": -3.0},
        {"token": " short", "latent": 1085, "effect": -2.0},
    ]
    rows = suite.table("tested_tokens").set_index("token")
    short = rows.loc[" short"]
    assert (short["second_latent"], short["second_effect"]) == (7, -0.5)
    assert short["top_cosine"] == pytest.approx(0.3)
    assert short["latents"].tolist() == [1085, 7, *range(200, 208)]
    assert short["effects"].tolist()[:2] == [-2.0, -0.5]
    assert sorted(rows.index[rows["is_absorption"]]) == [" ant", " saw", " short"]
    assert sorted(rows.index[~rows["is_absorption"]]) == [" sea", " six", " sun"]
    prompts = suite.table("prompts").set_index("prompt_id")["template"]
    assert prompts[short["prompt_id"]] == "\n tall has the first letter: T\n{token} has the first letter:"
    assert prompts[rows.loc[" saw", "prompt_id"]] == "\n queen has the first letter: Q\n{token} has the first letter:"
    assert len(prompts) == 2


@pytest.mark.usefixtures("root")
def test_vocabulary_is_the_test_split(imported: Callable[..., Suite]) -> None:
    suite = imported()
    tokens = suite.table("tokens")
    assert tokens["token"].tolist() == [" ant", "apple", " saw", " sea", " short", " six", " snow", " sun"]
    assert suite.table("token_concepts")["letter"].tolist() == ["a", "a", *"ssssss"]
    concepts = suite.table("concepts").set_index("concept")[["label", "phrase", "position", "num_tokens"]]
    assert concepts.loc["first-letter.s"].tolist() == ["S", "starts with S", 18, 6]
    assert concepts.index.tolist() == ["first-letter.a", "first-letter.s", "first-letter.z"]
    assert tokens["is_test"].all()
    assert tokens["token_id"].is_unique


@pytest.mark.usefixtures("root")
def test_encoder_top_has_the_cosines_of_its_letter(imported: Callable[..., Suite]) -> None:
    suite = imported()
    rows = suite.table("encoder_top")
    assert len(rows) == 3 * 5
    second = rows[(rows["letter"] == "s") & (rows["rank"] == 1)].iloc[0]
    assert (second["latent"], second["encoder_cosine"], second["cosine"]) == (1001, 0.8, 0.4)
    (mean,) = suite.ask("sae_scores", main_latent_by="encoder")
    assert mean["precision"] == pytest.approx(0.6)


@pytest.mark.usefixtures("root")
def test_saes_have_nominal_widths_and_counted_latents(imported: Callable[..., Suite]) -> None:
    suite = imported()
    saes = {(sae.id, sae.layer, sae.width, sae.l0): sae.n_latents for sae in suite.findings.manifest.saes}
    assert saes == {("l3-w16000-l0-59", 3, 16_000, 59): 16_384, ("l4-w65000-l0-21", 4, 65_000, 21): 65_536}
    assert suite.findings.manifest.model.name == "unknown"
    assert any("model" in note for note in suite.report.notes)


def test_folder_may_name_the_model(root: Path, imported: Callable[..., Suite]) -> None:
    (root / "gemma-2-2b").mkdir()
    shutil.move(root / "experiments", root / "gemma-2-2b")
    manifest = imported().findings.manifest
    assert manifest.model.name == "gemma-2-2b"
    # This SAE, and not the other, is among those that Neuronpedia is known to host.
    assert [sae.neuronpedia and sae.neuronpedia.source for sae in manifest.saes] == ["3-gemmascope-res-16k", None]


def test_latents_are_counted_if_the_width_is_unknown(root: Path, imported: Callable[..., Suite]) -> None:
    edit(root / SECOND, lambda frame: frame.assign(top_ablation_feat=70_000))
    (root / SECOND).rename((root / SECOND).with_name("layer_4_width_66000_l0_21.parquet"))
    assert [sae.n_latents for sae in imported().findings.manifest.saes] == [16_384, 70_001]


@pytest.mark.parametrize(
    ("kept", "letters", "splits"),
    [
        ((TESTED,), ["a", "s"], [6510, 77]),
        ((K_SPARSE,), ["a", "s", "z"], [6510, 77]),
        ((ENCODER,), ["a", "s", "z"], []),
    ],
)
def test_one_experiment_is_enough(
    root: Path, imported: Callable[..., Suite], kept: tuple[str, ...], letters: list[str], splits: list[int]
) -> None:
    keep(root, *kept)
    assert sae_spelling.detects(Source(root))
    suite = imported()
    assert [letter for _, letter in suite.rates()] == letters
    assert suite.splits("s") == splits
    assert not suite.report.rejected


def test_latents_missing_from_the_scores_come_from_metadata(root: Path, imported: Callable[..., Suite]) -> None:
    keep(root, K_SPARSE, METADATA)
    assert METADATA in imported().report.skipped

    edit(root / K_SPARSE, lambda frame: frame.drop(columns=[name for name in frame if name.endswith("_feats")]))
    suite = imported()
    assert METADATA in suite.report.read
    assert suite.splits("z") == [5, 6, 7]

    (root / METADATA).unlink()
    suite = imported()
    assert suite.splits("z") == []
    assert len(suite.table("k_sparse")) == 3 * 17


def test_latent_of_a_step_is_the_one_added_to_its_list(root: Path, imported: Callable[..., Suite]) -> None:
    keep(root, K_SPARSE)
    edit(root / K_SPARSE, lambda frame: frame.assign(sparse_sae_k_2_feats=[[8, 12], [9, 6510], [4, 5]]))
    rows = imported().table("k_sparse")
    assert rows[rows["k"] == 2]["latent"].tolist() == [8, 9, 4]


def test_rows_per_ranked_latent_count_once(root: Path, imported: Callable[..., Suite]) -> None:
    keep(root, TESTED)
    expected = imported()
    save(root / TESTED, ranked_rows())
    suite = imported()
    assert suite.rates() == expected.rates()
    (row,) = suite.ask("summary", **FIRST_SAE, letter="s", **THRESHOLDS)
    assert (row["num_tested"], row["num_candidates"]) == (4, 8)
    short = suite.table("tested_tokens").set_index("token").loc[" short"]
    assert (short["second_latent"], short["second_effect"]) == (7, -0.5)
    assert short["latents"].tolist() == [1085, 7, 200]
    assert short["effects"].tolist() == [-2.0, -0.5, 0.0]
    assert any("feat_order" in note for note in suite.report.notes)


def test_verdict_is_read_from_the_first_rank(root: Path, imported: Callable[..., Suite]) -> None:
    keep(root, TESTED)
    rows = ranked_rows()
    rows["is_absorption"] = rows["is_absorption"].astype(object).where(rows["feat_order"] == 0)
    save(root / TESTED, rows[~(rows["token"].isin([" sea"]) & (rows["feat_order"] == 0))])
    suite = imported()
    assert sorted(suite.table("tested_tokens")["token"]) == [" ant", " saw", " short", " sun"]
    assert "1 tokens have no verdict" in suite.reasons(TESTED)[0]


@pytest.mark.parametrize("name", [TESTED, K_SPARSE, ENCODER])
def test_duplicate_sae_is_imported_once(root: Path, imported: Callable[..., Suite], name: str) -> None:
    again = name.replace("first_letter", "first_letter_again")
    save(root / again, pd.read_parquet(root / name))
    suite = imported()
    assert name in suite.reasons(again)[0]
    assert suite.rates()[3, "s"] == pytest.approx(0.1)


@pytest.mark.parametrize("columns", [{"sae_l0": 60}, {"layer": 4}, {"sae_width": 65_000}])
def test_name_and_columns_must_agree(root: Path, imported: Callable[..., Suite], columns: dict[str, int]) -> None:
    edit(root / K_SPARSE, lambda frame: frame.assign(**columns))
    suite = imported()
    assert "rename" in suite.reasons(K_SPARSE)[0]
    assert "k_sparse" not in suite.findings.tables
    assert suite.rates()[3, "s"] == pytest.approx(0.1)


def test_width_may_be_abbreviated(root: Path, imported: Callable[..., Suite]) -> None:
    edit(root / K_SPARSE, lambda frame: frame.assign(sae_width="16k"))
    assert not imported().report.rejected


@pytest.mark.parametrize("name", [TESTED, K_SPARSE, METADATA, RAW, ENCODER])
@pytest.mark.parametrize("damage", [truncated, emptied, rowless, columnless])
def test_damaged_file_is_rejected_alone(
    root: Path, imported: Callable[..., Suite], name: str, damage: Callable[[Path], None]
) -> None:
    damage(root / name)
    suite = imported()
    assert suite.rates()[4, "s"] == 0.0
    if damage in (truncated, emptied) and name != METADATA:  # which is not needed with the scores
        (reason,) = suite.reasons(name)
        assert "download it again" in reason


@pytest.mark.parametrize(
    ("name", "column"),
    [
        (TESTED, "letter"),
        (TESTED, "token"),
        (TESTED, "top_ablation_feat"),
        (TESTED, "is_absorption"),
        (K_SPARSE, "letter"),
        (K_SPARSE, "f1_sparse_sae_3"),
        (ENCODER, "precision_sae_top_0"),
        (RAW, "answer_letter"),
    ],
)
def test_missing_column_is_named(root: Path, imported: Callable[..., Suite], name: str, column: str) -> None:
    edit(root / name, lambda frame: frame.drop(columns=column))
    suite = imported()
    assert f"column {column!r} is missing" in suite.reasons(name)[0]
    assert suite.rates()[4, "s"] == 0.0


def test_missing_optional_columns_are_unknown(root: Path, imported: Callable[..., Suite]) -> None:
    keep(root, TESTED)
    required = ["letter", "token", "top_ablation_feat", "is_absorption"]
    edit(root / TESTED, lambda frame: frame[required])
    suite = imported()
    assert suite.rates() == {(3, "a"): None, (3, "s"): None}
    # Without effects the published verdict is used; without a portion every candidate was tested.
    (row,) = suite.ask("summary", **FIRST_SAE, letter="s", **THRESHOLDS)
    assert (row["num_absorbed"], row["num_candidates"], row["num_tested"]) == (2, 4, 4)
    # Of the latents with the largest effects, only the top one is known.
    assert suite.table("tested_tokens").set_index("token").loc[" ant", "latents"].tolist() == [5]
    assert "prompts" not in suite.findings.tables
    assert not suite.report.rejected


def test_non_finite_numbers_are_unknown(root: Path, imported: Callable[..., Suite]) -> None:
    keep(root, TESTED, K_SPARSE)
    edit(root / TESTED, lambda frame: frame.assign(top_ablation_score=[-2.0, math.nan, -math.inf, -3.0, -1.5]))
    edit(root / K_SPARSE, lambda frame: frame.assign(f1_sparse_sae_2=[0.91, math.nan, 0.8]))
    suite = imported()
    effects = suite.table("tested_tokens").set_index("token")["top_effect"]
    assert effects[[" sun", " sea"]].isna().all()
    assert "1 infinite values are left empty" in suite.reasons(TESTED)[0]
    # An unknown F1 ends a derived list of split latents.
    assert suite.splits("s", tau=0.029) == [6510]
    assert suite.splits("z", tau=0.029) == [5, 6, 7]


def test_invalid_rows_are_omitted(root: Path, imported: Callable[..., Suite]) -> None:
    keep(root, TESTED, K_SPARSE)
    edit(root / K_SPARSE, lambda frame: pd.concat([frame, frame.iloc[[1]], frame.iloc[[0]].assign(letter="é")]))
    edit(root / TESTED, lambda frame: pd.concat([frame.assign(letter=frame["letter"].str.upper()), frame.head(1)]))
    suite = imported()
    assert suite.reasons(K_SPARSE) == [
        "1 row has a letter that is none of a-z (row 4)",
        "1 row has the sae, concept of a row before (row 3)",
    ]
    assert len(suite.table("k_sparse")) == 3 * 17
    assert suite.rates() == {(3, "a"): 0.05, (3, "s"): 0.1, (3, "z"): None}
    assert "of a row before" in suite.reasons(TESTED)[0]


def test_tokens_may_contain_any_text(root: Path, imported: Callable[..., Suite]) -> None:
    keep(root, TESTED)
    same = {"letter": "s", "sample_portion": 1.0, "num_probe_true_positives": 10, "split_feats": [1]}
    words = [' s"q', " s'x", " <script>", " s\nn", " s,c", "\u2581six", "s"]
    frame = pd.DataFrame(
        [same | token_row(word, top=(2, -2.0, 0.3), second=(3, 0.0, 0.1), absorbed=True) for word in words]
    )
    save(root / TESTED, frame)
    suite = imported()
    rows = suite.table("tested_tokens").set_index("token")["prompt_id"]
    assert set(rows.index) == {' s"q', " s'x", " <script>", " s\nn", " s,c", " six", "s"}
    templates = suite.table("prompts").set_index("prompt_id")["template"]
    usual = "\n tall has the first letter: T\n{token} has the first letter:"
    # "s" also occurs in "has" and "first", and the prompt may contain another form of the space.
    assert {templates[rows[word]] for word in rows.index.drop(" six")} == {usual}
    assert templates[rows[" six"]] == usual.replace("\n{token}", "\n\u2581{token}")


def test_prompt_without_its_token_is_no_template(root: Path, imported: Callable[..., Suite]) -> None:
    keep(root, TESTED)
    prompts = ["", None, "\n tall has the first letter: T", " saw and\nnothing else", "\n ant has the first letter:"]
    edit(root / TESTED, lambda frame: frame.assign(prompt=prompts))
    suite = imported()
    rows = suite.table("tested_tokens").set_index("token")["prompt_id"]
    assert rows[[" short", " sun", " sea"]].isna().all()
    templates = suite.table("prompts").set_index("prompt_id")["template"]
    assert templates[rows[" saw"]] == "{token} and\nnothing else"
    assert templates[rows[" ant"]] == "\n{token} has the first letter:"


def test_undecodable_bytes_are_replaced(root: Path, imported: Callable[..., Suite]) -> None:
    keep(root, TESTED)
    table = pq.read_table(root / TESTED)
    tokens = pa.array([b" sh\xff", *(token.encode() for token in table["token"].to_pylist()[1:])])
    pq.write_table(table.set_column(table.column_names.index("token"), "token", tokens), root / TESTED)
    assert " sh\ufffd" in set(imported().table("tested_tokens")["token"])


def test_only_imports_the_selected_saes(root: Path, imported: Callable[..., Suite]) -> None:
    assert [sae.layer for sae in imported(only="layer_4_*").findings.manifest.saes] == [4]
    with pytest.raises(IngestError, match=r"no SAE is called 'layer_9\*'; .* layer_3_16000_59"):
        sae_spelling.read(Source(root), only="layer_9*")


def test_nothing_to_import_is_reported_in_one_line(root: Path) -> None:
    keep(root, ENCODER)
    emptied(root / ENCODER)
    with pytest.raises(IngestError, match="holds no letter") as error:
        sae_spelling.read(Source(root))
    assert str(root) in str(error.value)
    assert ENCODER in str(error.value)
    assert "\n" not in str(error.value)


def test_other_folders_are_not_detected(tmp_path: Path) -> None:
    save(tmp_path / "layer_3.parquet", k_sparse())
    save(tmp_path / "k_sparse_results.parquet", k_sparse())
    assert not sae_spelling.detects(Source(tmp_path))


def test_scores_may_be_single_precision(root: Path, imported: Callable[..., Suite]) -> None:
    edit(root / K_SPARSE, lambda frame: frame.astype(dict.fromkeys(frame.select_dtypes("float"), np.float32)))
    assert imported().splits("s", tau=0.04) == [6510, 77]
