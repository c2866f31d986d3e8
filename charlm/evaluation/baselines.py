"""What a text costs without a network: n-gram models and general compressors.

N characters of a text · V vocabulary · all costs in bits per character

A compressor's cost is the length of what it writes, headers and all, of the text in UTF-8. It is
given ``alone``, and ``after`` the training text, which the network and the Markov models know too:
how much longer the text makes what it writes of the training text. Each keeps to its own memory:
gzip looks back 32 KiB, bzip2 900 kB, xz 8 MiB.
"""

import bz2
import gzip
import importlib.util
import lzma
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from charlm.evaluation.ngram import NGram
from charlm.evaluation.scoring import summarise
from charlm.text.vocabulary import Vocabulary

MAX_ORDER = 5

# The end of a training text that is longer does for the baselines.
MAX_TRAINING_CHARACTERS = 2**23
# Candidates for the k of add-k.
SMOOTHINGS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)


class Cost(NamedTuple):
    """Bits per character of a text by itself and after the training text; None: not to be had."""

    alone: float | None
    after: float | None


def markov(
    training_ids: np.ndarray, ids: np.ndarray, vocab_size: int, max_order: int
) -> list[float]:
    """Bits per character of a text under the order-n Markov models, n = 0 to ``max_order``.

    p(x_i | c) = (count(c, x_i) + k) / (count(c) + k V), where c are the n characters before x_i
    and both are counted in the training text. A character that has fewer than n before it is
    predicted from those. For each n, k is the one of ``SMOOTHINGS`` under which the counts of all
    other characters predict each character of the training text best (leave-one-out).

    Args:
        training_ids [any], ids [N]: at least one character each, 0 to V - 1.
    """
    num_contexts = 1
    # Of each character from the n-th on, which of the training text's contexts precedes it; -1
    # for one that the training text lacks.
    training_contexts = np.zeros(len(training_ids), dtype=np.int64)
    contexts = np.zeros(len(ids), dtype=np.int64)
    head, costs = 0.0, []
    for n in range(max_order + 1):
        training_grams = training_contexts * vocab_size + training_ids[n:]
        grams, gram_of_place, counts = np.unique(
            training_grams, return_inverse=True, return_counts=True
        )
        context_counts = np.bincount(training_contexts, minlength=num_contexts)
        k = min(SMOOTHINGS, key=lambda k: _left_out_nats(counts, context_counts, k, k * vocab_size))
        wanted = contexts * vocab_size + ids[n:]
        found = np.searchsorted(grams, wanted)
        known = (contexts >= 0) & (np.append(grams, -1)[found] == wanted)
        count = np.where(known, np.append(counts, 0)[found], 0)
        context_count = np.append(context_counts, 0)[contexts]  # 0 for -1, too
        nats = np.log(context_count + k * vocab_size) - np.log(count + k)
        costs.append(float(head + nats.sum()) / len(ids) / math.log(2))
        head += nats[:1].sum()
        num_contexts = len(grams)
        training_contexts = gram_of_place[:-1]
        contexts = np.where(known, found, -1)[:-1]
    return costs


def _left_out_nats(
    counts: np.ndarray, context_counts: np.ndarray, k: float, k_times_v: float
) -> float:
    """Nats of a text of which each gram's count, and its context's, is one less when it is
    predicted."""
    seen = context_counts[context_counts > 0]
    nats = seen @ np.log(seen - 1 + k_times_v) - counts @ np.log(counts - 1 + k)
    # Where two differ by rounding only, they are equal.
    return round(float(nats), 6)


def _ppmd(content: bytes) -> bytes:
    import pyppmd

    compressed: bytes = pyppmd.compress(content, max_order=6, mem_size=2**26)
    return compressed


def compressors() -> dict[str, Callable[[bytes], bytes]]:
    """The compressors that are installed, by name."""
    found: dict[str, Callable[[bytes], bytes]] = {
        "gzip": lambda content: gzip.compress(content, 9),
        "bzip2": lambda content: bz2.compress(content, 9),
        "xz": lambda content: lzma.compress(content, preset=6 | lzma.PRESET_EXTREME),
    }
    if importlib.util.find_spec("pyppmd") is not None:
        found["PPMd"] = _ppmd
    return found


class Baselines:
    """The Markov models and compressors that a network can be compared with.

    Args:
        vocabulary: V symbols.
        training_ids: of the training text; None where it can't be had, and nothing is ``after``
            it.
        ngram: the adaptive n-gram model of the training text, where it has been made already.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        training_ids: np.ndarray | None,
        ngram: NGram | None = None,
    ) -> None:
        self.vocabulary = vocabulary
        self.training_ids = training_ids
        self.compressors = compressors()
        self.ngram = ngram
        if training_ids is not None:
            self.ngram = ngram or NGram(len(vocabulary), training_ids)
            self.training_ids = training_ids[-MAX_TRAINING_CHARACTERS:]
            self.prefix = vocabulary.decode(self.training_ids).encode()
            self.prefix_lengths = {
                name: len(compress(self.prefix)) for name, compress in self.compressors.items()
            }

    def costs(self, text: str) -> dict[str, Cost]:
        """What a normalised text costs, by the baseline's name.

        Raises:
            ValueError: an empty text.
        """
        if not text:
            raise ValueError("an empty text has no cost per character")
        ids = self.vocabulary.encode(text)
        costs = {"n-grams, adaptive": self._by_ngrams(ids)}
        if self.training_ids is not None:
            bits = markov(self.training_ids, ids, len(self.vocabulary), MAX_ORDER)
            costs |= {f"Markov, order {n}": Cost(None, cost) for n, cost in enumerate(bits)}
        content = text.encode()
        for name, compress in self.compressors.items():
            alone = 8 * len(compress(content)) / len(text)
            after = None
            if self.training_ids is not None:
                length = len(compress(self.prefix + content)) - self.prefix_lengths[name]
                after = 8 * length / len(text)
            costs[name] = Cost(alone, after)
        return costs

    def _by_ngrams(self, ids: np.ndarray) -> Cost:
        def cost(model: NGram | None) -> float | None:
            if model is None:
                return None
            return summarise("", ids, model.predictions(ids)).bits_per_character

        return Cost(cost(NGram(len(self.vocabulary))), cost(self.ngram))
