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
# Which cells a command has no step for, and what one is told to do.
BOOK = {"rnn", "gru", "lstm"}
NOT_STEPPED = {"rg_lru", "mogrifier_lstm", "layer_norm_lstm"}
REFUSED = {
    "generate --weights float16": (NOT_STEPPED, "leave it out."),
    "generate --weights int8": (NOT_STEPPED, "leave it out."),
    "export --web": (CELLS.keys() - BOOK, "leave out --web; charlm serve shows it live."),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("cell", CELLS)
def test_a_command_works_with_a_cell_or_says_what_to_do(command: str, cell: str) -> None:
    it = trained(cell, hidden_sizes=[4])
    cells, advice = REFUSED.get(command, ((), ""))
    if cell not in cells:
        COMMANDS[command](it)
        return
    with pytest.raises(UserError) as refused:
        COMMANDS[command](it)
    assert CELLS[cell].__name__ in str(refused.value)
    assert str(refused.value).endswith(advice)
