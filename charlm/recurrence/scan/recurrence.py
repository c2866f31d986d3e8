"""h_t = a_t * h_(t-1) + b_t for all t, in two ways, and its derivative by hand.

    T time steps · B lanes · H hidden size

Of a loss L let g_t = ∂L/∂h_t through everything that comes after step t, and e_t = ∂L/∂h_t through
the output of step t alone. By the chain rule:

g_t = e_t + a_(t+1) * g_(t+1)
∂L/∂b_t = g_t, ∂L/∂a_t = g_t * h_(t-1), ∂L/∂h_0 = a_1 * g_1

So g is a recurrence of the same kind, backwards in time, and whatever computes one computes both.

The loop takes one fused multiply-add a step: on a CPU nothing is faster. The tree (Blelloch 1990)
takes about log T steps, each of all T at once, as a GPU wants it: (a, b) followed by (a', b') is
(a' a, a' b + b'). Neither takes logarithms: products of factors below 1 may vanish, but nothing
overflows.
"""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Forward(Protocol):
    """(a [T, B, H], b [T, B, H], h_0 [B, H]) -> h [T, B, H]."""

    def __call__(self, a_TBH: Tensor, b_TBH: Tensor, hidden_BH: Tensor) -> Tensor: ...


class Backward(Protocol):
    """(a [T, B, H], e [T, B, H]) -> g [T, B, H]."""

    def __call__(self, a_TBH: Tensor, e_TBH: Tensor) -> Tensor: ...


class Way(NamedTuple):
    """How to compute the recurrence, forwards and backwards in time."""

    forward: Forward
    backward: Backward


def _loop(a_TBH: Tensor, b_TBH: Tensor, hidden_BH: Tensor) -> Tensor:
    h_TBH, h = torch.empty_like(b_TBH), hidden_BH
    for a, b, new_h in zip(a_TBH.unbind(), b_TBH.unbind(), h_TBH.unbind(), strict=True):
        h = torch.addcmul(b, a, h, out=new_h)
    return h_TBH


def _backward_loop(a_TBH: Tensor, e_TBH: Tensor) -> Tensor:
    g_TBH = torch.empty_like(a_TBH)
    a, e, g = a_TBH.unbind(), e_TBH.unbind(), g_TBH.unbind()
    g[-1].copy_(e[-1])
    for t in reversed(range(len(g) - 1)):
        torch.addcmul(e[t], a[t + 1], g[t + 1], out=g[t])
    return g_TBH


def _tree(a_TBH: Tensor, b_TBH: Tensor, hidden_BH: Tensor) -> Tensor:
    from torch._higher_order_ops.associative_scan import associative_scan

    def both(earlier: tuple[Tensor, Tensor], later: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return later[0] * earlier[0], later[0] * earlier[1] + later[1]

    factors_TBH, sums_TBH = associative_scan(both, (a_TBH, b_TBH), 0, combine_mode="generic")
    return torch.addcmul(sums_TBH, factors_TBH, hidden_BH)


def _backward_tree(a_TBH: Tensor, e_TBH: Tensor) -> Tensor:
    # Backwards in time the first factor counts for nothing, as there is 0 before it.
    factors_TBH = torch.cat([a_TBH[:1], a_TBH[1:].flip(0)])
    return _tree(factors_TBH, e_TBH.flip(0), torch.zeros_like(e_TBH[0])).flip(0)


# One step after the other; all steps at once, by torch's associative scan.
LOOP, TREE = Way(_loop, _backward_loop), Way(_tree, _backward_tree)


class _Recurrence(torch.autograd.Function):
    """(a [T, B, H], b [T, B, H], h_0 [B, H], way) -> h [T, B, H]."""

    @staticmethod
    def forward(ctx: Any, a_TBH: Tensor, b_TBH: Tensor, hidden_BH: Tensor, way: Way) -> Tensor:
        h_TBH = way.forward(a_TBH, b_TBH, hidden_BH)
        ctx.save_for_backward(a_TBH, h_TBH, hidden_BH)
        ctx.way = way
        return h_TBH

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_h_TBH: Tensor) -> tuple[Tensor | None, ...]:
        a_TBH, h_TBH, hidden_BH = ctx.saved_tensors
        g_TBH = ctx.way.backward(a_TBH, d_h_TBH)
        d_a_TBH = torch.empty_like(g_TBH)
        torch.mul(g_TBH[0], hidden_BH, out=d_a_TBH[0])
        torch.mul(g_TBH[1:], h_TBH[:-1], out=d_a_TBH[1:])
        return d_a_TBH, g_TBH, a_TBH[0] * g_TBH[0], None


def linear_recurrence(
    a_TBH: Tensor, b_TBH: Tensor, hidden_BH: Tensor, way: Way | None = None
) -> Tensor:
    """h_t = a_t * h_(t-1) + b_t, [T, B, H]; it can be differentiated once.

    Args:
        a_TBH, b_TBH: of every step.
        hidden_BH: h_0.
        way: ``LOOP`` or ``TREE``; none: the loop on a CPU, else the tree.

    Raises:
        ValueError: shapes that don't fit, which might otherwise be broadcast.
    """
    if a_TBH.shape != b_TBH.shape or a_TBH.shape[1:] != hidden_BH.shape:
        raise ValueError(
            f"a {tuple(a_TBH.shape)}, b {tuple(b_TBH.shape)} and h_0 {tuple(hidden_BH.shape)} "
            "don't fit one another"
        )
    way = way or (LOOP if a_TBH.is_cpu else TREE)
    h_TBH: Tensor = _Recurrence.apply(a_TBH, b_TBH, hidden_BH, way)
    return h_TBH
