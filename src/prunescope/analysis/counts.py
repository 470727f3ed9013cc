"""How much is left? The one place where retention and sparsity are computed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counts:
    """One quantity before and after pruning: parameters or bytes."""

    original: int
    pruned: int

    @property
    def removed(self) -> int:
        """original − pruned."""
        return self.original - self.pruned

    @property
    def retention(self) -> float:
        """pruned / original; 1 for nothing of nothing."""
        return self.pruned / self.original if self.original else 1.0

    @property
    def sparsity(self) -> float:
        """1 − retention, exactly 0 where nothing was removed."""
        return self.removed / self.original if self.original else 0.0

    @property
    def is_pruned(self) -> bool:
        """Whether anything was removed."""
        return self.pruned < self.original

    @property
    def has_grown(self) -> bool:
        """Whether anything was added, such as a bias."""
        return self.pruned > self.original
