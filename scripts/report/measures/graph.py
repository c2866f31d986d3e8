"""What it means not to detach: the error, its cause, and what keeping the graph costs."""

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from charlm import reference
from charlm.model import CharLM, ModelState
from charlm.training.truncation import run_again
from scripts.report.measures.by_hand import judge_of

T, B, V, H = 35, 32, 28, 128


def model_and_ids(windows: int) -> tuple[CharLM, Tensor]:
    torch.manual_seed(0)
    # The loop that everyone writes, of which autograd keeps the graph.
    model = CharLM(V, hidden_sizes=[H], backend="eager", initialisation="uniform")
    return model, torch.randint(V, (windows * T + 1, B))


def window_loss(
    model: CharLM, ids_NB: Tensor, number: int, state: ModelState | None
) -> tuple[Tensor, ModelState]:
    window = ids_NB[number * T : (number + 1) * T + 1]
    logits_TBV, state = model(window[:-1], state)
    return F.cross_entropy(logits_TBV.flatten(0, 1), window[1:].flatten()), state


def undetached(runs: list[dict[str, Any]], windows: int) -> dict[str, Any]:
    """Two windows without detaching, and then with the graph kept.

    Returns:
        ``error`` of the second window's backward; ``update_error`` with the graph kept and the
        weights updated in place in between; which tensors are leaves; what the first backward
        freed; and by window, the milliseconds of forward and backward and the MiB that autograd
        keeps, ``detached`` and ``kept``.
    """
    model, ids = model_and_ids(2)
    loss, state = window_loss(model, ids, 0, None)
    node: Any = state[0][0].grad_fn
    loss.backward()
    result: dict[str, Any] = {
        "state_is_leaf": state[0][0].is_leaf,
        "state_made_by": type(node).__name__,
        "leaves": [name for name, weight in model.named_parameters() if weight.is_leaf],
        "freed": message(lambda: node._saved_result),
        "error": message(lambda: window_loss(model, ids, 1, state)[0].backward()),
    }

    loss, state = window_loss(model, ids, 0, None)
    loss.backward(retain_graph=True)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(0.99)
    result["update_error"] = message(
        lambda: window_loss(model, ids, 1, state)[0].backward(retain_graph=True)
    )
    return result | {"detached": costs(windows, keep=False), "kept": costs(windows, keep=True)}


def message(action: Any) -> str | None:
    """The first sentence of the RuntimeError that it raises."""
    try:
        action()
    except RuntimeError as error:
        return str(error).splitlines()[0].split(". ")[0]
    return None


def costs(windows: int, keep: bool) -> dict[str, list[float]]:
    """By window: milliseconds, and MiB kept for the backward pass of all windows so far.

    The weights stay as they are: to update them in place would be the other error.
    """
    model, ids = model_and_ids(windows)
    weights = {weight.data_ptr() for weight in model.parameters()}
    alive: dict[int, int] = {}
    milliseconds, mebibytes = [], []
    state: ModelState | None = None

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            alive[storage.data_ptr()] = storage.nbytes()
        return tensor

    for number in range(windows):
        if not keep:
            alive.clear()
            state = state and tuple(tuple(part.detach() for part in cell) for cell in state)
        start = time.perf_counter()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss, state = window_loss(model, ids, number, state)
        loss.backward(retain_graph=keep)
        milliseconds.append(1e3 * (time.perf_counter() - start))
        mebibytes.append(sum(alive.values()) / 2**20)
    return {"milliseconds": milliseconds, "mebibytes": mebibytes}


def against_reference(runs: list[dict[str, Any]], k1: int, k2: int) -> dict[str, Any]:
    """The largest difference between our BPTT(k1, k2) and the reference's over ten updates, relative
    to the largest gradient."""
    torch.manual_seed(0)
    model = CharLM(V, hidden_sizes=[16], initialisation="uniform").double()
    ids_NB = torch.randint(V, (10 * k1 + 1, 4))
    judge = judge_of(model, reference.RNN)
    state, ids_BS, worst = None, None, 0.0
    evaluations = reference.truncated_updates(
        judge, ids_NB[:-1].numpy(), ids_NB[1:].numpy(), None, k1, k2
    )
    for number, evaluation in enumerate(evaluations):
        window = ids_NB[number * k1 : (number + 1) * k1 + 1]
        logits_TBV, state, ids_BS = run_again(model, window[:-1], state, ids_BS, k2 - k1)
        model.zero_grad()
        F.cross_entropy(logits_TBV.flatten(0, 1), window[1:].flatten()).backward()
        scale = max(np.abs(g).max() for g in evaluation.d_parameters.values())
        for name, weight in model.named_parameters():
            assert weight.grad is not None
            theirs = evaluation.d_parameters[name]
            worst = max(worst, float(np.abs(weight.grad.numpy() - theirs).max() / scale))
            judge.parameters[name] -= 0.5 * theirs
            with torch.no_grad():
                weight.sub_(0.5 * weight.grad)
    return {"difference": worst}
