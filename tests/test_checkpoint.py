"""Checkpoints are found and loaded, or refused in a sentence."""

import os
from pathlib import Path

import pytest
import torch

import charlm
from charlm.checkpoint import newest
from charlm.errors import UserError


def test_a_checkpoint_brings_its_vocabulary_and_evaluates(checkpoint: Path) -> None:
    model, vocabulary = charlm.load(checkpoint)
    assert not model.training
    assert len(vocabulary) == model.vocab_size == 28
    assert vocabulary.normalise("The Time") == "the time"


def test_the_newest_of_last_and_best_is_found(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no last.ckpt or best.ckpt of any run"):
        newest(tmp_path)
    for number, name in enumerate(("version_0/checkpoints/last", "version_1/checkpoints/best")):
        path = tmp_path / "lightning_logs" / f"{name}.ckpt"
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (number, number))
    (tmp_path / "lightning_logs/version_1/checkpoints/other.ckpt").touch()
    assert newest(tmp_path) == path
    last = path.with_name("last.ckpt")
    last.touch()
    assert newest(tmp_path) == last
    assert newest(tmp_path, ["best"]) == path
    without_logger = tmp_path / "checkpoints/last.ckpt"
    without_logger.parent.mkdir()
    without_logger.touch()
    os.utime(without_logger, ns=(0, last.stat().st_mtime_ns + 1))
    assert newest(tmp_path) == without_logger


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "There is no checkpoint"),
        (b"", "can't be read as a checkpoint"),
        (b"hello", "can't be read as a checkpoint"),
        ({"weights": torch.zeros(1)}, "is no charlm checkpoint"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: object, told: str) -> None:
    path = tmp_path / "it.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(UserError, match=told):
        charlm.load(path)


def test_a_truncated_checkpoint_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "it.ckpt"
    for part in (0.1, 0.5, 0.99):
        path.write_bytes(checkpoint.read_bytes()[: int(checkpoint.stat().st_size * part)])
        with pytest.raises(UserError, match="damaged"):
            charlm.load(path)


@pytest.mark.parametrize("device", ["warp", "cuda:99", "cpuu"])
def test_a_device_that_is_not_there_is_refused(checkpoint: Path, device: str) -> None:
    with pytest.raises(UserError, match=f"The device '{device}' can't be used"):
        charlm.load(checkpoint, device)
