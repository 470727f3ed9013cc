"""What torch itself has in memory: the figures that our readers' offsets are held against."""

from __future__ import annotations

import torch


def raw_bytes(tensor: torch.Tensor) -> bytes:
    """The tensor's elements, row by row."""
    # A view of one element may keep a step of any length, with which torch cannot view bytes.
    copy = tensor.detach().clone(memory_format=torch.contiguous_format)
    return copy.flatten().view(torch.uint8).numpy().tobytes()
