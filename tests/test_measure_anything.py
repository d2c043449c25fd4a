"""Measuring any models and SAEs: results are not lost, and unsuitable input is reported before computing."""

from __future__ import annotations

import contextvars
import errno
import shutil
from itertools import permutations
from string import ascii_uppercase
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest
import torch
from distributed import LocalCluster
from sae_lens import StandardSAE, StandardSAEConfig, TopKSAE, TopKSAEConfig
from tokenizers import Tokenizer as Backend
from tokenizers import normalizers

from measure import engine, memory
from measure.config import read_config
from measure.device import best_device, free_memory, share_memory, take_gpu
from measure.engine import perform_all
from measure.errors import MeasureError
from measure.models.base import Prompt
from measure.models.hugging_face import HuggingFace
from measure.models.loading import open_model
from measure.plan import make_plan
from measure.preflight import check_all
from measure.saes.sae_lens import SaeLens
from measure.stages import activations, package, parts, probes, quality
from measure.stages.activations import word_streams
from measure.stages.prompts import Chosen, Spelled, answer_tokens, batches, load_prompts, to_prompt
from measure.stages.text import load_windows
from measure.stages.vocabulary import Vocabulary, load_vocabulary
from measure.tasks import Task, alone
from measure.tokenizer import Tokenizer
from queries import check_suite
from queries.suite import read_manifest
from tests.measure_command import run
from tests.small_measurement import NUM_LATENTS, backend, write_config, write_model, write_sae
from tests.small_models import D_MODEL, small_model
from tests.toy_language import toy_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from typer.testing import Result

SIZE: dict[str, int] = {"d_in": D_MODEL, "d_sae": NUM_LATENTS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A model and SAEs: one with few active latents, one whose latents are always active, and unsuitable ones."""
    place = tmp_path_factory.mktemp("anything")
    write_model(place / "model")
    few = TopKSAE(TopKSAEConfig(**SIZE, k=3))
    few.cfg.metadata.neuronpedia_id = "tiny-model/1-few"
    write_sae(place / "few", few)
    write_sae(place / "every", StandardSAE(StandardSAEConfig(**SIZE)), seed=1, b_enc=20)
    write_sae(place / "other", TopKSAE(TopKSAEConfig(**SIZE, k=6)), seed=2)
    write_sae(place / "narrow", StandardSAE(StandardSAEConfig(d_in=8, d_sae=20)))
    np.savez(place / "weights.npz", W_enc=np.zeros((D_MODEL, 4)))
    yield place
    open_model.cache_clear()


def measured(
    folder: Path, saes: dict[str, str], *arguments: object, work: Path, changes: Mapping[str, str] | None = None
) -> Result:
    """Measure SAEs by their paths, each with further settings."""
    file = write_config(folder, saes, changes or {})
    return run(file, "--to", work / "tiny", "--work", work / "work", *arguments)


@pytest.fixture(scope="module")
def suite(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite of an SAE without candidates and one with candidates, without redistributable text."""
    place = tmp_path_factory.mktemp("measured")
    result = measured(folder, {"few": 'name = "few"', "every": 'name = "every"'}, work=place)
    assert result.exit_code == 0, result.output
    shutil.copy(folder / "tiny.toml", place)
    return place / "tiny"


def test_sae_without_candidates_is_measured_beside_one_with_candidates(suite: Path) -> None:
    assert check_suite(suite) == []
    names = {sae.title: sae.id for sae in read_manifest(suite).saes}
    measurements, tested = (
        pd.read_parquet(suite / f"{name}.parquet").query("metric == 'ig_ablation'")
        for name in ("measurements", "tested_tokens")
    )
    candidates = measurements.groupby("sae")["num_candidates"].sum()
    assert candidates[names["every"]] == 0
    assert candidates[names["few"]] > 0
    assert set(tested["sae"]) == {names["few"]}


def test_unshipped_text_contributes_to_the_numbers(suite: Path) -> None:
    facts = pd.read_parquet(suite / "latents.parquet")
    assert facts["density"].sum() > 0
    contexts = suite / "contexts.parquet"
    assert not contexts.exists() or len(pd.read_parquet(contexts)) == 0
    assert pd.read_parquet(suite / "histograms.parquet")["counts"].map(sum).sum() > 0
    assert read_manifest(suite).provenance.corpus[0]["evidence_tokens"] > 0


def test_neuronpedia_source_of_an_sae_is_stored(suite: Path) -> None:
    sources = {sae.title: sae.neuronpedia for sae in read_manifest(suite).saes}
    assert sources["every"] is None
    assert sources["few"] is not None
    assert (sources["few"].model, sources["few"].source) == ("tiny-model", "1-few")


def test_without_training_no_training_data_is_computed(suite: Path) -> None:
    made = {file.name for file in (suite.parent / "work" / "activations").rglob("*.npy")}
    assert made == {"words-1.npy", "words-rows.npy"}
    # There are more windows of text than those held out and those used as evidence.
    (text,) = (suite.parent / "work" / "text").iterdir()
    windows = load_windows(text)
    assert (windows.num_held_out, len(windows.evidence), len(windows.ids)) == (10, 20, 30)
    assert read_manifest(suite).provenance.corpus[0]["train_tokens"] == 0


def test_training_data_is_planned_for_trained_layers_only(folder: Path) -> None:
    trained = "[[saes]]\nlayers = [0]\nwidths = [32]\nk = [2]\n\n[[saes]]\nlayers = [1]"
    plan = make_plan(read_config(write_config(folder, {"few": ""}, {"[[saes]]\nlayers = [1]": trained})), folder)
    parts_of = plan.shared["activations"].needs.values()
    assert [(part.settings["layers"], part.settings["mix"]) for part in parts_of] == [([0, 1], [0])] * parts.NUM_PARTS
    assert plan.shared["text"].settings["windows"]["train"]


@pytest.mark.parametrize("dry", [["--dry-run"], []], ids=["dry run", "run"])
def test_unsuitable_saes_are_named_before_computing(folder: Path, tmp_path: Path, dry: list[str]) -> None:
    result = measured(folder, {"few": "", "narrow": "", "weights.npz": ""}, *dry, work=tmp_path)
    assert result.exit_code == 2
    narrow, weights = result.stderr.splitlines()[-2:]
    assert "narrow: reads a stream of width 8, the model's is 24" in narrow
    assert "weights.npz: no safetensors file" in weights
    assert all(line.startswith("absorption-explorer: ") for line in (narrow, weights))
    assert list((tmp_path / "work").iterdir()) == []


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A cluster within this process, whose worker has one thread."""
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0", silence_logs="ERROR"
    ) as started:
        yield started


@pytest.mark.parametrize("place", ["here", "on a cluster"])
def test_sae_that_fails_later_is_reported_and_the_others_are_measured(
    folder: Path, tmp_path: Path, cluster: LocalCluster, place: str
) -> None:
    """It can be opened and fits, but its reconstruction is unrelated to the stream."""
    write_sae(folder / "broken", StandardSAE(StandardSAEConfig(**SIZE)), seed=1, b_enc=1e5)
    where = ["--address", cluster.scheduler_address] if place != "here" else []
    write_sae(folder / "other", StandardSAE(StandardSAEConfig(**SIZE)), seed=2)
    saes = {name: f'name = "{name}"' for name in ("broken", "few", "other")}
    result = measured(folder, saes, *where, work=tmp_path)
    assert result.exit_code == 1, result.output
    (line,) = [line for line in result.stderr.splitlines() if "not in the suite" in line]
    assert line.startswith("absorption-explorer: not in the suite: quality of layer 1, broken: explains")
    left = read_manifest(tmp_path / "tiny").saes
    assert sorted(sae.title or "" for sae in left) == ["few", "other"]
    assert check_suite(tmp_path / "tiny") == []
    kin = pq.read_table(tmp_path / "tiny" / "kin.parquet").to_pydict()
    assert set(zip(kin["sae"], kin["other_sae"], strict=True)) == set(permutations([sae.id for sae in left], 2))
    alone_in_it = measured(folder, {"broken": ""}, "--force", work=tmp_path)
    assert (alone_in_it.exit_code, "broken: explains" in alone_in_it.stderr) == (2, True)
    assert len(read_manifest(tmp_path / "tiny").saes) == 2


def test_failure_of_a_shared_task_ends_the_measurement(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        message = "the probes fail"
        raise MeasureError(message)

    monkeypatch.setattr(probes, "run", fail)
    result = measured(folder, {"few": ""}, work=tmp_path)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (2, "absorption-explorer: the probes fail")
    assert not (tmp_path / "tiny").exists()


def test_full_disk_ends_the_measurement_in_any_task(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(quality, "run", fail)
        result = measured(folder, {"few": ""}, work=tmp_path)
    assert (result.exit_code, "make room there" in result.stderr) == (2, True)
    assert not (tmp_path / "tiny").exists()
    assert measured(folder, {"few": ""}, work=tmp_path).exit_code == 0


def test_simultaneous_measurements_cannot_share_a_work_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    with alone(tmp_path / "work"):
        result = measured(folder, {"few": ""}, work=tmp_path)
        assert result.exit_code == 2
        assert "work: another measurement is at work there; wait for it" in result.stderr
        assert list((tmp_path / "work").iterdir()) == []
        # A dry run does not have to wait.
        assert measured(folder, {"few": ""}, "--dry-run", work=tmp_path).exit_code == 0
    with alone(tmp_path / "work"):
        pass


def test_workers_with_several_threads_are_refused_with_a_hint(folder: Path, tmp_path: Path) -> None:
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0", silence_logs="ERROR"
    ) as cluster:
        result = measured(folder, {"few": ""}, "--address", cluster.scheduler_address, work=tmp_path)
    assert result.exit_code == 2
    assert "a worker has several threads" in result.stderr
    assert "--nthreads 1 --memory-limit 0" in result.stderr


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("drawn = 2", "drawn = 0", "prompts.drawn: Input should be greater than or equal to 1"),
        ("num_examples = [3]", "num_examples = []", "prompts.num_examples: List should have at least 1 item"),
        ("num_examples = [3]", "num_examples = [-1]", "prompts.num_examples.0: Input should be greater than or equal"),
        ("kept = 2", "kept = 0", "prompts.kept: Input should be greater than or equal to 1"),
        ("sample = 16", "sample = 0", "prompts.sample: Input should be greater than or equal to 1"),
        ("steps = 2", "steps = 0", "method.steps: Input should be greater than or equal to 1"),
        ("l1_epochs = 3", "l1_epochs = 0", "method.l1_epochs: Input should be greater than or equal to 1"),
        ("limit = 5", "limit = 0", "method.limit: Input should be greater than or equal to 1"),
        ("kept = 2", 'templates = ["It starts with"]', "'It starts with' needs {token} once, and text after it"),
        ("kept = 2", 'templates = ["a {token}"]', "'a {token}' needs {token} once, and text after it"),
        ("kept = 2", 'templates = ["{token} is {token}:"]', "needs {token} once"),
        ("for_loss = 2", "for_loss = 12", "for_loss is 12, more than the 10 windows of held_out"),
        ('files = "text/*.txt"', 'files = "text/*.md"', "no file matches 'text/*.md'"),
        ('files = "text/*.txt"', 'files = "text/*.txt"\nreader = "pdf"', "there is no reader 'pdf'"),
        ('files = "text/*.txt"', 'files = "text/*.txt"\nnotice = "NOTICE"', "NOTICE: no such file; fix the notice"),
        (
            "[[saes]]",
            '[[text]]\nsource="help"\ntitle=""\nlicence=""\nfiles="*"\n[[saes]]',
            "source 'help' occurs twice",
        ),
        ("layers = [1]", "layers = [3]", "layer 3 does not exist, the model has 0 to 2"),
    ],
)
def test_configuration_errors_are_reported_before_computing(
    folder: Path, tmp_path: Path, old: str, new: str, why: str
) -> None:
    for dry in ([], ["--dry-run"]):
        result = measured(folder, {"few": ""}, *dry, work=tmp_path, changes={old: new})
        assert result.exit_code == 2
        line = result.stderr.splitlines()[-1]
        assert line.startswith("absorption-explorer: ")
        assert why in line
        assert not any(tmp_path.glob("work/*"))


def test_missing_notice_of_a_package_is_named_and_results_are_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(folder, {"few": ""}, "--dry-run", work=tmp_path)
    text = (folder / "text" / "help.txt").read_text("utf-8")
    monkeypatch.setattr(package, "unpack_debian", lambda _, out: (out / "help.txt").write_text(text, "utf-8"))
    packaged = 'debian = "help-doc"\nfiles = "*.txt"\nship = true\nnotice = "{}"'
    changes = {'files = "text/*.txt"': packaged.format("copyright")}
    result = measured(folder, {"few": ""}, work=tmp_path, changes=changes)
    assert result.exit_code == 2
    assert "text: 'help' has no notice 'copyright'" in result.stderr.splitlines()[-1]
    assert not (tmp_path / "tiny").exists()
    changes = {'files = "text/*.txt"': packaged.format("help.txt")}
    assert measured(folder, {"few": ""}, "--dry-run", work=tmp_path, changes=changes).stdout.startswith("0 of ")
    assert measured(folder, {"few": ""}, work=tmp_path, changes=changes).exit_code == 0
    assert pd.read_parquet(tmp_path / "tiny" / "contexts.parquet")["source"].eq("help").all()


def test_missing_tokenizer_is_reported(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    for file in tmp_path.glob("model/tokenizer*"):
        file.unlink()
    write_sae(tmp_path / "few", TopKSAE(TopKSAEConfig(**SIZE, k=6)))
    result = measured(tmp_path, {"few": ""}, work=tmp_path)
    assert result.exit_code == 2
    assert "model: holds no tokenizer; put the model's tokenizer.json there" in result.stderr


@pytest.mark.parametrize("architecture", ["gemma-3", "gpt-oss", "mamba", "qwen-3-next"])
def test_other_architectures_are_measured_from_their_folders(architecture: str, tmp_path: Path) -> None:
    """The tokenizer names no first token: the model's configuration does, somewhere.

    Behind layer 1, GPT-OSS's last window does not reach from the prompt's end back to the word: no effect is no crash.
    """
    write_model(tmp_path / "model", architecture=architecture, start=None)
    write_sae(tmp_path / "few", TopKSAE(TopKSAEConfig(**SIZE, k=3)))
    result = measured(tmp_path, {"few": ""}, work=tmp_path)
    assert result.exit_code == 0, result.output
    assert check_suite(tmp_path / "tiny") == []
    checks = read_manifest(tmp_path / "tiny").provenance.checks
    assert checks["Tested tokens"] > 0
    assert checks["Verdicts that differ when recomputed from the stored scores"] == 0
    open_model.cache_clear()


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("length = 24", "length = 300", "windows of 300 tokens"),
        ("kept = 2", 'templates = ["' + 260 * "a " + '{token} is:"]', "the template 'a a "),
    ],
)
def test_too_long_inputs_are_named_before_computing(tmp_path: Path, old: str, new: str, what: str) -> None:
    """OPT's positions are learned, here 256."""
    write_model(tmp_path / "model", architecture="opt")
    write_sae(tmp_path / "few", TopKSAE(TopKSAEConfig(**SIZE, k=3)))
    result = measured(tmp_path, {"few": ""}, "--dry-run", work=tmp_path, changes={old: new})
    assert result.exit_code == 2, result.exception
    assert f"model: cannot read {what}" in result.stderr
    open_model.cache_clear()


@pytest.mark.parametrize("broken", ["model", "few"])
@pytest.mark.parametrize(("file", "content"), [("safetensors", b"cut off"), ("json", b"{"), ("json", b"[]")])
def test_damaged_files_are_named(folder: Path, tmp_path: Path, broken: str, file: str, content: bytes) -> None:
    for name in ("model", "few"):
        shutil.copytree(folder / name, tmp_path / name)
    for damaged in (tmp_path / broken).glob(f"[cms]*.{file}"):
        damaged.write_bytes(content)
    result = measured(tmp_path, {"few": ""}, work=tmp_path)
    assert result.exit_code == 2, result.exception
    assert result.stderr.splitlines()[-1].startswith(f"absorption-explorer: {tmp_path / broken}: ")
    open_model.cache_clear()


def test_centred_sae_needs_a_model_that_subtracts_the_mean(folder: Path) -> None:
    sae = StandardSAE(StandardSAEConfig(**SIZE))
    sae.cfg.metadata.model_from_pretrained_kwargs = {"center_writing_weights": True}
    write_sae(folder / "centred", sae)
    config = read_config(write_config(folder, {"centred": ""}, {}))
    model = open_model((folder / "model").resolve(), "float32")
    check_all(config, folder, model)
    model.takes_off_mean = False
    with pytest.raises(MeasureError, match="says center_writing_weights, which means nothing to a model without"):
        check_all(config, folder, model)
    open_model.cache_clear()


def test_tokenizer_with_prefix_space_encodes_continuations() -> None:
    tokenizer = Tokenizer(backend(prefixed=True), start=0)
    assert tokenizer.texts(answer_tokens(tokenizer)) == [*ascii_uppercase]
    words = {text: number for number, text in tokenizer.words()}
    assert answer_tokens(tokenizer)[11] == words[" L"]
    prompt = to_prompt("the: T\n{token} has it:", tokenizer)
    whole = [*prompt.prefix, words["is"], *prompt.suffix]
    assert whole[1:] == tokenizer.encode("the: T\nis has it:")
    # A tokenizer that prepends nothing encodes the text as it is.
    plain = Tokenizer(backend(), start=0)
    assert plain.encode_on(" has it:") == plain.encode(" has it:")


def test_answers_with_the_same_first_token_are_refused(tmp_path: Path) -> None:
    folding = Backend.from_str(backend().to_str())
    folding.normalizer = normalizers.Replace("Q", "K")
    write_model(tmp_path / "model", folding)
    write_sae(tmp_path / "few", TopKSAE(TopKSAEConfig(**SIZE, k=6)))
    for dry in ([], ["--dry-run"]):
        result = measured(tmp_path, {"few": ""}, *dry, work=tmp_path)
        assert result.exit_code == 2
        assert "the answers ' K' and ' Q' begin with the same token" in result.stderr.splitlines()[-1]
        assert not any(tmp_path.glob("work/*"))


@pytest.mark.parametrize("shuffled", ["in order", "shuffled"])
@pytest.mark.parametrize("number", [3, 50])
def test_streams_stored_in_parts_are_read_as_one(tmp_path: Path, number: int, shuffled: str) -> None:
    """There may be fewer rows than parts."""
    rng = np.random.RandomState(0)
    whole = rng.randn(number, 4).astype(np.float16)
    order = rng.permutation(number) if shuffled == "shuffled" else np.arange(number)
    needs, settings = {}, {"parts": parts.NUM_PARTS}
    for part in range(parts.NUM_PARTS):
        needs[str(part)] = tmp_path / str(part)
        needs[str(part)].mkdir()
        rows = order[parts.rows_of_part(number, settings | {"part": part})]
        np.save(needs[str(part)] / "words-1.npy", whole[rows])
        if shuffled == "shuffled":
            np.save(needs[str(part)] / "words-rows.npy", rows)
    out = tmp_path / "all"
    out.mkdir()
    parts.run(settings, needs, out, lambda _: None)
    streams = parts.load_streams(out, "words-1")
    assert len(streams) == number
    drawn = rng.randint(0, number, 20)
    for rows_asked in (slice(None), slice(1, 3), slice(2, 999), drawn, whole[:, 0] > 0):
        assert np.array_equal(streams[rows_asked], whole[rows_asked])


def test_words_have_the_streams_of_their_prompts_in_any_order(folder: Path, suite: Path) -> None:
    plan = make_plan(read_config(suite.parent / "tiny.toml"), folder)
    done = {name: task.folder(suite.parent / "work") for name, task in plan.shared.items()}
    vocabulary, chosen = load_vocabulary(done["vocabulary"]), load_prompts(done["prompts"])
    model = open_model((folder / "model").resolve(), "float32")
    prompts = [to_prompt(text, model.tokenizer) for text in chosen.templates]
    expected = word_streams(model, prompts, vocabulary.ids, chosen.assigned, [1])[1]
    np.testing.assert_allclose(parts.load_streams(done["activations"], "words-1")[:], expected, atol=0.01)


@pytest.mark.parametrize("mix", [False, True], ids=["given", "trained"])
def test_words_with_their_own_prompts_are_read_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, mix: bool
) -> None:
    model = HuggingFace(small_model("gpt-2"), toy_tokenizer(), "gpt-2")
    is_test = np.arange(20) % 4 == 1
    vocabulary = Vocabulary(np.arange(5, 25), np.array(["a"] * 20), np.ones((20, 1), bool), is_test)
    texts = ["1" * (1 + number % 3) + "{token}3" for number in range(25)]
    spelled = Spelled(np.full(5, -1), np.zeros(5))
    chosen = Chosen(texts, [None] * 25, np.arange(20), np.arange(20, 25), spelled, prompt_per_word=True)
    monkeypatch.setattr(activations, "model_of", lambda *_: model)
    monkeypatch.setattr(activations, "load_vocabulary", lambda _: vocabulary)
    monkeypatch.setattr(activations, "load_prompts", lambda _: chosen)
    needs = {str(part): tmp_path / str(part) for part in range(parts.NUM_PARTS)}
    for part, out in needs.items():
        out.mkdir()
        settings = {"layers": [1], "mix": [1] * mix, "part": int(part), "parts": parts.NUM_PARTS}
        activations.run(settings, {"vocabulary": out, "prompts": out}, out, lambda _: None)
    parts.run({"parts": parts.NUM_PARTS}, needs, tmp_path, lambda _: None)
    prompts = [to_prompt(text, model.tokenizer) for text in texts]

    def alone(words: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        read = [word_streams(model, [prompts[n]], words[[i]], np.zeros(1, int), [1])[1] for i, n in enumerate(numbers)]
        return np.concatenate(read)

    words = alone(vocabulary.ids, chosen.assigned)
    np.testing.assert_allclose(parts.load_streams(tmp_path, "words-1")[:], words, atol=0.01)
    found = activations.load_tested_in(tmp_path, 1, vocabulary, chosen)
    np.testing.assert_allclose(found, alone(vocabulary.ids[is_test], chosen.tested_in), atol=0.01)
    assert any(tmp_path.glob("*/mix-*")) == mix
    if mix:
        np.testing.assert_allclose(parts.load_streams(tmp_path, "mix-1")[:], words[~is_test], atol=0.01)


def test_large_streams_are_clipped_to_the_largest_number() -> None:
    model = HuggingFace(small_model("gpt-2"), toy_tokenizer(), "gpt-2")
    with torch.no_grad():
        model._model.transformer.wte.weight[7] *= 1e6
    words = np.array([5, 7])
    (stream,) = word_streams(model, [Prompt((0, 3), (2,))], words, np.zeros(2, int), [0]).values()
    assert np.isfinite(stream).all()
    assert np.abs(stream).max(1).tolist()[1] == 65504


def test_batches_of_words_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a cached prefix, each word needs a copy of it; without one, the complete prompt is run."""
    for name in ("gpt-2", "mamba"):
        model = HuggingFace(small_model(name), toy_tokenizer(), name)

        def most_at_once(prompt: Prompt, free: int, model: HuggingFace = model) -> int:
            monkeypatch.setattr(memory, "free_memory", lambda _: free)
            words = np.arange(1, 39)

            def read(prompt: Prompt, tokens: torch.Tensor) -> dict[int, torch.Tensor]:
                return model.word_streams(prompt, tokens, [1])

            run = batches(read, model.device, [prompt], words, np.zeros(len(words)))
            return max(len(places) for places, _ in run)

        short, long = Prompt((0, 3), (2,)), Prompt((0, *range(1, 30)), (2,))
        assert most_at_once(long, 2**40) == 38
        assert 1 < most_at_once(long, 2**21) < most_at_once(short, 2**21)
        assert most_at_once(long, 1) == 1


@pytest.mark.parametrize("norm", ["none", "layer_norm"])
def test_reconstruction_without_latents_is_the_bias(norm: str) -> None:
    sae = StandardSAE(StandardSAEConfig(**SIZE, normalize_activations=norm))
    sae.b_dec.data.normal_()
    stream = torch.randn(5, D_MODEL, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        sae.encode(stream)
        expected = sae.decode(torch.zeros(5, NUM_LATENTS))
        np.testing.assert_allclose(SaeLens(sae).without_latents(stream), expected, atol=1e-4)


def test_dense_chunks_shrink_with_the_number_of_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    for number in (2_048, 65_536, 1_000_000, 2**30):
        sae = SaeLens(StandardSAE(StandardSAEConfig(d_in=1, d_sae=1)))
        sae.directions = torch.empty(number, 1, device="meta")
        monkeypatch.setattr(sae, "reconstruct", lambda stream: stream)
        sizes.append(sae.rows_at_once)
    assert sizes == [2048, 1024, 67, 1]
    stream = torch.randn(300, D_MODEL, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(memory, "free_memory", lambda _: 2**16)
    sae = SaeLens(TopKSAE(TopKSAEConfig(**SIZE, k=3)))
    assert 1 < sae.rows_at_once < 300
    torch.testing.assert_close(sae.reconstruct_all(stream), sae.reconstruct(stream))


def test_workers_on_the_same_gpu_are_refused_with_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0", silence_logs="ERROR"
    ) as cluster:
        monkeypatch.setattr(engine, "num_gpus", lambda: 2)
        with pytest.raises(MeasureError, match="see the same 2 GPUs, and would all take the first; start one per GPU"):
            perform_all([Task("splits")], tmp_path, address=cluster.scheduler_address)
        # A single GPU seen by all is shared.
        monkeypatch.setattr(engine, "num_gpus", lambda: 1)
        with pytest.raises(KeyError):
            perform_all([Task("splits")], tmp_path, address=cluster.scheduler_address)


def test_each_worker_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: taken[-1])
    devices = []
    for worker in range(3):
        take_gpu(worker)
        devices.append(best_device())
    assert devices == [torch.device("cuda", number) for number in (0, 1, 0)]
    # Three of five workers use the first GPU; on a machine without GPUs, they share the memory.
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 0)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (6000, 9000))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    one_of_five = contextvars.copy_context()
    one_of_five.run(share_memory, 5)
    assert one_of_five.run(free_memory, torch.device("cuda", 0)) == 2000
    assert one_of_five.run(free_memory, torch.device("cpu")) == 200
    assert free_memory(torch.device("cpu")) == 1000
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    take_gpu(1)
    assert best_device() == torch.device("cpu")
