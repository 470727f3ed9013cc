"""What do other projects than transformers call a family's tensors?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prunescope.architecture.tensor_names import split


@dataclass(frozen=True, slots=True)
class OtherNames:
    """What another project than transformers calls a family's tensors.

    Attributes:
        model: names outside the layers → transformers' name.
        layer_prefix: what precedes the layer's number in a name.
        layer: names after `<prefix><number>.` → transformers' after its own prefix and number.
        permuted: whether the rows of q and k lie in Meta's order, where those alternate that
            transformers has in the first and the second half of a head.
        buffers: names, or those after the number, of tensors that are computed, and that
            transformers does not have.
    """

    model: Mapping[str, str]
    layer_prefix: str
    layer: Mapping[str, str]
    permuted: bool
    buffers: frozenset[str]

    def ours(self, name: str) -> tuple[int | None, str | None]:
        """A layer's number and transformers' name there of the tensor `name`; None for none."""
        layer, key = split(name, self.layer_prefix)
        return layer, (self.model if layer is None else self.layer).get(key)


@dataclass(frozen=True, slots=True)
class GgufNames(OtherNames):
    """What llama.cpp calls a family's tensors (gguf-py/gguf/constants.py, `TENSOR_NAMES`).

    Attributes:
        architectures: the values of `general.architecture` that are built like the family.
    """

    architectures: tuple[str, ...]
