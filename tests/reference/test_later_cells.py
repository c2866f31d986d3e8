"""The cells of 2016 to 2024 against the judge, which says the papers' equations in NumPy.

T time steps · B lanes · I input size · H hidden size
"""
# ruff: noqa: E741 - I is the input size.

from typing import Any

import numpy as np
import pytest
import torch
from helpers.judging import assert_close
from torch.nn import functional as F

from charlm.cells import CELLS, SLSTM
from charlm.cells.options import build
from charlm.recurrence import unroll
from charlm.reference.later_cells import STEPS

T, B, I, H = 6, 3, 4, 5
CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in STEPS),
    ("mogrifier_lstm", {"rounds": 0}),
    ("mogrifier_lstm", {"rounds": 4, "rank": 2}),
    ("mogrifier_lstm", {"rounds": 3}),
]


def test_every_cell_has_a_judge() -> None:
    assert {*CELLS} == {"rnn", "gru", "lstm", *STEPS}


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_text_is_the_judge_s(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    (cell,) = build([name], [I, H], options)
    cell = cell.double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_()
    ids_TB = torch.randint(I, (T, B))
    with torch.no_grad():
        outputs_TBH, final = unroll(cell, ids_TB, cell.initial_state(B), "eager")

    parameters = {n: p.detach().numpy() for n, p in cell.named_parameters()}
    state = tuple(np.zeros((B, H)) for _ in (cell.state_names if name != "slstm" else range(3)))
    for x, output_BH in zip(F.one_hot(ids_TB, I).double().numpy(), outputs_TBH, strict=True):
        state = STEPS[name](parameters, x, state)
        assert_close(output_BH, state[0], 1e-11)
    if name == "slstm":
        h, c, n, m = (part.numpy() for part in final)
        final_state = (h, c * np.exp(m), n * np.exp(m))
    else:
        final_state = tuple(part.numpy() for part in final)
    for mine, his in zip(final_state, state, strict=True):
        assert_close(mine, his, 1e-11)


def test_the_slstm_doesn_t_overflow() -> None:
    """Where the plain exponentials are far beyond float32, upwards and downwards."""
    cell = SLSTM(2, 3)
    cell.initialise("book")
    with torch.no_grad():
        cell.weight_ih[:3] = torch.tensor([[200.0, -200.0]])  # ĩ
    ids_TB = torch.tensor([[1], [0], [1], [1], [0]])
    outputs, final = unroll(cell, ids_TB, cell.initial_state(1), "eager")
    outputs.sum().backward()
    assert all(part.isfinite().all() for part in (outputs, *final))
    assert all(p.grad is not None and p.grad.isfinite().all() for p in cell.parameters())


def test_rg_lru_starts_with_the_paper_s_decay() -> None:
    (cell,) = build(["rg_lru"], [4, 2000], None)
    cell.initialise("uniform")
    shares = torch.exp(-8 * F.softplus(cell.get_parameter("decay"))).detach()
    assert shares.min() >= 0.9
    assert shares.max() <= 0.999
    assert shares.mean().item() == pytest.approx(0.9495, abs=0.003)
    assert shares.std().item() == pytest.approx(0.099 / 12**0.5, rel=0.05)
