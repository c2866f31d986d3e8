"""Documents through training, validation, scoring and generation: each is read as if alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.resuming import Run, differences
from helpers.running import charlm, small_module, trainer

from charlm.checkpoint import load
from charlm.data.batch import take
from charlm.data.datamodule import CharDataModule
from charlm.errors import UserError
from charlm.evaluation.scoring import score
from charlm.generation.context import read
from charlm.generation.generate import generate, generate_many
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary

NAMES = ["anna", "bo", "abigail", "elisabeth", "hanna", "ina"]


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "names.txt"
    path.write_text("\n".join(NAMES * 12) + "\n", encoding="utf-8")
    return path


def drawn(**options: object) -> tuple[CharLM, Vocabulary]:
    torch.manual_seed(1)
    vocabulary = Vocabulary("\nabehilnogst", documents="line")
    model = CharLM(len(vocabulary), [8], "gru", initialisation="uniform", **options)  # type: ignore[arg-type]
    return model.eval(), vocabulary


def data_of(names: Path, **options: object) -> CharDataModule:
    defaults = {"documents": "line", "num_lanes": 3, "num_steps": 7, "sampling": "documents"}
    return CharDataModule(path=str(names), **defaults | options)  # type: ignore[arg-type]


@pytest.mark.parametrize("how", [{}, {"lanes": 1, "rows": 5}])
def test_a_text_costs_what_its_documents_cost_alone(how: dict[str, int]) -> None:
    model, vocabulary = drawn()
    whole = score(model, vocabulary, "\n".join(NAMES), **how)  # type: ignore[arg-type]
    assert whole.text == "\n".join(NAMES) + "\n"
    alone = [score(model, vocabulary, name).nats_N for name in NAMES]
    np.testing.assert_allclose(whole.nats_N, np.concatenate(alone), rtol=1e-5)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_validation_and_score_agree(names: Path, tmp_path: Path, cell: str) -> None:
    data = data_of(names, val_size=0.3)
    module = small_module(data, cell=cell)
    (metrics,) = trainer(tmp_path).validate(module, datamodule=data, verbose=False)
    part = data.text.ids[data.split.val.start : data.split.val.stop]
    text = data.text.vocabulary.decode(part)
    scored = score(module.model, data.text.vocabulary, text)
    assert metrics["val/bits_per_character"] == pytest.approx(scored.bits_per_character, rel=1e-6)


@pytest.mark.parametrize("sampling", ["documents", "sequential", "random"])
def test_a_run_that_was_stopped_ends_with_the_same_bits(
    names: Path, tmp_path: Path, sampling: str
) -> None:
    data = {"path": str(names), "documents": "line", "sampling": sampling, "num_steps": 7}
    data |= {"corpus": "time-machine", "max_chars": None}
    whole = Run(tmp_path / "whole", data).go(max_epochs=2)
    parts = Run(tmp_path / "parts", data).go(max_epochs=2, max_steps=7)
    parts.go(resume=True, max_epochs=2)
    assert whole.result["step"] > 14
    for name in ("batches", "result"):
        assert not differences(getattr(parts, name), getattr(whole, name), name)


def test_reach_beyond_the_window_ends_where_a_document_begins(names: Path, tmp_path: Path) -> None:
    """BPTT(k1, k2) with resets: the loss is that of the window with its own state."""
    data = data_of(names, sampling="sequential")
    losses = []
    for backprop_steps in (None, 14):
        module = small_module(data, backprop_steps=backprop_steps)
        run = trainer(tmp_path, max_steps=1)
        run.fit(module, datamodule=data)
        losses.append(float(run.callback_metrics["train/loss_step"]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_generation_begins_and_ends_with_the_document() -> None:
    model, vocabulary = drawn()
    texts = list(generate_many(model, vocabulary, ["", "an"], 40, 8, seed=1, temperature=1.0))
    assert all("\n" not in text for text in texts)
    assert any(len(text) < 40 for text in texts)
    assert texts[1] == generate(model, vocabulary, "", 40, 1.0, seed=2)
    streamed = read(model, vocabulary, "an").stream(9, temperature=1.0).until(40)
    assert texts[8] == "an" + "".join(streamed)
    beams = generate(model, vocabulary, "", 40, num_beams=3)
    assert "\n" not in beams


def test_the_configuration_for_names_writes_whole_names(names: Path, tmp_path: Path) -> None:
    small = ("--data.num_lanes", 4, "--data.num_steps", 16, "--model.hidden_sizes=[32]")
    root = ("--trainer.default_root_dir", tmp_path)
    short = ("--trainer.max_epochs", 20, "--samples.every_n_epochs", 0)
    trained = charlm("fit", "--config", "names", "--data.path", names, *small, *short, *root)
    assert trained.code == 0, trained.err
    last = tmp_path / "lightning_logs/version_0/checkpoints/last.ckpt"
    written = charlm("generate", "--checkpoint", last, "--num_samples", 20, "--seed", 1)
    texts = written.out.splitlines()
    assert len(texts) == 20
    # Each ends by itself, long before the 50 characters; most are names of the list.
    assert max(map(len, texts)) < 20
    assert sum(text in NAMES for text in texts) > 10


def test_a_prefix_is_read_as_forward_reads_it() -> None:
    model, vocabulary = drawn()
    ids = torch.from_numpy(vocabulary.encode("\nanna\nbo").astype("int64"))[:, None]
    with torch.no_grad():
        logits_TBV, _ = model(ids, begins_TB=ids == vocabulary.mark_id)
    context = read(model, vocabulary, "anna\nbo")
    mine = context.stepper.logits(context.state)[0, 1:]
    np.testing.assert_allclose(mine, logits_TBV[-1, 0, 1:], atol=1e-5)
    alone = read(model, vocabulary, "bo")
    np.testing.assert_array_equal(alone.stepper.logits(alone.state)[0, 1:], mine)


def test_shuffled_documents_need_documents() -> None:
    with pytest.raises(UserError, match=r"say with data\.documents what they are"):
        CharDataModule(sampling="documents")


def test_fine_tuning_keeps_the_vocabulary_and_names_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("first.txt").write_text("abcd bcad " * 60, encoding="utf-8")
    Path("second.txt").write_text("dcb é " * 100, encoding="utf-8")
    small = ("--data.num_lanes", 2, "--data.num_steps", 10, "--model.hidden_sizes=[4]")
    root = ("--trainer.default_root_dir", tmp_path / "runs")
    first = charlm("fit", "--data.path", "first.txt", "--trainer.max_epochs", 1, *small, *root)
    assert first.code == 0, first.err
    last = tmp_path / "runs/lightning_logs/version_0/checkpoints/last.ckpt"
    refused = charlm("fit", "--ckpt_path", last, "--data.path", "second.txt", *root)
    assert refused.code == 1
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    # From another folder, the relative path is found again.
    again = charlm("fit", "--ckpt_path", last, "--trainer.max_epochs", 2)
    assert again.code == 0, again.err
    tuned = charlm(
        *("fit", "--ckpt_path", last, "--data.path", "../second.txt"),
        *("--data.allow_changed_corpus", "true", "--trainer.max_epochs", 4),
    )
    assert tuned.code == 0, tuned.err
    assert "100 of the 600 characters" in tuned.err
    assert "read as <unk>: é." in tuned.err
    assert set(load(last).vocabulary.symbols[1:]) == set("abcd ")


@pytest.mark.parametrize("length", [90, 380])
def test_another_text_may_be_taken_up_in_mid_epoch(tmp_path: Path, length: int) -> None:
    """It goes on at the same batch; a text that has fewer, with the next epoch."""
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    # In each, no two stretches of a batch's length are the same.
    letters = np.random.default_rng(0).choice(list("abcd "), 500 + length)
    first.write_text("".join(letters[:500]), encoding="utf-8")
    second.write_text("".join(letters[500:]), encoding="utf-8")
    data: dict[str, object] = {"max_chars": None, "num_lanes": 2, "num_steps": 10}
    other = data | {"path": str(second), "allow_changed_corpus": True}
    runs = []
    for name in ("whole", "parts"):
        run = Run(tmp_path / name, data | {"path": str(first)}).go(max_steps=15)
        run.data = other | {"base_vocabulary": CharDataModule(path=str(first)).vocabulary}
        runs.append(run)
    whole, parts = runs
    whole.go(resume=True, max_epochs=3)
    parts.go(resume=True, max_epochs=3, max_steps=18).go(resume=True, max_epochs=3)
    data_of_second = CharDataModule(**whole.data)  # type: ignore[arg-type]
    data_of_second.setup("fit")
    per_epoch = len(data_of_second.sampler)
    epoch, batch = (0, 15) if per_epoch > 15 else (1, 0)
    expected, _ = take(data_of_second.text.ids, data_of_second.sampler.places(epoch, batch))
    assert torch.equal(whole.batches[16], expected)
    assert whole.result["step"] == 15 + per_epoch * 3 - (15 if per_epoch > 15 else per_epoch)
    for part in ("batches", "result"):
        assert not differences(getattr(parts, part), getattr(whole, part), part)


@pytest.mark.parametrize(("documents", "told"), [("lines", True), ("line", False), ("", True)])
def test_a_text_that_nothing_parts_is_told(
    names: Path, capsys: pytest.CaptureFixture[str], documents: str, told: bool
) -> None:
    """As where the line between two documents is mistyped."""
    assert CharDataModule(path=names, documents=documents).vocabulary
    assert ("is one single document" in capsys.readouterr().err) == told
