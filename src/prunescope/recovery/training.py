"""How are the adapters trained? By transformers' Trainer, without its chatter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.errors import CheckpointError, PrunescopeError, first_line, is_out_of_memory
from prunescope.extras import require
from prunescope.recovery.losses import teacher_loss, text_loss
from prunescope.recovery.plan import RecoveryPlan

if TYPE_CHECKING:
    import torch
    import transformers
else:
    torch = require("torch", "prune")
    transformers = require("transformers", "prune")


@dataclass(frozen=True, slots=True)
class Training:
    """What training came to: the loss of each step, those before a resumption included."""

    losses: tuple[float, ...]

    @property
    def ends(self) -> tuple[float, float]:
        """Mean loss of the first and of the last tenth of the steps."""
        tenth = max(1, len(self.losses) // 10)
        first, last = self.losses[:tenth], self.losses[-tenth:]
        return sum(first) / len(first), sum(last) / len(last)


class _Trainer(transformers.Trainer):  # type: ignore[misc, unused-ignore]
    # Ours is a mean over equal blocks, to be divided by the number of micro batches.
    loss_is_scaled_for_ga = False
    teacher: transformers.PreTrainedModel | None = None
    plan = RecoveryPlan()
    has_begun = False

    def compute_loss(
        self, model: Any, inputs: dict[str, torch.Tensor], *_: Any, **__: Any
    ) -> torch.Tensor:
        self.has_begun = True
        ids = inputs["input_ids"]
        logits = model(input_ids=ids, use_cache=False).logits
        loss = text_loss(logits, ids)
        if self.teacher is None:
            return loss
        with torch.no_grad():
            wanted = self.teacher(input_ids=ids, use_cache=False).logits
        softened = teacher_loss(logits, wanted, self.plan.temperature)
        return (1 - self.plan.share) * loss + self.plan.share * softened


class _Steps(transformers.TrainerCallback):  # type: ignore[misc, unused-ignore]
    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._tick()

    def on_log(self, _: Any, state: Any, __: Any, logs: dict[str, Any], **___: Any) -> None:
        if not isfinite(logs.get("loss", 0.0)):
            raise PrunescopeError(
                f"step {state.global_step}: the loss is {logs['loss']}: lower --learning-rate"
            )


def train(
    network: transformers.PreTrainedModel,
    blocks: Sequence[Sequence[int]],
    plan: RecoveryPlan,
    folder: Path,
    teacher: transformers.PreTrainedModel | None,
    resumed: Path | None,
    tick: Callable[[], None],
) -> Training:
    """Train `network`'s adapters, which PEFT has put in; checkpoints go to `folder`.

    Args:
        teacher: on the same device, of the same vocabulary.
        resumed: the checkpoint to go on from (`checkpoints.last_whole`).
        tick: called after each step.

    Raises:
        PrunescopeError: the loss is not finite.
        CheckpointError: Trainer cannot go on from `resumed`.
    """
    steps = plan.steps(len(blocks))
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=plan.micro_batch,
        gradient_accumulation_steps=plan.batch // plan.micro_batch,
        learning_rate=plan.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=plan.warmup_steps(steps),
        optim="adamw_torch",
        seed=plan.seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_steps=plan.save_every,
        save_total_limit=1,
        disable_tqdm=True,
        report_to=[],
        remove_unused_columns=False,
        dataloader_pin_memory=network.device.type == "cuda",
        use_cpu=network.device.type == "cpu",
    )
    # As Trainer itself does for a model on one device: no copies on all others.
    arguments._n_gpu = min(1, arguments.n_gpu)
    trainer = _Trainer(
        model=network,
        args=arguments,
        train_dataset=[{"input_ids": torch.tensor(list(block))} for block in blocks],
        callbacks=[_Steps(tick)],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.teacher, trainer.plan = teacher, plan
    try:
        trainer.train(resume_from_checkpoint=None if resumed is None else str(resumed))
    except Exception as err:
        # Until then it reads the checkpoint, whose values may be anything.
        is_read = trainer.has_begun or resumed is None
        if is_read or isinstance(err, PrunescopeError) or is_out_of_memory(err):
            raise
        cause = f"cannot be resumed from ({first_line(err)})"
        raise CheckpointError(resumed, cause) from None
    history = trainer.state.log_history
    return Training(tuple(entry["loss"] for entry in history if "loss" in entry))
