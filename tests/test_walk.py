"""The way of a character that CONTRIBUTING.md describes is the one that it takes."""

import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from helpers.running import small_data, small_module, trainer

import charlm

ROOM = Path(charlm.__file__).parent
# What looks at the batches and the loss of every run.
BESIDE = ("training/callbacks/", "training/resume/", "training/metrics.py")


def described() -> tuple[list[str], set[str]]:
    """The numbered files, and those that hand a character on."""
    page = (ROOM.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = page.split("## One character's way\n")[1].split("\n## ")[0]
    steps = re.findall(r"^\d+\. `(.+?)`:", section, re.MULTILINE)
    passing = re.findall(r"`([\w/]+\.py)`", section.split("\nOn the way ")[1])
    return steps, set(passing)


def has_characters(value: Any, depth: int = 0) -> bool:
    """Whether it is (or holds) text of some length, an array, or a tensor."""
    if isinstance(value, tuple | list) and depth < 4:
        return any(has_characters(part, depth + 1) for part in value[:5])
    if isinstance(value, str | bytes):
        return len(value) > 5000
    return isinstance(value, np.ndarray | torch.Tensor)


@pytest.mark.usefixtures("novel")
def test_a_character_passes_the_files_that_are_named_and_no_other(tmp_path: Path) -> None:
    passed = set()

    def look(frame: FrameType, event: str, value: Any) -> None:
        code = frame.f_code
        if not code.co_filename.startswith(str(ROOM)) or event not in ("call", "return"):
            return
        names = code.co_varnames[: code.co_argcount]
        values = [frame.f_locals[name] for name in names] if event == "call" else [value]
        if has_characters(values):
            passed.add(Path(code.co_filename).relative_to(ROOM).as_posix())

    sys.setprofile(look)
    try:
        data = small_data()
        module = small_module(data, backend="eager")
        trainer(tmp_path, max_steps=2).fit(module, datamodule=data)
    finally:
        sys.setprofile(None)
    steps, passing = described()
    assert len(steps) <= 12
    ours = {path for path in passed if not path.startswith(BESIDE)}
    assert ours == {*steps, *passing}
