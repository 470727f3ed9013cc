"""`llama3.py` and `prunescope prune`: structured pruning with LLM-Pruner's options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from prunescope.cli.given import given
from prunescope.cli.help_text import DEMO, help_text
from prunescope.cli.output import check_file
from prunescope.cli.prune_options import options
from prunescope.cli.prune_save import check_format, log_folder, save
from prunescope.cli.prune_scoring import calibration_set, check_scoring, scored
from prunescope.cli.prune_testing import tester
from prunescope.cli.prune_unused import check_unused
from prunescope.cli.run import language_option, run
from prunescope.errors import PlanError, printable
from prunescope.interop.formats import Format
from prunescope.report.messages import Messages

if TYPE_CHECKING:
    from prunescope.architecture import Model
    from prunescope.pruning.calibration import CalibrationSet
    from prunescope.pruning.plan import Importance, PruningPlan
    from prunescope.pruning.run import Pruned
    from prunescope.pruning.scoring import Computing
    from prunescope.pruning.targets import Target
    from prunescope.report.console import Screen


def script(say: Messages) -> click.Command:
    """The mission's `llama3.py`."""
    example = (
        f"python llama3.py --base_model {DEMO} \\\n"
        "      --pruning_ratio 0.25 --block_wise \\\n"
        "      --block_mlp_layer_start 3 --block_mlp_layer_end 27 \\\n"
        "      --block_attention_layer_start 3 --block_attention_layer_end 27 \\\n"
        "      --pruner_type taylor --save_model"
    )
    return _command(say, "llama3.py", example, ("bin", "l2", 64, "uniform"), is_script=True)


def subcommand(say: Messages) -> click.Command:
    """`prunescope prune`: the same options; by default it scores and shares by what keeps more."""
    example = (
        f"prunescope prune --base_model {DEMO} \\\n"
        "      --pruning_ratio 0.25 --save_model \\\n"
        "      --block_attention_layer_end 27 --block_mlp_layer_end 27"
    )
    return _command(say, "prune", example, ("hf", "taylor", 128, "auto"), is_script=False)


def _command(
    say: Messages,
    name: str,
    example: str,
    defaults: tuple[Format, Importance, int, str],
    is_script: bool,
) -> click.Command:
    @click.command(name, help=help_text(say, "help_prune", example))
    @options(say, *defaults)
    @language_option(say)
    @click.pass_context
    def command(context: click.Context, /, **values: Any) -> None:
        from prunescope.cli.prune_exclusive import check

        check(values, given(context))
        _prune(say, values, check_unused(context, values, is_script))

    return command


def _prune(say: Messages, options: dict[str, Any], unused: Sequence[str]) -> None:
    from prunescope.architecture import describe
    from prunescope.checkpoint import open_checkpoint
    from prunescope.cli.prune_plan import plan_of
    from prunescope.extras import require
    from prunescope.pruning.resolving import resolve

    folder = log_folder(options["save_ckpt_log_name"])
    check_scoring(options)
    model = describe(open_checkpoint(options["base_model"]))
    plan = plan_of(options, len(model.layers))
    targets = resolve(plan, model) if options["plan"] is None else ()
    for path in (options["save_scores"], options["search_csv"], options["plot"]):
        if path is not None:
            check_file(path, model.checkpoint)
    torch = require("torch", "prune")
    # Its warnings would come between our lines; its errors we report.
    require("transformers", "prune").logging.set_verbosity_error()

    from prunescope.checkpoint.storage import LocalFile
    from prunescope.interop.devices import choose_device
    from prunescope.interop.hf import load
    from prunescope.interop.hf_save import check_target
    from prunescope.pruning.processes import Processes, local_device, told_count, told_rank
    from prunescope.pruning.run import replay
    from prunescope.pruning.scores_file import measured_on
    from prunescope.pruning.scoring import Computing, forget_progress
    from prunescope.report.console import Screen
    from prunescope.report.prune import print_model, print_plan, print_result

    if options["scores"]:
        plan = measured_on(options["scores"], plan)
    if options["search"] and told_count() > 1:
        raise PlanError("--search runs in one process: it can take --scores that several made")
    device = choose_device(local_device(options["device"]))
    eval_device = choose_device(options["eval_device"]) if options["eval_device"] else device
    computing = Computing(
        device,
        options["dtype"] and getattr(torch, options["dtype"]),
        folder.with_name(f".{folder.name}.progress") if options["resume"] else None,
        Processes(told_rank(), told_count()),
    )
    # Others that torchrun has started only help with the scores.
    is_first = not told_rank()
    for cause in unused if is_first and not options["quiet"] else ():
        click.echo(say("warning", text=cause), err=True)
    if options["save_model"] and is_first:
        check_target(folder, options["save_format"])
        if options["plan"] is None:
            check_format(model, plan, targets, options)
    screen = Screen()
    calibration = None
    if plan.is_calibrated and options["plan"] is None and not options["scores"]:
        calibration = calibration_set(model, plan, options["calibration"])
    tested = options["test_before_train"] or options["test_after_train"]
    test = tester(say, screen, model, options) if tested and is_first else None
    replayed = replay(model, LocalFile(options["plan"])) if options["plan"] is not None else None
    if replayed is not None:
        print_model(model, screen, say)
        screen.line(say("prune_replay", path=printable(str(options["plan"]))))
    elif is_first:
        is_searched = bool(options["search"])
        print_plan(model, plan, targets, device, screen, say, is_searched=is_searched)
    if test and options["test_before_train"]:
        test("test_before", load(model.checkpoint.path, eval_device))
    if replayed is not None:
        pruned = replayed
    else:
        devices = computing, eval_device
        pruned = _pruned(say, screen, model, plan, targets, calibration, devices, options)
    if not is_first:
        forget_progress(computing)
        return
    print_result(pruned.parameters, pruned.loss, screen, say)
    if options["save_model"]:
        save(say, screen, pruned, folder, options)
    else:
        screen.line(say("prune_not_saved"), "yellow")
    forget_progress(computing)
    if test and options["test_after_train"]:
        test("test_after", pruned.network(eval_device))


def _pruned(
    say: Messages,
    screen: Screen,
    model: Model,
    plan: PruningPlan,
    targets: Sequence[Target],
    calibration: CalibrationSet | None,
    devices: tuple[Computing, str],
    options: dict[str, Any],
) -> Pruned:
    """The model pruned by scores that are measured now, or were."""
    from prunescope.pruning.processes import joined
    from prunescope.pruning.run import check_whole, prune
    from prunescope.report.progress import progress

    computing, eval_device = devices
    text = say("prune_scoring" if plan.is_calibrated else "prune_magnitude")
    with joined(computing.device) as processes:
        computing = replace(computing, processes=processes)
        if options["search"]:
            from prunescope.cli.prune_search import searched

            return searched(
                say, screen, model, plan, calibration, (computing, eval_device), options
            )
        if plan.steps > 1:
            is_quiet = options["quiet"] or processes.rank > 0
            return prune(
                model,
                plan,
                targets,
                calibration,
                computing,
                lambda steps: progress(text, steps, is_quiet),
            )
        # Before an hour of scoring, not after.
        check_whole(model)
        scores, record = scored(model, plan, targets, options, computing, calibration, text)
    return prune(model, plan, targets, calibration, computing, scored=(scores, record))


def main() -> None:
    """Entry of the root script."""
    run(script, "zh")
