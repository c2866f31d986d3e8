"""The export: read with safetensors and json alone, run by onnxruntime, whole or not there.

B lanes · V vocabulary
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from helpers.running import charlm

from charlm.cells import CELLS, Cell, State
from charlm.checkpoint import contents, load
from charlm.errors import UserError
from charlm.export import onnx as onnx_step
from charlm.export.safetensors import export
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary("abcdefghijklmnopqrstuvwxyz é", "none")
V = len(VOCABULARY)

MODELS: dict[str, dict[str, Any]] = {
    "rnn tanh": {"cell": "rnn"},
    "rnn relu": {"cell": "rnn", "cell_options": {"nonlinearity": "relu"}},
    "gru reset after": {"cell": "gru"},
    "gru reset before": {"cell": "gru", "cell_options": {"reset_after": False}},
    "lstm": {"cell": "lstm", "cell_options": {"forget_bias": 1.0}},
    "stack": {"cell": ["rnn", "gru", "lstm"], "hidden_sizes": [8, 24, 16], "dropout": 0.3},
    "embedding": {"cell": "gru", "encoding": "embedding", "embedding_size": 7},
    "concat": {"cell": "lstm", "hidden_sizes": [16, 12], "readout": "concat"},
    **{name: {"cell": name, "hidden_sizes": [24, 16]} for name in CELLS},
    "slstm, exponential": {"cell": "slstm", "cell_options": {"exponential_forget": True}},
    "mogrifier_lstm, rank": {"cell": "mogrifier_lstm", "cell_options": {"rounds": 4, "rank": 3}},
    "mogrifier_lstm, embedding": {
        "cell": "mogrifier_lstm",
        "encoding": "embedding",
        "embedding_size": 5,
    },
}


def draw(**options: Any) -> CharLM:
    torch.manual_seed(0)
    return CharLM(V, **{"hidden_sizes": [32], "initialisation": "uniform"} | options)


def write_checkpoint(path: Path, **options: Any) -> CharLM:
    """A checkpoint of a drawn model, as a program of one's own might have trained it."""
    model = draw(**options)
    hyper_parameters = {"hidden_sizes": [32], "vocabulary": VOCABULARY.config} | options
    weights = {f"model.{name}": weight for name, weight in model.state_dict().items()}
    torch.save({"state_dict": weights, "hyper_parameters": hyper_parameters}, path)
    return model


@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
def test_onnxruntime_computes_the_same_logits_over_two_hundred_steps(
    options: dict[str, Any],
) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="an extra: charlm[export]")
    model = draw(**options)
    # Weights as large as trained ones, or the state would hardly matter; where sums are normalised it
    # does, and gains of 1 or more would be chaos.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.7 if options["cell"] == "layer_norm_lstm" else 1.5)
    session = runtime.InferenceSession(
        onnx_step.serialise(model, VOCABULARY), providers=["CPUExecutionProvider"]
    )
    assert session.get_inputs()[0].type == "tensor(int64)"
    assert json.loads(session.get_modelmeta().custom_metadata_map["vocabulary"]) == (
        VOCABULARY.config
    )
    for B in (1, 5):
        ids_TB = torch.randint(V, (200, B))
        with torch.inference_mode():
            expected_TBV, final = model.eval()(ids_TB)
        names = [value.name for value in session.get_inputs()][1:]
        shapes = [value.shape for value in session.get_inputs()][1:]
        state = {
            name: np.zeros((B, shape[1]), dtype=np.float32)
            for name, shape in zip(names, shapes, strict=True)
        }
        assert [value.name for value in session.get_outputs()] == [
            "logits",
            *(f"new_{name}" for name in names),
        ]
        for ids_B, expected_BV in zip(ids_TB.numpy(), expected_TBV.numpy(), strict=True):
            logits_BV, *new = session.run(None, {"ids": ids_B, **state})
            np.testing.assert_allclose(logits_BV, expected_BV, rtol=1e-5, atol=2e-5)
            state = dict(zip(names, new, strict=True))
        parts = [part.numpy() for cell_state in final for part in cell_state]
        for ours, theirs in zip(parts, state.values(), strict=True):
            np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=2e-5)


def test_a_cell_of_ones_own_is_refused_in_a_sentence() -> None:
    class Own(Cell):
        num_gates = 1

        def step(self, preactivation_BG: torch.Tensor, state: State) -> State:
            return (torch.tanh(preactivation_BG + state[0]),)

    with pytest.raises(
        UserError, match=r"Own can't be written as ONNX, only RNN, .* export without"
    ):
        onnx_step.serialise(draw(cell=Own), VOCABULARY)


def test_safetensors_and_json_are_enough_to_run_the_model(
    checkpoint: Path, novel: str, tmp_path: Path
) -> None:
    outcome = charlm("export", "--checkpoint", checkpoint, "--output", tmp_path / "export")
    assert outcome.code == 0, outcome.err
    assert sorted(outcome.out.split()) == sorted(map(str, (tmp_path / "export").iterdir()))

    config = json.loads((tmp_path / "export" / "config.json").read_text("utf-8"))
    weights = safetensors.numpy.load_file(tmp_path / "export" / "model.safetensors")
    assert config["architecture"]["cell"] == "rnn"
    assert config["vocabulary"]["normalisation"] == "book"
    text = "time traveller"
    ids = [1 + config["vocabulary"]["characters"].index(character) for character in text]
    hidden = np.zeros(config["architecture"]["hidden_sizes"][0])
    for i in ids:
        hidden = np.tanh(
            weights["layers.0.weight_ih"][:, i]
            + weights["layers.0.bias"]
            + weights["layers.0.weight_hh"] @ hidden
        )
    logits = weights["output.weight"] @ hidden + weights["output.bias"]

    model, vocabulary = load(checkpoint)
    expected = model(torch.tensor(ids)[:, None])[0][-1, 0].detach().numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    assert [*vocabulary.symbols[1:]] == config["vocabulary"]["characters"]


@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
def test_an_export_loads_as_its_checkpoint_does(options: dict[str, Any], tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "last.ckpt", **options).eval()
    export(tmp_path / "last.ckpt", tmp_path / "export", onnx=True)
    again, vocabulary = load(tmp_path / "export")
    assert vocabulary == VOCABULARY
    assert not again.training
    ids_TB = torch.randint(V, (20, 3))
    assert torch.equal(model(ids_TB)[0], again(ids_TB)[0])
    # And an export of the export is the same again.
    export(tmp_path / "export", tmp_path / "second", onnx=True)
    for file in sorted((tmp_path / "export").iterdir()):
        assert (tmp_path / "second" / file.name).read_bytes() == file.read_bytes()


def test_an_export_stands_for_the_checkpoint_in_every_command(
    checkpoint: Path, tmp_path: Path
) -> None:
    content = contents(checkpoint)
    content["hyper_parameters"]["dynamic_evaluation"] = {"segment": 5, "rate": 1e-3}
    checkpoint = tmp_path / "own.ckpt"
    torch.save(content, checkpoint)
    export(checkpoint, tmp_path / "export")
    (tmp_path / "text.txt").write_text("The time traveller smiled.", encoding="utf-8")
    for command in (
        ("score", "--json", "--dynamic", tmp_path / "text.txt"),
        ("generate", "--prefix", "time", "--num_chars", 20),
        ("score", "--json", "--baselines", tmp_path / "text.txt"),
    ):
        ours, theirs = (
            charlm(command[0], "--checkpoint", path, *command[1:])
            for path in (checkpoint, tmp_path / "export")
        )
        assert ours.code == theirs.code == 0, ours.err + theirs.err
        assert ours.out.replace(checkpoint.name, "export") == theirs.out != ""


def test_a_folder_with_something_in_it_is_left_alone(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for name in ("full", "file"):
        outcome = charlm("export", "--checkpoint", checkpoint, "--output", tmp_path / name)
        assert outcome.code == 1
        assert outcome.err == (
            f"charlm: {tmp_path / name} is there already: name a folder that isn't, or an empty one.\n"
        )
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "full", "mine.txt"]


@pytest.mark.parametrize("output", ["site", "site/weights", "elsewhere/../site"])
def test_two_kinds_of_files_cant_share_a_folder(
    output: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = charlm("export", "--checkpoint", checkpoint, "--web", "site", "--output", output)
    assert outcome.code == 1
    assert "in the folder of --web" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_a_page_may_lie_in_the_export(checkpoint: Path, tmp_path: Path) -> None:
    both = ("--output", tmp_path / "export", "--web", tmp_path / "export" / "site")
    assert charlm("export", "--checkpoint", checkpoint, *both).code == 0
    assert (tmp_path / "export" / "site" / "index.html").exists()
    assert load(tmp_path / "export")[1].symbols == load(checkpoint)[1].symbols


def test_an_empty_folder_and_missing_parents_will_do(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "a" / "b"):
        assert len(list(export(checkpoint, folder))) == 2
        assert sorted(path.name for path in folder.iterdir()) == [
            "config.json",
            "model.safetensors",
        ]


def test_the_export_appears_whole_or_not_at_all(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(UserError, match="No space left on device"):
        export(checkpoint, tmp_path / "export")
    assert list(tmp_path.iterdir()) == []


def test_without_onnx_one_sentence_and_no_folder(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    outcome = charlm("export", "--checkpoint", checkpoint, "--output", tmp_path / "e", "--onnx")
    assert outcome.code == 1
    assert "install charlm[export]" in outcome.err
    assert list(tmp_path.iterdir()) == []
    assert charlm("export", "--checkpoint", checkpoint, "--output", tmp_path / "e").code == 0


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def cut_weights(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def no_json(folder: Path) -> None:
    (folder / "config.json").write_text("{", encoding="utf-8")


def other_json(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "gpt2"}', encoding="utf-8")


def other_size(folder: Path) -> None:
    config = (folder / "config.json").read_text(encoding="utf-8").replace("64", "63", 1)
    (folder / "config.json").write_text(config, encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (no_config, "there is no config.json in it"),
        (no_weights, "there is no model.safetensors in it"),
        (cut_weights, "can't be read as an export"),
        (no_json, "can't be read as an export"),
        (other_json, "can't be read as an export"),
        (other_size, "don't fit the model"),
    ],
)
def test_a_damaged_export_is_told_in_a_sentence(
    damage: Any, told: str, checkpoint: Path, tmp_path: Path
) -> None:
    export(checkpoint, tmp_path / "export")
    damage(tmp_path / "export")
    outcome = charlm("generate", "--checkpoint", tmp_path / "export")
    assert outcome.code == 1
    assert told in outcome.err
    assert outcome.err.count("\n") == 1
