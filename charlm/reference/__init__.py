"""The judge of every backend: NumPy float64, derived by hand, one step at a time.

It shares no code with what it judges, needs no torch, and prefers the plain equation to speed.
"""

from charlm.reference.cells import GRU, LSTM, RNN, Array, Cell, Parameters, StateArrays
from charlm.reference.language_model import Evaluation, LanguageModel, truncated_updates
from charlm.reference.through_time import Gradients, Unrolled, bptt, rtrl, truncated_bptt, unroll

__all__ = [
    "Array",
    "StateArrays",
    "Parameters",
    "Cell",
    "RNN",
    "GRU",
    "LSTM",
    "Unrolled",
    "Gradients",
    "unroll",
    "bptt",
    "truncated_bptt",
    "rtrl",
    "LanguageModel",
    "Evaluation",
    "truncated_updates",
]
