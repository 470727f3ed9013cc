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
from typing import Any

from prunescope.checkpoint import TensorInfo
from prunescope.errors import CheckpointError
from prunescope.extras import require

_EXPERT = re.compile(r"\.experts\.(\d{1,6})\.")
Index = tuple["int | slice", ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stored tensor lies in the network.

    Attributes:
        parameter: the parameter's full name.
        index: which part of it; () for all.
    """

    parameter: str
    index: Index = ()


def places(tensors: Mapping[str, TensorInfo], config: Mapping[str, Any]) -> dict[str, Place]:
    """The place of each of `tensors`, by name, in the order given.

    Args:
        tensors: by their names in the files.
        config: of the model; `model_type` says which names transformers gives them.

    Raises:
        CheckpointError: an expert's tensor that cannot be stacked with the others.
    """
    core = require("transformers.core_model_loading", "prune")
    mapping = require("transformers.conversion_mapping", "prune")
    table = mapping.get_checkpoint_conversion_mapping(config.get("model_type")) or []
    renamings = [t for t in table if isinstance(t, core.WeightRenaming)]
    converters = [t for t in table if isinstance(t, core.WeightConverter)]
    found: dict[str, Place] = {}
    stacks: dict[str, dict[int, dict[int, TensorInfo]]] = defaultdict(lambda: defaultdict(dict))
    for name, tensor in tensors.items():
        parameter, pattern = core.rename_source_key(name, renamings, converters)
        found[name] = Place(parameter)
        number = _EXPERT.search(name)
        if pattern is None:
            continue
        source = next(c for c in converters if pattern in c.source_patterns)
        if number is None or not _stacks(source.operations):
            raise CheckpointError(tensor.file, f"tensor {name!r}: transformers stores it otherwise")
        stacks[parameter][int(number[1])][source.source_patterns.index(pattern)] = tensor
    for parameter, experts in stacks.items():
        for expert, parts in experts.items():
            start = 0
            for part in sorted(parts):
                tensor = parts[part]
                rows = slice(start, start + tensor.shape[0])
                found[tensor.name] = Place(parameter, (expert, rows))
                start = rows.stop
        _check(experts)
    return found


def stacked_shape(members: Iterable[tuple[TensorInfo, Index]]) -> tuple[int, ...]:
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


def _check(experts: Mapping[int, Mapping[int, TensorInfo]]) -> None:
    first = experts.get(0, {})
    expected = {part: tensor.shape for part, tensor in first.items()}
    for number in range(len(experts)):
        shapes = {part: tensor.shape for part, tensor in experts.get(number, {}).items()}
        if shapes != expected or any(len(shape) != 2 for shape in shapes.values()):
            tensor = next(iter(next(iter(experts.values())).values()))
            raise CheckpointError(
                tensor.file, f"expert {number} beside {tensor.name!r} is missing or of other shapes"
            )
