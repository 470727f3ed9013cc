"""Which layers and modules does this checkpoint have? A family's table applied to its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from prunescope.architecture.family import Family, TensorRole, family_names, load_family
from prunescope.architecture.roles import PROJECTIONS, Role
from prunescope.checkpoint import Checkpoint, TensorInfo
from prunescope.checkpoint.adapter import refuse_adapter
from prunescope.errors import ArchitectureError, printable


@dataclass(frozen=True, slots=True)
class Module:
    """The tensors of one role in one layer: a projection's weight and, where it has one, bias."""

    layer: int | None
    role: Role
    tensors: tuple[TensorInfo, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The weight's shape: that of the tensor with most axes."""
        return max((t.shape for t in self.tensors), key=len)

    @property
    def parameters(self) -> int:
        """Stored parameters of weight and bias; tied bytes count where they are stored."""
        return sum(t.parameters for t in self.tensors if t.shared_with is None)


@dataclass(frozen=True)
class Model:
    """A checkpoint whose tensors have roles.

    Attributes:
        checkpoint: where the tensors are.
        family: the table that names them.
        layers: layer number → role → module, ascending.
        outside: modules outside the layers, by role.
        roles: tensor name → its role and axes.
        strangers: tensors that the family has no place for; without `describe(strict=False)`
            there are none.
    """

    checkpoint: Checkpoint
    family: Family
    layers: Mapping[int, Mapping[Role, Module]]
    outside: Mapping[Role, Module]
    roles: Mapping[str, TensorRole]
    strangers: tuple[TensorInfo, ...] = ()

    @cached_property
    def parameters(self) -> int:
        """Stored parameters; buffers, which some files have and others leave out, are none."""
        modules = [m for layer in self.layers.values() for m in layer.values()]
        modules += self.outside.values()
        return sum(m.parameters for m in modules if m.role is not Role.BUFFER)

    @cached_property
    def head_dim(self) -> int | None:
        """Rows of one head, from config.json; None where it does not say."""
        config = self.checkpoint.config
        explicit = config.get("head_dim")
        if isinstance(explicit, int) and explicit > 0:
            return explicit
        hidden, heads = config.get("hidden_size"), config.get("num_attention_heads")
        if isinstance(hidden, int) and isinstance(heads, int) and heads > 0:
            return hidden // heads
        return None


def recognise(checkpoint: Checkpoint) -> Family:
    """The family of a checkpoint: by its config's `model_type`, else by tensor names.

    A GGUF's `model_type` may be llama.cpp's name of an architecture.

    Raises:
        ArchitectureError: no table fits; the message names those there are.
    """
    model_type = checkpoint.config.get("model_type")
    known = [load_family(name) for name in family_names()]
    if isinstance(model_type, str):
        for family in known:
            if model_type in family.model_types:
                return family
        for family in known:
            if family.gguf and model_type in family.gguf.architectures:
                return family
    else:
        for family in known:
            # Any projection will do: a model of another family has none of these names.
            found = (family.find(name) for name in checkpoint.tensors)
            if any(entry and entry[1].role in PROJECTIONS for entry in found):
                return family
    what = f"model_type {model_type!r}" if model_type else "these tensor names"
    types = ", ".join(sorted(t for family in known for t in family.model_types))
    raise ArchitectureError(
        f"{checkpoint.path}: unknown architecture: {printable(what)} (known: {types})"
    )


def describe(checkpoint: Checkpoint, strict: bool = True) -> Model:
    """Name every tensor of `checkpoint`.

    Args:
        strict: refuse a tensor the family has no place for; else it is one of `strangers`.

    Raises:
        ArchitectureError: an adapter, an unknown family, no layers, or a tensor the family has no
            place for (if `strict`).
    """
    refuse_adapter(checkpoint.path, checkpoint.adapter)
    family = recognise(checkpoint)
    layers: dict[int, dict[Role, list[TensorInfo]]] = {}
    outside: dict[Role, list[TensorInfo]] = {}
    roles: dict[str, TensorRole] = {}
    strangers: list[TensorInfo] = []
    for name, tensor in checkpoint.tensors.items():
        found = family.find(name)
        if found is None or len(tensor.shape) != len(found[1].axes or tensor.shape):
            if not strict:
                strangers.append(tensor)
                continue
            raise ArchitectureError(
                f"{checkpoint.path}: tensor {printable(name)!r} of shape {list(tensor.shape)} "
                f"has no place in family {family.name}"
            )
        layer, role = found
        place = outside if layer is None else layers.setdefault(layer, {})
        place.setdefault(role.role, []).append(tensor)
        roles[name] = role
    if not layers:
        raise ArchitectureError(f"{checkpoint.path}: no layers among {len(roles)} tensors")
    return Model(
        checkpoint,
        family,
        {n: _modules(n, layers[n]) for n in sorted(layers)},
        _modules(None, outside),
        roles,
        tuple(strangers),
    )


def _modules(layer: int | None, found: Mapping[Role, list[TensorInfo]]) -> dict[Role, Module]:
    return {role: Module(layer, role, tuple(tensors)) for role, tensors in found.items()}
