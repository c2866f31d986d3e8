"""Two ways to train, one against the other: linear cells against the LSTM, half against single."""

from collections.abc import Iterator
from typing import Any

import torch

from charlm.model import CharLM, detach
from charlm.recurrence.products import ABILITIES
from scripts.benchmarks.contestants import CHARACTERS, V, module_step
from scripts.benchmarks.timing import Step, interleave, ratio_spread, say


def model_step(cell: str, sizes: list[int], is_half: bool = False) -> Step:
    """An iteration of an ordinary loop over our model, under autocast to bfloat16 if ``is_half``."""
    model = CharLM(V, hidden_sizes=sizes, cell=cell, initialisation="uniform")
    step = module_step(model, detach, "cpu")

    def under_autocast() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            step()

    return under_autocast if is_half else step


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself; where it doesn't, torch emulates it, slowly."""
    return any(ABILITIES.get(name) for name in ("avx512_bf16", "bf16"))


def pairs() -> Iterator[tuple[str, Step, Step]]:
    """What is said of a pair, the one, and what it is measured against."""
    lstm = model_step("lstm", [256])
    for cell in ("min_gru", "min_lstm"):
        yield f"{cell} 256, 256 against lstm 256", model_step(cell, [256, 256]), lstm
    if not has_bfloat16():
        say("no rows in bfloat16: this processor has no instructions for it")
        return
    for cell in ("rnn", "gru", "lstm"):
        half, single = (model_step(cell, [512], is_half) for is_half in (True, False))
        yield f"{cell} 512 in bfloat16 against float32", half, single


def against_row(name: str, one: Step, other: Step, rounds: int, seconds: float) -> dict[str, Any]:
    """How many times as fast the one is, with the spread of the rounds' ratios."""
    timed = interleave({"one": one, "other": other}, rounds, seconds, "cpu")
    return {
        "kind": "against",
        "cell": name,
        "device": "cpu",
        "characters_per_second": CHARACTERS / timed["one"].median,
        "ratio": timed["other"].median / timed["one"].median,
        "spread": ratio_spread(timed["other"], timed["one"]),
    }
