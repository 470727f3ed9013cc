"""Which layer of the original is each layer of the pruned model?

Where both have the same numbers, they are taken for the same layers and nothing else is read.
Where some are gone, what is left was renumbered: pruning.json says what it was, or else the
weights do, if they are here and numpy is.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, TypeAlias

from prunescope.architecture import Model
from prunescope.errors import ArchitectureError, CheckpointError, PrunescopeError

# `auto` is the above; `weights` reads them in any case, for layers that changed places.
Align: TypeAlias = Literal["auto", "numbers", "weights"]
Source: TypeAlias = Literal["given", "numbers", "pruning.json", "weights"]


@dataclass(frozen=True, slots=True)
class LayerMatch:
    """Pruned layers by the original's numbers.

    Attributes:
        layers: pruned layer → original layer, none twice.
        source: what told so.
    """

    layers: Mapping[int, int]
    source: Source


def match_layers(before: Model, after: Model, align: Align = "auto") -> LayerMatch:
    """Find out which layer is which.

    Raises:
        ArchitectureError: with `weights`: a layer is like none of the original's, two are like
            one, or no tensor tells.
        CheckpointError: with `weights`: they are not here, or cannot be compared.
        MissingExtra: with `weights`: numpy is not installed.
    """
    if align == "weights":
        return LayerMatch(_by_weights(before, after), "weights")
    if align == "auto" and before.layers.keys() != after.layers.keys():
        recorded = _by_record(before, after)
        if recorded is not None:
            return LayerMatch(recorded, "pruning.json")
        # Whatever keeps the weights from telling, numbers are what remains; the report says so.
        with suppress(PrunescopeError):
            return LayerMatch(_by_weights(before, after), "weights")
    return LayerMatch({number: number for number in after.layers}, "numbers")


def _by_record(before: Model, after: Model) -> dict[int, int] | None:
    # Not needed where all layers are there, which is where time is counted.
    from prunescope.analysis.record import read_record

    try:
        record = read_record(after.checkpoint)
    except CheckpointError:
        # `verify` says what is wrong with it.
        return None
    kept = record and record.kept_layers
    if not kept or len(kept) != len(after.layers) or not set(kept) <= before.layers.keys():
        return None
    return dict(zip(after.layers, kept, strict=True))


def _by_weights(before: Model, after: Model) -> dict[int, int]:
    from prunescope.analysis.trace.shared import layers_by_weights

    found = {n: layer for n, layer in layers_by_weights(before, after).items() if layer is not None}
    where = after.checkpoint.path
    unknown = sorted(after.layers.keys() - found.keys())
    if unknown:
        raise ArchitectureError(f"{where}: layer {unknown[0]} is like none of the original's")
    if len(set(found.values())) < len(found):
        raise ArchitectureError(f"{where}: two of its layers are the same one of the original")
    return found
