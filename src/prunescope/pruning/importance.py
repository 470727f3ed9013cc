"""How important is a weight? The formulas, from one tensor to one number for each row or column.

Sources: LLM-Pruner (Ma et al., arXiv 2305.11627, §3.2; https://github.com/horseee/LLM-Pruner,
LLMPruner/pruner/hf_llama_pruner.py and llama3.py), Wanda (Sun et al., arXiv 2306.11695, §3), FLAP
(An et al., arXiv 2312.11983, §3.2; https://github.com/CASIA-IVA-Lab/FLAP, lib/prune.py), ShortGPT
(Men et al., arXiv 2403.03853, §3.1). In LLM-Pruner a query head is added to the KV head that has
the same index modulo their number; here each to the KV head it shares a GQA group with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from prunescope.extras import require
from prunescope.pruning.plan import Grouping, TaylorForm

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require("torch", "prune")
    Tensor = torch.Tensor

# Elements that are held in float32 at a time: a head of 128256 × 4096 would be 2 GB.
_ELEMENTS = 1 << 24


def magnitude(weight: Tensor, axis: int, power: int) -> Tensor:
    """Σ |w|^p over each row (axis 0) or column (axis 1); p = 1 for L1, 2 for L2.

    Args:
        weight: [out, in] or [out], any floating-point dtype.
        axis: the axis whose entries are scored.

    Returns:
        float32, one score for each index along `axis`.
    """
    return _summed(axis, lambda w: w.abs().pow(power), weight)


def taylor(
    weight: Tensor, gradient: Tensor, axis: int, form: TaylorForm, squares: Tensor | None = None
) -> Tensor:
    """How the loss changes when a row or column is removed, by its Taylor series.

    With g the gradient of the mean loss over the calibration set, and h = E[g²] the mean over its
    examples of the squared gradient of one example's loss, which stands for the diagonal of the
    Hessian (Fisher): `vectorize` is |Σ w·g|, `param_first` Σ |w·g|, `param_second` Σ |w·h·w|,
    `param_mix` Σ |w·g − ½·w·h·w| (LLM-Pruner, equations 3 and 5; `acc_grad` in its llama3.py is h).

    Args:
        weight, gradient: of one shape, [out, in] or [out]; `param_second` reads no gradient.
        axis: the axis whose entries are scored.
        squares: h, of the same shape; needed by `param_second` and `param_mix` only.

    Returns:
        float32, one score for each index along `axis`.
    """
    if form == "vectorize":
        return _summed(axis, lambda w, g: w * g, weight, gradient).abs()
    if form == "param_first":
        return _summed(axis, lambda w, g: (w * g).abs(), weight, gradient)
    if squares is None:
        raise ValueError(f"{form} needs squared gradients")
    if form == "param_second":
        return _summed(axis, lambda w, h: (w * h * w).abs(), weight, squares)
    return _summed(axis, lambda w, g, h: (w * g - 0.5 * w * h * w).abs(), weight, gradient, squares)


def wanda(weight: Tensor, norms: Tensor, axis: int) -> Tensor:
    """Σ |w_ij|·‖x_j‖₂ over each row (axis 0) or column (axis 1) (Wanda, equation 1, summed).

    Args:
        weight: [out, in].
        norms: [in], ‖x_j‖₂ of input feature j over all calibration tokens.
        axis: the axis whose entries are scored.

    Returns:
        float32, one score for each index along `axis`.
    """
    scale = norms.float()
    return _summed(axis, lambda w: w.abs() * scale, weight)


def fluctuation(weight: Tensor, variance: Tensor) -> Tensor:
    """Var(x_j)·‖w_:j‖₂² of each input column (FLAP's WIFV, equation 4).

    Args:
        weight: [out, in].
        variance: [in], the sample variance of input feature j over all calibration tokens.

    Returns:
        float32, [in].
    """
    return magnitude(weight, 1, 2) * variance.float()


def turned(before: Tensor, after: Tensor) -> Tensor:
    """Σ over tokens of 1 − cos(x_in, x_out): of all tokens' mean, the block influence (ShortGPT).

    Args:
        before, after: [..., hidden], the hidden states that enter and leave a layer.

    Returns:
        float64, a scalar.
    """
    cosines = torch.nn.functional.cosine_similarity(before.float(), after.float(), dim=-1)
    return (1 - cosines).sum().cpu().double()


def unit_scores(scores: Tensor, width: int) -> Tensor:
    """Σ over the `width` consecutive rows of each unit: [units × width] → [units]."""
    return scores.view(-1, width).sum(1)


def combine(members: Sequence[Tensor], grouping: Grouping) -> Tensor:
    """One score for each unit from those of the group's members, the root's first.

    Args:
        members: each [units].
        grouping: `sum`, `mean`, `max`, `prod` (in float64), or `first` for the root's alone.

    Raises:
        OverflowError: products beyond float64: all would be infinite, or all alike 0.
    """
    stacked = torch.stack(list(members))
    if grouping == "first":
        return stacked[0]
    if grouping == "max":
        return stacked.max(0).values
    if grouping == "prod":
        products = stacked.double().prod(0)
        # Of a zero, an infinity or NaN among the members the product says no more than they do.
        is_plain = (stacked.isfinite() & (stacked != 0)).all(0)
        if (is_plain & ((products == 0) | products.isinf())).any():
            raise OverflowError
        return products
    return stacked.mean(0) if grouping == "mean" else stacked.sum(0)


def pieces(tensor: Tensor) -> Iterator[slice]:
    """Rows of `tensor`, [rows, …], as many at a time as are held in float32; one piece at least."""
    length = tensor.shape[0]
    step = max(1, _ELEMENTS // max(1, tensor[:1].numel())) if length else 1
    for start in range(0, max(1, length), step):
        yield slice(start, start + step)


def _summed(axis: int, each: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Σ each(*tensors) over all axes but `axis`, in float32, some rows at a time."""
    parts = [
        _rest_summed(each(*(t[rows].float() for t in tensors)), axis) for rows in pieces(tensors[0])
    ]
    return torch.cat(parts) if axis == 0 else torch.stack(parts).sum(0)


def _rest_summed(values: Tensor, axis: int) -> Tensor:
    others = [a for a in range(values.dim()) if a != axis]
    return values.sum(others) if others else values
