"""In which order do the rows of a rotated head lie? Transformers' halves, or Meta's pairs.

A rotary embedding turns rows two by two. transformers turns row `i` with row `i + head_dim / 2`,
Meta's code, and torchtune's and llama.cpp's after it, rows `2i` and `2i + 1`: what transformers has
in the two halves of a head alternates there (transformers/models/llama/
convert_llama_weights_to_hf.py, `permute`; llama.cpp's conversion/llama.py, `LlamaModel.permute`).

Whoever moves bytes, values or indices takes the order from here.
"""

from __future__ import annotations


def halves_from_pairs(head_dim: int) -> tuple[int, ...]:
    """For each row of a head in transformers' order, its row in Meta's: 0, 2, 4, …, 1, 3, 5, ….

    Args:
        head_dim: rows of a head, an even number.
    """
    return (*range(0, head_dim, 2), *range(1, head_dim, 2))


def pairs_from_halves(head_dim: int) -> tuple[int, ...]:
    """For each row of a head in Meta's order, its row in transformers'."""
    halves = halves_from_pairs(head_dim)
    return tuple(sorted(range(head_dim), key=halves.__getitem__))
