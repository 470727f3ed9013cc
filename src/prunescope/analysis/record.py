"""What does the pruning.json beside a model say was done? Parsed as a stranger's file.

`prunescope.pruning.record` writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard, get_args

from prunescope.analysis.counts import Counts
from prunescope.checkpoint import Checkpoint
from prunescope.checkpoint.jsonfile import read_object
from prunescope.checkpoint.storage import File
from prunescope.errors import CheckpointError

RECORD = "pruning.json"
SCHEMA = "prunescope.pruning/1"
# What a unit of attention is: a KV head with its query heads; a query head, of which each KV head
# loses as many; or a KV head and the query head of the same number, which are not trained together.
Gqa = Literal["group", "query", "naive"]
_GQA: tuple[Gqa, ...] = get_args(Gqa)


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
        model: group of the whole model (`hidden`) → what was done to it.
        gqa: what a unit of attention was: `group`, `query` or `naive`.
    """

    parameters: Counts
    layers: Mapping[int, Mapping[str, GroupRecord]]
    kept_layers: tuple[int, ...] | None = None
    model: Mapping[str, GroupRecord] = field(default_factory=dict)
    gqa: Gqa = "group"

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
    return parse_record(checkpoint.home.file(RECORD))


def parse_record(file: File) -> PruningRecord | None:
    """The record in `file`; None where it is another tool's.

    Raises:
        CheckpointError: as `read_record`.
    """
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
    whole = value.get("model", {})
    if not isinstance(whole, dict):
        raise CheckpointError(file, "model is no record of groups")
    plan = value.get("plan")
    named = plan.get("gqa", "group") if isinstance(plan, dict) else "group"
    gqa = next((known for known in _GQA if known == named), None)
    if gqa is None:
        raise CheckpointError(file, "plan.gqa is none that this version knows")
    return PruningRecord(
        Counts(original, pruned),
        found,
        _kept_layers(file, value),
        {name: _group(file, name, entry) for name, entry in whole.items()},
        gqa,
    )


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
