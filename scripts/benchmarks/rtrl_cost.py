"""What RTRL costs against BPTT as H grows: multiply-adds by formula, and milliseconds measured.

T time steps · B lanes · I input size · H hidden size

Both give the same gradient. RTRL carries H²K sensitivities (K = I + H + 1) forward, and pays for
each of them with H multiply-adds a step; BPTT goes back over the T states that it kept.
"""
# ruff: noqa: E741 - I is the input size.

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np

from charlm.reference import RNN, Array, bptt, rtrl, unroll
from scripts.arguments import count


def bptt_multiply_adds(T: int, B: int, I: int, H: int) -> int:
    """Of the matrix products, a step and lane: W_ih x and W_hh h, and two as large for each on
    the way back (by the weights, by x or h)."""
    return T * B * 3 * H * (I + H)


def rtrl_multiply_adds(T: int, B: int, I: int, H: int) -> int:
    """Of the matrix products, a step and lane: W_ih x and W_hh h, then W_hh times the
    sensitivities [H, H·K], and ∂L_t/∂h [H] times them."""
    K = I + H + 1
    return T * B * (H * (I + H) + H * H * H * K + H * H * K)


def milliseconds(function: Callable[[], object], repeats: int) -> float:
    """The shortest of ``repeats`` calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def problem(T: int, B: int, I: int, H: int) -> tuple[RNN, Array, Array]:
    """An RNN, inputs and ∂L/∂ outputs, drawn from seed 0."""
    random = np.random.default_rng(0)
    cell = RNN(
        weight_ih=random.normal(size=(H, I)) / I**0.5,
        weight_hh=random.normal(size=(H, H)) / H**0.5,
        bias=np.zeros(H),
    )
    return cell, random.normal(size=(T, B, I)), random.normal(size=(T, B, H))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hidden-sizes", type=count, nargs="+", default=[4, 8, 16, 32, 64])
    parser.add_argument("--num-steps", type=count, default=16)
    parser.add_argument("--num-lanes", type=count, default=1)
    parser.add_argument("--input-size", type=count, default=28)
    parser.add_argument("--repeats", type=count, default=3)
    options = parser.parse_args(arguments)
    T, B, I = options.num_steps, options.num_lanes, options.input_size

    print(f"{T} steps, {B} lanes, {I} inputs; multiply-adds of the matrix products")
    print(f"{'H':>5} {'BPTT':>14} {'RTRL':>16} {'ratio':>8} {'BPTT ms':>9} {'RTRL ms':>10}")
    for H in options.hidden_sizes:
        cell, x_TBI, d_TBH = problem(T, B, I, H)
        by_bptt = bptt_multiply_adds(T, B, I, H)
        by_rtrl = rtrl_multiply_adds(T, B, I, H)
        ms_bptt = milliseconds(lambda: bptt(cell, unroll(cell, x_TBI), d_TBH), options.repeats)  # noqa: B023
        ms_rtrl = milliseconds(lambda: rtrl(cell, x_TBI, None, d_TBH), options.repeats)  # noqa: B023
        print(
            f"{H:5} {by_bptt:14,} {by_rtrl:16,} {by_rtrl / by_bptt:8.1f} "
            f"{ms_bptt:9.3f} {ms_rtrl:10.3f}"
        )


if __name__ == "__main__":
    main()
