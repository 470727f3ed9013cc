"""What does llama.cpp call the tensors of this model, in the architecture that it is written as?"""

from __future__ import annotations

from prunescope.analysis.llama_cpp import table_of, unwanted
from prunescope.architecture import Model
from prunescope.checkpoint import TensorInfo
from prunescope.errors import ArchitectureError


class Names:
    """Those of one architecture, for the tensors of one model.

    Attributes:
        permuted: whether rows of queries and keys have Meta's order.
        prefix: what precedes a layer's number.
        outside, inside: transformers' name outside the layers, or key in one → llama.cpp's.
        by_role: role and kind (`weight`, `bias`) of a tensor in a layer → its name.
    """

    def __init__(self, model: Model, architecture: str) -> None:
        table, told = table_of(model.family, architecture), model.family.llama_cpp
        names = table.gguf
        assert names is not None
        assert told is not None
        self.where = model.checkpoint.path
        self.architecture = architecture
        self.permuted = names.permuted
        self.prefix = names.layer_prefix
        self.outside = {ours: theirs for theirs, ours in names.model.items()}
        inside = {ours: theirs for theirs, ours in names.layer.items()}
        self.by_role = {
            (table.layer[ours].role, ours.rpartition(".")[2]): theirs
            for ours, theirs in inside.items()
        }
        others = unwanted(model.family)
        inside = {key: name for key, name in inside.items() if not key.startswith(others)}
        self.inside = inside | dict(told.names)

    def placed(self, name: str | None, tensor: TensorInfo) -> str:
        """`name`, if there is one.

        Raises:
            ArchitectureError: there is none for `tensor`.
        """
        if name is None:
            raise ArchitectureError(
                f"{self.where}: llama.cpp's {self.architecture} has no place for the tensor "
                f"{tensor.name!r}"
            )
        return name
