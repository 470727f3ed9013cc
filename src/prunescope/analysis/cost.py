"""What does a model cost to run? Arithmetic and memory, from shapes alone.

Formulas: a weight of a matrix multiplies and adds once per token, 2 FLOPs (Kaplan et al., 2020,
https://arxiv.org/abs/2001.08361, table 1); scores and weighted sums of attention are 2 FLOPs each
per key and per dimension of each query head (Chowdhery et al., 2022,
https://arxiv.org/abs/2204.02311, appendix B, without its backward pass). As there, and as in
torch.utils.flop_counter, a causal mask saves nothing: an engine that skips masked blocks does up to
half of a prompt's attention less. Of a layer's experts only those count that a token is sent to.
Norms, activations, rotary embeddings and softmax count for nothing, nor do biases.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from prunescope.analysis.axes import layout, stated_kinds, stated_of, whole
from prunescope.analysis.cost_result import Cost
from prunescope.analysis.workload import KV_BITS, Workload
from prunescope.architecture import Model, Module, Role, describe, refuse_generic
from prunescope.architecture.roles import MATRICES
from prunescope.architecture.windows import slides, usual_window
from prunescope.checkpoint import Checkpoint, TensorInfo
from prunescope.checkpoint.gguf_config import WINDOW
from prunescope.checkpoint.numbered import refuse_shard
from prunescope.checkpoint.own_bytes import own_bytes
from prunescope.errors import ArchitectureError

# Of which a step needs a row for each token, not all.
_LOOKED_UP = (Role.EMBEDDING, Role.POSITION, Role.SEGMENT)
_PROJECTED = (Role.EMBEDDING_IN, Role.EMBEDDING_OUT)
_EXPERTS = (Role.EXPERT_GATE, Role.EXPERT_UP, Role.EXPERT_DOWN, Role.EXPERT_GATE_UP)


class Unpriced(ArchitectureError):
    """A family that there are no formulas for."""


def cost(checkpoint: Checkpoint, workload: Workload | None = None) -> Cost:
    """Costs of a model, from its headers.

    Args:
        workload: what is asked of it; by default one sequence of 4096 tokens, its cache in bf16.

    Raises:
        ArchitectureError: an adapter, or one shard of several.
        Unpriced: a family that there are no formulas for.
    """
    workload = workload or Workload()
    refuse_shard(checkpoint.path, [file.name for file in checkpoint.files])
    model = describe(checkpoint)
    refuse_generic(model, "cost")
    if model.family.unpriced is not None:
        raise Unpriced(
            f"{checkpoint.path}: no formula for what a {model.family.name} model costs: "
            f"{model.family.unpriced}"
        )
    head = _head(model)
    multiplied = [m for layer in model.layers.values() for m in layer.values()]
    multiplied += [m for m in model.outside.values() if m.role not in _LOOKED_UP]
    if head is not None and head.role is Role.EMBEDDING:
        multiplied.append(head)
    per_token = per_sequence = attention = 0
    shapes = layout(model)
    for place, layer in enumerate(model.layers):
        queries = shapes.rows(layer, "heads") or 0
        cached = shapes.rows(layer, "kv_heads") or queries
        if stated_kinds(model, layer).get("attention", "heads") != "heads":
            continue
        seen = cached_tokens(model, layer, place, workload.context)
        per_token += 2 * cached
        per_sequence += seen * 2 * cached
        # Scores have the queries' dimension, and so have weighted sums.
        attention += 4 * seen * queries
    experts = [m for m in multiplied if m.role in _EXPERTS]
    outside = [m for m in model.outside.values() if m.role in _PROJECTED]
    inside = [m for layer in model.layers.values() for m in layer.values() if m.role in MATRICES]
    bits = KV_BITS[workload.kv_dtype]
    return Cost(
        model,
        workload,
        checkpoint.nbytes,
        _stored(checkpoint, multiplied),
        _stored(checkpoint, experts),
        min((_share(model, m) for m in experts), default=1.0),
        per_token * bits // 8,
        per_sequence * bits // 8,
        sum(_flops(model, m) for m in (*inside, *outside)),
        attention,
        0 if head is None else 2 * prod(head.shape),
    )


def _head(model: Model) -> Module | None:
    """What makes logits: the output head, else the embedding unless config.json unties it."""
    if Role.HEAD in model.outside:
        return model.outside[Role.HEAD]
    if Role.CLASSIFIER in model.outside:
        return None
    if model.checkpoint.config.get("tie_word_embeddings") is False:
        return None
    return model.outside.get(Role.EMBEDDING)


def _flops(model: Model, module: Module) -> int:
    def is_matrix(tensor: TensorInfo) -> bool:
        axes = model.roles[tensor.name].axes
        # Biases of experts that lie stacked have two axes.
        stacked = module.role in _EXPERTS and axes[:1] == ("experts",)
        return len(axes) > 1 + stacked

    flops = sum(2 * t.parameters for t in module.tensors if is_matrix(t))
    return round(flops * _share(model, module)) if module.role in _EXPERTS else flops


def _share(model: Model, module: Module) -> float:
    """Experts that a token is sent to / those of the module."""
    count, active = module.shape[0], whole(model.config, model.family.active)
    return min(1.0, active / count) if active and count else 1.0


def _stored(checkpoint: Checkpoint, modules: list[Module]) -> int:
    owners: dict[str, TensorInfo] = {}
    for module in modules:
        for tensor in module.tensors if module.role is not Role.BUFFER else ():
            name = tensor.shared_with or tensor.name
            owners[name] = checkpoint.tensors.get(name) or replace(tensor, shared_with=None)
    return sum(own_bytes(owners.values()).values())


def cached_tokens(model: Model, layer: int, place: int, context: int) -> int:
    """How many of `context` tokens the layer at `place` attends to and keeps."""
    window = stated_of(model, WINDOW, layer) or usual_window(model.config)
    return min(context, window) if window is not None and slides(model.config, place) else context
