"""How are layers and ties written? `0-2, 30-31`, `3-29 ×27`, `a = b`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from prunescope.errors import printable
from prunescope.report.messages import Messages

if TYPE_CHECKING:
    from prunescope.architecture import Model


def layer_ranges(layers: Iterable[int]) -> str:
    """Ascending layer numbers as inclusive ranges: `3-29`, `0-2, 30-31`, `5`."""
    ranges: list[list[int]] = []
    for number in layers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)


def collapsed(
    rows: Iterable[Sequence[str]], numbers: int = 1, *, every: bool = False
) -> list[list[str]]:
    """Rows that differ in their number alone, and follow each other, as one: `3-29 ×27`.

    Args:
        rows: each begins with `numbers` numbers that go up by one from row to row (of the
            original's layer and of the file's, say).
        every: leave them as they are.
    """
    runs: list[list[Sequence[str]]] = []
    for row in rows:
        if not every and runs and _follows(runs[-1][-1], row, numbers):
            runs[-1].append(row)
        else:
            runs.append([row])
    return [
        [*(_run([row[i] for row in run]) for i in range(numbers)), *run[0][numbers:]]
        for run in runs
    ]


def _follows(before: Sequence[str], row: Sequence[str], numbers: int) -> bool:
    return before[numbers:] == row[numbers:] and all(
        a.isdecimal() and b.isdecimal() and int(b) == int(a) + 1
        for a, b in zip(before[:numbers], row[:numbers], strict=True)
    )


def _run(numbers: Sequence[str]) -> str:
    if len(numbers) == 1:
        return numbers[0]
    return f"{numbers[0]}-{numbers[-1]} ×{len(numbers)}"


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
