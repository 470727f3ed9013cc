"""What does llama.cpp call the tensors of a family's models, in the architecture that has them?

Whoever writes such a file and whoever reads one take the names from here.
"""

from __future__ import annotations

from collections.abc import Iterator

from prunescope.analysis.llama_cpp_fit import table_of, unwanted
from prunescope.architecture import Family, Model, Role
from prunescope.checkpoint import TensorInfo

# What lies one behind the other in a fused projection.
_FUSED = {Role.QKV: (Role.Q, Role.K, Role.V), Role.GATE_UP: (Role.GATE, Role.UP)}


class Names:
    """Those of one architecture, for the tensors of one family's models.

    Attributes:
        permuted: whether rows of queries and keys have Meta's order.
        prefix: what precedes a layer's number.
        outside, inside: transformers' name outside the layers, or key in one → llama.cpp's.
        by_role: role and kind (`weight`, `bias`) of a tensor in a layer → its name.
    """

    def __init__(self, family: Family, architecture: str) -> None:
        table, told = table_of(family, architecture), family.llama_cpp
        names = table.gguf
        assert names is not None
        assert told is not None
        self.permuted = names.permuted
        self.prefix = names.layer_prefix
        self.outside = {ours: theirs for theirs, ours in names.model.items()}
        inside = {ours: theirs for theirs, ours in names.layer.items()}
        self.by_role = {
            (table.layer[ours].role, ours.rpartition(".")[2]): theirs
            for ours, theirs in inside.items()
        }
        others = unwanted(family)
        inside = {key: name for key, name in inside.items() if not key.startswith(others)}
        self.inside = inside | dict(told.names)

    def of(self, role: Role, key: str) -> dict[Role, str]:
        """The names of one of the model's tensors in a layer, by the role of each of its parts.

        One as a rule, several where the architecture has what is fused apart; none where it has no
        place for the tensor.

        Args:
            key: the tensor's name in its family's table.
        """
        if key in self.inside:
            return {role: self.inside[key]}
        kind = key.rpartition(".")[2]
        parts = {part: self.by_role.get((part, kind)) for part in _FUSED.get(role, ())}
        return {part: name for part, name in parts.items() if name} if all(parts.values()) else {}

    def lacking(self, model: Model) -> Iterator[str]:
        """The tensors of `model` that the architecture has no place for."""
        for layer in model.layers.values():
            for module in layer.values():
                for tensor in module.tensors if module.role is not Role.BUFFER else ():
                    place = model.family.locate(tensor.name)
                    if place is None or not self.of(module.role, place.key):
                        yield tensor.name
        for module in model.outside.values():
            for tensor in module.tensors:
                if not is_left_out(module.role, tensor) and tensor.name not in self.outside:
                    yield tensor.name


def is_left_out(role: Role, tensor: TensorInfo) -> bool:
    """Whether it is a tied head: llama.cpp takes the embedding where there is no head."""
    return role is Role.HEAD and tensor.shared_with is not None
