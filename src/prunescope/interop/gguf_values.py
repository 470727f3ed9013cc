"""What does llama.cpp have otherwise in a tensor than transformers? Rows' order, norms, a scale.

What its converter does to values (conversion/*.py): for whoever does the same, and for whoever
undoes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prunescope.analysis.llama_cpp_names import Names
from prunescope.architecture import Family, Role
from prunescope.architecture.row_order import halves_from_pairs, pairs_from_halves
from prunescope.extras import require

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float32]]
else:
    np = require("numpy", "gguf")

# Whose rows may have Meta's order, and the space of their heads.
_HEADS = {Role.Q: "heads", Role.K: "kv_heads"}
# Of as many layers is Gemma 2 27B, which alone llama.cpp scales otherwise.
_GEMMA_27B = 46


def permuted_space(theirs: Names, role: Role) -> str | None:
    """The space of whose heads each has its rows in Meta's order; None where rows stay."""
    return _HEADS.get(role) if theirs.permuted else None


def offset_of(family: Family, role: Role) -> float:
    """What llama.cpp's tensor has more than transformers', in each value."""
    told = family.llama_cpp
    return told.norm_offset if told is not None and role.name.endswith("NORM") else 0.0


def scaling_rows(layers: int, head_dim: int, hidden: int, heads: int) -> int:
    """By the root of what llama.cpp divides the scores of a model with a `query_scale`.

    The rows of a head; of Gemma 2 27B, which it knows by its depth, the hidden size over the heads
    (src/models/gemma2.cpp).
    """
    return hidden // heads if layers == _GEMMA_27B else head_dim


def permute(rows: Array, heads: int) -> Array:
    """The order that llama.cpp gives the rows of the query or key projection.

    See `row_order`; the inverse of `unpermute`.

    Args:
        rows: [heads · head_dim, …]; head_dim is even.
        heads: heads of the projection: for keys, the KV heads.

    Returns:
        The same shape and dtype.
    """
    return _reordered(rows, heads, pairs_from_halves(rows.shape[0] // heads))


def unpermute(rows: Array, heads: int) -> Array:
    """Undo it, as transformers' `_reverse_permute_weights` (modeling_gguf_pytorch_utils.py) does.

    Args:
        rows: [heads · head_dim, …]; head_dim is even.
        heads: heads of the projection: for keys, the KV heads.

    Returns:
        The same shape and dtype.
    """
    return _reordered(rows, heads, halves_from_pairs(rows.shape[0] // heads))


def _reordered(rows: Array, heads: int, order: tuple[int, ...]) -> Array:
    by_head = rows.reshape(heads, len(order), *rows.shape[1:])
    return by_head.take(order, axis=1).reshape(rows.shape)
