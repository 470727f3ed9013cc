"""Do a model's tensors fit together? Every axis of a space has one length, the config's."""

from __future__ import annotations

from prunescope.architecture import Model
from prunescope.errors import CheckpointError


def check_sizes(model: Model) -> None:
    """Compare the axes of all tensors, before an engine computes with them.

    Raises:
        CheckpointError: two axes of one space differ, an axis is no whole number of heads, or
            the query heads of a layer cannot share its KV heads.
    """
    config, spaces = model.checkpoint.config, model.family.spaces
    known: dict[tuple[int | None, str], tuple[int, str]] = {}
    for space in spaces.values():
        stated = config.get(space.config)
        if not space.per_layer and isinstance(stated, int):
            known[None, space.name] = stated, "config.json says"
    for name, tensor in model.checkpoint.tensors.items():
        layer, role = model.family.find(name) or (None, model.roles[name])
        for length, key in zip(tensor.shape, role.axes, strict=False):
            space = spaces[key]
            place = layer if space.per_layer else None
            expected, source = known.setdefault((place, key), (length, f"{name!r} has"))
            if length != expected:
                raise CheckpointError(
                    tensor.file, f"tensor {name!r} has {length} {key} entries, {source} {expected}"
                )
            rows = model.head_dim if space.unit == "head_dim" else None
            if not length or length % (rows or 1):
                raise CheckpointError(
                    tensor.file,
                    f"tensor {name!r} has {length} {key} entries, no whole number of {rows or 1}",
                )
    for layer in model.layers:
        heads, kv_heads = (known.get((layer, key)) for key in ("heads", "kv_heads"))
        if heads and kv_heads and heads[0] % kv_heads[0]:
            raise CheckpointError(
                model.checkpoint.path,
                f"layer {layer}: {heads[0]} query rows cannot share {kv_heads[0]} key rows",
            )
