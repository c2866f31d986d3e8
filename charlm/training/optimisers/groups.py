"""Which parameters an optimiser treats alike: gate matrices, other matrices, vectors.

G gates · H hidden size · I input size
"""

from collections.abc import Iterator
from typing import Any

from torch.nn import Parameter

from charlm.model import CharLM


def gate_matrices(model: CharLM) -> Iterator[tuple[Parameter, int]]:
    """The recurrent and the layer-to-layer matrices, [G·H, H or I], each with its G.

    A matrix whose columns stand for symbols isn't one: a symbol's column has a gradient only where
    the symbol occurs, and the columns have nothing to do with each other.
    """
    for i, cell in enumerate(model.cells):
        for name, parameter in cell.named_parameters():
            reads_symbols = i == 0 and model.embedding is None and name == "weight_ih"
            if parameter.dim() == 2 and not reads_symbols:
                is_fused = len(parameter) == cell.num_gates * cell.hidden_size
                yield parameter, cell.num_gates if is_fused else 1


def decayed(model: CharLM, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: the matrices, which decay, and the biases, which don't."""
    parameters = list(model.parameters())
    return _filled(
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    )


def gate_groups(model: CharLM, weight_decay: float, rate: float) -> list[dict[str, Any]]:
    """The groups of ``decayed`` without the gate matrices, and a group of those for each G.

    Args:
        model: whose parameters they are.
        weight_decay: of the matrices.
        rate: the gate matrices' learning rate.
    """
    matrices = dict(gate_matrices(model))
    others = [
        {**group, "params": [p for p in group["params"] if p not in matrices]}
        for group in decayed(model, weight_decay)
    ]
    fused = [
        {
            "params": [p for p in matrices if matrices[p] == num_gates],
            "num_gates": num_gates,
            "lr": rate,
            "weight_decay": weight_decay,
        }
        for num_gates in sorted(set(matrices.values()))
    ]
    return _filled(*others, *fused)


def _filled(*groups: dict[str, Any]) -> list[dict[str, Any]]:
    return [group for group in groups if group["params"]]
