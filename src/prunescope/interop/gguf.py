"""Which weights are in this GGUF file? Float32 under transformers' names, in its row order.

Only the architecture `llama`, and `deci` where every layer has attention and an MLP. Of the first
bit for bit what transformers' own GGUF loading gives
(https://huggingface.co/docs/transformers/gguf), several times as fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from prunescope.architecture import Role, load_family
from prunescope.architecture.row_order import halves_from_pairs
from prunescope.checkpoint import Checkpoint
from prunescope.checkpoint.gguf_config import KINDS, PER_LAYER
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import ArchitectureError, CheckpointError
from prunescope.extras import require
from prunescope.interop.gguf_rope import FACTORS

if TYPE_CHECKING:
    import gguf
    import numpy as np
else:
    gguf = require("gguf", "demo")
    np = require("numpy", "demo")

ARCHITECTURES = ("llama", "deci")
# Whose rows llama.cpp reorders, and what counts their heads.
_PERMUTED = {Role.Q: "num_attention_heads", Role.K: "num_key_value_heads"}


def check_architecture(source: Checkpoint) -> None:
    """Raise ArchitectureError unless the file holds a Llama, whose layers may differ."""
    found = source.metadata.get("general.architecture")
    if found not in ARCHITECTURES:
        raise ArchitectureError(
            f"{source.path}: GGUF of architecture {found!r}: only {' and '.join(ARCHITECTURES)} "
            "are supported"
        )
    if source.metadata.get(f"{found}.rope.scaling.type", "none") != "none":
        # transformers would drop it without a word, and be wrong on long texts.
        raise ArchitectureError(f"{source.path}: GGUF with RoPE scaling is not supported")
    for layer, own in source.config.get(PER_LAYER, {}).items():
        if found != "deci":
            # llama.cpp itself takes the first layer's counts for all.
            raise ArchitectureError(f"{source.path}: GGUF whose layers differ, and no 'deci'")
        for part, kind in own.get(KINDS, {}).items():
            what = "no" if kind == "none" else "a linear layer for its"
            raise ArchitectureError(f"{source.path}: layer {layer} has {what} {part}: is no Llama")


def read_tensors(
    source: Checkpoint, tick: Callable[[], None] = lambda: None
) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Every tensor of `source`, dequantised, under transformers' names and in its row order.

    Args:
        source: a GGUF Llama, all shards of it.
        tick: called after each tensor.

    Returns:
        Name → float32 array, C-contiguous: matrices [out, in], norms [hidden].

    Raises:
        CheckpointError: a tensor that a Llama has no place for, or of a type that the `gguf`
            library cannot dequantise.
    """
    found = {}
    with WeightMap() as weights:
        for name, info in source.tensors.items():
            if name == FACTORS:
                # Of config.json's making.
                tick()
                continue
            target, heads = _place(source, name)
            data = np.frombuffer(weights.view(info), np.uint8)
            data = data.reshape(*info.shape[:-1], -1) if info.nbytes else data
            dtype = gguf.GGMLQuantizationType.__members__.get(info.dtype)
            if dtype is None:
                cause = f"{info.dtype} is newer than the installed gguf"
                raise CheckpointError(source.path, f"tensor {name!r}: {cause}")
            try:
                values = gguf.dequantize(data, dtype).reshape(info.shape)
            except Exception as err:  # gguf raises what numpy does
                raise CheckpointError(source.path, f"tensor {name!r}: {reason_of(err)}") from None
            if heads:
                if not info.shape[0] or info.shape[0] % (2 * heads):
                    rows = info.shape[0]
                    raise CheckpointError(source.path, f"{name!r}: {rows} rows for {heads} heads")
                values = unpermute(values, heads)
            found[target] = np.ascontiguousarray(values, np.float32)
            tick()
    return found


def unpermute(
    rows: np.ndarray[Any, np.dtype[np.float32]], heads: int
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Undo the order that llama.cpp gives the rows of the query or key projection.

    See `row_order`; what transformers' `_reverse_permute_weights` (modeling_gguf_pytorch_utils.py)
    does.

    Args:
        rows: [heads · head_dim, hidden]; head_dim is even.
        heads: heads of the projection: for keys, the KV heads.

    Returns:
        The same shape and dtype.
    """
    by_head = rows.reshape(heads, rows.shape[0] // heads, *rows.shape[1:])
    return by_head.take(halves_from_pairs(by_head.shape[1]), axis=1).reshape(rows.shape)


def _place(source: Checkpoint, name: str) -> tuple[str, int]:
    """Where transformers keeps the tensor `name`, and its heads where rows are permuted (or 0)."""
    family = load_family("llama")
    target, found = family.from_gguf(name), family.find(name)
    if target is None or found is None:
        raise CheckpointError(source.path, f"a Llama has no place for the GGUF tensor {name!r}")
    key = _PERMUTED.get(found[1].role)
    if key is None:
        return target, 0
    own = source.config.get(PER_LAYER, {}).get(str(found[0]), {})
    heads = own.get(key, source.config.get(key))
    if type(heads) is not int:
        raise CheckpointError(source.path, f"its GGUF header states no {key}")
    return target, heads


def check_shapes(
    source: Checkpoint, tensors: Mapping[str, np.ndarray[Any, Any]], config: Mapping[str, Any]
) -> None:
    """Raise CheckpointError unless `tensors` are those of a Llama of this `config`, no more.

    Args:
        config: layers depart from it in its `per_layer_config`.
    """
    family = load_family("llama")
    keys = {"num_hidden_layers"} | {space.config for space in family.spaces.values()}
    keys |= {space.unit for space in family.spaces.values() if space.unit}
    for key in sorted(keys):
        if type(config.get(key)) is not int or config[key] < 1:
            raise CheckpointError(
                source.path, f"{key} is {config.get(key)!r}, not a number above 0"
            )
    layers = config["num_hidden_layers"]
    in_layer = {n: role for n, role in family.layer.items() if n not in family.optional}
    if layers * len(in_layer) > len(tensors):
        raise CheckpointError(
            source.path, f"{len(tensors)} tensors are too few for {layers} layers"
        )
    roles = dict(family.model)
    if config["tie_word_embeddings"]:
        roles.pop("lm_head.weight")
    for layer in range(layers):
        roles |= {f"{family.layer_prefix}{layer}.{n}": role for n, role in in_layer.items()}
    for name in sorted(roles.keys() ^ tensors.keys()):
        state = "missing" if name in roles else "one too many"
        raise CheckpointError(source.path, f"tensor {name!r} is {state}")
    for name, role in roles.items():
        found = family.find(name)
        own = config | config.get(PER_LAYER, {}).get(str(found[0] if found else None), {})
        spaces = [family.spaces[axis] for axis in role.axes]
        shape = tensors[name].shape
        expected = tuple(own[s.config] * (own[s.unit] if s.unit else 1) for s in spaces)
        if shape != expected:
            raise CheckpointError(
                source.path, f"tensor {name!r} is {list(shape)}, its config says {list(expected)}"
            )


def reason_of(err: Exception) -> str:
    """The first line of what `err` says."""
    text = str(err).strip()
    return text.splitlines()[0] if text else type(err).__name__
