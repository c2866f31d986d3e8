"""The recurrence's matrix products, on a CPU by whichever of torch's kernels is faster.

In float32 ``torch.mm`` is MKL, which keeps to AVX2 on processors not made by Intel. oneDNN, which
torch carries for what ``torch.compile`` makes of ``nn.Linear``, uses AVX-512 on all that have it:
[32, 512] × [512, 1536] takes 0.16 ms with it and 0.35 ms without (two cores of an AMD EPYC, Zen 5;
torch 2.13). Both give the same up to rounding. No product here is recorded by autograd.
"""

import torch
from torch import Tensor

_linear = (
    getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX512"
    else None
)
# In multiply-adds: a smaller product isn't worth the 10 µs that a call of oneDNN costs.
_LEAST = 2**20


def mm(left: Tensor, right: Tensor) -> Tensor:
    """left @ right, of two matrices."""
    if _for_onednn(left, right):
        return _linear(left, right.t(), None, "none", [], "")  # type: ignore[misc]
    return torch.mm(left, right)


def addmm(addend: Tensor, left: Tensor, right: Tensor, out: Tensor) -> Tensor:
    """``out`` becomes addend + left @ right; it may be the addend itself."""
    if _for_onednn(left, right):
        return torch.add(addend, mm(left, right), out=out)
    return torch.addmm(addend, left, right, out=out)


def _for_onednn(left: Tensor, right: Tensor) -> bool:
    return (
        _linear is not None
        and left.is_cpu
        and left.dtype == torch.float32
        and len(left) * right.numel() >= _LEAST
    )
