"""What torch itself has in memory: the figures that our readers' offsets are held against."""

from __future__ import annotations

import torch


def raw_bytes(tensor: torch.Tensor) -> bytes:
    """The tensor's elements, row by row."""
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()
