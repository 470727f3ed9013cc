"""What does a model cost under a workload? Its figures, and a bound on a device's speed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from prunescope.analysis.devices import Device
from prunescope.analysis.tabular import Tabular, flat
from prunescope.analysis.workload import Workload
from prunescope.architecture import Model

Bound = Literal["compute", "memory"]


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
