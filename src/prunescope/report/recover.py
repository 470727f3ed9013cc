"""How does a recovery read? What is trained before, what came of it after."""

from __future__ import annotations

from pathlib import Path

from prunescope.architecture import Model
from prunescope.errors import printable
from prunescope.recovery.blocks import Blocks
from prunescope.recovery.plan import RecoveryPlan
from prunescope.recovery.run import Recovery
from prunescope.report.console import Screen
from prunescope.report.json_output import dump
from prunescope.report.messages import Messages


def print_recovery_plan(
    model: Model,
    plan: RecoveryPlan,
    blocks: Blocks,
    teacher: Model | None,
    device: str,
    screen: Screen,
    say: Messages,
) -> None:
    """What will be trained, on what, and for how long."""
    screen.section(say("recover_plan"))
    checkpoint = model.checkpoint
    screen.line(say("prune_model", path=printable(checkpoint.path), n=checkpoint.parameters))
    count, steps = len(blocks.blocks), plan.steps(len(blocks.blocks))
    screen.line(say("recover_text", source=blocks.source, blocks=count, length=plan.cutoff))
    screen.line(
        say(
            "recover_lora",
            rank=plan.rank,
            alpha=plan.alpha,
            dropout=plan.dropout,
            targets=", ".join(target.removesuffix("_proj") for target in plan.modules(model)),
            device=device,
        )
    )
    screen.line(
        say(
            "recover_steps",
            steps=steps,
            batch=plan.batch,
            micro=plan.micro_batch,
            rate=plan.learning_rate,
            warmup=plan.warmup_steps(steps),
        )
    )
    if teacher is not None:
        path = printable(teacher.checkpoint.path)
        screen.line(
            say("recover_teacher", path=path, temperature=plan.temperature, share=plan.share)
        )


def print_recovery(found: Recovery, output: Path, screen: Screen, say: Messages) -> None:
    """What training came to, and where the model is."""
    screen.line(say("recover_loss", first=found.first, last=found.last), "bold")
    screen.line(say("recover_trained", n=found.trained))
    screen.line(say("recover_saved", path=output), "green")


def recovery_json(found: Recovery, model: Model, teacher: Model | None, output: Path) -> str:
    """For scripts."""
    return dump(
        {
            "schema": "prunescope.recovery/1",
            "model": model.checkpoint.path,
            "teacher": teacher and teacher.checkpoint.path,
            "output": str(output),
            "plan": found.plan.as_dict(),
            "text": found.blocks.record(),
            "modules": found.modules,
            "steps": found.steps,
            "trained_parameters": found.trained,
            "loss": {"first": found.first, "last": found.last},
        }
    )
