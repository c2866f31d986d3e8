"""The same gradient four times: NumPy, autograd, derived by hand, the library; and RTRL's cost."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from charlm import reference
from charlm.errors import UserError
from charlm.model import CharLM
from charlm.recurrence import BACKENDS
from scripts.benchmarks import rtrl_cost

T, B, V, H = 35, 8, 28, 64
CELLS = {"rnn": reference.RNN, "gru": reference.GRU, "lstm": reference.LSTM}


def judge_of(model: CharLM, cell: Callable[..., reference.Cell]) -> reference.LanguageModel:
    """A model of one layer in NumPy, with the same weights."""
    weights = {name: w.detach().numpy() for name, w in model.cells[0].named_parameters()}
    output = model.output
    weight, bias = output.weight.detach().numpy(), output.bias.detach().numpy()
    return reference.LanguageModel([cell(**weights)], weight, bias)


def differences(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """By cell, dtype and backend, the largest difference of any gradient from the NumPy reference's
    (in float64), relative to the largest gradient; None where a backend can't serve the cell."""
    result: dict[str, Any] = {}
    for name, cell in CELLS.items():
        torch.manual_seed(0)
        model = CharLM(V, hidden_sizes=[H], cell=name, initialisation="uniform").double()
        ids_TB = torch.randint(V, (T + 1, B))
        judge = judge_of(model, cell)
        truth = judge.evaluate(ids_TB[:-1].numpy(), ids_TB[1:].numpy()).d_parameters
        scale = max(np.abs(gradient).max() for gradient in truth.values())
        for dtype in (torch.float64, torch.float32):
            model = model.to(dtype)
            for backend in BACKENDS:
                model.backend = backend
                model.zero_grad()
                try:
                    logits_TBV, _ = model(ids_TB[:-1])
                except UserError:
                    error = None
                else:
                    F.cross_entropy(logits_TBV.flatten(0, 1), ids_TB[1:].flatten()).backward()
                    error = max(
                        float(np.abs(weight.grad.double().numpy() - truth[name_]).max() / scale)
                        for name_, weight in model.named_parameters()
                        if weight.grad is not None
                    )
                key = str(dtype).removeprefix("torch.")
                result.setdefault(name, {}).setdefault(key, {})[backend] = error
    return result


def rtrl_against_bptt(
    runs: list[dict[str, Any]], sizes: list[int], num_steps: int, repeats: int
) -> dict[str, Any]:
    """Milliseconds of both in NumPy by hidden size, one lane, and the largest relative difference
    of their gradients."""
    bptt_ms, rtrl_ms, worst = [], [], 0.0
    for size in sizes:
        cell, x_TBI, d_TBH = rtrl_cost.problem(num_steps, 1, V, size)

        def by_bptt(cell: Any = cell, x: Any = x_TBI, d: Any = d_TBH) -> Any:
            return reference.bptt(cell, reference.unroll(cell, x), d).parameters

        def by_rtrl(cell: Any = cell, x: Any = x_TBI, d: Any = d_TBH) -> Any:
            return reference.rtrl(cell, x, None, d)

        ours, theirs = by_rtrl(), by_bptt()
        scale = max(np.abs(gradient).max() for gradient in theirs.values())
        worst = max(worst, *(np.abs(ours[n] - theirs[n]).max() / scale for n in theirs))
        bptt_ms.append(rtrl_cost.milliseconds(by_bptt, repeats))
        rtrl_ms.append(rtrl_cost.milliseconds(by_rtrl, repeats))
    return {"bptt": bptt_ms, "rtrl": rtrl_ms, "difference": float(worst)}
