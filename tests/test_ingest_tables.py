"""The reader of a user's own tables, also on the example in its documentation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from explorer.cli import app
from ingest import import_results
from queries import Store, catalog, check_suite
from queries.conform import IngestError
from queries.suite import read_suite
from tests.questions import THRESHOLDS

if TYPE_CHECKING:
    from ingest.report import Report

DOCUMENT = (Path(__file__).parents[1] / "docs" / "own-concepts.md").read_text("utf-8")
TOKENS = """sae,concept,token,top_latent,top_effect,top_cosine,second_effect
mine,pos.verb, run,3,-2.5,0.5,-0.5
mine,pos.verb, walk,4,-2.5,0.5,-2.0
mine,pos.noun, dog,5,-1.5,0.01,
"""


def write(folder: Path, **files: str) -> Path:
    """Write files; names are without their suffix .csv."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / (name if "." in name else f"{name}.csv")).write_text(text, "utf-8")
    return folder


def imported(root: Path, **options: Any) -> tuple[Path, Report]:
    suite = root.parent / "suite"
    _, report = import_results(root, suite, force=True, **options)
    assert check_suite(suite) == []
    return suite, report


def table(suite: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(suite / f"{name}.parquet")


def verdicts(suite: Path) -> dict[str, bool]:
    return table(suite, "tested_tokens").set_index("token")["is_absorption"].to_dict()


def rates(suite: Path, family: str, metric: str = "ig_ablation") -> dict[str, float]:
    """Run the query of Atlas."""
    values = {"suite": suite.name, "scope": "suite", "family": family, "metric": metric, **THRESHOLDS}
    with Store(suite) as store:
        rows = store.fetch("concept_rates", **{name: values[name] for name in catalog()["concept_rates"].params})
    return rows.set_index("concept")["absorption_rate"].to_dict()


def test_documented_example_becomes_a_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("weekdays").mkdir()
    files = re.findall(r"`(weekdays/[\w.]+)`:\n\n```\w+\n(.*?)```", DOCUMENT, re.DOTALL)
    assert len(files) == 4
    for name, text in files:
        Path(name).write_text(text, "utf-8")
    for command in re.findall(r"^\$ absorption-explorer ((?:import|check) .*)$", DOCUMENT, re.MULTILINE):
        result = CliRunner().invoke(app, command.split())
        assert result.exit_code == 0, result.output
        assert "Rejected" not in result.output
    suite = tmp_path / "weekdays-suite"
    assert verdicts(suite) == {" Monday": True, " Mon": False, " Friday": True, " Fri": False}
    assert rates(suite, "weekday") == {"weekday.friday": pytest.approx(1 / 5), "weekday.monday": pytest.approx(1 / 8)}
    manifest = read_suite(suite).manifest
    assert (manifest.title, manifest.families[0].noun) == ("Weekdays on SmolLM2-135M", "weekday")
    assert [(sae.id, sae.layer, sae.n_latents, sae.l0) for sae in manifest.saes] == [("topk-s1", 8, 8192, 32)]


def test_tested_tokens_are_enough(tmp_path: Path) -> None:
    suite, report = imported(write(tmp_path / "own", tested_tokens=TOKENS))
    assert verdicts(suite) == {" run": True, " walk": False, " dog": False}
    concepts = table(suite, "concepts").set_index("concept")
    assert concepts.loc["pos.verb", ["family", "label", "phrase"]].tolist() == ["pos", "verb", "is verb"]
    counted = table(suite, "measurements").set_index("concept")
    assert counted["num_tested"].to_dict() == {"pos.noun": 1, "pos.verb": 2}
    assert all(pd.isna(rate) for rate in rates(suite, "pos").values())  # the probe's true positives are not known
    manifest = read_suite(suite).manifest
    assert [(family.family, family.title, family.noun) for family in manifest.families] == [("pos", "Pos", "concept")]
    assert (manifest.model.name, manifest.method.metric) == ("unknown", "ig_ablation")
    assert [(sae.id, sae.n_latents, sae.n_latents_counted) for sae in manifest.saes] == [("mine", 6, False)]
    assert not report.rejected


def test_parquet_tables_are_equivalent_to_csv(tmp_path: Path) -> None:
    root = write(tmp_path / "own", tested_tokens=TOKENS)
    suite, _ = imported(root)
    expected = table(suite, "tested_tokens")
    pd.read_csv(root / "tested_tokens.csv").to_parquet(root / "tested_tokens.parquet")
    both, report = imported(root)
    reason = "tested_tokens.parquet has the same table and is used; remove one of them"
    assert report.rejected == [("tested_tokens.csv", reason)]
    pd.testing.assert_frame_equal(table(both, "tested_tokens"), expected)


def test_single_file_is_a_source(tmp_path: Path) -> None:
    root = write(tmp_path / "own", tested_tokens=TOKENS, saes="sae,layer\nmine,8\n")
    suite, _ = imported(root / "tested_tokens.csv")
    assert [sae.layer for sae in read_suite(suite).manifest.saes] == [None]


def test_measurements_are_enough(tmp_path: Path) -> None:
    text = "sae,concept,metric,absorption_rate,random_rate\nmine,pos.verb,p,0.25,0.125\nmine,pos.verb,other,1,\n"
    suite, _ = imported(write(tmp_path / "own", measurements=text))
    assert rates(suite, "pos", "p") == {"pos.verb": 0.25}
    assert rates(suite, "pos", "other") == {"pos.verb": 1}
    assert not (suite / "tested_tokens.parquet").exists()


def test_published_verdicts_are_kept(tmp_path: Path) -> None:
    lines = TOKENS.splitlines()
    text = "\n".join([f"{lines[0]},is_absorption", f"{lines[1]},false", f"{lines[2]},true", f"{lines[3]},"])
    suite, _ = imported(write(tmp_path / "own", tested_tokens=text))
    assert verdicts(suite) == {" run": False, " walk": True, " dog": False}


def test_rule_uses_split_latents_and_thresholds(tmp_path: Path) -> None:
    k_sparse = "sae,concept,k,latent,f1\nmine,pos.verb,1,9,0.5\nmine,pos.verb,2,3,0.75\nmine,pos.noun,1,8,0.5\n"
    toml = "[method]\nmetric = 'ig_ablation'\neffect_margin = 0.25\ncosine_threshold = 0.005\n"
    root = write(tmp_path / "own", tested_tokens=TOKENS, k_sparse=k_sparse, **{"suite.toml": toml})
    suite, _ = imported(root)
    # Latent 3 is a split latent that fires on " run", which is therefore no candidate.
    assert verdicts(suite) == {" run": False, " walk": True, " dog": True}
    splits = table(suite, "measurements").set_index("concept")["split_latents"]
    assert {concept: [*latents] for concept, latents in splits.items()} == {"pos.noun": [8], "pos.verb": [9, 3]}


def test_all_tables_are_read(tmp_path: Path) -> None:
    root = write(
        tmp_path / "own",
        tested_tokens=TOKENS,
        saes='sae,num_latents,seed,neuronpedia_model,neuronpedia_source,attributes\nmine,64,1,m,s,"{""d_in"": 8}"\n',
        concepts="concept,label,phrase,parent\npos.verb,V,acts,\npos.modal,M,is modal,pos.verb\n",
        tokens="token_id,token,is_test\n0, run,true\n1, dog,0\n",
        token_concepts="token_id,concept\n0,pos.verb\n0,pos.noun\n1,pos.noun\n",  # noqa: S106 - a table
        encoder_top="sae,concept,rank,latent,precision,recall\nmine,pos.verb,0,7,0.5,0.25\n",
        latents="sae,latent,density\nmine,7,0.125\n",
        notes="anything\n1\n",
    )
    suite, report = imported(root)
    (sae,) = read_suite(suite).manifest.saes
    assert (sae.n_latents, sae.n_latents_counted, sae.seed, sae.attributes) == (64, True, 1, {"d_in": "8"})
    assert sae.neuronpedia is not None
    concepts = table(suite, "concepts").set_index("concept")
    assert concepts["label"].to_dict() == {"pos.verb": "V", "pos.modal": "M", "pos.noun": "noun"}
    assert concepts["num_tokens"].to_dict() == {"pos.verb": 1, "pos.modal": 0, "pos.noun": 2}
    for name in ("tokens", "token_concepts", "encoder_top", "latents"):
        assert len(table(suite, name))
    assert report.skipped == {"notes.csv"}
    assert not report.rejected


def test_first_letters_have_their_usual_labels(tmp_path: Path) -> None:
    suite, _ = imported(write(tmp_path / "own", tested_tokens=TOKENS.replace("pos.verb", "first-letter.s")))
    concept = table(suite, "concepts").set_index("concept").loc["first-letter.s"]
    assert concept[["label", "phrase"]].tolist() == ["S", "starts with S"]
    assert [family.noun for family in read_suite(suite).manifest.families] == ["letter", "concept"]


def test_columns_that_are_not_imported_are_named(tmp_path: Path) -> None:
    text = TOKENS.replace("second_effect\n", "second_efect\n")
    _, report = imported(write(tmp_path / "own", tested_tokens=text))
    assert report.unused == {("second_efect",): ["tested_tokens.csv"]}


HEADER = TOKENS.splitlines()[0]
#: A further row, and the message about it.
ROWS = {
    "latent below 0": ("mine,pos.verb, a,-1,-2,0.5,0", "1 row (row 3) omitted: top_latent must be 0 or more"),
    "huge latent": (f"mine,pos.verb, a,{2**70},-2,0.5,0", "no integer such as 17, as in row 3: '1180591"),
    "half a latent": ("mine,pos.verb, a,1.5,-2,0.5,0", "top_latent: 1 row has (row 3) no integer such as 17"),
    "endless number": (f"mine,pos.verb, a,{'9' * 9000},-2,0.5,0", "no integer such as 17"),
    "no number": ("mine,pos.verb, a,3,a lot,0.5,0", "top_effect: 1 row has (row 3) no number such as -1.25"),
    "NaN": ("mine,pos.verb, a,3,nan,0.5,0", "1 rows omitted: they have no is_absorption"),
    "infinite": ("mine,pos.verb, a,3,-1e999,0.5,0", "top_effect: 1 infinite values are left empty"),
    "cosine": ("mine,pos.verb, a,3,-2,7,0", "top_cosine of 1 row (row 3) left empty"),
    "id": ("My SAE,pos.verb, a,3,-2,0.5,0", "sae must be an id"),
    "concept": ("mine,../verb, a,3,-2,0.5,0", "concept must be an id"),
    "no token": ("mine,pos.verb,,3,-2,0.5,0", "1 row has no token (row 3)"),
    "again": ("mine,pos.verb, run,3,-2,0.5,0", "1 row has the sae, concept, token of a row before (row 3)"),
    "short": ("mine,pos.verb, a", "1 row has (row 3) not 7 fields as the header has"),
}


@pytest.mark.parametrize("name", ROWS)
def test_invalid_row_is_rejected_alone(tmp_path: Path, name: str) -> None:
    row, reason = ROWS[name]
    suite, report = imported(write(tmp_path / "own", tested_tokens=f"{TOKENS}{row}\n"))
    reasons = [text for file, text in report.rejected if file == "tested_tokens.csv"]
    assert any(reason in text for text in reasons), reasons
    assert all("\n" not in text for text in reasons)
    assert verdicts(suite)[" run"]


#: A file beside the tested tokens, and the message about it.
FILES = {
    "lists": (
        "measurements.csv",
        'sae,concept,split_latents\nmine,pos.verb,"[1, ""a""]"\n',
        "no JSON list such as [3, 14]",
    ),
    "no JSON": ("measurements.csv", "sae,concept,split_latents\nmine,pos.verb,[[[[\n", "no JSON list such as [3, 14]"),
    "deep": ("measurements.csv", f"sae,concept,split_latents\nmine,pos.verb,{'[' * 9000}\n", "no JSON list"),
    "latents": ("measurements.csv", "sae,concept,split_latents\nmine,pos.verb,[-1]\n", "split_latents of 1 row"),
    "map": ("saes.csv", 'sae,attributes\nmine,"[1]"\n', "no JSON object such as"),
    "surrogate": ("saes.csv", 'sae,attributes\nmine,"{""a"": ""\\ud800""}"\n', "no JSON object such as"),
    "latents of an SAE": ("saes.csv", "sae,num_latents\nmine,2000000000\n", "mine is omitted: n_latents"),
    "missing": ("k_sparse.csv", "sae,concept,k\nmine,pos.verb,1\n", "column 'f1' is missing; add it"),
    "twice": ("k_sparse.csv", "sae,concept,k,k,f1\n", "column 'k' occurs twice; remove one of them"),
    "empty": ("concepts.csv", "", "is empty; write a header and rows"),
    "quotes": ("concepts.csv", 'concept,label\npos.verb,"V" x\n', "not a readable CSV file"),
    "large": ("concepts.csv", f"concept,label\npos.verb,{'x' * 200_000}\n", "not a readable CSV file"),
    "bytes": ("concepts.parquet", "PAR1", "not a readable parquet file"),
    "TOML": ("suite.toml", "title = ", "the suite is imported without it"),
    "key": ("suite.toml", "[method]\nmetric = 'x'\nmargin = 1\n", "method.margin: Extra inputs are not permitted"),
    "threshold": ("suite.toml", "[method]\nmetric = 'x'\ntau = 7\n", "method.tau: Input should be less than"),
    "NaN": ("suite.toml", "[method]\nmetric = 'x'\ntau = nan\n", "method.tau: Input should be"),
}


@pytest.mark.parametrize("name", FILES)
def test_invalid_file_is_rejected_alone(tmp_path: Path, name: str) -> None:
    file, text, reason = FILES[name]
    root = write(tmp_path / "own", tested_tokens=TOKENS, **{file: text})
    if name == "latents of an SAE":  # without it, nothing is left
        write(root, tested_tokens=f"{TOKENS}other,pos.verb, run,3,-2.5,0.5,-0.5\n")
    suite, report = imported(root)
    reasons = [text for rejected, text in report.rejected if rejected == file]
    assert any(reason in text for text in reasons), report.rejected
    assert verdicts(suite)[" run"]


def test_other_metrics_need_verdicts(tmp_path: Path) -> None:
    toml = json.dumps("full").join(["[method]\nmetric = ", "\n"])
    root = write(tmp_path / "own", tested_tokens=TOKENS, **{"suite.toml": toml})
    with pytest.raises(IngestError, match=r"holds no measurement that can be read .*add is_absorption"):
        imported(root)


def test_suite_is_not_a_source(tmp_path: Path) -> None:
    suite, _ = imported(write(tmp_path / "own", tested_tokens=TOKENS))
    with pytest.raises(IngestError, match=r"or tested_tokens\.csv \(tables\)"):
        import_results(suite, tmp_path / "again")
