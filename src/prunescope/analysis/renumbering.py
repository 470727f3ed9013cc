"""What does a model look like when some of its layers have gone and the others moved up?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from prunescope.analysis.layer_match import match_layers
from prunescope.analysis.record import PruningRecord
from prunescope.architecture import Model, describe
from prunescope.checkpoint import TensorInfo
from prunescope.errors import ArchitectureError


def layers_left(
    before: Model, after: Model, record: PruningRecord | None
) -> tuple[int, ...] | None:
    """The original's numbers of the layers of `after`, which others have now.

    Args:
        record: what pruning.json says; without a word of it on layers that went, the weights do.

    Returns:
        One number for each layer of `after`; None where numbers are what they were, and where
        nothing tells what else they were.
    """
    if record is not None and record.kept_layers is not None:
        return record.kept_layers
    if len(before.family.stacks) > 1 or [*after.layers] != [*range(len(after.layers))]:
        return None
    # By their weights only where some are gone: else, and where these do not tell, by number.
    found = match_layers(before, after).layers
    left = tuple(found[number] for number in after.layers)
    return left if left != tuple(after.layers) else None


def renumbered(model: Model, kept: Sequence[int]) -> Model:
    """`model` with the layers `kept` alone, in their order, numbered from 0.

    Raises:
        ArchitectureError: it has none of them.
    """
    numbers = {layer: number for number, layer in enumerate(kept)}
    if not numbers.keys() & model.layers.keys():
        raise ArchitectureError(f"{model.checkpoint.path}: has none of the recorded layers")
    tensors: dict[str, TensorInfo] = {}
    for name, info in model.checkpoint.tensors.items():
        layer, _ = model.place(name)
        if layer is None:
            tensors[name] = info
        elif layer in numbers:
            moved = name.replace(f".{layer}.", f".{numbers[layer]}.", 1)
            tensors[moved] = replace(info, name=moved)
    return describe(replace(model.checkpoint, tensors=tensors), strict=False)
