"""Each command works with each cell, or says in one sentence what to do instead."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from helpers.serving import trained

from charlm.cells import CELLS
from charlm.checkpoint import Trained
from charlm.errors import UserError
from charlm.evaluation.scoring import score
from charlm.export.onnx import serialise
from charlm.export.web import web_files
from charlm.generation.context import read
from charlm.generation.generate import generate
from charlm.inspection.live import Model, Request, events
from charlm.inspection.reach import reach
from charlm.inspection.recording import record

TEXT = "abc fed hgh "


def _inspect(it: Trained) -> None:
    ids = it.vocabulary.encode(TEXT)
    recording = record(it.model, ids)
    assert np.isfinite(reach(it.model, ids, recording, 4, 3)).all()


def _serve(it: Trained) -> None:
    written = list(events([Model("it", it)], Request.of({"prefix": "abc", "num_characters": 3}, 1)))
    assert len(written) == 6
    assert json.dumps(written)


COMMANDS: dict[str, Callable[[Trained], object]] = {
    "generate": lambda it: generate(it.model, it.vocabulary, "abc", 5),
    "score": lambda it: score(it.model, it.vocabulary, TEXT),
    "inspect": _inspect,
    "serve": _serve,
    "generate --weights float16": lambda it: read(it.model, it.vocabulary, "abc", "float16"),
    "generate --weights int8": lambda it: read(it.model, it.vocabulary, "abc", "int8"),
    "export --onnx": lambda it: serialise(it.model, it.vocabulary),
    "export --web": lambda it: web_files(it.model, it.vocabulary, "it"),
}
# For the book's cells alone, and what another is told to do.
REFUSED = {
    "generate --weights float16": "leave it out.",
    "generate --weights int8": "leave it out.",
    "export --onnx": "export without --onnx.",
    "export --web": "leave out --web; charlm serve shows it live.",
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("cell", CELLS)
def test_a_command_works_with_a_cell_or_says_what_to_do(command: str, cell: str) -> None:
    it = trained(cell, hidden_sizes=[4])
    if command not in REFUSED or cell in ("rnn", "gru", "lstm"):
        COMMANDS[command](it)
        return
    with pytest.raises(UserError) as refused:
        COMMANDS[command](it)
    assert CELLS[cell].__name__ in str(refused.value)
    assert str(refused.value).endswith(REFUSED[command])
