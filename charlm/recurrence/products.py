"""The recurrence's matrix products, on a CPU by whichever of torch's kernels is faster.

In float32 ``torch.mm`` is MKL, which keeps to AVX2 on processors not made by Intel. oneDNN, which
torch carries for what ``torch.compile`` makes of ``nn.Linear``, uses AVX-512 on all that have it:
[32, 512] × [512, 1536] takes 0.16 ms with it and 0.35 ms without (two cores of an AMD EPYC, Zen 5;
torch 2.13). On Intel's own MKL has AVX-512, too: the steps with a weight that it has laid out beforehand
take 0.17 ms, with oneDNN 0.20 ms, and the gradient by that weight, of 1,088 rows, 5.6 ms instead of 8.3
(two cores of a Xeon). In bfloat16 ``torch.mm`` is oneDNN, too, which lays out the weight anew
in every call: 0.11 ms, and 0.07 ms where it is laid out once (the same Xeon, with AMX). On an AMD
processor with AVX2 alone, a step of a GRU with 512 units takes 0.45 ms with a weight that oneDNN has
laid out beforehand, with MKL 0.52 ms (Zen 3). All give the same up to rounding. Of the products here
autograd records ``linear`` alone.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from charlm.cells import Cell

_CAPABILITY = torch.backends.cpu.get_cpu_capability()
ABILITIES = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
_PROCESSOR = str(ABILITIES.get("cpu_name"))
_CARRIES_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(
    torch.ops.mkldnn, "_linear_pointwise"
)
HAS_ONEDNN = _CARRIES_ONEDNN and _CAPABILITY == "AVX512"
HAS_PACKED_MKL = (
    HAS_ONEDNN and _PROCESSOR.startswith("Intel") and hasattr(torch.ops.mkl, "_mkl_linear")
)
# With AVX2 alone the two are equally fast, but a wide matrix that oneDNN has laid out beforehand wins.
HAS_WIDE_ONEDNN = _CARRIES_ONEDNN and _CAPABILITY == "AVX2" and _PROCESSOR.startswith("AMD")
# In multiply-adds: a smaller product isn't worth the 10 µs that a call of oneDNN costs, and the sum
# that ``torch.addmm`` does on the way. [32, 256] × [256, 256] has half as many.
LEAST = 2**22
# Products with a matrix that must be turned around before it is laid out.
LEAST_TIMES = 16
# Of bfloat16, and with AVX2 alone, where it costs the laying out.
LEAST_TO_LAY_OUT = 2**24
# So many rows of float32 stay in a core's cache.
ROWS_AT_A_TIME = 160


def mm(left: Tensor, right: Tensor) -> Tensor:
    """left @ right, of two matrices."""
    return _onednn(left, right.t()) if _is_worth_onednn(left, right) else torch.mm(left, right)


class By:
    """Products with one matrix ``right``, many times over.

    Args:
        right: the matrix.
        example: of what it will be multiplied with, shape and type.
        times: how often, about.
    """

    def __init__(self, right: Tensor, example: Tensor, times: int) -> None:
        self.right = right
        # What a kernel takes: the matrix transposed, as it is or laid out for the kernel.
        self.weight: Tensor | None = None
        self.packed: Tensor | None = None
        if _is_worth_packing(example, right, times):
            self.weight = right.t().contiguous()
            self.packed = torch.ops.mkl._mkl_reorder_linear_weight(self.weight, len(example))
        elif _is_worth_onednn(example, right):
            self.weight = right.t()
            # Laid out for the kernel beforehand; for a transposed matrix that costs what it saves.
            if self.weight.is_contiguous():
                self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight, len(example))
        elif _is_worth_laying_out(example, right, times):
            self.weight = torch.ops.mkldnn._reorder_linear_weight(
                right.t().contiguous(), len(example)
            )

    def mm(self, left: Tensor) -> Tensor:
        """left @ right"""
        if self.packed is not None:
            multiply = torch.ops.mkl._mkl_linear
            product: Tensor = multiply(left, self.packed, self.weight, None, len(left))
            return product
        return torch.mm(left, self.right) if self.weight is None else _onednn(left, self.weight)

    def addmm(self, addend: Tensor, left: Tensor, out: Tensor) -> Tensor:
        """``out`` becomes addend + left @ right; it may be the addend itself."""
        if self.packed is not None:
            return torch.add(addend, self.mm(left), out=out)
        if self.weight is None:
            return torch.addmm(addend, left, self.right, out=out)
        if left.dtype == torch.bfloat16:  # the sum is rounded once
            add = torch.ops.mkldnn._linear_pointwise.binary
            return out.copy_(add(left, addend, self.weight, None, "add"))
        return torch.add(addend, _onednn(left, self.weight), out=out)


def linear(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """What ``torch.nn.functional.linear`` gives; it can be differentiated once."""
    rows = inputs.flatten(0, -2)
    if torch.is_autocast_enabled(inputs.device.type) or not _is_worth_onednn(rows, weight):
        return F.linear(inputs, weight, bias)
    outputs: Tensor = _Linear.apply(rows, weight, bias)
    return outputs.unflatten(0, inputs.shape[:-1])


def project(cell: Cell, inputs: Tensor) -> Tensor:
    """What ``cell.project(inputs)`` gives, of a cell whose ``project`` is that of ``Cell``.

    It can be differentiated once.
    """
    if inputs.dtype != torch.long:
        return linear(inputs, cell.weight_ih, cell.bias)
    device, dtype = inputs.device.type, cell.weight_ih.dtype
    if torch.is_autocast_enabled(device) and cell.has_weight_hh:
        dtype = torch.get_autocast_dtype(device)
    elif not inputs.is_cpu or inputs.numel() <= cell.input_size:
        return cell.project(inputs)
    gathered: Tensor = _Gather.apply(cell.weight_ih.t().contiguous() + cell.bias, inputs, dtype)
    return gathered


class _Gather(torch.autograd.Function):
    """(table [V, G], ids [...], a type) -> its rows [..., G] in that type.

    In half precision a gather reads and writes half as much; the gradients are summed in the table's
    type. On a CPU ``index_add_`` takes half the time of an embedding's own backward pass.
    """

    @staticmethod
    def forward(ctx: Any, table_VG: Tensor, ids: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.num_rows, ctx.dtype = len(table_VG), table_VG.dtype
        return F.embedding(ids, table_VG.to(dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_rows: Tensor) -> tuple[Tensor, None, None]:
        (ids,) = ctx.saved_tensors
        if not d_rows.is_cpu:
            d_rows, of_ids = d_rows.to(ctx.dtype), torch.ops.aten.embedding_dense_backward
            return of_ids(d_rows, ids, ctx.num_rows, -1, False), None, None
        d_table_VG = d_rows.new_zeros(ctx.num_rows, d_rows.shape[-1], dtype=ctx.dtype)
        ids_N, d_NG = ids.flatten(), d_rows.flatten(0, -2)
        # What is converted is still in a core's cache when it is added.
        rows = len(ids_N) if d_NG.dtype == ctx.dtype else ROWS_AT_A_TIME
        for some_ids, some_d in zip(ids_N.split(rows), d_NG.split(rows), strict=True):
            d_table_VG.index_add_(0, some_ids, some_d.to(ctx.dtype))
        return d_table_VG, None, None


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
        # oneDNN lays out the left one anew: that is the narrower one.
        if len(weight) > weight.shape[1]:
            d_weight = mm(inputs_NI.t(), d_outputs_NO).t()
        else:
            d_weight = mm(d_outputs_NO.t(), inputs_NI)
        return mm(d_outputs_NO, weight), d_weight, d_outputs_NO.sum(0)


def _is_worth_onednn(left: Tensor, right: Tensor) -> bool:
    return HAS_ONEDNN and not HAS_PACKED_MKL and _is_worth_a_kernel(left, right)


def _is_worth_packing(left: Tensor, right: Tensor, times: int) -> bool:
    # To turn a matrix around first takes as long as it saves in some ten products.
    is_soon_laid_out = right.t().is_contiguous() or times >= LEAST_TIMES
    return HAS_PACKED_MKL and _is_worth_a_kernel(left, right) and is_soon_laid_out


def _is_worth_a_kernel(left: Tensor, right: Tensor) -> bool:
    return left.is_cpu and left.dtype == torch.float32 and len(left) * right.numel() >= LEAST


def _is_worth_laying_out(left: Tensor, right: Tensor, times: int) -> bool:
    if not left.is_cpu or len(left) * right.numel() < LEAST_TO_LAY_OUT:
        return False
    if left.dtype == torch.bfloat16:
        is_supported = HAS_ONEDNN and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
        return is_supported and right.t().is_contiguous()
    return HAS_WIDE_ONEDNN and left.dtype == torch.float32 and times >= LEAST_TIMES


def _onednn(left: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """left @ weightᵀ + bias"""
    if not (weight.is_contiguous() or weight.t().is_contiguous()):
        # Of a part of a wider matrix oneDNN would take its reference kernel: 1000 times as slow.
        weight = weight.t().contiguous().t()
    return torch.ops.mkldnn._linear_pointwise.default(left, weight, bias, "none", [], "")
