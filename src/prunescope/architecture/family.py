"""What does a family's table say? Tensor names, their roles, and the space each axis lives in.

`prunescope.architecture.tables` reads the tables. A space is a set of interchangeable units: two
axes in one space have one length and lose the same units; mergekit's architecture files
(https://github.com/arcee-ai/mergekit) label axes alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from prunescope.architecture.other_names import GgufNames, OtherNames
from prunescope.architecture.roles import Role
from prunescope.architecture.tensor_names import numbered, split, starred

if TYPE_CHECKING:
    from prunescope.architecture.llama_cpp import LlamaCpp


@dataclass(frozen=True, slots=True)
class Space:
    """A set of units along an axis.

    Attributes:
        name: `heads`, `channels`, …
        config: the key of config.json that counts its units; empty where none does.
        unit: the config key of how many rows one unit has, or several joined with `+`; None for
            one row.
        per_layer: whether each layer has its own.
        default: the space that has as many units where config.json leaves the key out; or None.
        per_expert: whether each expert of a layer has its own.
        aliases: keys that older files have in the place of `config`.
    """

    name: str
    config: str
    unit: str | None
    per_layer: bool
    default: str | None = None
    per_expert: bool = False
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TensorRole:
    """What one tensor is: its role, and the label of each axis (`prunescope.architecture.labels`);
    no labels where nothing is known of its axes."""

    role: Role
    axes: tuple[str, ...]


# What transformers' classes for a task, and TRL's for rewards, put on a model of any family.
TASK_HEADS: Mapping[str, TensorRole] = {
    f"{name}.{part}": TensorRole(Role.CLASSIFIER, axes)
    for name in ("score", "qa_outputs", "v_head.summary")
    for part, axes in (("weight", ("_", "hidden")), ("bias", ("_",)))
}


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """What a pruning method removes together.

    Attributes:
        spaces: the coupled spaces; a unit of the first takes its share of each other one.
        root: the role whose tensor names the group (LLM-Pruner's root instance).
    """

    spaces: tuple[str, ...]
    root: Role


@dataclass(frozen=True, slots=True)
class Stack:
    """Layers that lie one behind the other; an encoder-decoder has two such.

    Attributes:
        name: `layers`, `encoder`, `decoder`.
        prefix: what precedes the layer's number in a tensor's name.
        layer: tensors of a layer, by their name after `<prefix><number>.`.
        optional: those of `layer` that a model may lack (biases, buffers).
        depth: the config key that counts the layers.
        more: the config key of how many more a file may hold (next-token prediction); or None.
        kinds: what a layer has one of: question → answer → how its tensors' names begin. Where
            an answer has no tensors, a layer may have none of the others'.
    """

    name: str
    prefix: str
    layer: Mapping[str, TensorRole]
    optional: frozenset[str]
    depth: str = "num_hidden_layers"
    more: str | None = None
    kinds: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)


class Found(NamedTuple):
    """Where in a table a tensor has its place.

    Attributes:
        stack: index in `Family.stacks`; None outside the layers.
        number: of the layer, as in the name.
        key: the table's, with `*` for an expert's number.
        expert: that number; None where the key has none.
    """

    stack: int | None
    number: int | None
    key: str
    expert: int | None = None


@dataclass(frozen=True)
class Family:
    """One family's table.

    Attributes:
        name: the family.
        spaces: by name.
        groups: what is pruned together, by name (`attention`, `mlp`).
        model: tensors outside the layers, by full name.
        stacks: the layers.
        optional_model: those of `model` that a model may lack.
        gguf: llama.cpp's names; None where the table has none.
        written: the table's section `llama.cpp`; None where it has none.
        names: names that other projects have, by project.
        flags: key of config.json → optional tensors of a layer that a model has where it is true.
        usual_flags: those of them that are true where config.json does not say.
        base: how names of the base model begin, which are saved without it where it is saved
            alone (`AutoModel.save_pretrained`).
        tied: whether the output head is the embedding where config.json does not say.
        active: the config key of how many experts see a token.
        unpriced: why there is no formula for what the family costs to run; None where there is.
        engines: those that have the architecture.
        stacked: what transformers 5 calls tensors in memory, by the name after the layer's number →
            what files call each part, `*` for the number of an expert.
        prunable: whether each group can be cut: its spaces lie alone or one behind the other on
            their axes, and transformers' own class takes what is left.
        told_by: how the name of a tensor ends that files have in transformers' layout, and in no
            other; empty where there is one layout. Files without it are read by their names alone.
        is_generic: whether this is no table's family, but what a file's own names suggest.
    """

    name: str
    spaces: Mapping[str, Space]
    groups: Mapping[str, GroupSpec]
    model: Mapping[str, TensorRole]
    stacks: tuple[Stack, ...]
    optional_model: frozenset[str] = frozenset()
    gguf: GgufNames | None = None
    written: Mapping[str, Any] | None = None
    names: Mapping[str, OtherNames] = field(default_factory=dict)
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    usual_flags: frozenset[str] = frozenset()
    base: str = ""
    tied: bool = False
    active: str = "num_experts_per_tok"
    unpriced: str | None = None
    engines: tuple[str, ...] = ()
    stacked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    prunable: bool = False
    told_by: str = ""
    is_generic: bool = False

    @cached_property
    def llama_cpp(self) -> LlamaCpp | None:
        """How models are written for llama.cpp; None where they are not."""
        # Few commands ask.
        from prunescope.architecture.llama_cpp import llama_cpp_of

        return None if self.written is None else llama_cpp_of(self.written)

    @property
    def layer_prefix(self) -> str:
        """What precedes a layer's number: of the first stack."""
        return self.stacks[0].prefix

    @property
    def layer(self) -> Mapping[str, TensorRole]:
        """Tensors of a layer of the first stack."""
        return self.stacks[0].layer

    @property
    def optional(self) -> frozenset[str]:
        """Those of `layer` that a model may lack."""
        return self.stacks[0].optional

    def locate(self, name: str) -> Found | None:
        """The place of the tensor `name`, transformers' or another's; None where it has none."""
        found = self._locate(name)
        if found is not None:
            return found
        ours = (self._ours(names, name) for names in self._others)
        located = (self._locate(known) for known in ours if known is not None)
        return next((place for place in located if place is not None), None)

    def naming(self, name: str) -> OtherNames | None:
        """Whose name of a tensor `name` is; None for transformers' own, or nobody's."""
        if self._locate(name) is not None:
            return None
        return next((n for n in self._others if self._ours(n, name) is not None), None)

    @property
    def _others(self) -> tuple[OtherNames, ...]:
        others = tuple(self.names.values())
        return others if self.gguf is None else (self.gguf, *others)

    def _ours(self, names: OtherNames, name: str) -> str | None:
        layer, ours = names.ours(name)
        return ours if ours is None or layer is None else f"{self.layer_prefix}{layer}.{ours}"

    def _locate(self, name: str) -> Found | None:
        for index, stack in enumerate(self.stacks):
            number, rest = split(name, stack.prefix)
            if number is None:
                continue
            if rest in stack.layer:
                return Found(index, number, rest)
            key, expert = starred(rest)
            if expert is not None and key in stack.layer:
                return Found(index, number, key, expert)
        return Found(None, None, name) if name in self.model or name in TASK_HEADS else None

    def role(self, found: Found) -> TensorRole:
        """What the tensor at a place is."""
        if found.stack is not None:
            return self.stacks[found.stack].layer[found.key]
        return self.model.get(found.key) or TASK_HEADS[found.key]

    def find(self, name: str) -> tuple[int | None, TensorRole] | None:
        """Layer number (None outside the layers) and role of the tensor `name`, or None.

        `name` is transformers' or another's.
        """
        found = self.locate(name)
        if found is not None:
            return found.number, self.role(found)
        return self.buffer(name)

    def buffer(self, name: str) -> tuple[int | None, TensorRole] | None:
        """Layer number and role of a buffer that only another project has, or None."""
        for names in self._others:
            layer, key = split(name, names.layer_prefix)
            if key in names.buffers:
                return layer, TensorRole(Role.BUFFER, ())
        return None

    def place(self, name: str) -> tuple[int | None, str] | None:
        """Layer number (None outside the layers) and name there of the tensor `name`.

        `name` is transformers' or another's; None for one that the table does not list.
        """
        found = self.locate(name)
        return None if found is None else (found.number, numbered(found.key, found.expert))

    def from_gguf(self, name: str) -> str | None:
        """transformers' name of the tensor that llama.cpp calls `name`; None if it has none."""
        return None if self.gguf is None else self._ours(self.gguf, name)
