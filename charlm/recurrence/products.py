"""The recurrence's matrix products, on a CPU by whichever of torch's kernels is faster.

In float32 ``torch.mm`` is MKL, which keeps to AVX2 on processors not made by Intel. oneDNN, which
torch carries for what ``torch.compile`` makes of ``nn.Linear``, uses AVX-512 on all that have it:
[32, 512] × [512, 1536] takes 0.16 ms with it and 0.35 ms without (two cores of an AMD EPYC, Zen 5;
torch 2.13). Both give the same up to rounding. Of the products here autograd records ``linear`` alone.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

HAS_ONEDNN = (
    torch.backends.mkldnn.is_available()
    and torch.backends.cpu.get_cpu_capability() == "AVX512"
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)
# In multiply-adds: a smaller product isn't worth the 10 µs that a call of oneDNN costs, and the sum
# that ``torch.addmm`` does on the way. [32, 256] × [256, 256] has half as many.
LEAST = 2**22


def mm(left: Tensor, right: Tensor) -> Tensor:
    """left @ right, of two matrices."""
    return _onednn(left, right.t()) if _is_for_onednn(left, right) else torch.mm(left, right)


class By:
    """Products with one matrix ``right``, many times over.

    Args:
        right: the matrix.
        example: of what it will be multiplied with, shape and type.
    """

    def __init__(self, right: Tensor, example: Tensor) -> None:
        self.right = right
        self.weight: Tensor | None = None
        if _is_for_onednn(example, right):
            self.weight = right.t()
            # Laid out for the kernel beforehand; for a transposed matrix that costs what it saves.
            if self.weight.is_contiguous():
                self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight, len(example))

    def mm(self, left: Tensor) -> Tensor:
        """left @ right"""
        return torch.mm(left, self.right) if self.weight is None else _onednn(left, self.weight)

    def addmm(self, addend: Tensor, left: Tensor, out: Tensor) -> Tensor:
        """``out`` becomes addend + left @ right; it may be the addend itself."""
        if self.weight is None:
            return torch.addmm(addend, left, self.right, out=out)
        return torch.add(addend, _onednn(left, self.weight), out=out)


def linear(layer: nn.Linear, inputs: Tensor) -> Tensor:
    """What ``layer(inputs)`` gives; it can be differentiated once."""
    rows = inputs.flatten(0, -2)
    if torch.is_autocast_enabled(inputs.device.type) or not _is_for_onednn(rows, layer.weight):
        return layer(inputs)
    outputs: Tensor = _Linear.apply(rows, layer.weight, layer.bias)
    return outputs.unflatten(0, inputs.shape[:-1])


class _Linear(torch.autograd.Function):
    """(x [N, I], W [O, I], b [O]) -> x Wᵀ + b [N, O]."""

    @staticmethod
    def forward(ctx: Any, inputs_NI: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(inputs_NI, weight)
        return _onednn(inputs_NI, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_outputs_NO: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        inputs_NI, weight = ctx.saved_tensors
        return mm(d_outputs_NO, weight), mm(d_outputs_NO.t(), inputs_NI), d_outputs_NO.sum(0)


def _is_for_onednn(left: Tensor, right: Tensor) -> bool:
    return (
        HAS_ONEDNN
        and left.is_cpu
        and left.dtype == torch.float32
        and len(left) * right.numel() >= LEAST
    )


def _onednn(left: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """left @ weightᵀ + bias"""
    if not (weight.is_contiguous() or weight.t().is_contiguous()):
        # Of a part of a wider matrix oneDNN would take its reference kernel: 1000 times as slow.
        weight = weight.t().contiguous().t()
    return torch.ops.mkldnn._linear_pointwise.default(left, weight, bias, "none", [], "")
