"""How important is a weight? The formulas, from one tensor to one number for each unit.

Sources: LLM-Pruner (Ma et al., arXiv 2305.11627, §3.2; https://github.com/horseee/LLM-Pruner,
LLMPruner/pruner/hf_llama_pruner.py). There a query head is added to the KV head that has the same
index modulo their number; here each to the KV head it shares a GQA group with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prunescope.extras import require
from prunescope.pruning.plan import Grouping, TaylorForm

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require("torch", "prune")
    Tensor = torch.Tensor


def magnitude(weight: Tensor, axis: int, power: int) -> Tensor:
    """Σ |w|^p over each row (axis 0) or column (axis 1); p = 1 for L1, 2 for L2.

    Args:
        weight: [out, in] or [out], any floating-point dtype.
        axis: the axis whose entries are scored.

    Returns:
        float32, one score for each index along `axis`.
    """
    return _rest_summed(weight.float().abs().pow(power), axis)


def taylor(weight: Tensor, gradient: Tensor, axis: int, form: TaylorForm) -> Tensor:
    """First-order change of the loss when a row or column is removed.

    `param_first` is Σ |w·g|, `vectorize` |Σ w·g|, with g the gradient of the mean loss over the
    calibration set (LLM-Pruner, equations 3 and 5, without the second-order term).

    Args:
        weight, gradient: of one shape, [out, in] or [out].
        axis: the axis whose entries are scored.

    Returns:
        float32, one score for each index along `axis`.
    """
    salience = weight.float() * gradient.float()
    if form == "vectorize":
        return _rest_summed(salience, axis).abs()
    return _rest_summed(salience.abs(), axis)


def unit_scores(scores: Tensor, width: int) -> Tensor:
    """Σ over the `width` consecutive rows of each unit: [units × width] → [units]."""
    return scores.view(-1, width).sum(1)


def combine(members: Sequence[Tensor], grouping: Grouping) -> Tensor:
    """One score for each unit from those of the group's members, the root's first.

    Args:
        members: each [units].
        grouping: `sum`, `mean`, `max`, `prod`, or `first` for the root's alone.
    """
    stacked = torch.stack(list(members))
    if grouping == "first":
        return stacked[0]
    if grouping == "max":
        return stacked.max(0).values
    if grouping == "prod":
        return stacked.prod(0)
    return stacked.mean(0) if grouping == "mean" else stacked.sum(0)


def _rest_summed(values: Tensor, axis: int) -> Tensor:
    others = [a for a in range(values.dim()) if a != axis]
    return values.sum(others) if others else values
