"""From which of a run's checkpoints can it go on? The last one that is whole.

Trainer writes a checkpoint's files one after the other and its state last, and only then removes
the one before it: who is killed meanwhile leaves a part of one, beside a whole one. Of what is
missing Trainer makes nothing of note: without optimizer.pt it would go on with another optimizer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from prunescope.checkpoint import safetensors
from prunescope.checkpoint.jsonfile import read_object
from prunescope.checkpoint.storage import LocalFile
from prunescope.errors import CheckpointError, first_line, is_out_of_memory
from prunescope.extras import require

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", "prune")

ADAPTERS, STATE = "adapter_model.safetensors", "trainer_state.json"
_PICKLED = ("optimizer.pt", "scheduler.pt", "rng_state.pth")
_NAME = re.compile(r"checkpoint-(\d{1,9})")

# Called with what is wrong with a checkpoint, and with the one that is taken instead.
Damaged = Callable[[CheckpointError, Path], None]


def last_whole(
    work: Path, adapters: dict[str, tuple[int, ...]], damaged: Damaged
) -> tuple[Path, int]:
    """The folder of the last checkpoint in `work` that is whole, and its step.

    Args:
        adapters: names and shapes of the adapters that a checkpoint has.
        damaged: told of each later one.

    Raises:
        CheckpointError: the last one's, where none is whole.
    """
    found = ((_NAME.fullmatch(entry.name), entry) for entry in work.glob("checkpoint-*"))
    steps = sorted(((int(match[1]), entry) for match, entry in found if match), reverse=True)
    errors: list[CheckpointError] = []
    for step, folder in steps:
        try:
            _check(folder, step, adapters)
        except CheckpointError as err:
            errors.append(err)
            continue
        for error in errors:
            damaged(error, folder)
        return folder, step
    if errors:
        raise errors[0]
    raise CheckpointError(work, "has no checkpoint to resume from")


def _check(folder: Path, step: int, adapters: dict[str, tuple[int, ...]]) -> None:
    state = read_object(LocalFile(folder / STATE), "the state of the training")
    history = state.get("log_history")
    entries = history if isinstance(history, list) else []
    losses = [entry["loss"] for entry in entries if isinstance(entry, dict) and "loss" in entry]
    is_number = all(isinstance(loss, float | int) for loss in losses)
    if state.get("global_step") != step or len(losses) != step or not is_number:
        raise CheckpointError(folder / STATE, f"is not the state after step {step}")
    stored = safetensors.read(LocalFile(folder / ADAPTERS)).tensors
    if {name: info.shape for name, info in stored.items()} != adapters:
        raise CheckpointError(folder / ADAPTERS, "holds other adapters than this run trains")
    for name in _PICKLED:
        _unpickle(folder / name)


def _unpickle(path: Path) -> None:
    """Load `path` as Trainer will, which takes inert data only; nothing else is run."""
    # Trainer's own allowance: the pieces of numpy's state of random numbers.
    from transformers.trainer_pt_utils import safe_globals

    if not path.is_file():
        raise CheckpointError(path, "no such file")
    try:
        with safe_globals():
            torch.load(path, map_location="cpu", weights_only=True)
    except Exception as err:  # a stranger's pickle fails in as many ways as there are
        if is_out_of_memory(err):
            raise
        raise CheckpointError(path, f"cannot be loaded ({first_line(err)})") from None
