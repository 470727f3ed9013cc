"""What is to be trained, and for how long?

The defaults are those of the recovery that LLM-Pruner documents (its README and post_training.py,
https://github.com/horseee/LLM-Pruner/blob/main/post_training.py).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from prunescope.architecture import Model
from prunescope.errors import PlanError

# Modules that hold several projections, in Phi-3 and its like.
_FUSED = {
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "gate_up_proj": ("gate_proj", "up_proj"),
}
# Blocks per forward pass, where they divide the batch.
MICRO_BATCH = 4
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def micro_batch_of(batch: int) -> int:
    """The most blocks per forward pass, up to the default, of which `batch` is a multiple."""
    return max(size for size in range(1, MICRO_BATCH + 1) if batch % size == 0)


@dataclass(frozen=True, slots=True)
class RecoveryPlan:
    """One recovery.

    Attributes:
        epochs: passes over the blocks; `max_steps` ends them earlier.
        learning_rate: at its peak; it falls linearly to 0.
        batch: blocks per step, in `micro_batch`es, of which it is a multiple.
        cutoff: tokens of a block.
        warmup: steps of rising learning rate, at most a tenth of all.
        rank, alpha, dropout, targets: of LoRA (https://arxiv.org/abs/2106.09685).
        temperature, share: of the teacher, where there is one (`recovery.losses`).
        save_every: steps between checkpoints.
    """

    epochs: int = 2
    max_steps: int | None = None
    learning_rate: float = 1e-4
    batch: int = 64
    micro_batch: int = MICRO_BATCH
    cutoff: int = 256
    warmup: int = 100
    rank: int = 8
    alpha: int = 16
    dropout: float = 0.05
    targets: tuple[str, ...] = TARGETS
    temperature: float = 2.0
    share: float = 0.5
    save_every: int = 50
    seed: int = 42

    def __post_init__(self) -> None:
        if self.batch % self.micro_batch:
            raise PlanError(
                f"a batch of {self.batch} is no whole number of micro batches of {self.micro_batch}"
            )
        if not self.targets or not set(self.targets) <= set(TARGETS):
            raise PlanError(f"targets {','.join(self.targets)!r} are not among {','.join(TARGETS)}")

    def steps(self, blocks: int) -> int:
        """Optimizer steps over `blocks` blocks, the last of each epoch perhaps a smaller one."""
        steps = self.epochs * math.ceil(blocks / self.batch)
        return steps if self.max_steps is None else min(steps, self.max_steps)

    def warmup_steps(self, steps: int) -> int:
        """Of `steps` steps, how many warm up."""
        return min(self.warmup, steps // 10)

    def modules(self, model: Model) -> tuple[str, ...]:
        """Names of the modules of `model` that get a LoRA: of a fused one, if any part is a target.

        Experts, which transformers stacks into one parameter, are no modules and get none; nor
        does a module of their projections' name, which PEFT would take for theirs.

        Raises:
            PlanError: it has none of the targets.
        """
        found, experts = (
            {
                place.key.split(".")[-2]
                for place in model.places.values()
                if place.layer is not None
                and "." in place.key
                and (place.expert is not None) == is_expert
            }
            for is_expert in (False, True)
        )
        wanted = {name: (name,) for name in TARGETS} | _FUSED
        names = [
            n for n, of in wanted.items() if n in found - experts and set(of) & set(self.targets)
        ]
        if not names:
            raise PlanError(
                f"{model.checkpoint.path}: has no {','.join(self.targets)}: name others with "
                "--lora-targets"
            )
        return tuple(names)

    def as_dict(self) -> dict[str, Any]:
        """For the record, without what does not change the result."""
        return {key: value for key, value in asdict(self).items() if key != "save_every"}
