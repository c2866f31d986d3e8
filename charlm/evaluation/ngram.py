"""An adaptive n-gram model: the contexts of all orders blended, each character learnt once read.

    N characters of a text · M of them · V vocabulary

p_-1(x) = 1 / V, and for n = 0, 1, ... up to the longest context that has been seen,

p_n(x) = (c(x) - d(c(x))) / C + D / C · p_n-1(x)

where c(x) says how often x followed the last n characters, C is its sum over x, d a discount that
depends on n and on whether c is 1, 2 or more (0 for 0), and D its sum over x: interpolated absolute
discounting (Kneser & Ney 1995; Chen & Goodman 1998). A character is counted in its longest context and
in shorter ones down to the first that knew it (the update exclusion of PPM, Moffat 1990), so that short
contexts count in how many longer ones a character was new, as Kneser and Ney do. Every p_n is
positive everywhere and sums to one.
"""

from collections.abc import Iterator

import numpy as np
import torch

from charlm.evaluation.scoring import Prediction

MAX_ORDER = 10
# The end of a training text that is longer does: it takes half a gigabyte.
MAX_TRAINING_CHARACTERS = 2**20
# (0, d(1), d(2), d(3 or more)) of each order; chosen on the training part of The Time Machine.
DISCOUNTS = (
    *[(0.0, 0.8, 1.1, 1.05)] * 4,
    *[(0.0, 0.8, 1.2, 1.35)] * 2,
    *[(0.0, 0.95, 1.4, 1.5)] * (MAX_ORDER - 5),
)
# Places of one prediction.
CHUNK = 256

# How often each symbol followed a context: its counts, or, where that was a single one,
# count · V + symbol, which takes a tenth of the memory.
Counts = dict[int, int] | int
Table = dict[str, Counts]


class NGram:
    """The model after a training text.

    Args:
        vocab_size: V.
        training_ids: what it has read; none: nothing.
    """

    def __init__(self, vocab_size: int, training_ids: np.ndarray | None = None) -> None:
        self.vocab_size = vocab_size
        self.table: Table = {}
        self.history = ""
        if training_ids is not None:
            for symbol in training_ids[-MAX_TRAINING_CHARACTERS:].tolist():
                self.history = self._learn(self.table, self.history, symbol)

    def predictions(self, ids: np.ndarray) -> Iterator[Prediction]:
        """Each of the N characters ``ids`` predicted once, in order, and learnt from afterwards.

        The text stands after the training text; what is learnt of it is forgotten in the end.
        """
        learnt: Table = {}
        history = self.history
        for start in range(0, len(ids), CHUNK):
            symbols = ids[start : start + CHUNK].tolist()
            p_MV = np.empty((len(symbols), self.vocab_size))
            for p_V, symbol in zip(p_MV, symbols, strict=True):
                self._predict(p_V, learnt, history)
                history = self._learn(learnt, history, symbol)
            places = np.arange(start, start + len(symbols))
            # Of V rounded sums each is off by some 1e-16; the sum is one to the last bit after.
            p_MV /= p_MV.sum(axis=1, keepdims=True)
            yield places, torch.from_numpy(np.log(p_MV))

    def _predict(self, p_V: np.ndarray, learnt: Table, history: str) -> None:
        """Write p of the next symbol."""
        p_V.fill(1 / self.vocab_size)
        for n in range(len(history) + 1):
            context = history[len(history) - n :]
            counts = learnt.get(context)
            if counts is None:
                counts = self.table.get(context)
                if counts is None:  # nor has any longer one been seen
                    return
            d = DISCOUNTS[n]
            if isinstance(counts, int):
                count, symbol = divmod(counts, self.vocab_size)
                discount = d[min(count, 3)]
                p_V *= discount / count
                p_V[symbol] += (count - discount) / count
                continue
            total = sum(counts.values())
            p_V *= sum(d[c if c < 3 else 3] for c in counts.values()) / total
            p_V[list(counts)] += [(c - d[c if c < 3 else 3]) / total for c in counts.values()]

    def _learn(self, table: Table, history: str, symbol: int) -> str:
        """Count a symbol after the history, in ``table``; the history with it."""
        V = self.vocab_size
        for n in range(len(history), -1, -1):
            context = history[len(history) - n :]
            counts = table.get(context)
            if counts is None and table is not self.table:
                counts = self.table.get(context)
                if isinstance(counts, dict):
                    counts = table[context] = counts.copy()
            if counts is None:
                table[context] = V + symbol
                continue
            if isinstance(counts, int):
                count, only = divmod(counts, V)
                if only == symbol:
                    table[context] = counts + V
                    break
                table[context] = {only: count, symbol: 1}
                continue
            known = counts.get(symbol, 0)
            counts[symbol] = known + 1
            if known:
                break
        return (history + chr(symbol))[-MAX_ORDER:]
