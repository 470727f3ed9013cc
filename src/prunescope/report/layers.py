"""How are layers and ties written? `0-2, 30-31`, `a = b`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prunescope.architecture import Model
from prunescope.errors import printable
from prunescope.report.messages import Messages


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


def notes(model: Model, say: Messages) -> list[str]:
    """What is to be known of the layers and modules that tables list, a line each."""
    lines = []
    if model.family.is_generic:
        named = model.checkpoint.config.get("model_type")
        lines.append(say("generic_note", type=printable(str(named or "?"), 80)))
    stacks = {name: numbers for name, numbers in model.stacks.items() if numbers}
    if len(stacks) > 1:
        told = "; ".join(f"{printable(n, 80)} {layer_ranges(of)}" for n, of in stacks.items())
        lines.append(say("stacks_note", stacks=told))
    return lines
