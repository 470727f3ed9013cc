"""What does a family's table say? Tensor names, their roles, and the space each axis lives in.

A table (`families/<name>.json`) lists every tensor as `[role, space of axis 0, space of axis 1]`.
A space is a set of interchangeable units: two axes in one space have one length and lose the same
units; mergekit's architecture files (https://github.com/arcee-ai/mergekit) label axes alike.
`gguf` lists llama.cpp's names of the same tensors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from prunescope.architecture.roles import Role

# importlib.resources would take longer to import than the tables to read.
_TABLES = Path(__file__).with_name("families")
# One spelling of each number, and no stranger's number of a thousand digits.
_LAYER_NUMBER = re.compile(r"0|[1-9][0-9]{0,5}")


@dataclass(frozen=True, slots=True)
class Space:
    """A set of units along an axis.

    Attributes:
        name: `heads`, `channels`, …
        config: the key of config.json that counts its units.
        unit: the config key of how many rows one unit has; None for one row.
        per_layer: whether each layer has its own.
        default: the space that has as many units where config.json leaves the key out; or None.
    """

    name: str
    config: str
    unit: str | None
    per_layer: bool
    default: str | None = None


@dataclass(frozen=True, slots=True)
class TensorRole:
    """What one tensor is: its role, and the name of the space of each axis."""

    role: Role
    axes: tuple[str, ...]


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
class GgufNames:
    """What llama.cpp calls a family's tensors (gguf-py/gguf/constants.py, `TENSOR_NAMES`).

    Attributes:
        architectures: the values of `general.architecture` that are built like the family.
        model: names outside the layers → transformers' name.
        layer_prefix: what precedes the layer's number in a name.
        layer: names after `<prefix><number>.` → transformers' after its own prefix and number.
        buffers: names, or those after the number, of tensors that only llama.cpp has.
    """

    architectures: tuple[str, ...]
    model: Mapping[str, str]
    layer_prefix: str
    layer: Mapping[str, str]
    buffers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Family:
    """One family's table.

    Attributes:
        name: the family.
        model_types: the `model_type`s of config.json that are built like it.
        spaces: by name.
        groups: what is pruned together, by name (`attention`, `mlp`).
        model: tensors outside the layers, by full name.
        layer_prefix: what precedes the layer's number in a tensor's name.
        layer: tensors of each layer, by their name after `<prefix><number>.`.
        optional: those of `layer` that a model may lack (biases, buffers).
        gguf: llama.cpp's names; None where the table has none.
        flags: key of config.json → those of `optional` that a model has where the key is true.
    """

    name: str
    model_types: tuple[str, ...]
    spaces: Mapping[str, Space]
    groups: Mapping[str, GroupSpec]
    model: Mapping[str, TensorRole]
    layer_prefix: str
    layer: Mapping[str, TensorRole]
    optional: frozenset[str]
    gguf: GgufNames | None = None
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def find(self, name: str) -> tuple[int | None, TensorRole] | None:
        """Layer number (None outside the layers) and role of the tensor `name`, or None.

        `name` is transformers' or llama.cpp's.
        """
        place = self.place(name)
        if place is not None:
            layer, key = place
            return layer, self.model[key] if layer is None else self.layer[key]
        if self.gguf is not None:
            layer, key = _split(name, self.gguf.layer_prefix)
            if key in self.gguf.buffers:
                return layer, TensorRole(Role.BUFFER, ())
        return None

    def place(self, name: str) -> tuple[int | None, str] | None:
        """Layer number (None outside the layers) and key in this table of the tensor `name`.

        `name` is transformers' or llama.cpp's; None for one that the table does not list.
        """
        for ours in (name, self.from_gguf(name)):
            if ours is not None:
                layer, key = _split(ours, self.layer_prefix)
                if key in (self.model if layer is None else self.layer):
                    return layer, key
        return None

    def from_gguf(self, name: str) -> str | None:
        """transformers' name of the tensor that llama.cpp calls `name`; None if it has none."""
        if self.gguf is None:
            return None
        layer, key = _split(name, self.gguf.layer_prefix)
        if layer is None:
            return self.gguf.model.get(key)
        ours = self.gguf.layer.get(key)
        return None if ours is None else f"{self.layer_prefix}{layer}.{ours}"


def _split(name: str, prefix: str) -> tuple[int | None, str]:
    """Layer number and the rest of a tensor's name; outside the layers, None and the name."""
    if name.startswith(prefix):
        number, _, rest = name[len(prefix) :].partition(".")
        if _LAYER_NUMBER.fullmatch(number):
            return int(number), rest
    return None, name


@cache
def family_names() -> tuple[str, ...]:
    """The families there are tables for."""
    return tuple(sorted(path.stem for path in _TABLES.glob("*.json")))


@cache
def load_family(name: str) -> Family:
    """The table `families/<name>.json`."""
    table = json.loads((_TABLES / f"{name}.json").read_text("utf-8"))

    def roles(entries: Mapping[str, list[str]]) -> dict[str, TensorRole]:
        return {key: TensorRole(Role[role], tuple(axes)) for key, (role, *axes) in entries.items()}

    optional = roles(table["optional"])
    return Family(
        name=table["name"],
        model_types=tuple(table["model_types"]),
        spaces={
            key: Space(
                key,
                entry["config"],
                entry.get("unit"),
                entry.get("per_layer", False),
                entry.get("default"),
            )
            for key, entry in table["spaces"].items()
        },
        groups={
            key: GroupSpec(tuple(entry["spaces"]), Role[entry["root"]])
            for key, entry in table["groups"].items()
        },
        model=roles(table["model"]),
        layer_prefix=table["layer_prefix"],
        layer=roles(table["layer"]) | optional,
        optional=frozenset(optional),
        gguf=_gguf_names(table["gguf"]) if "gguf" in table else None,
        flags={key: tuple(names) for key, names in table.get("flags", {}).items()},
    )


def _gguf_names(table: Mapping[str, Any]) -> GgufNames:
    return GgufNames(
        architectures=tuple(table["architectures"]),
        model=table["model"],
        layer_prefix=table["layer_prefix"],
        layer=table["layer"],
        buffers=frozenset(table["buffers"]),
    )
