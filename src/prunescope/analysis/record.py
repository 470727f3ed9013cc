"""What does the pruning.json beside a model say was done? Parsed as a stranger's file.

`prunescope.pruning.record` writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from prunescope.analysis.counts import Counts
from prunescope.checkpoint import Checkpoint
from prunescope.checkpoint.jsonfile import read_object
from prunescope.checkpoint.storage import File
from prunescope.errors import CheckpointError

RECORD = "pruning.json"
SCHEMA = "prunescope.pruning/1"


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """What was done to one group of one layer.

    Attributes:
        units: how many there were.
        removed: how many of them went.
        kept: space → the original indices of what stayed.
    """

    units: int
    removed: int
    kept: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class PruningRecord:
    """One pruning run.

    Attributes:
        parameters: stored ones, tied bytes once.
        layers: layer → group → what was done to it.
        kept_layers: the original's numbers of the layers that are left, in the pruned model's
            order; None where no layer was removed.
    """

    parameters: Counts
    layers: Mapping[int, Mapping[str, GroupRecord]]
    kept_layers: tuple[int, ...] | None = None

    def cut(self, group: str) -> frozenset[int]:
        """The layers in which `group` lost units."""
        found = self.layers.items()
        return frozenset(n for n, layer in found if group in layer and layer[group].removed)


def read_record(checkpoint: Checkpoint) -> PruningRecord | None:
    """The record of `checkpoint`; None where its folder is not its own or has none.

    Raises:
        CheckpointError: it is no pruning.json of the schema that this version knows.
    """
    if not checkpoint.owns_home or not checkpoint.home.has(RECORD):
        return None
    file = checkpoint.home.file(RECORD)
    value = read_object(file, RECORD)
    schema = value.get("schema")
    if not isinstance(schema, str) or not schema.startswith("prunescope."):
        # Other tools may call their notes so too.
        return None
    if schema != SCHEMA:
        raise CheckpointError(file, f"schema {schema!r}, this version knows {SCHEMA}")
    sizes, layers = value.get("parameters"), value.get("layers")
    if not isinstance(sizes, dict) or not isinstance(layers, dict):
        raise CheckpointError(file, "has no parameters and layers")
    original, pruned = sizes.get("original"), sizes.get("pruned")
    if not _is_count(original) or not _is_count(pruned):
        raise CheckpointError(file, "parameters are no whole numbers")
    found: dict[int, dict[str, GroupRecord]] = {}
    for number, groups in layers.items():
        if not (number.isascii() and number.isdigit() and len(number) < 7):
            raise CheckpointError(file, f"layer {number!r} is no layer's number")
        if not isinstance(groups, dict):
            raise CheckpointError(file, f"layer {number} has no groups")
        found[int(number)] = {
            name: _group(file, f"{name} of layer {number}", entry) for name, entry in groups.items()
        }
    return PruningRecord(Counts(original, pruned), found, _kept_layers(file, value))


def _kept_layers(file: File, value: Mapping[str, Any]) -> tuple[int, ...] | None:
    kept = value.get("kept_layers")
    if kept is None:
        return None
    if not isinstance(kept, list) or not all(map(_is_count, kept)) or len(set(kept)) < len(kept):
        raise CheckpointError(file, "kept_layers is no list of different layers")
    return tuple(kept)


def _group(file: File, where: str, entry: Any) -> GroupRecord:
    if isinstance(entry, dict):
        units, removed, kept = (entry.get(key) for key in ("units", "removed_units", "kept"))
        if _is_count(units) and _is_count(removed) and isinstance(kept, dict):
            lists = kept.values()
            if all(isinstance(each, list) and all(map(_is_count, each)) for each in lists):
                return GroupRecord(units, removed, {s: tuple(each) for s, each in kept.items()})
    raise CheckpointError(file, f"{where} is not recorded as units, removed_units and kept indices")


def _is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and value >= 0
