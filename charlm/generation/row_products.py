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

# NumPy's on a CPU, torch's elsewhere.
Array = Any
# Rows [B, in] -> [B, out].
Multiply = Callable[[Array], Array]

# What weights may be kept in.
WEIGHTS = ("float32", "float16", "bfloat16", "int8")
HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}

# Columns of a part of a table.
WIDTH = 512
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
        self._is_short = kept != "float32"
        table = _table(*weights).to(dtype=self._half)
        self._agree = (
            table.is_cpu
            and table.dtype in (torch.float32, torch.float16)
            and kept != "int8"
            and agree(self._num_outputs, len(table), table.dtype)
        )
        self._is_summed = self._agree or self._is_short
        self._parts = _parts(table) if self._is_summed else [table]
        self._sums = _sums_of_bytes(table) if kept == "int8" else _sums_of(self._parts)
        if kept == "int8":
            self._parts = []
        self._packed: Tensor | None = None

    def __call__(self, rows: Array) -> Array:
        """[B, in] -> [B, out]"""
        return self.padded(rows)[:, : self._num_outputs]

    def padded(self, rows: Array) -> Array:
        """[B, in] -> [B, out], or some columns more."""
        if len(rows) > 1 and not self._agree:
            return _join([self.padded(rows[row : row + 1]) for row in range(len(rows))])
        if isinstance(rows, Tensor):
            return rows @ self._parts[0]
        tensor = torch.from_numpy(rows).to(dtype=self._half)
        if not self._is_summed:
            return (tensor @ self._parts[0]).numpy()
        if len(rows) == 1:
            sums = self._sums(tensor[0])
        else:
            if self._packed is None:
                self._packed = _packed(torch.cat(self._parts, 1)[:, : self._num_outputs].t())
            sums = _of_many(tensor, self._packed)
        return (sums if self._half is None else sums.float()).numpy()


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
    of_one = _sums_of(_parts(_table(weight)))
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


def _parts(table: Tensor) -> list[Tensor]:
    """A table's columns as tables of their own, where it is wide.

    They are read from end to end, and what is added up stays in registers: with 2,048 columns in 16
    bits that takes two thirds of the time.
    """
    width = WIDTH if table.shape[1] > 2 * WIDTH else table.shape[1]
    return [part.contiguous() for part in table.split(width, dim=1)]


def _sums_of(parts: list[Tensor]) -> Callable[[Tensor], Tensor]:
    """Of a row x [in] the sum of a table's rows weighted by it, [1, out]."""
    every, start = torch.arange(len(parts[0]), dtype=torch.int32), torch.zeros(1, dtype=torch.int32)

    def sums(row: Tensor) -> Tensor:
        found = [torch.embedding_bag(p, every, start, False, 0, False, row)[0] for p in parts]
        return found[0] if len(found) == 1 else torch.cat(found, 1)

    return sums


def _sums_of_bytes(table: Tensor) -> Callable[[Tensor], Tensor]:
    """As ``_sums_of``, of a table that is kept in bytes."""
    packed = torch.ops.quantized.embedding_bag_byte_prepack(table)
    every, start = torch.arange(len(table), dtype=torch.int32), torch.zeros(1, dtype=torch.int32)

    def sums(row: Tensor) -> Tensor:
        add = torch.ops.quantized.embedding_bag_byte_rowwise_offsets.default
        found: Tensor = add(packed, every, start, False, 0, False, row)
        return found

    return sums


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
