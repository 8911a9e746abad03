"""A direction in which the start token of the text differs from all others.

Scaling that direction by s makes the start token R times larger than the rest; matrices that read
the text take 1/s of it, so that what they compute stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import UsageError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Direction:
    unit: Array  # u, float64
    scale: float  # s

    def matrix(self) -> Array:
        """M = 1 + (s - 1) u u^T, symmetric."""
        return self._scaled(self.scale)

    def inverse(self) -> Array:
        return self._scaled(1 / self.scale)

    def _scaled(self, scale: float) -> Array:
        return np.asarray(
            np.eye(len(self.unit)) + (scale - 1) * np.outer(self.unit, self.unit)
        )


def direction(text: Array, ratio: float) -> Direction:
    """`text` [..., tokens, channels], start token first: after scaling, its root mean square is
    `ratio` times that of the others. Of the directions in which it stands out, from the one where
    it does so most to its own, the one that asks for the least scale.
    """
    text = text.reshape(-1, *text.shape[-2:]).astype(np.float64)
    start, rest = text[:, 0].mean(axis=0), text[:, 1:].reshape(-1, text.shape[-1])
    moments = rest.T @ rest / len(rest)
    all_start, all_rest = float(start @ start), float(np.trace(moments))
    if all_start >= ratio**2 * all_rest:
        raise UsageError(
            f"the start token already is {ratio:g} times larger than the others"
        )
    best: Direction | None = None
    largest = 0.0
    for exponent in np.arange(-9, 0.25, 0.25):
        shrinkage = 10**exponent * all_rest / len(start)
        unit = np.linalg.solve(moments + shrinkage * np.eye(len(start)), start)
        unit /= np.linalg.norm(unit)
        own, common = float(start @ unit) ** 2, float(unit @ moments @ unit)
        largest = max(largest, float(np.sqrt(own / common)))
        if own <= ratio**2 * common:
            continue
        squared = 1 + (ratio**2 * all_rest - all_start) / (own - ratio**2 * common)
        if best is None or squared < best.scale**2:
            best = Direction(unit, float(np.sqrt(squared)))
    if best is None:
        raise UsageError(
            f"the start token cannot be made {ratio:g} times larger than the others; "
            f"less than {largest:.0f} times is possible"
        )
    return best
