"""May an engine compute with these tensors? Only if each space has one length, the config's."""

from __future__ import annotations

from prunescope.analysis.axes import layout
from prunescope.architecture import Model
from prunescope.errors import CheckpointError


def check_sizes(model: Model) -> None:
    """Compare the axes of all tensors, before an engine computes with them.

    Raises:
        CheckpointError: two axes of one space differ, an axis is no whole number of heads, or
            the query heads of a layer cannot share its KV heads.
    """
    config, found = model.config, layout(model)
    for (_, key), axes in found.axes.items():
        space = found.space(key)
        rows = found.unit_rows.get(space.name, 1)
        expected, source = axes[0].length, f"{axes[0].tensor.name!r} has"
        stated = config.get(space.config)
        if not space.per_layer and isinstance(stated, int):
            expected, source = stated, "config.json says"
        for axis in axes:
            what = f"tensor {axis.tensor.name!r} has {axis.length} {key} entries"
            if axis.length != expected:
                raise CheckpointError(axis.tensor.file, f"{what}, {source} {expected}")
            if not axis.length or axis.length % rows:
                raise CheckpointError(axis.tensor.file, f"{what}, no whole number of {rows}")
    for layer in model.layers:
        heads, kv_heads = found.rows(layer, "heads"), found.rows(layer, "kv_heads")
        if heads and kv_heads and heads % kv_heads:
            raise CheckpointError(
                model.checkpoint.path,
                f"layer {layer}: {heads} query rows cannot share {kv_heads} key rows",
            )
