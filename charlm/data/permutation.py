"""A random order of N things that is computed, not stored: any place of it, in any order.

A Feistel network (Luby & Rackoff 1988) over pairs of numbers below m, m² ≥ N, with addition modulo m
in the place of exclusive or (Black & Rogaway 2002, "Ciphers with Arbitrary Finite Domains"); what
falls outside the N is sent through again until it falls inside ("cycle walking").
"""

import numpy as np

ROUNDS = 6


class Permutation:
    """A permutation of 0 ... N-1.

    Args:
        size: N, below 2^62.
        random: what it is drawn with; the same draws give the same permutation.
    """

    def __init__(self, size: int, random: np.random.Generator) -> None:
        self.size = size
        side = int(np.ceil(np.sqrt(size)))
        self._side = np.uint64(side if side * side >= size else side + 1)
        self._keys = random.integers(2**64, size=ROUNDS, dtype=np.uint64)

    def __call__(self, places: np.ndarray) -> np.ndarray:
        """What stands at each of the places (int64, within 0 ... N-1)."""
        values = self._once(places.astype(np.uint64))
        outside = np.flatnonzero(values >= self.size)
        while len(outside):
            values[outside] = self._once(values[outside])
            outside = outside[values[outside] >= self.size]
        return values.astype(np.int64)

    def _once(self, values: np.ndarray) -> np.ndarray:
        left, right = np.divmod(values, self._side)
        for key in self._keys:
            left, right = right, (left + _mixed(right + key) % self._side) % self._side
        return left * self._side + right


def _mixed(values: np.ndarray) -> np.ndarray:
    """A hash of 64 bits: the finaliser of splitmix64 (Steele, Lea & Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
