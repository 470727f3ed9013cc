"""How is a model read whose architecture no table knows? By the number that repeats in its names.

What precedes the first number of a name is a stack of layers where the same modules repeat under
several numbers: `transformer.h.`, or `encoder.layers.` and `decoder.layers.`. A module is what the
name says after the number. Nothing is known of axes.
"""

from __future__ import annotations

from collections.abc import Iterable

from prunescope.architecture.family import Family, Stack, TensorRole
from prunescope.architecture.roles import Role
from prunescope.architecture.tensor_names import ANY, is_number

GENERIC = "generic"
_PARAMETERS = ("weight", "bias")
# Encoder, decoder, towers: models have a few, and each name is looked for in all of them.
MAX_STACKS = 64


def generic_family(names: Iterable[str]) -> Family:
    """A family made of the tensors' own names; without layers, where no number repeats.

    Of more than MAX_STACKS stacks those with most tensors are layers, the others lie outside.
    """
    found: dict[str, dict[str, set[int]]] = {}
    split = [(name, *_around_number(name)) for name in names]
    for _, prefix, number, rest in split:
        # A number that precedes the last part of a name, or ends it, numbers no block of modules.
        if number is not None and "." in rest:
            found.setdefault(prefix, {}).setdefault(rest, set()).add(number)
    repeating = sorted(
        prefix for prefix, rests in found.items() if any(len(n) > 1 for n in rests.values())
    )
    if len(repeating) > MAX_STACKS:
        sizes = {prefix: sum(map(len, found[prefix].values())) for prefix in repeating}
        repeating = sorted(sorted(repeating, key=lambda p: -sizes[p])[:MAX_STACKS])
    if not repeating and found:
        # A single layer: where most tensors are.
        repeating = [max(found, key=lambda prefix: len(found[prefix]))]
    layers: dict[str, dict[str, TensorRole]] = {prefix: {} for prefix in repeating}
    outside: dict[str, TensorRole] = {}
    for name, prefix, number, rest in split:
        table = layers.get(prefix) if number is not None else None
        if table is None:
            outside[name] = TensorRole(Role.own(_module(name)), ())
        elif rest not in table:
            table[rest] = TensorRole(Role.own(_module(rest)), ())
    stacks = tuple(
        Stack(prefix.rstrip(".") or "layers", prefix, table, frozenset(table), depth="")
        for prefix, table in layers.items()
    )
    return Family(GENERIC, {}, {}, outside, stacks, frozenset(outside), engines=(), is_generic=True)


def own_role(name: str) -> TensorRole:
    """What a tensor is that the family's table has no place for, by its name alone.

    Layers of a vision tower are one module, as experts are.
    """
    pieces = [ANY if is_number(piece) else piece for piece in name.split(".")]
    return TensorRole(Role.own(_module(".".join(pieces))), ())


def _around_number(name: str) -> tuple[str, int | None, str]:
    """What precedes a name's first number, the number, and the rest: `*` for the next number, an
    expert's."""
    pieces = name.split(".")
    first = next((i for i, piece in enumerate(pieces) if is_number(piece)), None)
    if first is None or first == len(pieces) - 1:
        return "", None, name
    rest = pieces[first + 1 :]
    expert = next((i for i, piece in enumerate(rest) if is_number(piece)), None)
    if expert is not None:
        rest[expert] = ANY
    return "".join(f"{piece}." for piece in pieces[:first]), int(pieces[first]), ".".join(rest)


def _module(name: str) -> str:
    module, _, parameter = name.rpartition(".")
    return module if module and parameter in _PARAMETERS else name
