"""Which tokens is importance measured on? Windows of a text, chosen by seed."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from prunescope.errors import PlanError


@dataclass(frozen=True, slots=True)
class CalibrationRecord:
    """What is written down of a calibration set.

    Attributes:
        source: where its text is from.
        windows, length: how many, and tokens in each.
        sha256: of their ids, as little-endian int64.
        seed: that they were chosen by.
    """

    source: str
    windows: int
    length: int
    sha256: str
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """By the names of the attributes."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class CalibrationSet:
    """Token windows of equal length, and the SHA-256 of their ids as little-endian int64."""

    source: str
    windows: tuple[tuple[int, ...], ...]
    digest: str
    seed: int = 0

    @property
    def record(self) -> CalibrationRecord:
        """What is written down of it."""
        length = len(self.windows[0])
        return CalibrationRecord(self.source, len(self.windows), length, self.digest, self.seed)


def choose_windows(
    tokens: Sequence[int], count: int, length: int, seed: int, source: str
) -> CalibrationSet:
    """`count` windows of `length` tokens that start at random places of `tokens`.

    Places are multiples of `length`, so no two windows overlap.

    Raises:
        PlanError: the text has fewer windows.
    """
    places = len(tokens) // length
    if places < count:
        raise PlanError(
            f"{source}: {len(tokens)} tokens hold {places} windows of {length}, {count} are needed"
        )
    # Not a secret: a choice that anyone can repeat from the seed.
    chosen = random.Random(seed).sample(range(places), count)  # noqa: S311
    windows = tuple(tuple(tokens[p * length : (p + 1) * length]) for p in chosen)
    digest = hashlib.sha256()
    for window in windows:
        for token in window:
            digest.update(token.to_bytes(8, "little"))
    return CalibrationSet(source, windows, digest.hexdigest(), seed)
