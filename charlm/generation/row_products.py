"""Products of a few rows with a weight, where no row's result depends on how many rows there are.

    B rows

A text written among others must be the text that is written alone, character for character, so
its products must have the same bits in both cases. BLAS gives other bits for one row than for
many. But oneDNN's product of many rows and FBGEMM's weighted sum of a table's rows (in torch:
``embedding_bag``), which is the product of one row, add up every output alike: input after input,
each with one rounding (a fused multiply-add). Whether they do on this machine is tried out, for
every shape, before they are trusted; where they don't, many rows are multiplied one by one.

One row's product takes as long as its weight takes to be read: half of that in 16 bits, a quarter in
8. In float16 and bfloat16 rows, weight and products are rounded to it, and what is added up in between
is in float32; of bfloat16 the kernels round halves in different ways, so that many rows are multiplied
one by one. In int8 the weights of each input are whole numbers of 0 to 255 of a step of their own;
all else is in float32.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

# NumPy's on a CPU, torch's elsewhere.
Array = Any
# Rows [B, in] -> [B, out].
Multiply = Callable[[Array], Array]

# What weights may be kept in.
WEIGHTS = ("float32", "float16", "bfloat16", "int8")
HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}

# Columns of a part of a table, whose sums stay in the vector registers, of which AVX2 has few and
# short ones; and how many columns a table must have for that to be worth it.
WIDTH, LEAST_PARTED = (
    (96, 2048) if torch.backends.cpu.get_cpu_capability() == "AVX2" else (512, 1025)
)
# For how many rows oneDNN lays out a weight.
ROWS = 64
HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Product:
    """x Wᵀ for rows x [B, in].

    With W of 512 × 512, one row takes 16 µs (BLAS: 12 µs), 64 rows take 150 µs (BLAS: 360 µs; one
    core of an AMD EPYC, Zen 5).

    Args:
        weights: W [out, in], which is copied; if several, one above the other.
        kept: one of ``WEIGHTS``; any but float32 on a CPU, for rows in float32.
    """

    def __init__(self, *weights: Tensor, kept: str = "float32") -> None:
        self._num_outputs = sum(len(weight) for weight in weights)
        self._half = HALVES.get(kept)
        self._table = _table(*weights).to(dtype=self._half)
        self._agree = (
            self._table.is_cpu
            and self._table.dtype in (torch.float32, torch.float16)
            and kept != "int8"
            and agree(self._num_outputs, len(self._table), self._table.dtype)
        )
        self._sum: WeightedSum | None = None
        if self._agree or kept != "float32":
            self._sum = WeightedSum(self._table, in_bytes=kept == "int8")
            del self._table  # it lies in the sum's parts
        self._packed: Tensor | None = None

    def __call__(self, rows: Array) -> Array:
        """[B, in] -> [B, out]"""
        return self.padded(rows)[:, : self._num_outputs]

    def padded(self, rows: Array) -> Array:
        """[B, in] -> [B, out], or some columns more."""
        if len(rows) > 1 and not self._agree:
            return _join([self.padded(rows[row : row + 1]) for row in range(len(rows))])
        if isinstance(rows, Tensor):
            return rows @ self._table
        tensor = torch.from_numpy(rows).to(dtype=self._half)
        if self._sum is None:
            return (tensor @ self._table).numpy()
        if len(rows) == 1:
            products = self._sum(tensor[0])
        else:
            if self._packed is None:
                self._packed = _packed(self._sum.table()[:, : self._num_outputs].t())
            products = _of_many(tensor, self._packed)
        return (products if self._half is None else products.float()).numpy()


class StackedProducts:
    """x W_hhᵀ and x W_outᵀ of the same x, both at once: what is asked for second is at hand.

    Rows are asked for again by being the same array: whoever changes a state makes another one.

    Args:
        weight_hh: W_hh [G, H].
        weight_out: W_out [V, H].
        kept: see ``Product``.
    """

    def __init__(self, weight_hh: Tensor, weight_out: Tensor, kept: str = "float32") -> None:
        self._products = Product(weight_hh, weight_out, kept=kept).padded
        self._gates = slice(len(weight_hh))
        self._outputs = slice(len(weight_hh), len(weight_hh) + len(weight_out))
        self._last: tuple[Array, Array] = (None, None)

    def recurrent(self, rows: Array) -> Array:
        """[B, H] -> [B, G]"""
        return self._of(rows)[:, self._gates]

    def output(self, rows: Array) -> Array:
        """[B, H] -> [B, V]"""
        return self._of(rows)[:, self._outputs]

    def _of(self, rows: Array) -> Array:
        last, products = self._last
        if last is not rows:
            products = self._products(rows)
            self._last = rows, products
        return products


class WeightedSum:
    """Of a row x [in] the sum of a table's rows weighted by it: x times the table, [1, out].

    P parts · I inputs · W columns of a part

    A wide table's columns are parted into tables of their own, one below the other, of which each
    gives a sum: they are read from end to end, and what is added up stays in registers.

    Args:
        table: [I, out]
        in_bytes: whether to keep it in whole numbers of 0 to 255, each part of an input's weights of
            a step of their own.
    """

    def __init__(self, table: Tensor, in_bytes: bool = False) -> None:
        num_inputs, num_outputs = table.shape
        self._num_parts = -(-num_outputs // WIDTH) if num_outputs >= LEAST_PARTED else 1
        width = -(-num_outputs // (16 * self._num_parts)) * 16  # whole cache lines
        filled = F.pad(table, (0, width * self._num_parts - num_outputs))
        parts_PIW = filled.unflatten(1, (self._num_parts, width)).transpose(0, 1)
        self._parts = parts_PIW.reshape(-1, width)
        self._every = torch.arange(len(self._parts), dtype=torch.int32)
        self._starts = torch.arange(0, len(self._parts), num_inputs, dtype=torch.int32)
        self._add = torch.embedding_bag
        if in_bytes:
            self._parts = torch.ops.quantized.embedding_bag_byte_prepack(self._parts)
            self._add = torch.ops.quantized.embedding_bag_byte_rowwise_offsets.default

    def __call__(self, row: Tensor) -> Tensor:
        """[in] -> [1, out], or some columns more."""
        factors = torch.cat([row] * self._num_parts) if self._num_parts > 1 else row
        found = self._add(self._parts, self._every, self._starts, False, 0, False, factors)
        sums: Tensor = found if isinstance(found, Tensor) else found[0]
        return sums.view(1, -1)

    def table(self) -> Tensor:
        """The table again, or with some columns more; not of one in bytes."""
        return self._parts.unflatten(0, (self._num_parts, -1)).transpose(0, 1).flatten(1)


@cache
def agree(num_outputs: int, num_inputs: int, dtype: torch.dtype) -> bool:
    """Whether one row's product and that of many rows have the same bits, for weights of a shape."""
    if not HAS_ONEDNN:
        return False
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(num_outputs, num_inputs, generator=generator).to(dtype)
    rows = torch.randn(ROWS, num_inputs, generator=generator).to(dtype)
    packed = _packed(weight)
    product = _of_many(rows, packed)
    of_one = WeightedSum(_table(weight))
    return all(
        torch.equal(_of_many(rows[:num_rows], packed), product[:num_rows])
        for num_rows in (2, 3, 5, 16, 33)
    ) and all(
        torch.equal(of_one(rows[row])[0, :num_outputs], product[row]) for row in (0, 1, 31, 63)
    )


def _table(*weights: Tensor) -> Tensor:
    """[in, out] of weights [out, in] one above the other, each row filled up to whole cache lines.

    Rows of any other length would cost a sixth more.
    """
    filling = weights[0].new_zeros(-sum(map(len, weights)) % 16, weights[0].shape[1])
    return torch.cat([*weights, filling]).t().contiguous()


def _packed(weight: Tensor) -> Tensor:
    weight = weight.float().contiguous()
    laid_out: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)
    return laid_out


def _of_many(rows: Tensor, packed: Tensor) -> Tensor:
    multiply = torch.ops.mkldnn._linear_pointwise.default
    product: Tensor = multiply(rows.float(), packed, None, "none", [], "")
    return product.to(rows.dtype)


def _join(arrays: list[Array]) -> Array:
    return torch.cat(arrays) if isinstance(arrays[0], Tensor) else np.concatenate(arrays)
