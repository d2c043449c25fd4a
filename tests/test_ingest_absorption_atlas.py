"""The reader of absorption-atlas, on synthetic results (`tests.absorption_atlas_results`) and the public ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from ingest import import_results
from queries import Store, catalog, check_suite
from queries.conform import IngestError
from queries.suite import read_suite
from tests.absorption_atlas_results import (
    ALL_LAST,
    CAPITAL,
    DETAIL,
    EARLIER,
    GATE,
    LAST,
    OTHER_MODEL,
    PROJECTIONS,
    SAE,
    SPLIT,
    SUFFIX,
    write_results,
)
from tests.questions import THRESHOLDS, expect_sensitivity
from tests.result_files import edit, keep
from tests.saebench_results import edit_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ingest.report import Report
    from queries.manifest import Manifest

PUBLIC = Path(__file__).parents[2] / "shared" / "data" / "public" / "absorption-atlas"
SMALL, LARGE = "gemma-2-2b", "gemma-2-9b"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_results(tmp_path / "results")


class Imported:
    """An imported suite and its report."""

    def __init__(self, folder: Path, report: Report) -> None:
        self.folder, self.report = folder, report
        self.manifest: Manifest = read_suite(folder).manifest
        self.store = Store(folder)
        assert check_suite(folder) == []

    def ask(self, name: str, **values: Any) -> list[dict[str, Any]]:
        own = {"suite": self.folder.name, "scope": "suite", "mean_policy": "with_candidates", **THRESHOLDS}
        params = catalog()[name].params
        return self.store.fetch(name, **{key: value for key, value in (own | values).items() if key in params}).to_dict(
            "records"
        )

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.folder / f"{name}.parquet")

    def mean(self, family: str, metric: str = "ig_ablation", sae: str = SAE) -> dict[str, Any]:
        (row,) = (row for row in self.ask("sae_means", family=family, metric=metric) if row["sae"] == sae)
        return row

    def summary(self, concept: str, metric: str = "ig_ablation", sae: str = SAE) -> dict[str, Any]:
        (row,) = self.ask("summary", sae=sae, family=concept.partition(".")[0], concept=concept, metric=metric)
        return row


@pytest.fixture
def imported(tmp_path: Path) -> Iterator[Callable[..., Imported]]:
    suites: list[Imported] = []

    def do(source: Path, model: str = SMALL, within: str = "suite") -> Imported:
        target = tmp_path / within / str(len(suites))
        _, report = import_results(source, target)
        suites.append(Imported(target / model if (target / model).exists() else target, report))
        return suites[-1]

    yield do
    for suite in suites:
        suite.store.close()


def test_each_model_has_a_suite(root: Path, imported: Callable[..., Imported]) -> None:
    small, large = imported(root), imported(root, LARGE)
    assert [suite.manifest.model.name for suite in (small, large)] == [SMALL, LARGE]
    (sae,), (other,) = small.manifest.saes, large.manifest.saes
    assert (sae.id, other.id) == (SAE, "l20-w16000-l0-68")
    assert (sae.layer, sae.width, sae.n_latents, sae.l0, sae.l0_nominal) == (12, 16_000, 16_384, 82, 82)
    assert (sae.architecture, sae.hook) == ("JumpReLU", "blocks.12.hook_resid_post")
    assert sae.neuronpedia is not None
    assert sae.neuronpedia.source == "12-gemmascope-res-16k"
    assert other.neuronpedia is None


def test_letters_have_the_published_rates(root: Path, imported: Callable[..., Imported]) -> None:
    suite = imported(root)
    assert suite.mean("first-letter")["absorption_rate"] == pytest.approx(0.125)
    assert suite.mean("last-letter")["absorption_rate"] == pytest.approx(0.2)
    # Numbers of tokens exist only if none of the SAE's letters was extrapolated.
    assert (suite.summary("first-letter.a")["num_absorbed"], suite.summary("first-letter.a")["absorption_rate"]) == (
        20,
        0.25,
    )
    assert pd.isna(suite.summary("last-letter.d")["num_absorbed"])
    assert suite.summary("last-letter.d")["num_probe_true_positives"] == 80
    assert (("num_absorption",), [LAST]) in suite.report.unused.items()
    last = suite.table("concepts").set_index("concept").loc["last-letter.d"]
    assert last[["label", "phrase", "family", "position"]].tolist() == ["D", "ends in D", "last-letter", 3]


def test_earlier_run_is_skipped(root: Path, imported: Callable[..., Imported]) -> None:
    suite = imported(root)
    assert suite.report.skipped == {EARLIER}
    assert f"{EARLIER} is an earlier run of the SAE of {GATE}, which was imported in its place." in suite.report.notes
    (root / GATE).unlink()
    alone = imported(root)
    assert alone.mean("first-letter")["absorption_rate"] == 0.5
    assert EARLIER in alone.report.read


def test_concepts_have_counts_probe_scores_and_tokens(root: Path, imported: Callable[..., Imported]) -> None:
    suite = imported(root)
    concepts = suite.table("concepts").set_index("concept")
    shown = concepts.loc[["capital.initial", "suffix.ing"], ["label", "phrase", "num_tokens"]]
    assert shown.to_numpy().tolist() == [["Aa", "is capitalised", 64852], ["-ing", "ends in -ing", 64852]]
    families = {family.family: family for family in suite.manifest.families}
    assert [*families] == ["first-letter", "last-letter", "capital", "suffix"]
    assert families["capital"].prompt == "{token} starts with a capital letter:"
    capital = suite.summary("capital.initial")
    assert [*capital["split_latents"]] == SPLIT
    names = ["num_probe_true_positives", "num_candidates", "num_tested", "num_absorbed", "sample_portion", "main_f1"]
    assert [capital[name] for name in names] == [1000, 9, 4, 2, 0.5, 0.75]
    assert capital["num_split_silent"] == 8  # half of them were tested
    assert capital["absorption_rate"] == pytest.approx(0.004)
    steps = suite.table("k_sparse").query("concept == 'capital.initial'")
    assert steps["k"].tolist() == [1, 2, 3, 50]
    assert steps["latent"].tolist()[:2] == SPLIT
    assert steps["latent"].isna().tolist() == [False, False, True, True]
    tokens = suite.table("tested_tokens").set_index("token")
    assert tokens["is_absorption"].to_dict() == {" Short": True, " Wide": False, "Tall": True}
    assert tokens["second_latent"].isna().all()
    (left,) = (reason for file, reason in suite.report.rejected if file == DETAIL)
    assert left.startswith("1 rows omitted: a split latent fires on them")
    # Without tokens, the number follows from the rate.
    suffix = suite.summary("suffix.ing")
    assert (suffix["num_absorbed"], suffix["absorption_rate"]) == (3, pytest.approx(0.06))
    # A threshold recomputes the verdicts.
    (stricter,) = suite.ask(
        "summary", sae=SAE, family="capital", concept="capital.initial", metric="ig_ablation", effect_margin=1.75
    )
    assert stricter["num_absorbed"] == 1


def test_projections_are_metrics_with_their_null(root: Path, imported: Callable[..., Imported]) -> None:
    suite = imported(root)
    metrics = [row["metric"] for row in suite.ask("metrics")]
    assert metrics == ["ig_ablation", "projection-1.5", "projection-2", "projection-3"]
    names = ["absorption_rate", "random_rate", "num_candidates", "num_split_silent"]
    rates = {metric: [suite.summary("capital.initial", metric)[name] for name in names] for metric in metrics[1:]}
    assert rates == {
        "projection-1.5": [0.75, 0.5, 4, 3],
        "projection-2": [0.5, 0.25, 4, 3],
        "projection-3": [0.125, 0.03, 4, 3],
    }
    checks = suite.manifest.provenance.checks
    assert checks[f"projection-3, rate of all last letters on {SAE}"] == 0.125
    assert checks[f"projection-3, random rate of all last letters on {SAE}"] == 0.03
    assert checks[f"published mean rate of last letters on {SAE}"] == pytest.approx(0.2)
    assert any(note.startswith("projection-1.5, projection-2, projection-3: ") for note in suite.manifest.method.notes)


def test_thresholds_are_those_of_the_files(root: Path, imported: Callable[..., Imported]) -> None:
    edit_json(root / GATE, lambda content: content["thresholds"].update(ablation_delta=0.25))
    (root / EARLIER).unlink()
    suite = imported(root)
    assert (suite.manifest.method.cosine_threshold, suite.manifest.method.effect_margin) == (0.025, 0.25)
    assert suite.table("tested_tokens").set_index("token").loc[" Wide", "is_absorption"]


@pytest.mark.parametrize(("name", "concepts"), [(GATE, 3), (CAPITAL, 1), (OTHER_MODEL, 1)])
def test_single_file_is_a_source(root: Path, imported: Callable[..., Imported], name: str, concepts: int) -> None:
    suite = imported(root / name)
    assert suite.manifest.model.name == (LARGE if name == OTHER_MODEL else SMALL)
    assert len(suite.table("concepts")) == concepts
    assert suite.report.read == {Path(name).name}


def test_numbers_that_are_not_imported_are_named(root: Path, imported: Callable[..., Imported]) -> None:
    unused = {name for names, files in imported(root).report.unused.items() for name in names if CAPITAL in files}
    expected = {"word_token_pos", "ksparse_best_f1", "clean_latent", "absorption_rate_by_iggap", "sampled"}
    assert unused == expected | {"main_silent", "top_cos_max"}


def test_unknown_property_is_described_by_its_prompt(root: Path, imported: Callable[..., Imported]) -> None:
    new = {"property": "has_digit", "template": "{word} has a digit:"}
    edit_json(root / SUFFIX, lambda content: content.update(new))
    edit_json(root / LAST, lambda content: content.update(property="second_letter"))
    suite = imported(root)
    concept = suite.table("concepts").set_index("concept").loc["property.has-digit"]
    assert concept[["label", "phrase"]].tolist() == ["has digit", "has a digit"]
    assert any(file == LAST and "second_letter" in reason for file, reason in suite.report.rejected)


#: The file, the change to it, and the message of the report.
HOSTILE: dict[str, tuple[str, Callable[[dict[str, Any]], Any], str]] = {
    "layer": (SUFFIX, lambda content: content.update(layer=2**70), "layer: Input should be"),
    "width": (SUFFIX, lambda content: content.update(width="16k"), "width: Input should be a valid integer"),
    "no L0": (SUFFIX, lambda content: content.pop("l0") and None, "l0: Field required"),
    "latent": (SUFFIX, lambda content: content.update(main_feats=[-1]), "split_latents of 1 row"),
    "latents": (SUFFIX, lambda content: content.update(main_feats="all"), "main_feats: Input should be a valid list"),
    "AUC": (SUFFIX, lambda content: content.update(probe_auroc=1e308), "probe_auc of 1 row"),
    "F1": (SUFFIX, lambda content: content.update(ksparse_f1_by_k={"1": float("nan")}), "1 row has no f1"),
    "counts": (SUFFIX, lambda content: content.update(num_candidates=10**30), "num_candidates: Input should be"),
    "letters": (
        LAST,
        lambda content: content["per_letter"].append({"letter": "ß"}),
        "letters omitted (per_letter 2",
    ),
    "rate": (LAST, lambda content: content["per_letter"][0].update(absorption_rate=-1), "absorption_rate of 1 row"),
    "list": (LAST, lambda content: content.update(per_letter={"a": 1}), "per_letter: Input should be a valid list"),
    "threshold": (GATE, lambda content: content["thresholds"].update(probe_cos=1e9), "thresholds.probe_cos: Input"),
    "random": (ALL_LAST, lambda content: content.update(random_dir_control=3), "random_dir_control: Input should be"),
    "property": (PROJECTIONS, lambda content: content.update(property="../!"), "names no concept"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_invalid_values_are_rejected_alone(root: Path, imported: Callable[..., Imported], name: str) -> None:
    file, change, reason = HOSTILE[name]
    edit_json(root / file, change)
    suite = imported(root)
    reasons = [reason for rejected, reason in suite.report.rejected if rejected == file]
    assert len(reasons) >= 1
    assert reason in reasons[0]
    assert all("\n" not in each for each in reasons)
    assert suite.summary("capital.initial")["num_absorbed"] == 2


def test_invalid_tokens_are_omitted(root: Path, imported: Callable[..., Imported]) -> None:
    bad = {"main_silent": True, "top_ablation": -3.0, "top_cos": 0.5, "second_ablation": 0.0}
    rows = [bad | {"token": " a", "top_feat": -1}, bad | {"token": " b", "top_feat": 2**30}]
    rows += [bad | {"token": " c", "top_feat": 99_999}, bad | {"token": " d", "top_feat": 7, "top_ablation": None}]
    rows += [bad | {"token": " e", "top_feat": 7, "top_cos": float("nan")}, bad | {"token": None, "top_feat": 7}]
    edit(root / DETAIL, lambda frame: pd.concat([frame, pd.DataFrame(rows)], ignore_index=True))
    suite = imported(root)
    assert {" a", " b", " c", " d"}.isdisjoint(suite.table("tested_tokens")["token"])
    assert " e" in set(suite.table("tested_tokens")["token"])
    assert any(file in (DETAIL, "table tested_tokens") for file, _ in suite.report.rejected)


def test_details_need_their_summary(root: Path, tmp_path: Path, imported: Callable[..., Imported]) -> None:
    (root / CAPITAL).unlink()
    suite = imported(root)
    assert [reason for file, reason in suite.report.rejected if file == DETAIL] == [
        "the summary of its concept is missing; download it, too"
    ]
    keep(root, ALL_LAST, PROJECTIONS)
    with pytest.raises(IngestError, match="contains no results in a known format"):
        import_results(root, tmp_path / "none")
    with pytest.raises(IngestError, match=r"holds no concept that can be read .*no summary names its SAE"):
        import_results(root, tmp_path / "none", format="absorption-atlas")


@pytest.mark.skipif(not PUBLIC.exists(), reason="the public results do not lie beside the checkout")
def test_public_results_are_reproduced(imported: Callable[..., Imported]) -> None:
    suite = imported(PUBLIC)
    assert [sae.l0 for sae in suite.manifest.saes] == [22, 41, 82, 176, 445]
    assert suite.mean("last-letter")["absorption_rate"] == pytest.approx(0.064, abs=5e-4)
    assert suite.mean("first-letter")["absorption_rate"] == pytest.approx(0.034, abs=5e-4)
    ablation, projection = (suite.summary("capital.initial", metric) for metric in ("ig_ablation", "projection-3"))
    assert (ablation["num_absorbed"], ablation["num_tested"], ablation["absorption_rate"]) == (0, 200, 0)
    assert projection["absorption_rate"] == pytest.approx(0.12, abs=5e-3)
    assert projection["random_rate"] == pytest.approx(0.03, abs=5e-3)
    of_suite = {"suite": SMALL, "mean_policy": "with_candidates", **THRESHOLDS}
    for family, metric, num_rates in (
        ("first-letter", "ig_ablation", 5),
        ("last-letter", "ig_ablation", 5),
        ("capital", "ig_ablation", 1),
        ("capital", "projection-3", 1),
    ):
        assert expect_sensitivity(suite.store, of_suite | {"family": family, "metric": metric}) == num_rates
    assert len(suite.table("tested_tokens")) == 198 + 12 + 24 + 18
    assert [file for file, _ in suite.report.rejected] == [DETAIL]
    large = imported(PUBLIC, LARGE)
    assert large.mean("first-letter", sae="l20-w16000-l0-68")["absorption_rate"] == pytest.approx(0.045, abs=5e-4)
    assert large.summary("capital.initial", sae="l20-w16000-l0-68")["num_absorbed"] == 0
