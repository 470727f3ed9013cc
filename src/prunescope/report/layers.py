"""How are layers and ties written? `0-2, 30-31`, `a = b`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prunescope.errors import printable


def layer_ranges(layers: Iterable[int]) -> str:
    """Ascending layer numbers as inclusive ranges: `3-29`, `0-2, 30-31`, `5`."""
    ranges: list[list[int]] = []
    for number in layers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)


def ties(shared: Mapping[str, str]) -> str:
    """Tied tensors as `lm_head.weight = model.embed_tokens.weight`."""
    return printable(", ".join(f"{name} = {owner}" for name, owner in shared.items()))
