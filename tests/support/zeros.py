"""Sparsity by plain torch: the second implementation that ours is held against."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

PREFIX = "model.layers.0."
DOWN = PREFIX + "mlp.down_proj.weight"
NORM = PREFIX + "input_layernorm.weight"


def saved(folder: Path, state: Mapping[str, torch.Tensor]) -> Path:
    """A safetensors file of these tensors, under a Llama's names."""
    path = folder / "model.safetensors"
    save_file(dict(state), path)
    return path


def pruned(weight: torch.Tensor, zeros: int, group: int) -> torch.Tensor:
    """Magnitude pruning of each `group` neighbours in a row, as torch's own sparse tensors ask."""
    groups = weight.float().reshape(-1, group)
    mask = torch.ones_like(groups).scatter(1, groups.abs().argsort(1)[:, :zeros], 0)
    # By multiplication, which leaves negative zeros.
    return weight * mask.reshape(weight.shape).to(weight.dtype)


def by_torch(weight: torch.Tensor) -> dict[str, Any]:
    """Every figure of one tensor, in float64, each by the plainest expression for it."""
    values = weight.double()
    zero = values == 0
    finite = values[values.isfinite()]
    figures: dict[str, Any] = {
        "zeros": (int(zero.sum()), weight.numel()),
        "nonfinite": weight.numel() - finite.numel(),
        "mean": float(finite.mean()),
        "std": float(finite.std(correction=0)),
        "minimum": float(finite.min()),
        "maximum": float(finite.max()),
        "absmax": float(finite.abs().max()),
    }
    if weight.dim() < 2:
        return figures
    zero = zero.reshape(-1, weight.shape[-1])
    rows, columns = zero.shape
    for name, group in (("two_four", 4), ("four_eight", 8)):
        groups = zero.reshape(-1, group) if columns % group == 0 else None
        figures[name] = groups is not None and (
            int((groups.sum(1) >= group // 2).sum()),
            len(groups),
        )
    for side in (16, 32):
        high, wide = -(-rows // side), -(-columns // side)
        padded = torch.ones(high * side, wide * side, dtype=torch.bool)
        padded[:rows, :columns] = zero
        blocks = padded.reshape(high, side, wide, side).transpose(1, 2).flatten(2)
        figures[f"blocks{side}"] = (int(blocks.all(2).sum()), high * wide)
    figures["rows"] = (int(zero.all(1).sum()), rows)
    figures["columns"] = (int(zero.all(0).sum()), columns)
    return figures
