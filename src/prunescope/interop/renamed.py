"""How does a model that Meta, Mistral or torchtune has saved become transformers'? Renamed.

Their tensors have other names (torchtune/models/convert_weights.py, `tune_to_hf`), and the rows of
a head's queries and keys another order (`row_order`); the bits of each row stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from prunescope.architecture import Model, Role, describe
from prunescope.architecture.row_order import halves_from_pairs
from prunescope.checkpoint import Checkpoint, TensorInfo
from prunescope.checkpoint.dtypes import DTYPE_BITS
from prunescope.checkpoint.runs import runs
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import ArchitectureError, CheckpointError

_CLASSES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
}
_PERMUTED = (Role.Q, Role.K)


@dataclass(frozen=True, slots=True)
class Reordered:
    """Tensors as they lie in files, but for rows that change places within a head.

    Attributes:
        weights: the open files.
        head_dims: stored tensor → rows of a head, of those whose rows do. Such a tensor is held in
            memory while it is written.
    """

    weights: WeightMap
    head_dims: Mapping[str, int]

    def runs(self, tensor: TensorInfo) -> Iterator[tuple[int, memoryview | bytes]]:
        """The bytes of `tensor`, in transformers' order."""
        head_dim = self.head_dims.get(tensor.name)
        if head_dim is None:
            yield from runs(self.weights, tensor)
            return
        whole = bytearray(tensor.parameters * DTYPE_BITS[tensor.dtype] // 8)
        for offset, data in runs(self.weights, tensor):
            whole[offset : offset + len(data)] = data
        width = len(whole) // tensor.shape[0]
        order = halves_from_pairs(head_dim)
        for head in range(0, tensor.shape[0], head_dim):
            rows = (head + row for row in order)
            data = b"".join(whole[row * width : (row + 1) * width] for row in rows)
            yield head * width, data

    def release(self) -> None:
        """See `WeightMap.release`."""
        self.weights.release()


def project_of(checkpoint: Checkpoint) -> str | None:
    """Whose names a model's tensors have: `Meta`, `torchtune`; None for transformers' and others.

    A GGUF's are llama.cpp's, and no matter of this.
    """
    if checkpoint.format == "GGUF":
        return None
    try:
        return describe(checkpoint, strict=False).project
    except ArchitectureError:
        return None


def renamed(checkpoint: Checkpoint) -> tuple[Checkpoint, dict[str, int]]:
    """`checkpoint` under transformers' names, with the config.json that those need.

    Returns:
        It; and the `head_dims` of `Reordered`.

    Raises:
        ArchitectureError: a tensor that the family has no place for.
        CheckpointError: nothing says how many heads there are, rows are no whole heads, or there
            is no MLP or no token embedding to take sizes from.
    """
    model = describe(checkpoint)
    config = _config(model)
    head_dim = model.head_dim
    tensors, head_dims = {}, {}
    for name, tensor in checkpoint.tensors.items():
        if name not in model.places and model.roles[name].role is Role.BUFFER:
            # transformers computes it.
            continue
        ours = _name(model, name)
        if tensor.parts and tensor.parts[0].start is None:
            raise CheckpointError(tensor.file, f"tensor {name!r} is packed ({tensor.dtype})")
        names = model.family.naming(name)
        if names is not None and names.permuted and model.roles[name].role in _PERMUTED:
            rows = tensor.shape[0]
            if not head_dim or head_dim % 2 or not rows or rows % head_dim:
                raise CheckpointError(
                    tensor.file,
                    f"tensor {name!r}: {rows} rows are not whole heads of {head_dim}",
                )
            head_dims[ours] = head_dim
        tensors[ours] = replace(
            tensor,
            name=ours,
            shared_with=None if tensor.shared_with is None else _name(model, tensor.shared_with),
        )
    return replace(checkpoint, tensors=tensors, config=config), head_dims


def _name(model: Model, name: str) -> str:
    layer, key = model.place(name)
    return key if layer is None else f"{model.family.layer_prefix}{layer}.{key}"


def _config(model: Model) -> dict[str, Any]:
    config = dict(model.checkpoint.config)
    if not model.config.get("num_attention_heads"):
        raise CheckpointError(
            model.checkpoint.path,
            "has no config.json or params.json, which say how many heads there are",
        )
    if config.get("model_type"):
        return config
    kind = "mistral" if config.get("sliding_window") else model.family.name
    lacking = [Role.GATE for layer in model.layers.values() if Role.GATE not in layer]
    lacking += [] if Role.EMBEDDING in model.outside else [Role.EMBEDDING]
    if lacking:
        path = model.checkpoint.path
        raise CheckpointError(path, f"lacks its {lacking[-1].title}, which config.json tells of")
    embedding = model.outside[Role.EMBEDDING]
    channels = [layer[Role.GATE].shape[0] for layer in model.layers.values()]
    found = {
        "model_type": kind,
        "architectures": [_CLASSES[kind]],
        "num_hidden_layers": len(model.layers),
        "vocab_size": embedding.shape[0],
        "intermediate_size": max(channels),
        "tie_word_embeddings": Role.HEAD not in model.outside,
        "hidden_act": "silu",
    }
    return config | found
