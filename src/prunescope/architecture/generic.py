"""How is a model read whose architecture no table knows? By the number that repeats in its names.

What precedes the first number of a name is a stack of layers where the same modules repeat under
several numbers: `transformer.h.`, or `encoder.layers.` and `decoder.layers.`. A module is what the
name says after the number. Nothing is known of axes.
"""

from __future__ import annotations

from collections.abc import Iterable

from prunescope.architecture.family import ANY, NUMBER, Family, Stack, TensorRole
from prunescope.architecture.roles import Role

GENERIC = "generic"
_PARAMETERS = ("weight", "bias")


def generic_family(names: Iterable[str]) -> Family:
    """A family made of the tensors' own names; without layers, where no number repeats."""
    numbered: dict[str, dict[str, set[int]]] = {}
    for name in names:
        prefix, number, rest = _around_number(name)
        # A number that ends a name, or precedes its last part, numbers no block of modules.
        if number is not None and "." in rest:
            numbered.setdefault(prefix, {}).setdefault(rest, set()).add(number)
    repeating = {
        prefix: rests
        for prefix, rests in numbered.items()
        if any(len(numbers) > 1 for numbers in rests.values())
    }
    if not repeating and numbered:
        # A single layer: where most tensors are.
        prefix = max(numbered, key=lambda one: len(numbered[one]))
        repeating = {prefix: numbered[prefix]}
    stacks = tuple(
        Stack(prefix.rstrip(".") or "layers", prefix, {}, frozenset(), depth="")
        for prefix in sorted(repeating)
    )
    tables: dict[str, dict[str, TensorRole]] = {prefix: {} for prefix in repeating}
    outside: dict[str, TensorRole] = {}
    for name in names:
        prefix, number, rest = _around_number(name, star=True)
        if number is not None and prefix in tables:
            if rest not in tables[prefix]:
                tables[prefix][rest] = TensorRole(Role.own(_module(rest)), ())
        else:
            outside[name] = TensorRole(Role.own(_module(name)), ())
    stacks = tuple(
        Stack(stack.name, stack.prefix, tables[stack.prefix], frozenset(tables[stack.prefix]), "")
        for stack in stacks
    )
    return Family(GENERIC, {}, {}, outside, stacks, frozenset(outside), engines=(), is_generic=True)


def own_role(name: str) -> TensorRole:
    """What a tensor is that the family's table has no place for, by its name alone.

    Layers of a vision tower are one module, as experts are.
    """
    pieces = [ANY if NUMBER.fullmatch(piece) else piece for piece in name.split(".")]
    return TensorRole(Role.own(_module(".".join(pieces))), ())


def _around_number(name: str, star: bool = False) -> tuple[str, int | None, str]:
    """What precedes a name's first number, the number, and the rest.

    Args:
        star: put `*` in the place of the next number, an expert's.
    """
    pieces = name.split(".")
    for index, piece in enumerate(pieces):
        if NUMBER.fullmatch(piece):
            rest = pieces[index + 1 :]
            if star:
                place = next((i for i, p in enumerate(rest) if NUMBER.fullmatch(p)), None)
                if place is not None:
                    rest[place] = ANY
            prefix = "".join(f"{before}." for before in pieces[:index])
            return prefix, int(piece), ".".join(rest)
    return "", None, name


def _module(name: str) -> str:
    module, _, parameter = name.rpartition(".")
    return module if module and parameter in _PARAMETERS else name
