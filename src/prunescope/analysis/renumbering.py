"""What does a model look like when some of its layers have gone and the others moved up?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from prunescope.architecture import Model, describe
from prunescope.checkpoint import TensorInfo
from prunescope.errors import ArchitectureError


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
