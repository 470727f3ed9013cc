"""How is a pruned model recovered, from text to saved folder?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prunescope.architecture import Model, Role
from prunescope.atomic import cannot_write
from prunescope.checkpoint.digest import model_digest
from prunescope.checkpoint.jsonfile import read_object
from prunescope.checkpoint.storage import LocalFile
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import PlanError, PrunescopeError
from prunescope.extras import require
from prunescope.interop.hf import load
from prunescope.interop.resave import check_output, save_as_it_was
from prunescope.recovery.blocks import Blocks
from prunescope.recovery.checkpoints import Damaged, last_whole
from prunescope.recovery.merging import merged_state, shapes_of, with_adapters
from prunescope.recovery.plan import RecoveryPlan
from prunescope.recovery.training import train
from prunescope.steps import Progress, silent

# In the output folder while training goes on: Trainer's checkpoints, and what they belong to.
WORK = "recovery"
_SETTINGS = "settings.json"


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was done.

    Attributes:
        modules: names of those that got a LoRA.
        steps: optimizer steps, those before a resumption included.
        trained: parameters of the adapters.
        first, last: mean loss of the first and of the last tenth of the steps; of the sum with
            the teacher's, where there is one.
    """

    plan: RecoveryPlan
    blocks: Blocks
    modules: tuple[str, ...]
    steps: int
    trained: int
    first: float
    last: float


def check_recovery(model: Model, output: Path, teacher: Model | None, is_resumed: bool) -> None:
    """Can this be done, as far as can be told before the work?

    Raises:
        PrunescopeError: the output cannot be written, has no run to resume or one that is not to
            be lost; or the teacher has another vocabulary.
        MissingExtra: peft or accelerate is not installed.
    """
    require("peft", "recover")
    require("accelerate", "recover")
    check_output(model.checkpoint.path, output)
    work = output / WORK
    is_begun = any(work.glob("checkpoint-*"))
    if is_resumed and not is_begun:
        raise PrunescopeError(f"{output}: has no checkpoint to resume from")
    if is_begun and not is_resumed:
        raise PrunescopeError(
            f"{work}: holds an unfinished run: go on with --resume, or remove that folder"
        )
    if teacher is not None:
        ours, theirs = (_vocabulary(each) for each in (model, teacher))
        if ours != theirs:
            raise PlanError(
                f"{teacher.checkpoint.path}: the teacher knows {theirs} tokens, the model {ours}"
            )


def recover(
    model: Model,
    plan: RecoveryPlan,
    blocks: Blocks,
    output: Path,
    device: str = "cpu",
    teacher: Model | None = None,
    is_resumed: bool = False,
    progress: Progress = silent,
    damaged: Damaged = lambda *_: None,
) -> Recovery:
    """Train LoRA adapters on `blocks`, merge them, and write the model to the folder `output`.

    While it trains, checkpoints lie in `output`/recovery; they go once the model is written.

    Args:
        teacher: whose guesses are learnt too, the unpruned model as a rule.
        is_resumed: go on from the last checkpoint that is whole.
        progress: called with the number of optimizer steps left.
        damaged: told of each later checkpoint, and which one is taken instead.

    Raises:
        PrunescopeError: as `check_recovery`; a model without any of the targets; other settings
            than the run resumed has; no checkpoint of it is whole; a loss or weight that is not
            finite.
    """
    check_recovery(model, output, teacher, is_resumed)
    modules = plan.modules(model)
    work = output / WORK
    _settle(work, plan, blocks, model, teacher, is_resumed)
    network = load(model.checkpoint.path, device)
    adapted = with_adapters(network, plan, modules)
    resumed, done = last_whole(work, shapes_of(adapted), damaged) if is_resumed else (None, 0)
    guide = None if teacher is None else load(teacher.checkpoint.path, device)
    steps = plan.steps(len(blocks.blocks))
    with progress(steps - done) as tick:
        training = train(adapted, blocks.blocks, plan, work, guide, resumed, tick)
    first, last = training.ends
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    found = Recovery(plan, blocks, modules, steps, trained, first, last)
    with WeightMap() as weights:
        state = merged_state(model, adapted, weights)
        save_as_it_was(model, state, output, {"recovery": _note(found, teacher)}, _is_work)
    return found


def _is_work(entry: Path) -> bool:
    return entry.name == WORK


def _settle(
    work: Path,
    plan: RecoveryPlan,
    blocks: Blocks,
    model: Model,
    teacher: Model | None,
    is_resumed: bool,
) -> None:
    """Note what a run belongs to; a resumed one with other settings would be neither of both."""
    settings = plan.as_dict() | {
        "text": blocks.digest,
        "model": model_digest(model.checkpoint),
        "teacher": None if teacher is None else model_digest(teacher.checkpoint),
    }
    settings = json.loads(json.dumps(settings))
    if is_resumed:
        before = read_object(LocalFile(work / _SETTINGS), _SETTINGS)
        other = next((key for key in settings if before.get(key) != settings[key]), None)
        if other is not None:
            raise PlanError(f"{work}: the run to be resumed has another {other}")
        return
    try:
        work.mkdir(parents=True, exist_ok=True)
        (work / _SETTINGS).write_text(json.dumps(settings), "utf-8")
    except OSError as err:
        raise cannot_write(work, err) from None


def _note(found: Recovery, teacher: Model | None) -> dict[str, Any]:
    """For pruning.json; no date and no path."""
    return {
        "plan": found.plan.as_dict(),
        "text": found.blocks.record(),
        "is_taught": teacher is not None,
        "steps": found.steps,
        "loss": {"first": found.first, "last": found.last},
    }


def _vocabulary(model: Model) -> int:
    embedding = model.outside.get(Role.EMBEDDING)
    return 0 if embedding is None else embedding.shape[0]
