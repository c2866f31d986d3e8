"""Logits -> next id.

B lanes · V vocabulary
"""

import math
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from charlm.errors import UserError


class RandomNumbers(Iterator[float]):
    """Numbers uniform in [0, 1) (53 bits) from a seed: the same on every machine.

    Philox is a counter under a key (Salmon et al. 2011), whose raw stream NumPy never changes:
    seeds that follow one another give streams as good as independent.

    Args:
        seed: at least 0, below 2^64; none: another stream each time.

    Raises:
        UserError: another seed.
    """

    BUFFERED = 256

    def __init__(self, seed: int | None = None) -> None:
        self._stream = np.random.Philox(key=check_seed(seed))
        self._drawn: list[float] = []

    def __next__(self) -> float:
        if not self._drawn:
            raw = self._stream.random_raw(self.BUFFERED)
            self._drawn = ((raw >> np.uint64(11)) * 2.0**-53).tolist()[::-1]
        return self._drawn.pop()


def check_seed(seed: int | None) -> int:
    """The seed, or for none a new one.

    Raises:
        UserError: a seed below 0 or from 2^64.
    """
    if seed is None:
        return secrets.randbits(63)
    if not 0 <= seed < 2**64:
        raise UserError(f"seed is {seed}: it must be at least 0 and below 2^64.")
    return seed


@dataclass(frozen=True)
class SamplingOptions:
    """How the next character is chosen from the logits: the likeliest, or drawn.

    What is drawn from is made in the order of Hugging Face's ``generate``: the temperature (or
    the power), then top_k, top_p and min_p, each on what the one before has left.

    Args:
        temperature: what the logits are divided by; 0: the likeliest character each time, of
            equally likely ones the one with the lowest id.
        power: α: draw with p^α, renormalised (d2l.ai, "RNN from scratch", exercise); it is the
            temperature 1/α.
        top_k: only from the k likeliest.
        top_p: only from the fewest likeliest that together have at least the probability p
            (Holtzman et al. 2020).
        min_p: only from those at least p times as likely as the likeliest (Nguyen et al. 2024).

    Raises:
        UserError: a number outside its range, or options that contradict one another.
    """

    temperature: float = 0.0
    power: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None

    def __post_init__(self) -> None:
        if not (self.temperature >= 0 and math.isfinite(self.temperature)):
            raise UserError(
                f"temperature is {self.temperature}: it must be at least 0, and finite."
            )
        if self.power is not None:
            if not (self.power > 0 and math.isfinite(self.power)):
                raise UserError(f"power is {self.power}: it must be above 0, and finite.")
            if self.temperature:
                raise UserError(
                    f"power {self.power} is the temperature {1 / self.power:g}, and temperature "
                    f"{self.temperature} was given as well: leave one of them out."
                )
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top_k is {self.top_k}: it must be at least 1.")
        for name, value in (("top_p", self.top_p), ("min_p", self.min_p)):
            if value is not None and not 0 < value <= 1:
                raise UserError(f"{name} is {value}: it must be above 0, and at most 1.")
        if self.is_greedy and self._is_filtered:
            raise UserError(
                "Without a temperature the likeliest character is taken, and top_k, top_p and "
                "min_p change nothing: give a temperature as well, such as 1."
            )

    @cached_property
    def is_greedy(self) -> bool:
        """Whether nothing is left to chance."""
        return self.temperature == 0 and self.power is None

    @property
    def _is_filtered(self) -> bool:
        return any(option is not None for option in (self.top_k, self.top_p, self.min_p))

    def choose(self, logits_BV: np.ndarray, numbers: Sequence[Iterator[float]]) -> np.ndarray:
        """The next id of each lane, [B] (int64).

        Args:
            logits_BV: of ``Stepper.logits``, by which ``<unk>`` is never chosen.
            numbers: of each lane: its next number says where in the cumulated probabilities to look;
                none is taken where it is greedy.

        Raises:
            UserError: a logit isn't a number, or is infinite.
        """
        if self.is_greedy:
            ids_B: np.ndarray = logits_BV.argmax(axis=1)
            # Of a lane with a NaN, argmax is its place.
            one = len(ids_B) == 1
            check_finite(logits_BV.item(0, ids_B.item()) if one else logits_BV.max())
            return ids_B
        check_finite(logits_BV.max())
        cumulated_BV = self.probabilities(logits_BV).cumsum(axis=1)
        totals_B = cumulated_BV[:, -1]
        drawn_B = np.array([next(lane) for lane in numbers])
        # Rounding mustn't reach the total: behind it, characters of probability 0 may lie.
        places_B = np.minimum(drawn_B * totals_B, np.nextafter(totals_B, 0))
        return (cumulated_BV <= places_B[:, None]).sum(axis=1)

    def probabilities(self, logits_BV: np.ndarray) -> np.ndarray:
        """What is drawn from, [B, V] (float64), up to a factor for each lane."""
        p_BV = self._unfiltered(logits_BV)
        return self._filter(p_BV) if self._is_filtered else p_BV

    def _unfiltered(self, logits_BV: np.ndarray) -> np.ndarray:
        scaled_BV = _below_highest(logits_BV)
        # Of a temperature near 0, all but the likeliest is beyond what exp can tell from 0.
        with np.errstate(over="ignore"):
            if self.power is not None:
                scaled_BV *= self.power
            elif self.temperature:
                scaled_BV /= self.temperature
        return np.exp(scaled_BV)

    def _filter(self, p_BV: np.ndarray) -> np.ndarray:
        # The likeliest first; of equally likely ones the one with the lowest id.
        order_BV = np.argsort(-p_BV, axis=1, kind="stable")
        sorted_BV = np.take_along_axis(p_BV, order_BV, axis=1)
        if self.top_k is not None:
            sorted_BV[:, self.top_k :] = 0
        if self.top_p is not None:
            cumulated_BV = sorted_BV.cumsum(axis=1)
            before_BV = np.zeros_like(cumulated_BV)
            before_BV[:, 1:] = cumulated_BV[:, :-1]
            sorted_BV[before_BV >= self.top_p * cumulated_BV[:, -1:]] = 0
        if self.min_p is not None:
            sorted_BV[sorted_BV < self.min_p * sorted_BV[:, :1]] = 0
        filtered_BV = np.empty_like(p_BV)
        np.put_along_axis(filtered_BV, order_BV, sorted_BV, axis=1)
        return filtered_BV


def log_probabilities(logits_BV: np.ndarray) -> np.ndarray:
    """log p [B, V] (float64) of each character, of the logits of ``Stepper.logits``.

    Raises:
        UserError: a logit isn't a number, or is infinite.
    """
    check_finite(logits_BV.max())
    log_p_BV = _below_highest(logits_BV)
    log_p_BV -= np.log(np.exp(log_p_BV).cumsum(axis=1)[:, -1:])
    return log_p_BV


def _below_highest(logits_BV: np.ndarray) -> np.ndarray:
    """In float64, the highest of each lane 0."""
    logits_BV = logits_BV.astype(np.float64)
    logits_BV -= logits_BV.max(axis=1, keepdims=True)
    return logits_BV


def check_finite(highest: float) -> None:
    """Raise a UserError unless the highest logit is a finite number."""
    if not math.isfinite(highest):
        raise UserError(
            "The model's predictions aren't finite numbers: its training has diverged; train it "
            "anew with a smaller learning_rate or with gradient clipping."
        )
