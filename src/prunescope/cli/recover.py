"""`prunescope recover`: train a pruned model a little, and write it as it was."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click

from prunescope.cli.given import FiniteRange, refuse_unused
from prunescope.cli.help_text import PRUNED, help_text
from prunescope.cli.output import Output, output_options
from prunescope.cli.run import language_option
from prunescope.report.messages import Messages

_ALL = "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj"


def subcommand(say: Messages) -> click.Command:
    """`prunescope recover MODEL --output DIR`."""
    example = (
        f"prunescope recover {PRUNED} --output models/recovered \\\n"
        "      --max-steps 20 --batch-size 4 --cutoff 128 --learning-rate 2e-3"
    )
    whole, rate = click.IntRange(min=1), FiniteRange(min=0, min_open=True)
    share = FiniteRange(0, 1, max_open=True)

    @click.command("recover", help=help_text(say, "help_recover", example))
    @click.argument("model", type=click.Path())
    @click.option("--output", "folder", required=True, type=click.Path(path_type=Path),
                  help=say("help_recover_output"))  # fmt: skip
    @click.option("--text", type=click.Path(), help=say("help_recover_text"))
    @click.option("--epochs", default=2, show_default=True, type=whole, help=say("help_epochs"))
    @click.option("--max-steps", type=whole, help=say("help_max_steps"))
    @click.option("--learning-rate", default=1e-4, show_default=True, type=rate,
                  help=say("help_learning_rate"))  # fmt: skip
    @click.option("--batch-size", default=64, show_default=True, type=whole,
                  help=say("help_batch_size"))  # fmt: skip
    @click.option("--micro-batch-size", type=whole, help=say("help_micro_batch"))
    @click.option("--cutoff", default=256, show_default=True, type=click.IntRange(min=2),
                  help=say("help_cutoff"))  # fmt: skip
    @click.option("--warmup-steps", default=100, show_default=True, type=click.IntRange(min=0),
                  help=say("help_warmup"))  # fmt: skip
    @click.option("--lora-r", default=8, show_default=True, type=whole, help=say("help_lora_r"))
    @click.option("--lora-alpha", default=16, show_default=True, type=whole,
                  help=say("help_lora_alpha"))  # fmt: skip
    @click.option("--lora-dropout", default=0.05, show_default=True, type=share,
                  help=say("help_lora_dropout"))  # fmt: skip
    @click.option("--lora-targets", default=_ALL, show_default=True, help=say("help_lora_targets"))
    @click.option("--teacher", type=click.Path(), help=say("help_teacher"))
    @click.option("--distill-temperature", default=2.0, show_default=True, type=rate,
                  help=say("help_distill_temperature"))  # fmt: skip
    @click.option("--distill-weight", default=0.5, show_default=True, type=FiniteRange(0, 1),
                  help=say("help_distill_weight"))  # fmt: skip
    @click.option("--save-steps", default=50, show_default=True, type=whole,
                  help=say("help_save_steps"))  # fmt: skip
    @click.option("--resume", is_flag=True, help=say("help_recover_resume"))
    @click.option("--seed", default=42, show_default=True, type=click.IntRange(0, 2**32 - 1),
                  help=say("help_seed"))  # fmt: skip
    @click.option("--device", type=click.Choice(["cpu", "cuda"]), help=say("help_train_on"))
    @output_options(say)
    @language_option(say)
    def command(model: str, folder: Path, output: Output, **options: Any) -> None:
        refuse_unused(
            (("distill_temperature", "distill_weight"), options["teacher"], "--teacher"),
        )
        _recover(say, model, folder, output, options)

    return command


def _recover(
    say: Messages, path: str, folder: Path, output: Output, options: dict[str, Any]
) -> None:
    from prunescope.architecture import describe
    from prunescope.checkpoint import open_checkpoint
    from prunescope.extras import require
    from prunescope.recovery.plan import RecoveryPlan, micro_batch_of

    plan = RecoveryPlan(
        epochs=options["epochs"],
        max_steps=options["max_steps"],
        learning_rate=options["learning_rate"],
        batch=options["batch_size"],
        micro_batch=options["micro_batch_size"] or micro_batch_of(options["batch_size"]),
        cutoff=options["cutoff"],
        warmup=options["warmup_steps"],
        rank=options["lora_r"],
        alpha=options["lora_alpha"],
        dropout=options["lora_dropout"],
        targets=tuple(name.strip() for name in options["lora_targets"].split(",")),
        temperature=options["distill_temperature"],
        share=options["distill_weight"],
        save_every=options["save_steps"],
        seed=options["seed"],
    )
    model = describe(open_checkpoint(path))
    teacher = describe(open_checkpoint(options["teacher"])) if options["teacher"] else None
    require("torch", "prune")
    # Its warnings would come between our lines; its errors we report. PEFT imports bitsandbytes
    # where it is, which on some processors warns of a kernel that it lacks.
    require("transformers", "prune").logging.set_verbosity_error()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

    from prunescope.data.sources import documents
    from prunescope.interop.devices import choose_device
    from prunescope.recovery.blocks import blocks_of
    from prunescope.recovery.run import check_recovery, recover
    from prunescope.report.progress import progress
    from prunescope.report.recover import print_recovery, print_recovery_plan, recovery_json

    device, resumed = choose_device(options["device"]), options["resume"]
    check_recovery(model, folder, teacher, resumed)
    plan.modules(model)
    blocks = blocks_of(model, documents(options["text"], "calibration"), plan.cutoff)
    screen = output.screen()
    if output.medium != "json":
        print_recovery_plan(model, plan, blocks, teacher, device, screen, say)
    found = recover(
        model, plan, blocks, folder, device, teacher, resumed,
        lambda steps: progress(say("recovering"), steps, output.quiet),
        lambda err, path: output.note(say("recover_damaged", cause=err, path=path)),
    )  # fmt: skip
    if output.medium == "json":
        output.data(recovery_json(found, model, teacher, folder))
        return
    print_recovery(found, folder, screen, say)
