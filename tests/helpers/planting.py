"""Results as the report's experiments would leave them, with the outcome that a test wants."""

from collections.abc import Mapping
from typing import Any

from scripts.report.question import Found, Question
from scripts.report.questions import QUESTIONS
from scripts.report.questions.detaching import WINDOWS
from scripts.report.questions.speed import KINDS
from scripts.report.questions.vanishing import DELAYS
from scripts.report.questions.warm_up import LENGTHS

BY_NAME: dict[str, Question] = {question.name: question for question in QUESTIONS}
SEEDS = 3
NUM_EPOCHS = 100


def run(
    seed: int,
    perplexity: float = 2.0,
    bits: float = 3.0,
    best_bits: float | None = None,
    speed: float = 1e5,
    **others: Any,
) -> dict[str, Any]:
    """One run's result; the seeds lie a little apart."""
    near = 1 + 0.001 * (seed - 1)
    best = bits if best_bits is None else best_bits
    return {
        "perplexity": None if others.get("stopped") else perplexity * near,
        "epochs": NUM_EPOCHS,
        "curve": [[x, 20 + (perplexity * near - 20) * x / 100] for x in (1.0, 50.0, 100.0)],
        "peaks": [[50.0, 10.0], [100.0, perplexity]],
        "held_out": [[20.0, 4.5], [60.0, best * near], [100.0, bits * near]],
        "norms": [[x, 0.5 * near] for x in (1.0, 50.0, 100.0)],
        "clipped": 0.1,
        "clipped_by_value": 0.2,
        "blow_ups": [],
        "setback": 0.1,
        "stopped": None,
        "characters_per_second": speed * near,
        "checkpoint": "last.ckpt",
    } | others


def measured(name: str) -> dict[str, dict[str, Any]]:
    """What each question measures beside its runs, in an ordinary world."""
    nats = [[2.5, *[2.0] * (len(LENGTHS) - 1)]] * SEEDS
    prefixes = {"nats": nats, "places": 350}
    flow = [[0.8**k for k in range(64)]] * SEEDS
    figures = {"repeated": [0.1] * SEEDS, "copied": [0.1] * SEEDS, "words": [0.8] * SEEDS}
    draws = {**figures, "entropy": [1.0] * SEEDS, "text": "time traveller and so on"}
    ways = {"book": 3.0, "torch": 1.0, "eager": 2.0}
    shares = {**dict.fromkeys(KINDS, 1 / len(KINDS)), "calls": 1000.0}
    cost = {"milliseconds": [5.0] * WINDOWS, "mebibytes": [2.0] * WINDOWS}
    growing = {
        "milliseconds": [5.0 * k for k in range(1, WINDOWS + 1)],
        "mebibytes": [2.0 * k for k in range(1, WINDOWS + 1)],
    }
    cells = ("rnn", "gru", "lstm")
    kinds = ("RNN", "ReLU-RNN", "GRU", "LSTM")
    worlds: dict[str, dict[str, dict[str, Any]]] = {
        "embedding": {
            "one-hot-and-embedding": {
                "float32": {"identity": 1e-7, "gradient": 1e-7, "folded": 1e-7},
                "float64": {"identity": 0.0, "gradient": 0.0, "folded": 1e-16},
            }
        },
        "books": {
            f"continuation-{book}": {"text": "and so on"}
            for book in ("the-time-machine", "the-war-of-the-worlds", "tiny-shakespeare")
        },
        "sampling": {
            "sharpened": {str(a): dict(draws) for a in (0.5, 0.75, 1.0, 1.5, 2.0, 4.0, None)}
        },
        "detaching": {
            "undetached": {
                "error": "a second time",
                "update_error": "modified in place",
                "freed": "freed",
                "leaves": ["weight_hh"],
                "state_is_leaf": False,
                "state_made_by": "TanhBackward0",
                "kept": growing,
                "detached": cost,
            },
            "against-reference": {"difference": 1e-15},
        },
        "warm-up": {
            f"prefixes-{label}": {"training": prefixes, "held-out": prefixes}
            for label in ("sequential", "random")
        },
        "batch-size": {
            "step-lengths": {
                "mean, batch_size=1": {"length": 0.2, "ratio": 1.0},
                "mean, batch_size=32": {"length": 0.2 / 32, "ratio": 1 / 32},
                "sum, batch_size=1": {"length": 224.0, "ratio": 1120.0},
                "sum, batch_size=1120": {"length": 0.2, "ratio": 1.0},
            }
        },
        "speed": {
            "contest": {
                "ways": {f"{cell} {size}": dict(ways) for cell in cells for size in (128, 256)},
                "auto": {f"{cell} {size}": "eager" for cell in cells for size in (128, 256)},
                "shares": {f"{cell} {way}": shares for cell in cells for way in ("book", "torch")},
            }
        },
        "vanishing": {
            **{f"flow-{k}": {"before": {"hidden": flow}, "after": {"hidden": flow}} for k in kinds},
            **{f"recall-{k}": {"right": [[0.9] * len(DELAYS)] * SEEDS} for k in kinds},
        },
        "by-hand": {
            "differences": {
                cell: {
                    d: {"eager": e, "library": None}
                    for d, e in (("float64", 1e-15), ("float32", 1e-7))
                }
                for cell in cells
            },
            "rtrl": {
                "bptt": [1.0, 1.1, 1.3, 1.6, 2.0, 2.5],
                "rtrl": [1.0, 2.0, 8.0, 60.0, 400.0, 1300.0],
                "difference": 1e-15,
            },
        },
    }
    return worlds.get(name, {})


def found(
    name: str,
    runs: Mapping[str, Mapping[str, Any]] | None = None,
    measures: Mapping[str, Mapping[str, Any]] | None = None,
) -> Found:
    """Results of a question.

    Args:
        runs: by a variant's label, what its runs have otherwise than the others.
        measures: by a measure's name, what it has otherwise.
    """
    own = runs or {}
    question = BY_NAME[name]
    assert set(own) <= set(question.variants()), f"{set(own)} are no variants of {name}"
    results = {
        label: [run(seed, **own.get(label, {})) for seed in range(SEEDS)]
        for label in question.variants()
    }
    others = measured(name)
    assert set(measures or {}) <= set(others)
    return Found(
        results, {each: {**others[each], **(measures or {}).get(each, {})} for each in others}
    )
