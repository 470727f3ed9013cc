"""What is known of a checkpoint whose tensors have roles? Its layers, modules and config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from prunescope.architecture.block_configs import spelled_out
from prunescope.architecture.family import Family, TensorRole
from prunescope.architecture.recognition import text_config
from prunescope.architecture.roles import Role
from prunescope.checkpoint import Checkpoint, TensorInfo
from prunescope.errors import ArchitectureError, printable


class Place(NamedTuple):
    """Where a tensor is.

    Attributes:
        layer: its number in the model; None outside the layers.
        key: its name there, in the family's spelling, an expert's number included.
        expert: that number; None for what is no single expert's.
    """

    layer: int | None
    key: str
    expert: int | None = None


@dataclass(frozen=True, slots=True)
class Module:
    """The tensors of one role in one layer: a projection's weight and, where it has one, bias.

    Attributes:
        experts: for each tensor the expert that it belongs to; empty where none does.
    """

    layer: int | None
    role: Role
    tensors: tuple[TensorInfo, ...]
    experts: tuple[int | None, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The weight's shape: that of the tensor with most axes.

        Of experts that are stored one by one: their number, then the largest one's.
        """
        if not self.experts:
            return max((t.shape for t in self.tensors), key=len)
        axes = max(len(t.shape) for t in self.tensors)
        shapes = [t.shape for t in self.tensors if len(t.shape) == axes]
        return (len(shapes), *(max(lengths) for lengths in zip(*shapes, strict=True)))

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
        layers: layer number → role → module, ascending. The layers of a second stack (a decoder
            behind an encoder) are numbered on from those of the first.
        outside: modules outside the layers, by role.
        roles: tensor name → its role and axes.
        places: tensor name → where it is, for all that the family's table lists.
        first: the number that the first layer of each of the family's stacks has.
        strangers: tensors that the family has no place for; without `describe(strict=False)`
            there are none.
    """

    checkpoint: Checkpoint
    family: Family
    layers: Mapping[int, Mapping[Role, Module]]
    outside: Mapping[Role, Module]
    roles: Mapping[str, TensorRole]
    places: Mapping[str, Place]
    first: tuple[int, ...]
    strangers: tuple[TensorInfo, ...] = ()

    @cached_property
    def parameters(self) -> int:
        """Stored parameters; buffers, which some files have and others leave out, are none."""
        modules = [m for layer in self.layers.values() for m in layer.values()]
        modules += self.outside.values()
        return sum(m.parameters for m in modules if m.role is not Role.BUFFER)

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """What config.json says of the language model; of each layer in `per_layer_config`."""
        return spelled_out(text_config(self.checkpoint.config))

    @cached_property
    def project(self) -> str | None:
        """Whose names the layers' tensors have, a key of `Family.names`; None for transformers'
        and llama.cpp's."""
        name = next((name for name, at in self.places.items() if at.layer is not None), None)
        naming = None if name is None else self.family.naming(name)
        known = self.family.names.items()
        return next((project for project, names in known if names is naming), None)

    @cached_property
    def head_dim(self) -> int | None:
        """Rows of one head, from config.json; None where it does not say."""
        spaces = self.family.spaces
        if "heads" not in spaces or spaces["heads"].unit is None:
            return None
        explicit = self._count((spaces["heads"].unit,))
        if explicit:
            return explicit
        hidden, heads = (
            self._count((space.config, *space.aliases))
            for space in (spaces["hidden"], spaces["heads"])
        )
        return hidden // heads if hidden and heads else None

    def _count(self, keys: tuple[str, ...]) -> int | None:
        found = (self.config.get(key) for key in keys)
        return next((n for n in found if type(n) is int and n > 0), None)

    def place(self, name: str) -> tuple[int | None, str]:
        """Layer number (None outside the layers) and name there of a tensor."""
        found = self.places.get(name)
        return (None, name) if found is None else (found.layer, found.key)

    @property
    def stacks(self) -> dict[str, tuple[int, ...]]:
        """Stack → the numbers of its layers, where there is more than one stack."""
        bounds = [*self.first, max(self.layers, default=0) + 1]
        return {
            stack.name: tuple(n for n in self.layers if bounds[i] <= n < bounds[i + 1])
            for i, stack in enumerate(self.family.stacks)
            if len(self.family.stacks) > 1
        }

    def stack_of(self, layer: int) -> int:
        """Which of the family's stacks a layer belongs to."""
        return max(i for i, first in enumerate(self.first) if first <= layer)


def refuse_generic(model: Model, what: str) -> None:
    """Raise ArchitectureError where nothing is known of the axes that `what` needs."""
    if model.family.is_generic:
        named = model.checkpoint.config.get("model_type")
        told = f"architecture {printable(str(named), 80)!r}" if named else "these tensor names"
        raise ArchitectureError(
            f"{model.checkpoint.path}: no table knows {told}: {what} needs to know what the axes "
            "of its tensors are"
        )


def refuse_other_names(model: Model) -> None:
    """Raise ArchitectureError for tensors with names that transformers does not know."""
    path = model.checkpoint.path
    is_gguf = model.checkpoint.format == "GGUF"
    if is_gguf or model.project is not None:
        what = "is a GGUF" if is_gguf else f"its tensors have {model.project}'s names"
        raise ArchitectureError(f"{path}: {what}: run  prunescope convert {path} FOLDER  first")


def refuse_more_than_text(config: Mapping[str, Any], where: str) -> None:
    """Raise ArchitectureError for the config of a model that also sees or hears.

    What is measured of it is its language model, inside a larger one that is no causal LM's class.
    """
    if isinstance(config.get("text_config"), dict):
        raise ArchitectureError(
            f"{where}: its language model is part of a {config.get('model_type')} model, which can "
            "be measured only: save the language model by itself, with text_config as config.json"
        )
