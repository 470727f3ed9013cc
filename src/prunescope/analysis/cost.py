"""What does a model cost to run? Arithmetic, memory and a bound on speed, from shapes alone.

Formulas: a weight of a matrix multiplies and adds once per token, 2 FLOPs (Kaplan et al., 2020,
https://arxiv.org/abs/2001.08361, table 1); scores and weighted sums of attention are 2 FLOPs each
per key and per dimension of each query head (Chowdhery et al., 2022,
https://arxiv.org/abs/2204.02311, appendix B, without its backward pass). As there, and as in
torch.utils.flop_counter, a causal mask saves nothing: an engine that skips masked blocks does up to
half of a prompt's attention less. Of a layer's experts only those count that a token is sent to.
Norms, activations, rotary embeddings and softmax count for nothing, nor do biases.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal

from prunescope.analysis.axes import layout, stated_kinds, stated_of, whole
from prunescope.analysis.devices import Device
from prunescope.analysis.tabular import Tabular, flat
from prunescope.architecture import Model, Module, Role, describe, refuse_generic
from prunescope.architecture.roles import MATRICES
from prunescope.architecture.windows import slides, usual_window
from prunescope.checkpoint import Checkpoint, TensorInfo
from prunescope.checkpoint.gguf_config import WINDOW
from prunescope.checkpoint.numbered import refuse_shard
from prunescope.checkpoint.own_bytes import own_bytes
from prunescope.errors import ArchitectureError

Bound = Literal["compute", "memory"]
CONTEXT, BATCH, KV_DTYPE = 4096, 1, "bf16"
# Of which a step needs a row for each token, not all.
_LOOKED_UP = (Role.EMBEDDING, Role.POSITION, Role.SEGMENT)
_PROJECTED = (Role.EMBEDDING_IN, Role.EMBEDDING_OUT)
_EXPERTS = (Role.EXPERT_GATE, Role.EXPERT_UP, Role.EXPERT_DOWN, Role.EXPERT_GATE_UP)
KV_BITS = {"f32": 32, "bf16": 16, "f16": 16, "f8": 8, "i8": 8}


@dataclass(frozen=True, slots=True)
class Workload:
    """What is asked of a model.

    Attributes:
        context: tokens of a prompt, and those in the KV cache when one more is decoded.
        batch: sequences at a time.
        kv_dtype: of the KV cache: a key of `KV_BITS`.
    """

    context: int = CONTEXT
    batch: int = BATCH
    kv_dtype: str = KV_DTYPE


@dataclass(frozen=True, slots=True)
class Step:
    """One pass through the model.

    Attributes:
        tokens: that go in, of all sequences.
        flops: floating-point operations.
        nbytes: read from or written to memory: each weight once, the KV cache once. Activations
            are taken to stay on the chip.
    """

    tokens: int
    flops: int
    nbytes: int

    @property
    def flops_per_token(self) -> float:
        """Of one token."""
        return self.flops / self.tokens

    @property
    def intensity(self) -> float:
        """Arithmetic intensity, FLOP/byte."""
        return self.flops / self.nbytes if self.nbytes else 0.0

    def seconds(self, device: Device) -> float:
        """No less than this: the roofline of Williams, Waterman and Patterson, 2009
        (https://doi.org/10.1145/1498765.1498785)."""
        return max(self.flops / device.flops, self.nbytes / device.bandwidth)

    def tokens_per_second(self, device: Device) -> float:
        """No more than this, all sequences together."""
        seconds = self.seconds(device)
        return self.tokens / seconds if seconds else 0.0

    def bound(self, device: Device) -> Bound:
        """What a device spends the time on."""
        is_compute = self.flops * device.bandwidth > self.nbytes * device.flops
        return "compute" if is_compute else "memory"

    def record(self, device: Device | None = None) -> dict[str, Any]:
        """What `--json` says of it; times are for `device`."""
        found: dict[str, Any] = {
            "tokens": self.tokens,
            "flops": self.flops,
            "bytes": self.nbytes,
            "flops_per_token": self.flops_per_token,
            "intensity": self.intensity,
        }
        if device is not None:
            found["seconds"] = self.seconds(device)
            found["tokens_per_second"] = self.tokens_per_second(device)
            found["bound"] = self.bound(device)
        return found


@dataclass(frozen=True, slots=True)
class Cost(Tabular):
    """One model's costs under a workload.

    Attributes:
        weight_bytes: stored, tied weights once.
        read_bytes: of the weights that a step multiplies: all but the embedding, unless it is the
            output head too.
        expert_bytes: those of `read_bytes` that are experts', of which a token needs
            `expert_share`.
        expert_share: experts that a token is sent to / experts; 1 without experts.
        kv_bytes_per_token: added to the cache by each token.
        kv_bytes: of one sequence's cache at `workload.context`; a sliding window bounds it.
        layer_flops: of one token in the layers' matrices.
        attention_flops: of one token that attends to `workload.context` keys.
        head_flops: of one token's logits.
    """

    model: Model
    workload: Workload
    weight_bytes: int
    read_bytes: int
    expert_bytes: int
    expert_share: float
    kv_bytes_per_token: int
    kv_bytes: int
    layer_flops: int
    attention_flops: int
    head_flops: int

    def record(self, device: Device | None = None) -> dict[str, Any]:
        """What `--json` says of a model; `fits` and times are for `device`."""
        fits = None if device is None or device.memory is None else self.memory <= device.memory
        return {
            "path": self.model.checkpoint.path,
            "parameters": self.model.parameters,
            "weight_bytes": self.weight_bytes,
            "weight_bytes_read": self.read_bytes,
            "kv_bytes_per_token": self.kv_bytes_per_token,
            "kv_bytes": self.kv_bytes,
            "memory_bytes": self.memory,
            "fits": fits,
            "layer_flops": self.layer_flops,
            "attention_flops": self.attention_flops,
            "head_flops": self.head_flops,
            "prefill": self.prefill.record(device),
            "decode": self.decode.record(device),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row: the record, steps as `prefill_flops` and so on."""
        return [flat(self.record())]

    @property
    def memory(self) -> int:
        """Bytes of the weights and of all sequences' caches at full context."""
        return self.weight_bytes + self.workload.batch * self.kv_bytes

    @property
    def prefill(self) -> Step:
        """All prompts, of `context` tokens each; logits of each one's last token alone."""
        batch, context = self.workload.batch, self.workload.context
        flops = context * (self.layer_flops + self.attention_flops) + self.head_flops
        return self._step(batch * context, batch * flops)

    @property
    def decode(self) -> Step:
        """One token more of each sequence, the `context`-th."""
        batch = self.workload.batch
        flops = self.layer_flops + self.attention_flops + self.head_flops
        return self._step(batch, batch * flops)

    def _step(self, tokens: int, flops: int) -> Step:
        # At most so many experts, if every token is sent to others.
        share = min(1.0, tokens * self.expert_share)
        idle = self.expert_bytes - round(self.expert_bytes * share)
        cache = self.workload.batch * self.kv_bytes
        return Step(tokens, flops, self.read_bytes - idle + cache)


def cost(checkpoint: Checkpoint, workload: Workload | None = None) -> Cost:
    """Costs of a model, from its headers.

    Args:
        workload: what is asked of it; by default one sequence of 4096 tokens, its cache in bf16.

    Raises:
        ArchitectureError: an adapter, one shard of several, or a family that there are no formulas
            for.
    """
    workload = workload or Workload()
    refuse_shard(checkpoint.path, [file.name for file in checkpoint.files])
    model = describe(checkpoint)
    refuse_generic(model, "cost")
    if model.family.unpriced is not None:
        raise ArchitectureError(
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
        seen = _keys(model, layer, place, workload.context)
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
    if model.checkpoint.config.get("tie_word_embeddings") is False:
        return None
    return model.outside.get(Role.EMBEDDING)


def _flops(model: Model, module: Module) -> int:
    flops = sum(2 * t.parameters for t in module.tensors if len(model.roles[t.name].axes) > 1)
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


def _keys(model: Model, layer: int, place: int, context: int) -> int:
    """How many of `context` tokens the layer at `place` attends to and keeps."""
    window = stated_of(model, WINDOW, layer) or usual_window(model.config)
    return min(context, window) if window is not None and slides(model.config, place) else context
