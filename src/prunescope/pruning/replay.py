"""What does a pruning.json say is kept? The same cuts once more, without measuring anything."""

from __future__ import annotations

from collections.abc import Sequence

from prunescope.analysis.record import GroupRecord, PruningRecord
from prunescope.architecture import Model
from prunescope.errors import PlanError
from prunescope.pruning.groups import HIDDEN, Group, group_of, hidden_group, layers_group
from prunescope.pruning.selection import Cut
from prunescope.pruning.targets import Target


def recorded_cuts(model: Model, record: PruningRecord) -> tuple[Cut, ...]:
    """The cuts that `record` describes, of `model`.

    Raises:
        PlanError: it is the record of another model.
        ArchitectureError: as `group_of`.
    """
    if record.parameters.original != model.checkpoint.parameters:
        raise PlanError(
            f"the recorded model had {record.parameters.original:,} parameters, this one has "
            f"{model.checkpoint.parameters:,}"
        )
    cuts = [
        _cut(
            group_of(model, layer, kind, record.gqa) if _has(model, layer, kind) else None,
            entry,
            kind,
        )
        for layer, groups in record.layers.items()
        for kind, entry in groups.items()
    ]
    for kind, entry in record.model.items():
        cuts.append(_cut(hidden_group(model) if kind == HIDDEN else None, entry, kind))
    if record.kept_layers is not None:
        group, layers = layers_group(model), list(model.layers)
        if not set(record.kept_layers) <= set(layers) or not record.kept_layers:
            raise PlanError("the recorded layers are not this model's")
        cuts.append(_made(group, sorted(layers.index(layer) for layer in record.kept_layers)))
    return tuple(cuts)


def _has(model: Model, layer: int, kind: str) -> bool:
    return layer in model.layers and kind in model.family.groups


def _cut(group: Group | None, entry: GroupRecord, kind: str) -> Cut:
    if group is None or group.units != entry.units:
        raise PlanError(f"the recorded {kind} units are not this model's")
    kept = group.units_of(entry.kept)
    if group.left(kept) != {name: list(rows) for name, rows in entry.kept.items()}:
        raise PlanError(f"the recorded {kind} indices are no whole units of this model's")
    if group.experts and len(set(map(len, entry.kept.values()))) > 1:
        raise PlanError(f"the recorded {kind} leaves experts of one layer different widths")
    return _made(group, kept)


def _made(group: Group, kept: Sequence[int]) -> Cut:
    if not kept:
        raise PlanError(f"the record keeps none of the {group.kind} units")
    return Cut(Target(group, group.units - len(kept)), list(kept), [])
