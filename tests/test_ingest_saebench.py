"""The reader of SAEBench's absorption evaluation, on synthetic results (`tests.saebench_results`)."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from ingest import import_results, saebench
from ingest.source import Source
from queries import Store, check_suite
from queries.conform import IngestError
from queries.schema import letter_of
from tests.imported_suite import Suite, importing
from tests.questions import THRESHOLDS
from tests.result_files import columnless, edit, emptied, keep, rowless, save, truncated
from tests.saebench_results import (
    COMMIT,
    FORMS,
    FULL,
    ID,
    METADATA,
    METRICS,
    OLD,
    RAW,
    RECORDS,
    RELEASE,
    TESTED,
    absorption,
    core,
    detail,
    edit_json,
    records,
    results_file,
    token_row,
    write_json,
    write_results,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FULL_SAE = {"layer": 5, "width": 16_000, "l0": 34}
FULL_RESULTS, FULL_CORE, OLD_RESULTS = results_file(FULL), results_file(FULL, "core"), results_file(OLD)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_results(tmp_path / "results")


@pytest.fixture
def imported(tmp_path: Path) -> Iterator[Callable[..., Suite]]:
    yield from importing(saebench.read, tmp_path)


@pytest.mark.usefixtures("root")
def test_rates_match_the_published_ones(imported: Callable[..., Suite]) -> None:
    suite = imported()
    expected = {(5, "a"): 0.25, (5, "q"): 0.5, (5, "s"): 0.4, (12, "s"): 0.3, (12, "t"): 0.0}
    assert suite.rates() == pytest.approx(expected)
    # The stored values allow no other verdict.
    assert suite.rates(cosine_threshold=0.9, effect_margin=9.0) == pytest.approx(expected)
    means = suite.ask("sae_means", scope="suite", mean_policy="with_candidates", **THRESHOLDS)
    assert [row["absorption_rate"] for row in means] == pytest.approx([1.15 / 3, 0.15])
    assert not suite.report.rejected


@pytest.mark.usefixtures("root")
def test_saes_have_their_attributes(imported: Callable[..., Suite]) -> None:
    suite = imported()
    full, old = suite.findings.manifest.saes
    assert (full.id, full.layer, full.width, full.l0_nominal) == ("l5-w16000-l0-34", 5, 16_000, 34)
    assert (full.title, full.n_latents, full.l0) == ("/".join(FULL), 16_384, 34.4)
    assert (full.hook, full.architecture, full.attributes) == ("blocks.5.hook_resid_post", "jumprelu", {"d_in": "2304"})
    assert full.neuronpedia
    assert (full.neuronpedia.model, full.neuronpedia.source) == ("gemma-2-2b", "5-gemmascope-res-16k")
    # Layer, hook and width of the older one are in its name only; L0 and architecture are unknown.
    assert (old.id, old.layer, old.width, old.l0_nominal) == ("l12-w4096", 12, 4096, None)
    assert (old.title, old.n_latents, old.l0, old.neuronpedia) == ("/".join(OLD), 4096, None, None)
    assert (old.hook, old.architecture, old.attributes) == ("blocks.12.hook_resid_post", None, {})
    assert suite.findings.manifest.model.name == "gemma-2-2b"
    assert any("L0 of 1 of 2 SAEs is unknown" in note for note in suite.report.notes)


def test_method_and_rows_describe_what_was_measured(root: Path, imported: Callable[..., Suite]) -> None:
    newer = {"min_GT_probe_f1": 0.6}
    edit_json(root / FULL_RESULTS, lambda results: results["eval_config"].update(newer))
    suite = imported()
    method = suite.findings.manifest.method
    assert (method.metric, method.metric_version, method.tau, method.cosine_threshold) == ("full", None, 0.03, 0.025)
    assert any("total projection is not stored" in note for note in method.notes)
    assert any("not comparable" in note for note in method.notes)
    letters = suite.table("measurements").set_index(["layer", "letter"])
    assert set(letters["metric"]) == {"full"}
    assert letters.loc[(5, "s"), "metric_version"] == "SAEBench since 2025-03-30"
    assert set(letters.loc[12]["metric_version"]) == {"SAEBench since 2025-01-13"}
    assert set(suite.table("tested_tokens")["metric_version"]) == {"SAEBench since 2025-03-30"}
    assert any("Several versions" in note for note in suite.report.notes)

    assert imported(only=f"{FULL[0]}/*").findings.manifest.method.metric_version == "SAEBench since 2025-03-30"


@pytest.mark.usefixtures("root")
def test_letters_have_the_published_numbers(imported: Callable[..., Suite]) -> None:
    suite = imported()
    letters = suite.table("measurements").set_index(["layer", "letter"])
    s, old = letters.loc[(5, "s")], letters.loc[(12, "s")]
    numbers = ["num_probe_true_positives", "num_absorbed", "num_split_latents", "absorption_fraction", "probe_f1"]
    assert s[numbers].tolist() == [5, 2, 2, 0.3, 0.95]
    assert (s["num_tested"], s["num_split_silent"]) == (5, 2)
    # q is in the tables only: its fraction is the mean over the probe's true positives.
    assert letters.loc[(5, "q"), "absorption_fraction"] == pytest.approx(0.25)
    assert old[numbers[:4]].tolist() == [10, 3, 2, 0.2]
    assert old[["split_latents", "num_tested", "probe_f1"]].isna().all()
    counts = {
        (row["sae"], letter_of(row["concept"])): row["num_split_latents"]
        for row in suite.ask("concept_rates", scope="suite", **THRESHOLDS)
    }
    full, old = (sae.id for sae in suite.findings.manifest.saes)
    assert counts == {(full, "a"): 1, (full, "q"): 1, (full, "s"): 2, (old, "s"): 2, (old, "t"): 1}


@pytest.mark.usefixtures("root")
def test_tokens_keep_projections_and_verdicts(imported: Callable[..., Suite]) -> None:
    suite = imported()
    rows = suite.table("tested_tokens").set_index("token")
    assert len(rows) == 11
    short = rows.loc[" short"]
    assert (short["top_latent"], short["top_projection"], short["top_cosine"]) == (700, 8.0, 0.5)
    assert (short["second_latent"], short["second_projection"], short["second_cosine"]) == (701, 4.0, 0.25)
    assert short["latents"].tolist() == list(range(700, 710))
    assert short["projections"].tolist()[:3] == [8.0, 4.0, 0.0]
    assert short["activations"].tolist()[:3] == [16.0, 16.0, 0.0]
    assert (short["absorption_fraction"], short["is_absorption"]) == (0.75, True)
    assert pd.isna(short["top_effect"])
    absorbed = suite.ask("absorbed_tokens", **FULL_SAE, letter="s", **THRESHOLDS)
    assert [row["token"] for row in absorbed] == [" short", " sun"]
    assert suite.table("prompts")["template"].tolist() == [
        "\n tall has the first letter: T\n{token} has the first letter:"
    ]
    tokens, letters = suite.table("tokens"), suite.table("token_concepts")["letter"]
    assert (len(tokens), tokens["token"].iloc[-1], letters.iloc[-1]) == (12, " zoo", "z")


def test_splits_are_read_from_any_file(root: Path, imported: Callable[..., Suite]) -> None:
    assert [imported().splits(letter) for letter in "asq"] == [[3], [1, 2], [9]]
    assert imported().splits("s", tau=0.2) == [1]
    (root / TESTED).unlink()
    write_json(root / RECORDS, [row | {"split_feats": [1, 2, 100]} for row in records()])
    assert imported().splits("s") == [1, 2, 100]
    (root / RECORDS).unlink()
    assert imported().splits("s") == [1, 2]
    (root / METRICS).unlink()
    suite = imported()
    assert suite.splits("s") == []
    assert suite.rates()[5, "s"] == pytest.approx(0.4)


def test_scores_are_read_from_either_file(root: Path, imported: Callable[..., Suite]) -> None:
    expected = imported().table("k_sparse")
    assert len(expected) == 3 * 10
    assert METADATA in imported().report.skipped
    (root / METRICS).unlink()
    pd.testing.assert_frame_equal(imported().table("k_sparse"), expected)
    (root / RECORDS).unlink()
    assert "k_sparse" not in imported().findings.tables


def test_latents_missing_from_the_scores_come_from_metadata(root: Path, imported: Callable[..., Suite]) -> None:
    (root / RECORDS).unlink()
    edit(root / METRICS, lambda frame: frame.drop(columns=[name for name in frame if name.endswith("_feats")]))
    suite = imported()
    assert METADATA in suite.report.read
    assert suite.splits("s", tau=0.001) == [1, 2, 100]


@pytest.mark.parametrize("missing", [(FULL_RESULTS, FULL_CORE), (FULL_RESULTS, FULL_CORE, METRICS, RECORDS, RAW)])
def test_tables_are_enough(root: Path, imported: Callable[..., Suite], missing: tuple[str, ...]) -> None:
    for name in missing:
        (root / name).unlink()
    suite = imported()
    joined = "_".join(FULL)
    assert suite.saes == {"l5-w16000-l0-34": joined, "l12-w4096": "/".join(OLD)}
    rates = {place: rate for place, rate in suite.rates().items() if place[0] == 5}
    assert rates == pytest.approx({(5, "a"): 0.25, (5, "q"): 0.5, (5, "s"): 0.4})


def test_latents_are_counted_if_their_number_is_unknown(root: Path, imported: Callable[..., Suite]) -> None:
    keep(root, TESTED)
    path = root / TESTED
    named = root / "feature_absorption/own/layer_5_own.parquet"
    named.parent.mkdir(parents=True)
    path.rename(named)
    suite = imported()
    assert suite.saes == {"l5": "own"}
    (note,) = (note for note in suite.report.notes if "no file counts its latents" in note)
    assert "gives 710; it may have more" in note
    assert note in suite.findings.manifest.provenance.limits
    (sae,) = suite.findings.manifest.saes
    assert (sae.n_latents, sae.n_latents_counted, sae.width) == (709 + 1, False, None)
    assert suite.findings.manifest.model.name == "unknown"


def test_newer_configurations_have_metadata(root: Path, imported: Callable[..., Suite]) -> None:
    def move(results: dict[str, Any]) -> None:
        config = results["sae_cfg_dict"]
        config["metadata"] = {name: config.pop(name) for name in ("model_name", "hook_name", "neuronpedia_id")}
        del config["hook_layer"]

    edit_json(root / FULL_RESULTS, move)
    sae = imported().findings.manifest.saes[0]
    assert sae.id == "l5-w16000-l0-34"
    assert sae.hook == "blocks.5.hook_resid_post"
    assert sae.neuronpedia


@pytest.mark.parametrize("source", [None, "", "gemma-2-2b", "gemma-2-2b/", "a/b/c"])
def test_neuronpedia_source_is_never_guessed(root: Path, imported: Callable[..., Suite], source: str | None) -> None:
    edit_json(root / FULL_RESULTS, lambda results: results["sae_cfg_dict"].update(neuronpedia_id=source))
    assert imported().findings.manifest.saes[0].neuronpedia is None


@pytest.mark.parametrize("l0", [-1.0, math.nan, math.inf, None])
def test_unmeasured_l0_is_unknown(root: Path, imported: Callable[..., Suite], l0: float | None) -> None:
    write_json(root / "core_eval_results.json", core(OLD, l0))
    assert {sae.id: sae.l0 for sae in imported().findings.manifest.saes}["l12-w4096"] is None


def test_core_results_are_found_anywhere(root: Path, imported: Callable[..., Suite]) -> None:
    (root / "elsewhere").mkdir()
    (root / FULL_CORE).rename(root / "elsewhere" / "renamed_eval_results.json")
    write_json(root / "elsewhere/other_eval_results.json", core(("other", "sae"), 7))
    suite = imported()
    assert "l5-w16000-l0-34" in suite.saes
    assert suite.report.skipped == {METADATA, "elsewhere/other_eval_results.json"}


def test_saes_of_unknown_l0_are_named_by_their_differences(root: Path, imported: Callable[..., Suite]) -> None:
    keep(root)
    for name in ("b", "a"):
        write_json(root / f"{name}_eval_results.json", absorption((name, "sae"), [detail("s", 10, 3, 2, 0.2)]))
    assert imported().saes == {"l5-w16000-a": "a/sae", "l5-w16000-b": "b/sae"}


def test_saes_of_the_same_layer_width_and_l0_are_imported(root: Path, imported: Callable[..., Suite]) -> None:
    twin = ("twin", "sae")
    write_json(root / results_file(twin), absorption(twin, [detail("s", 5, 5, 1, 1.0)], architecture="topk"))
    write_json(root / results_file(twin, "core"), core(twin, 33.9))
    suite = imported()
    assert not suite.report.rejected
    assert suite.saes == {
        "l5-w16000-jumprelu-l0-34": "/".join(FULL),
        "l5-w16000-topk-l0-34": "twin/sae",
        "l12-w4096": "/".join(OLD),
    }
    rates = suite.table("measurements").query("letter == 's'").set_index("sae")["num_absorbed"].to_dict()
    assert rates == {"l5-w16000-jumprelu-l0-34": 2, "l5-w16000-topk-l0-34": 5, "l12-w4096": 3}
    assert check_suite(suite.folder) == []
    # Alone, its id contains only layer, width and L0.
    assert imported(only="twin/sae").saes == {"l5-w16000-l0-34": "twin/sae"}


def test_each_language_model_has_a_suite(root: Path, tmp_path: Path) -> None:
    for name, model in (("a", "pythia-160m"), ("b", "EleutherAI/pythia-70m"), ("c", "pythia-160m")):
        results = absorption((name, "sae"), [detail("s", 5, 5, 1, 1.0)], model_name=model)
        write_json(root / results_file((name, "sae")), results)
    target = tmp_path / "suites"
    manifest, report = import_results(root, target)
    assert sorted(folder.name for folder in target.iterdir()) == [
        *("EleutherAI-pythia-70m", "gemma-2-2b", "pythia-160m")
    ]
    assert (manifest.name, len(manifest.saes), manifest.tables["measurements"].rows) == ("suites", 5, 3 + 2 + 3)
    assert not report.rejected
    assert f"{target}/pythia-160m: the SAEs of pythia-160m, 2 in number" in report.notes
    with Store(*target.iterdir()) as store:
        models = {suite.name: suite.manifest.model.name for suite in store.suites.values()}
        assert models == {name: name.replace("-", "/", 1) if "Eleuther" in name else name for name in models}
        assert len(store.fetch("saes")) == 5
    for folder in target.iterdir():
        assert check_suite(folder) == []
    # All of them are replaced together, and only by complete ones.
    with pytest.raises(IngestError, match="exists already"):
        import_results(root, target)
    import_results(root, target, force=True, only="a/*")
    assert (target / "manifest.json").exists()
    import_results(root, target, force=True)
    assert len(list(target.iterdir())) == 3


@pytest.mark.usefixtures("root")
def test_only_imports_the_selected_saes(imported: Callable[..., Suite], root: Path) -> None:
    suite = imported(only="*trainer_1")
    assert list(suite.saes.values()) == ["/".join(OLD)]
    assert TESTED in suite.report.skipped
    with pytest.raises(IngestError, match=r"no SAE is called 'none'; .*gemma-scope-2b-pt-res/layer_5"):
        saebench.read(Source(root), only="none")


def test_duplicate_sae_is_imported_once(root: Path, imported: Callable[..., Suite]) -> None:
    again = "eval_results/again/again_eval_results.json"
    write_json(root / again, absorption(FULL, [detail("s", 5, 5, 1, 1.0)]))
    suite = imported()
    (reason,) = suite.reasons(again)
    assert FULL_RESULTS in reason
    assert suite.table("measurements").set_index(["layer", "letter"]).loc[(5, "s"), "num_absorbed"] == 2


def test_names_with_paths_reach_no_files(root: Path, imported: Callable[..., Suite]) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    save(outside / "layer_5_outside.parquet", pd.DataFrame({"letter": ["s"]}))
    keep(root)
    name = ("..", "../outside/<b>'x'")
    write_json(root / "x_eval_results.json", absorption(name, [detail("s", 10, 3, 2, 0.2)]))
    suite = imported()
    assert list(suite.saes.values()) == ["../../outside/<b>'x'"]
    assert suite.report.read == {"x_eval_results.json"}


def test_tau_is_that_of_most_saes(root: Path, imported: Callable[..., Suite]) -> None:
    edit_json(root / OLD_RESULTS, lambda results: results["eval_config"].pop("f1_jump_threshold") and None)
    edit_json(root / FULL_RESULTS, lambda results: results["eval_config"].update(f1_jump_threshold=0.01))
    suite = imported()
    assert suite.findings.manifest.method.tau == 0.01

    more = ("more", "sae")
    write_json(root / results_file(more), absorption(more, [detail("s", 5, 5, 1, 1.0)], hook_layer=7))
    last = ("last", "sae")
    write_json(root / results_file(last), absorption(last, [detail("s", 5, 5, 1, 1.0)], hook_layer=8))
    suite = imported()
    assert suite.findings.manifest.method.tau == 0.03
    assert any("tau 0.01" in note for note in suite.report.notes)


def test_other_files_are_skipped(root: Path, imported: Callable[..., Suite]) -> None:
    write_json(root / "list_eval_results.json", [1, 2])
    write_json(root / "scr_eval_results.json", {"eval_type_id": "scr", "eval_result_details": "whatever"})
    suite = imported()
    assert {"list_eval_results.json", "scr_eval_results.json"} <= suite.report.skipped
    assert not suite.report.rejected


def garbled(path: Path) -> None:
    before, quote, after = path.read_bytes().rpartition(b'"')
    path.write_bytes(before + b"\xff" + quote + after)


@pytest.mark.parametrize("name", [FULL_RESULTS, FULL_CORE, RECORDS])
@pytest.mark.parametrize("damage", [truncated, emptied, garbled])
def test_damaged_json_is_rejected_alone(
    root: Path, imported: Callable[..., Suite], name: str, damage: Callable[[Path], None]
) -> None:
    damage(root / name)
    suite = imported()
    (reason,) = suite.reasons(name)
    assert "JSON" in reason
    assert "fix the file or download it again" in reason
    assert suite.rates()[5, "s"] == pytest.approx(0.4)


@pytest.mark.parametrize("name", [TESTED, METRICS, RAW])
@pytest.mark.parametrize("damage", [truncated, emptied, rowless, columnless])
def test_damaged_table_is_rejected_alone(
    root: Path, imported: Callable[..., Suite], name: str, damage: Callable[[Path], None]
) -> None:
    damage(root / name)
    suite = imported()
    assert suite.rates()[5, "s"] == pytest.approx(0.4)
    assert len(suite.table("k_sparse")) == 3 * 10
    if damage in (truncated, emptied):
        (reason,) = suite.reasons(name)
        assert "download it again" in reason


@pytest.mark.parametrize("without", [("hook_layer", "hook_name"), ("d_sae",)])
def test_attributes_without_a_source_are_unknown(
    root: Path, imported: Callable[..., Suite], without: tuple[str, ...]
) -> None:
    bare = ("bare", "sae")
    missing = dict.fromkeys(without)
    write_json(root / results_file(bare), absorption(bare, [detail("s", 5, 5, 1, 1.0)], **missing))
    suite = imported()
    assert not suite.report.rejected
    (sae,) = (sae for sae in suite.findings.manifest.saes if sae.title == "bare/sae")
    if "d_sae" in without:
        assert (sae.id, sae.width, sae.n_latents, sae.n_latents_counted) == ("l5", None, None, False)
    else:
        assert (sae.id, sae.layer, sae.hook, sae.width) == ("w16000", None, None, 16_000)
    assert check_suite(suite.folder) == []
    with Store(suite.folder) as store:
        listed = store.fetch("saes").set_index("sae")
        assert pd.isna(listed.loc[sae.id, "n_latents" if "d_sae" in without else "layer"])


def test_invalid_rows_are_omitted(root: Path, imported: Callable[..., Suite]) -> None:
    details = [
        detail("S", 10, 3, 2, 0.2),
        detail("s", 10, 9, 2, 0.2),
        detail("é", 10, 3, 2, 0.2),
        detail("t", 10, 4, 2, 0.2) | {"mean_absorption_fraction": math.nan},
        detail("u", 10, 5, 2, 0.2) | {"mean_absorption_fraction": math.inf},
        detail("v", 10, 6, 2, 0.2) | {"num_probe_true_positives": None},
        {"first_letter": "w", "num_full_absorption": 1},
    ]
    edit_json(root / OLD_RESULTS, lambda results: results.update(eval_result_details=details))
    suite = imported()
    assert suite.reasons(OLD_RESULTS) == [
        "absorption_fraction: 1 infinite values are left empty",
        "1 row has a letter that is none of a-z (row 2)",
        "1 row has the concept of a row before (row 1)",
    ]
    letters = suite.table("measurements").query("layer == 12").set_index("letter")
    assert letters["num_absorbed"].to_dict() == {"s": 3, "t": 4, "u": 5, "v": 6, "w": 1}
    assert letters.loc[["t", "u", "w"], "absorption_fraction"].isna().all()
    assert {place[1]: rate for place, rate in suite.rates().items() if place[0] == 12 and rate} == pytest.approx(
        {"s": 0.3, "t": 0.4, "u": 0.5}
    )


def test_values_of_another_type_are_empty(root: Path, imported: Callable[..., Suite]) -> None:
    details = [detail("s", 10, 3, 2, 0.2), detail("t", 8, 2, 1, 0.1) | {"num_split_features": "many"}]
    edit_json(root / OLD_RESULTS, lambda results: results.update(eval_result_details=details))
    suite = imported()
    (reason,) = suite.reasons(OLD_RESULTS)
    assert "num_split_latents cannot be read" in reason
    assert suite.rates()[12, "t"] == pytest.approx(0.25)


def test_tokens_may_contain_any_text(root: Path, imported: Callable[..., Suite]) -> None:
    words = [' s"q', " s'x", " <script>", " s\nn", " s,c", "s"]
    same = {"letter": "s", "num_probe_true_positives": 6, "split_feats": [1, 2]}
    rows = [same | token_row(word, silent=True, absorbed=True, fraction=0.0) for word in words]
    save(root / TESTED, pd.DataFrame(rows))
    suite = imported()
    assert {row["token"] for row in suite.ask("absorbed_tokens", **FULL_SAE, letter="s", **THRESHOLDS)} == set(words)
    assert len(suite.table("prompts")) == 1


def test_nothing_to_import_is_reported_in_one_line(root: Path) -> None:
    keep(root, OLD_RESULTS)
    assert saebench.detects(Source(root))
    truncated(root / OLD_RESULTS)
    with pytest.raises(IngestError, match="holds no letter") as error:
        saebench.read(Source(root))
    assert OLD_RESULTS in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kept", [FULL_RESULTS, TESTED, METRICS, RECORDS])
def test_any_file_of_the_evaluation_is_detected(root: Path, kept: str) -> None:
    keep(root, kept)
    assert saebench.detects(Source(root))


def test_other_folders_are_not_detected(root: Path) -> None:
    keep(root, FULL_CORE)
    (root / "notes.json").write_text(json.dumps({"eval_type_id": "absorption_first_letter"}), encoding="utf-8")
    assert not saebench.detects(Source(root))


# --- All formats of its results --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_every_format_of_results_is_read(tmp_path: Path, imported: Callable[..., Suite], form: str) -> None:
    name, content = FORMS[form]
    write_json(tmp_path / "results" / name, content)
    assert saebench.detects(Source(tmp_path / "results"))
    suite = imported()
    (sae,) = suite.findings.manifest.saes
    layer = 5 if "sae_cfg_dict" in content else 3  # which takes precedence over the name
    assert (sae.id, sae.title, sae.n_latents) == (f"l{layer}-w16000-l0-59", f"{RELEASE}/{ID}", 16_384)
    assert suite.findings.manifest.method.tau == 0.02
    letters = suite.table("measurements").set_index("letter")
    assert letters["num_absorbed"].to_dict() == {"a": 25, "b": 8}
    assert letters["num_probe_true_positives"].to_dict() == {"a": 100, "b": 80}
    assert letters["num_split_latents"].to_dict() == {"a": 2, "b": 1}
    assert suite.rates() == pytest.approx({(layer, "a"): 0.25, (layer, "b"): 0.1})
    assert not suite.report.rejected
    assert not {"num_absorption", "absorption_rate", "num_full_absorption", "layer"} & {
        left for names in suite.report.unused for left in names
    }


def test_letters_without_words_have_no_token_count(tmp_path: Path, imported: Callable[..., Suite]) -> None:
    write_json(tmp_path / "results/x_eval_results.json", absorption(FULL, [detail("s", 10, 3, 2, 0.2)]))
    concepts = imported().table("concepts")
    assert concepts["label"].tolist() == ["S"]
    assert concepts["num_tokens"].isna().all()


def test_counts_are_derived_from_rates(tmp_path: Path, imported: Callable[..., Suite]) -> None:
    details = [{"first_letter": "a", "absorption_rate": 0.25, "num_probe_true_positives": 100}]
    write_json(tmp_path / "results/x_eval_results.json", absorption(FULL, details))
    assert imported().table("measurements")["num_absorbed"].tolist() == [25]


def test_tables_of_2024_are_read(root: Path, imported: Callable[..., Suite]) -> None:
    keep(root, TESTED)

    def before(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.drop(columns="absorption_fraction").rename(columns={"is_full_absorption": "is_absorption"})

    edit(root / TESTED, before)
    assert imported().rates() == pytest.approx({(5, "a"): 0.25, (5, "q"): 0.5, (5, "s"): 0.4})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_json_file_of_any_encoding_is_a_source(tmp_path: Path, encoding: str) -> None:
    name, content = FORMS["one SAE"]
    file = tmp_path / "results" / name
    file.parent.mkdir()
    file.write_text(json.dumps(content), encoding)
    (tmp_path / "results" / "sae_split_feats.parquet").write_bytes(b"is not looked at")
    manifest, report = import_results(file, tmp_path / "suite")
    assert [sae.title for sae in manifest.saes] == [f"{RELEASE}/{ID}"]
    assert report.read == {name}
    assert not report.rejected


def test_other_evaluations_are_named(tmp_path: Path) -> None:
    write_json(tmp_path / "scr.json", {"eval_type_id": "scr", "eval_result_metrics": {}})
    with pytest.raises(IngestError, match=r"scr\.json has results of SAEBench's evaluation 'scr'"):
        import_results(tmp_path / "scr.json", tmp_path / "suite")


# --- Attributes of SAEs ----------------------------------------------------------------------------------------------


def test_quality_comes_from_core(root: Path, imported: Callable[..., Suite]) -> None:
    def measure(results: dict[str, Any]) -> None:
        results["eval_result_metrics"] |= {
            "reconstruction_quality": {"explained_variance": 0.75, "explained_variance_legacy": 0.7, "mse": 0.1},
            "model_performance_preservation": {"ce_loss_score": 0.98, "ce_loss_with_sae": 4.7},
            "misc_metrics": {"frac_alive": 0.9},
        }
        results["eval_result_details"] = [
            {"index": 0, "feature_density": 0.0, "encoder_decoder_cosine_sim": -1.0, "encoder_norm": 0.6},
            {"index": 1, "feature_density": 0.25, "encoder_decoder_cosine_sim": 0.5, "encoder_norm": 1.0},
        ]

    edit_json(root / FULL_CORE, measure)
    suite = imported()
    sae = suite.findings.manifest.saes[0]
    assert [sae.variance_explained, sae.loss_recovered, sae.dead_fraction] == pytest.approx([0.75, 0.98, 0.1])
    latents = suite.table("latents").set_index("latent")
    assert latents["density"].to_dict() == {0: 0.0, 1: 0.25}
    assert latents["encoder_decoder_cosine"].tolist() == pytest.approx([math.nan, 0.5], nan_ok=True)
    (left,) = (names for names, files in suite.report.unused.items() if FULL_CORE in files)
    assert left == ("ce_loss_with_sae", "encoder_norm", "l1", "mse")
    assert not any("formula" in note for note in suite.report.notes)

    edit_json(
        root / FULL_CORE,
        lambda results: (
            results["eval_result_metrics"]["reconstruction_quality"].pop("explained_variance_legacy") and None
        ),
    )
    suite = imported()
    assert suite.findings.manifest.saes[0].variance_explained == 0.75
    (limit,) = suite.findings.manifest.provenance.limits
    assert "calls that formula incorrect" in limit

    def lists(results: dict[str, Any]) -> None:
        results["eval_result_details"] = [{"feature_density": [0.5, 0.125], "encoder_decoder_cosine_sim": []}]

    edit_json(root / FULL_CORE, lists)
    assert imported().table("latents")["density"].tolist() == [0.5, 0.125]


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, 1e9, None])
def test_unmeasured_quality_is_unknown(root: Path, imported: Callable[..., Suite], value: float | None) -> None:
    def measure(results: dict[str, Any]) -> None:
        results["eval_result_metrics"] |= {
            "reconstruction_quality": {"explained_variance": value},
            "model_performance_preservation": {"ce_loss_score": value},
            "misc_metrics": {"frac_alive": value},
        }

    edit_json(root / FULL_CORE, measure)
    sae = imported().findings.manifest.saes[0]
    assert (sae.variance_explained, sae.loss_recovered, sae.dead_fraction) == (None, None, None)


def test_unrelated_commit_is_not_used_as_version(tmp_path: Path, imported: Callable[..., Suite]) -> None:
    for name, commit, layer in (("a", COMMIT, 1), ("b", "Unknown", 2)):
        results = absorption((name, "sae"), [detail("s", 10, 3, 2, 0.2)], hook_layer=layer)
        write_json(tmp_path / f"results/{name}_eval_results.json", results | {"sae_bench_commit_hash": commit})
    suite = imported()
    assert suite.findings.manifest.method.metric_version == "SAEBench since 2025-01-13"
    assert not any("versions" in note for note in suite.report.notes)


@pytest.mark.parametrize(
    ("sae", "key", "source"),
    [
        ((RELEASE, ID), (3, 16_000, 59), "3-gemmascope-res-16k"),
        ((f"google/{RELEASE}", ID), (3, 16_000, 59), "3-gemmascope-res-16k"),
        ((f"{RELEASE}-canonical", "layer_3/width_65k/canonical"), (3, 65_000, 89), "3-gemmascope-res-65k"),
        ((RELEASE, "layer_3/width_16k/average_l0_14"), (3, 16_000, 14), None),
        (("gemma-scope-9b-pt-res", ID), (3, 16_000, 59), None),
        (("mine", ID), (3, 16_000, None), None),
    ],
)
def test_gemma_scope_is_recognized_by_name(
    tmp_path: Path,
    imported: Callable[..., Suite],
    sae: tuple[str, str],
    key: tuple[int | None, ...],
    source: str | None,
) -> None:
    results = absorption(sae, [detail("s", 10, 3, 2, 0.2)])
    results["sae_cfg_dict"] = None
    write_json(tmp_path / "results/x_eval_results.json", results)
    (found,) = imported().findings.manifest.saes
    assert (found.layer, found.width, found.l0) == key
    assert (found.neuronpedia and found.neuronpedia.source) == source


def test_model_names_match_with_and_without_organisation(tmp_path: Path, imported: Callable[..., Suite]) -> None:
    for layer, model in enumerate(("google/gemma-2-2b", "gemma-2-2b", "google/gemma-2-2b")):
        results = absorption((f"sae{layer}", "x"), [detail("s", 10, 3, 2, 0.2)], hook_layer=layer, model_name=model)
        write_json(tmp_path / f"results/{layer}_eval_results.json", results)
    suite = imported()
    assert suite.findings.manifest.model.name == "gemma-2-2b"
    assert len(suite.saes) == 3
    results = absorption(("other", "x"), [detail("s", 10, 3, 2, 0.2)], hook_layer=9, model_name="me/gemma-2-2b")
    write_json(tmp_path / "results/other_eval_results.json", results)
    models = {found.manifest.model.name for found in saebench.read(Source(tmp_path / "results"))}
    assert models == {"google/gemma-2-2b", "gemma-2-2b", "me/gemma-2-2b"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (("gemma-scope-2b-pt-res", "layer_3/width_16k/average_l0_59"), ("blocks.3.hook_resid_post", "jumprelu")),
        (("gemma-scope-9b-it-mlp", "layer_3/width_16k/average_l0_59"), ("blocks.3.hook_mlp_out", "jumprelu")),
        (("gemma-scope-2b-pt-att", "layer_3/width_16k/average_l0_59"), ("blocks.3.attn.hook_z", "jumprelu")),
        (("saebench_width-2pow12", "blocks.3.hook_resid_post__trainer_1"), ("blocks.3.hook_resid_post", None)),
        (("mine", "blocks.3.hook_resid_post_trainer_1"), ("blocks.3.hook_resid_post", None)),
        (("MatryoshkaBatchTopK_pythia", "layer_3/trainer_0"), (None, "matryoshka_batch_topk")),
        (("BatchTopKTrainer_pythia", "layer_3/trainer_0"), (None, "batch_topk")),
        (("my_JumpRelu_pythia", "layer_3/trainer_0"), (None, "jumprelu")),
        (("pythia_stopkeys", "layer_3/trainer_0"), (None, None)),
    ],
)
def test_hook_and_architecture_are_read_from_names(
    tmp_path: Path, imported: Callable[..., Suite], name: tuple[str, str], expected: tuple[str | None, str | None]
) -> None:
    results = absorption(name, [detail("s", 10, 3, 2, 0.2)])
    results["sae_cfg_dict"] = None
    write_json(tmp_path / "results/x_eval_results.json", results)
    (sae,) = imported().findings.manifest.saes
    assert (sae.hook, sae.architecture, sae.layer) == (*expected, 3)


def test_other_attributes_of_saes_are_kept(tmp_path: Path, imported: Callable[..., Suite]) -> None:
    config = {
        "training_tokens": 4_000_000_000,
        "seed": 3,
        "dtype": "bfloat16",
        "k": 20,
        "prepend_bos": True,
        "scale": 0.5,
        "nothing": None,
        "long": "x" * 1000,
        "nested": {"a": 1},
        "no_number": math.nan,
        "metadata": {"group_fractions": [0.5, 0.5], "trainer": "TopKTrainer"},
    }
    write_json(tmp_path / "results/x_eval_results.json", absorption(FULL, [detail("s", 10, 3, 2, 0.2)], **config))
    suite = imported()
    (sae,) = suite.findings.manifest.saes
    assert (sae.tokens_seen, sae.seed) == (4_000_000_000, 3)
    expected = {"d_in": "2304", "dtype": "bfloat16", "k": "20", "prepend_bos": "True", "scale": "0.5"}
    assert sae.attributes == expected | {"trainer": "TopKTrainer"}
    with Store(suite.folder) as store:
        assert store.fetch("saes")["attributes"].iloc[0] == sae.attributes
    unknown = absorption(FULL, [detail("s", 10, 3, 2, 0.2)], training_tokens=-1)
    write_json(tmp_path / "results/x_eval_results.json", unknown)
    assert imported().findings.manifest.saes[0].tokens_seen is None


def test_names_do_not_depend_on_file_locations(tmp_path: Path) -> None:
    def names(order: str) -> dict[str | None, str]:
        folder = tmp_path / order
        for place, name in enumerate(order):
            kind = "topk" if name < "c" else "jumprelu"
            results = absorption((name, "x"), [detail("s", 10, 3, 2, 0.2)], architecture=kind)
            write_json(folder / f"{place}_eval_results.json", results)
            write_json(folder / f"core/{place}_eval_results.json", core((name, "x"), 20 + ord(name) % 3 / 10))
        (found,) = saebench.read(Source(folder))
        return {sae.title: sae.id for sae in found.manifest.saes}

    assert (
        names("abcd")
        == names("dbca")
        == {
            "a/x": "l5-w16000-topk-l0-20.1",
            "b/x": "l5-w16000-topk-l0-20.2",
            "c/x": "l5-w16000-jumprelu-l0-20",
            "d/x": "l5-w16000-jumprelu-l0-20.1",
        }
    )


def test_layer_is_read_from_k_sparse_records(root: Path, imported: Callable[..., Suite]) -> None:
    keep(root, RECORDS)
    (root / RECORDS).rename(root / "own_k_sparse_probing.json")
    suite = imported()
    assert suite.saes == {"l5": "own"}
    assert len(suite.table("k_sparse")) == 3 * 10
    layers = {"a": 5, "q": 7, "s": 5}
    write_json(root / "own_k_sparse_probing.json", [row | {"layer": layers[row["letter"]]} for row in records()])
    suite = imported()
    assert [sae.layer for sae in suite.findings.manifest.saes] == [5]
    assert suite.reasons("own_k_sparse_probing.json") == ["1 rows are of another layer than 5; remove them"]


def test_whole_floats_are_counts(root: Path, imported: Callable[..., Suite]) -> None:
    keep(root)
    bare = absorption(("bare", "sae"), [detail("s", 10, 3, 2, 0.2)], hook_layer=5.0, d_sae=16384.0, hook_name=None)
    write_json(root / "x_eval_results.json", bare)
    (sae,) = imported().findings.manifest.saes
    assert (sae.id, sae.layer, sae.width) == ("l5-w16000", 5, 16_000)


def test_absorbed_counts_above_probe_true_positives_are_rejected(
    tmp_path: Path, imported: Callable[..., Suite]
) -> None:
    """Otherwise a page would show a rate above 100%."""
    details = [detail("a", 10, 25, 1, 0.3), detail("b", 10, 10, 1, 0.3)]
    write_json(tmp_path / "results/x_eval_results.json", absorption(FULL, details))
    suite = imported()
    assert suite.table("measurements")["num_absorbed"].fillna(-1).tolist() == [-1, 10]
    ((_, reason),) = suite.report.rejected
    assert "at most num_probe_true_positives" in reason
