"""Which stored tensors make up a parameter that transformers keeps as one? Experts, stacked.

A mixture of experts has a tensor for each expert in its files (`…experts.3.w1.weight`), and in
transformers one parameter for all of them (`…experts.gate_up_proj`, [experts, 2·channels, hidden]).
How they are stacked is transformers' own table (conversion_mapping.py,
https://github.com/huggingface/transformers/blob/main/src/transformers/conversion_mapping.py), whose
entry for Mixtral is: one expert after the other along axis 0, gate before up along axis 1.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from prunescope.errors import CheckpointError
from prunescope.extras import require
from prunescope.interop.lazy_state import in_memory

if TYPE_CHECKING:
    from torch import Tensor

_EXPERT = re.compile(r"\.experts\.(\d{1,6})\.")
Index = tuple["int | slice", ...]
# A stored tensor's name and shape.
_Named = tuple[str, "tuple[int, ...]"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stored tensor lies in the network.

    Attributes:
        parameter: the parameter's full name.
        index: which part of it; () for all.
    """

    parameter: str
    index: Index = ()


class Shaped(Protocol):
    """A tensor, or what a file's header says of one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its axes' lengths."""


def stacked(
    state: Mapping[str, Tensor], config: Mapping[str, Any], where: str, is_held: bool = True
) -> Mapping[str, Tensor]:
    """`state` by the names of transformers' parameters: experts copied into one; all else as it is.

    One expert's tensor is held at a time beside its stack, where `state` makes them when asked for.

    Args:
        is_held: give the stacks memory of their own and the experts' values; else a shape alone.

    Raises:
        CheckpointError: as `places`.
    """
    if not any(_EXPERT.search(name) for name in state):
        return state
    lazy = in_memory(state)
    result: dict[str, Tensor] = {}
    members: dict[str, list[tuple[str, Index]]] = defaultdict(list)
    for name, place in places(lazy.outlines, config, where).items():
        if place.index:
            members[place.parameter].append((name, place.index))
        else:
            result[place.parameter] = lazy[name]
    for parameter, parts in members.items():
        shape = stacked_shape((lazy.outlines[name], index) for name, index in parts)
        first = lazy[parts[0][0]]
        whole = first.new_empty(shape) if is_held else first.new_zeros(()).expand(shape)
        del first
        for name, index in parts if is_held else ():
            whole[index].copy_(lazy[name])
        lazy.release()
        result[parameter] = whole
    return result


def places(
    tensors: Mapping[str, Shaped], config: Mapping[str, Any], where: str
) -> dict[str, Place]:
    """The place of each of `tensors`, by name, in the order given.

    Args:
        tensors: by their names in the files.
        config: of the model; `model_type` says which names transformers gives them.
        where: the model, for a message.

    Raises:
        CheckpointError: an expert's tensor that cannot be stacked with the others.
    """
    core = require("transformers.core_model_loading", "prune")
    mapping = require("transformers.conversion_mapping", "prune")
    table = mapping.get_checkpoint_conversion_mapping(config.get("model_type")) or []
    renamings = [t for t in table if isinstance(t, core.WeightRenaming)]
    converters = [t for t in table if isinstance(t, core.WeightConverter)]
    found: dict[str, Place] = {}
    stacks: dict[str, dict[int, dict[int, _Named]]] = defaultdict(lambda: defaultdict(dict))
    for name, tensor in tensors.items():
        parameter, pattern = core.rename_source_key(name, renamings, converters)
        found[name] = Place(parameter)
        number = _EXPERT.search(name)
        if pattern is None:
            continue
        source = next(c for c in converters if pattern in c.source_patterns)
        if number is None or not _stacks(source.operations):
            raise CheckpointError(where, f"tensor {name!r}: transformers stores it otherwise")
        stacks[parameter][int(number[1])][source.source_patterns.index(pattern)] = (
            name,
            tuple(tensor.shape),
        )
    for parameter, experts in stacks.items():
        for expert, parts in experts.items():
            start = 0
            for part in sorted(parts):
                name, shape = parts[part]
                rows = slice(start, start + shape[0])
                found[name] = Place(parameter, (expert, rows))
                start = rows.stop
        _check(experts, where)
    return found


def stacked_shape(members: Iterable[tuple[Shaped, Index]]) -> tuple[int, ...]:
    """The shape of the parameter that `members` make up: [experts, rows, columns]."""
    experts, rows, columns = 0, 0, 0
    for tensor, index in members:
        expert, part = index
        assert isinstance(expert, int)
        assert isinstance(part, slice)
        experts, rows = max(experts, expert + 1), max(rows, part.stop)
        columns = tensor.shape[1]
    return experts, rows, columns


def _stacks(operations: Iterable[Any]) -> bool:
    """Whether they put one expert after the other, and an expert's tensors row under row."""
    steps = [(type(operation).__name__, operation.dim) for operation in operations]
    stacked = ("MergeModulelist", 0)
    return steps in ([stacked], [stacked, ("Concatenate", 1)])


def _check(experts: Mapping[int, Mapping[int, _Named]], where: str) -> None:
    expected = {part: shape for part, (_, shape) in experts.get(0, {}).items()}
    for number in range(len(experts)):
        shapes = {part: shape for part, (_, shape) in experts.get(number, {}).items()}
        if shapes != expected or any(len(shape) != 2 for shape in shapes.values()):
            name, _ = next(iter(next(iter(experts.values())).values()))
            raise CheckpointError(
                where, f"expert {number} beside {name!r} is missing or of other shapes"
            )
