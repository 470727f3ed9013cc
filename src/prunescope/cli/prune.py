"""`llama3.py` and `prunescope prune`: structured pruning with LLM-Pruner's options."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from prunescope.cli.prune_scoring import (
    calibration_set,
    check_scoring,
    scored,
    scoring_options,
)
from prunescope.cli.run import language_option, run
from prunescope.cli.size import PRUNE_LOG
from prunescope.errors import PlanError
from prunescope.report.messages import Messages

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from prunescope.architecture import Model
    from prunescope.report.console import Screen

_F = TypeVar("_F", bound=Callable[..., Any])
_GROUPING = ("sum", "mean", "max", "prod", "first")


def script(say: Messages) -> click.Command:
    """The mission's `llama3.py`."""
    example = (
        "python llama3.py --pruning_ratio 0.25 --base_model Llama-3-8B-Instruct --block_wise "
        "--block_mlp_layer_start 3 --block_mlp_layer_end 30 --block_attention_layer_start 3 "
        "--block_attention_layer_end 30 --pruner_type taylor --save_model"
    )
    return _command(say, "llama3.py", example)


def subcommand(say: Messages) -> click.Command:
    """`prunescope prune`: the same options."""
    example = (
        "prunescope prune --base_model Llama-3-8B-Instruct --pruning_ratio 0.25 "
        "--block_mlp_layer_start 3 --block_mlp_layer_end 30 --block_attention_layer_start 3 "
        "--block_attention_layer_end 30 --save_model"
    )
    return _command(say, "prune", example)


def _command(say: Messages, name: str, example: str) -> click.Command:
    @click.command(name, help=say("help_prune", example=example))
    @_options(say)
    @language_option(say)
    @click.pass_context
    def command(context: click.Context, /, **options: Any) -> None:
        _refuse_unbuilt(options, context.get_parameter_source("layer"))
        _prune(say, **options)

    return command


def _options(say: Messages) -> Callable[[_F], _F]:
    option = partial(click.option, show_default=True)
    whole = click.IntRange(min=1)
    options = [
        option("--base_model", required=True, help=say("help_base_model")),
        option("--save_ckpt_log_name", default="llama_prune", help=say("help_save_name")),
        option("--pruning_ratio", default=0.5, help=say("help_pruning_ratio")),
        *scoring_options(say),
        option("--grouping_strategy", default="sum", type=click.Choice(_GROUPING),
               help=say("help_grouping")),
        option("--block_wise", is_flag=True, help=say("help_block_wise")),
        option("--channel_wise", is_flag=True, help=say("help_channel_wise")),
        option("--layer_wise", is_flag=True, help=say("help_layer_wise")),
        option("--layer", default=12, help=say("help_layer")),
        option("--block_attention_layer_start", default=3, help=say("help_attention_start")),
        option("--block_attention_layer_end", default=31, help=say("help_attention_end")),
        option("--block_mlp_layer_start", default=3, help=say("help_mlp_start")),
        option("--block_mlp_layer_end", default=31, help=say("help_mlp_end")),
        option("--iterative_steps", default=1, type=whole, help=say("help_iterative_steps")),
        option("--global_pruning", is_flag=True, help=say("help_global")),
        option("--max_seq_len", default=128, type=click.IntRange(min=2),
               help=say("help_max_seq_len")),
        option("--eval_device", help=say("help_eval_device")),
        option("--test_before_train", is_flag=True, help=say("help_test_before")),
        option("--test_after_train", is_flag=True, help=say("help_test_after")),
        option("--temperature", default=1.0, type=click.FloatRange(min=0),
               help=say("help_temperature")),
        option("--top_p", default=0.95, type=click.FloatRange(0, 1, min_open=True),
               help=say("help_top_p")),
        option("--seed", default=42, type=click.IntRange(0, 2**64 - 1), help=say("help_seed")),
        option("--save_model", is_flag=True, help=say("help_save_model")),
        option("--quiet", is_flag=True, help=say("help_quiet")),
    ]  # fmt: skip

    def decorate(function: _F) -> _F:
        for decorator in reversed(options):
            function = decorator(function)
        return function

    return decorate


def _refuse_unbuilt(options: dict[str, Any], layer: ParameterSource | None) -> None:
    asked = {
        "--channel_wise": options["channel_wise"],
        "--layer_wise": options["layer_wise"],
        "--global_pruning": options["global_pruning"],
        "--iterative_steps above 1": options["iterative_steps"] > 1,
    }
    for name, is_asked in asked.items():
        if is_asked:
            raise PlanError(
                f"{name} is not supported by this version: it prunes block-wise, in one step"
            )
    if layer is ParameterSource.COMMANDLINE:
        raise PlanError("--layer belongs to --layer_wise, which is not supported by this version")


def _folder_name(name: str) -> str:
    # A dot would hide it from check_model_size.py; the room is for a temporary name beside it.
    if not name or name.startswith(".") or "/" in name or len(os.fsencode(name)) > 200:
        raise PlanError(f"--save_ckpt_log_name {name!r} is not a folder name")
    return name


def _prune(say: Messages, **options: Any) -> None:
    from prunescope.architecture import describe
    from prunescope.checkpoint import open_checkpoint
    from prunescope.extras import require
    from prunescope.pruning.plan import PruningPlan, resolve

    name = _folder_name(options["save_ckpt_log_name"])
    folder = PRUNE_LOG / name
    check_scoring(options)
    plan = PruningPlan(
        ratio=options["pruning_ratio"],
        attention=(options["block_attention_layer_start"], options["block_attention_layer_end"]),
        mlp=(options["block_mlp_layer_start"], options["block_mlp_layer_end"]),
        importance=options["pruner_type"],
        taylor=options["taylor"],
        grouping=options["grouping_strategy"],
        examples=options["num_examples"],
        example_length=options["calibration_seq_len"],
        seed=options["seed"],
    )
    model = describe(open_checkpoint(options["base_model"]))
    targets = resolve(plan, model)
    require("torch", "prune")
    # Its warnings would come between our lines; its errors we report.
    require("transformers", "prune").logging.set_verbosity_error()

    from prunescope.interop.devices import choose_device
    from prunescope.interop.hf import load
    from prunescope.interop.hf_save import WEIGHTS, check_target
    from prunescope.pruning.processes import joined, local_device, told_rank
    from prunescope.pruning.run import prune
    from prunescope.pruning.scoring import Computing, forget_progress
    from prunescope.report.console import Screen
    from prunescope.report.prune import print_plan, print_result

    device = choose_device(local_device(options["device"]))
    eval_device = choose_device(options["eval_device"]) if options["eval_device"] else device
    computing = Computing(
        device,
        options["dtype"] and getattr(require("torch", "prune"), options["dtype"]),
        PRUNE_LOG / f".{name}.progress" if options["resume"] else None,
    )
    # Others that torchrun has started only help with the scores.
    is_first = not told_rank()
    if options["save_model"] and is_first:
        check_target(folder)
    screen = Screen()
    calibration = None
    if plan.is_calibrated and not options["scores"]:
        calibration = calibration_set(model, plan, options["calibration"])
    tested = options["test_before_train"] or options["test_after_train"]
    test = _tester(say, screen, model, options) if tested and is_first else None
    if is_first:
        print_plan(model, plan, targets, device, screen, say)
    if test and options["test_before_train"]:
        test("test_before", load(model.checkpoint.path, eval_device))
    text = say("prune_scoring" if plan.is_calibrated else "prune_magnitude")
    with joined(device) as processes:
        computing = replace(computing, processes=processes)
        scores, record = scored(model, plan, targets, options, computing, calibration, text)
    if not is_first:
        forget_progress(computing)
        return
    if record is not None:
        # Of scores from a file, what they were measured on.
        windows, length = record.windows, record.length
        plan = replace(plan, examples=windows, example_length=length, seed=record.seed)
    pruned = prune(model, plan, targets, calibration, computing, scored=(scores, record))
    print_result(pruned.parameters, pruned.loss, screen, say)
    if options["save_model"]:
        pruned.save(folder)
        screen.line(say("prune_saved", path=folder / WEIGHTS), "green")
    else:
        screen.line(say("prune_not_saved"), "yellow")
    forget_progress(computing)
    if test and options["test_after_train"]:
        test("test_after", pruned.network(eval_device))


def _tester(
    say: Messages, screen: Screen, model: Model, options: dict[str, Any]
) -> Callable[[str, PreTrainedModel], None]:
    """What tests a network; made first, so that what it lacks is not found after an hour."""
    from prunescope.data import embedded_text
    from prunescope.evaluation.generation import PROMPTS, generate
    from prunescope.evaluation.perplexity import cut_windows, perplexity
    from prunescope.interop.hf import home, load_tokenizer, token_ids
    from prunescope.report.progress import progress
    from prunescope.report.prune import print_test

    length = options["max_seq_len"]
    windows = cut_windows(token_ids(model, embedded_text("evaluation")), length)
    tokenizer = load_tokenizer(home(model))
    sampling = options["temperature"], options["top_p"], options["seed"]

    def test(title: str, network: PreTrainedModel) -> None:
        texts = generate(network, tokenizer, PROMPTS, length, *sampling)
        with progress(say("measuring_perplexity"), len(windows), options["quiet"]) as tick:
            measured = perplexity(network, windows, tick)
        print_test(title, texts, measured, screen, say)

    return test


def main() -> None:
    """Entry of the root script."""
    run(script, "zh")
