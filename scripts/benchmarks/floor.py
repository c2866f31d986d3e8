"""The least time that this machine takes for an iteration's matrix products, at their own shapes.

T time steps · B lanes · H hidden size · G gates × H · V vocabulary

Of each part, forward and backward over the steps, the weight's gradient after them, and the output
layer, every way that torch offers is timed, and the fastest counts. A gather costs nothing here.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from scripts.benchmarks.timing import Contestant, Step

# (left [M, K], right [K, N]) -> their product, again and again; what can be laid out once, is.
Way = Callable[[Tensor, Tensor], Step]


def _torch(left: Tensor, right: Tensor) -> Step:
    out = right.new_empty(len(left), right.shape[1])
    return lambda: torch.mm(left, right, out=out)


def _torch_transposed(left: Tensor, right: Tensor) -> Step:
    """The left matrix column by column, as a gradient by a weight takes it."""
    return _torch(left.t().contiguous().t(), right)


def _onednn(left: Tensor, right: Tensor) -> Step:
    packed = torch.ops.mkldnn._reorder_linear_weight(right.t().contiguous(), len(left))
    multiply = torch.ops.mkldnn._linear_pointwise.default
    return lambda: multiply(left, packed, None, "none", [], "")


def _mkl(left: Tensor, right: Tensor) -> Step:
    weight = right.t().contiguous()
    packed = torch.ops.mkl._mkl_reorder_linear_weight(weight, len(left))
    return lambda: torch.ops.mkl._mkl_linear(left, packed, weight, None, len(left))


WAYS: dict[str, Way] = {
    "torch.mm": _torch,
    "torch.mm, columns": _torch_transposed,
    "oneDNN, packed": _onednn,
    "MKL, packed": _mkl,
}


def parts(
    gates: int, hidden_size: int, num_lanes: int, num_steps: int, vocab_size: int, device: str
) -> dict[tuple[str, str], Step]:
    """What is timed: (part, way) -> all products of an iteration of that part."""
    B, T, H, G, V = num_lanes, num_steps, hidden_size, gates * hidden_size, vocab_size
    rows = T * B
    # (part): each product's (rows, inner, columns), and how often it is made.
    shapes = {
        "forward": [(B, H, G, T)],
        "backward": [(B, G, H, T)],
        "weights": [(H, rows, G, 1)],
        "output": [(rows, H, V, 1), (rows, V, H, 1), (V, rows, H, 1)],
    }
    steps: dict[tuple[str, str], Step] = {}
    for part, products in shapes.items():
        for name, way in WAYS.items():
            try:
                calls: list[Step] = []
                for num_rows, inner, columns, times in products:
                    left = torch.randn(num_rows, inner, device=device)
                    multiply = way(left, torch.randn(inner, columns, device=device))
                    multiply()
                    calls += [multiply] * times
            except (AttributeError, NotImplementedError, RuntimeError):
                continue  # torch was built without it, or has it on a CPU only
            steps[part, name] = partial(_all, calls)
    return steps


def _all(calls: Sequence[Step]) -> None:
    for call in calls:
        call()


def floor(timed: dict[tuple[str, str], Contestant]) -> tuple[float, str]:
    """Seconds an iteration, the fastest way of each part added up; and which ways these are."""
    seconds, ways = 0.0, []
    for part in dict.fromkeys(part for part, _ in timed):
        best = min((name for p, name in timed if p == part), key=lambda n: timed[part, n].median)
        seconds += timed[part, best].median
        ways.append(f"{part} {best}")
    return seconds, "; ".join(ways)
