"""A permutation of 0 to N - 1 that is computed where it is needed: no table, and any position at the same cost."""

import hashlib
from math import isqrt
from typing import final

import numpy as np
from jaxtyping import Int64

_CHUNK = 8192
"""Positions computed together: their intermediate arrays stay in a core's cache."""

_SMALL_SIZE = 1 << 16
_ROUNDS = 6
_ROUNDS_OF_SMALL_SIZES = 16
"""Few distances are possible where the size is small: after ten rounds, some permutations of five elements are more
frequent than others."""

_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
"""Of the mixing function of SplitMix64 (Steele, Lea and Flood 2014, section 2)."""


@final
class KeyedPermutation:
    """A pseudorandom permutation of range(``size``), the same for the same ``key`` on every machine.

    A Feistel network over a grid of about sqrt(size) rows and columns: every round moves one coordinate by a distance
    that the other one and the round's key determine, so a round can be undone and different positions stay different.
    The grid has at most one row more than needed. A result outside ``size`` is permuted again until it is inside (cycle
    walking; Black and Rogaway 2002, "Ciphers with arbitrary finite domains").
    """

    def __init__(self, size: int, key: int) -> None:
        """``key``: 63 bits, see `derive_key`. Raises ValueError where there is nothing to permute."""
        if size < 1:
            raise ValueError(f"a permutation needs at least one element, got size {size}")
        self.size = size
        self._num_rows = np.uint64(isqrt(size - 1) + 1)
        self._num_columns = np.uint64(-(-size // int(self._num_rows)))
        self._round_keys = _round_keys(key, _ROUNDS_OF_SMALL_SIZES if size < _SMALL_SIZE else _ROUNDS)

    def __repr__(self) -> str:
        return f"<KeyedPermutation of {self.size:,}>"

    def __call__(self, positions: Int64[np.ndarray, " positions"]) -> Int64[np.ndarray, " positions"]:
        """Return the elements at these positions, each of which is at least 0 and below ``size``."""
        elements = positions.astype(np.uint64)
        for start in range(0, len(elements), _CHUNK):
            elements[start : start + _CHUNK] = self._permuted(elements[start : start + _CHUNK])
        outside = np.flatnonzero(elements >= np.uint64(self.size))
        while len(outside):
            elements[outside] = self._permuted(elements[outside])
            outside = outside[elements[outside] >= np.uint64(self.size)]
        return elements.astype(np.int64)

    def position_of(self, element: int) -> int:
        """Return the position at which an element is."""
        position = element
        while True:
            row, column = divmod(position, int(self._num_columns))
            for number, key in reversed(list(enumerate(self._round_keys))):
                if number % 2:
                    column = (column - _distance(row, key, self._num_columns)) % int(self._num_columns)
                else:
                    row = (row - _distance(column, key, self._num_rows)) % int(self._num_rows)
            position = row * int(self._num_columns) + column
            if position < self.size:
                return position

    def _permuted(self, values: np.ndarray) -> np.ndarray:
        """Return the grid cells to which these go."""
        rows = values // self._num_columns  # many times as fast as np.divmod
        columns = values - rows * self._num_columns
        for number, key in enumerate(self._round_keys):
            if number % 2:
                columns = _moved(columns, _distances(rows, key, self._num_columns), self._num_columns)
            else:
                rows = _moved(rows, _distances(columns, key, self._num_rows), self._num_rows)
        return rows * self._num_columns + columns


def _round_keys(key: int, num_rounds: int) -> np.ndarray:
    digest = hashlib.shake_128(key.to_bytes(8, "big")).digest(8 * num_rounds)
    return np.frombuffer(digest, dtype="<u8").astype(np.uint64)


def _distances(coordinates: np.ndarray, key: np.uint64, size: np.uint64) -> np.ndarray:
    """Return a distance from 0 to ``size`` - 1 for every value of the other coordinate."""
    mixed = (coordinates + key) * _MULTIPLIERS[0]
    mixed ^= mixed >> np.uint64(29)
    mixed *= _MULTIPLIERS[1]
    mixed >>= np.uint64(32)
    mixed *= size  # below 2**64, since a grid of 2**63 cells has no more than 2**32 rows
    mixed >>= np.uint64(32)
    return mixed


def _distance(coordinate: int, key: np.uint64, size: np.uint64) -> int:
    return int(_distances(np.array([coordinate], dtype=np.uint64), key, size)[0])


def _moved(coordinates: np.ndarray, distances: np.ndarray, size: np.uint64) -> np.ndarray:
    """Return the coordinates after these distances, around the edge of the grid."""
    distances += coordinates
    return np.minimum(distances, distances - size)  # a negative difference wraps around to a large number
