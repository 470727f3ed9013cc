"""`prunescope eval`: what did pruning cost, and what did it buy?"""

from __future__ import annotations

import sys
from typing import Any

import click

from prunescope.analysis.devices import devices
from prunescope.cli.given import given, refuse_unused
from prunescope.cli.help_text import DEMO, PRUNED, help_text
from prunescope.cli.output import Output, output_options
from prunescope.cli.run import language_option
from prunescope.report.messages import Messages


def subcommand(say: Messages) -> click.Command:
    """`prunescope eval MODEL`."""
    example = f"prunescope eval {PRUNED} \\\n      --original {DEMO} --max-tokens 4096 --speed"
    whole = click.IntRange(min=1)

    @click.command("eval", help=help_text(say, "help_eval", example))
    @click.argument("model", type=click.Path())
    @click.option("--original", type=click.Path(), help=say("help_eval_original"))
    @click.option("--text", type=click.Path(), help=say("help_eval_text"))
    @click.option("--window", default=1024, show_default=True, type=click.IntRange(min=2),
                  help=say("help_window"))  # fmt: skip
    @click.option("--stride", default=512, show_default=True, type=whole, help=say("help_stride"))
    @click.option("--max-tokens", type=click.IntRange(min=2), help=say("help_max_tokens"))
    @click.option("--bos", is_flag=True, help=say("help_bos"))
    @click.option("--stream/--no-stream", default=None, help=say("help_stream"))
    @click.option("--no-perplexity", is_flag=True, help=say("help_no_perplexity"))
    @click.option("--tasks", help=say("help_tasks"))
    @click.option("--limit", type=whole, help=say("help_limit"))
    @click.option("--speed", is_flag=True, help=say("help_speed"))
    @click.option("--batch", default=1, show_default=True, type=whole, help=say("help_batch"))
    @click.option("--context", default=512, show_default=True, type=whole,
                  help=say("help_speed_context"))  # fmt: skip
    @click.option("--new-tokens", default=32, show_default=True, type=click.IntRange(min=2),
                  help=say("help_new_tokens"))  # fmt: skip
    @click.option("--repeats", default=5, show_default=True, type=whole, help=say("help_repeats"))
    @click.option("--device-name", type=click.Choice(list(devices())), metavar="NAME",
                  help=say("help_device_name", names=", ".join(devices())))  # fmt: skip
    @click.option("--generate", is_flag=True, help=say("help_generate"))
    @click.option("--prompt", "prompts", multiple=True, help=say("help_prompt"))
    @click.option("--device", help=say("help_eval_on"))
    @output_options(say)
    @language_option(say)
    def command(model: str, output: Output, **options: Any) -> None:
        _check(options)
        _eval(say, model, output, options)

    return command


def _check(options: dict[str, Any]) -> None:
    from prunescope.data.sources import is_unicode

    speed, tasks = options["speed"], options["tasks"] is not None
    is_written = options["generate"] or options["prompts"]
    of_text = ("text", "window", "stride", "max_tokens", "bos", "stream")
    refuse_unused(
        (of_text, not options["no_perplexity"], "perplexity, which --no-perplexity leaves out"),
        (("limit",), tasks, "--tasks"),
        (("context", "repeats", "device_name"), speed, "--speed"),
        (("batch",), speed or tasks, "--speed or --tasks"),
        (("new_tokens",), speed or is_written, "--speed or --generate"),
    )
    for prompt in options["prompts"]:
        if not is_unicode(prompt):
            raise click.UsageError(f"--prompt {prompt!r} is not UTF-8 text")
    if options["stride"] > options["window"] and "stride" in given(click.get_current_context()):
        raise click.UsageError(
            f"--stride {options['stride']} is longer than --window {options['window']}: tokens "
            "between two windows would not be predicted"
        )


def _eval(say: Messages, path: str, output: Output, options: dict[str, Any]) -> None:
    from prunescope.architecture import describe
    from prunescope.checkpoint import open_checkpoint
    from prunescope.extras import require

    paths = [each for each in (options["original"], path) if each]
    models = [describe(open_checkpoint(each)) for each in paths]
    require("torch", "prune")
    # Its warnings would come between our lines; its errors we report.
    require("transformers", "prune").logging.set_verbosity_error()

    from prunescope.data.sources import documents
    from prunescope.evaluation.generation import PROMPTS
    from prunescope.evaluation.run import Asked, Sliding, evaluate, fitted, windows_of
    from prunescope.evaluation.speed import Load
    from prunescope.interop.devices import choose_device
    from prunescope.report.progress import progress

    device, quiet = choose_device(options["device"]), output.quiet
    load = None
    if options["speed"]:
        load = Load(options["batch"], options["context"], options["new_tokens"], options["repeats"])
    prompts = options["prompts"] or (PROMPTS if options["generate"] else ())
    text = None if options["no_perplexity"] else documents(options["text"], "evaluation")
    sliding = Sliding(options["window"], options["stride"], options["max_tokens"], options["bos"])
    asked = Asked(
        text,
        fitted(sliding, models),
        options["stream"],
        prompts,
        options["new_tokens"],
        _harness(options["tasks"], options["limit"], quiet or not sys.stderr.isatty()),
        options["batch"],
        load,
        devices()[options["device_name"]] if options["device_name"] else None,
    )
    if text is None and not (prompts or load or asked.harness):
        raise click.UsageError("--no-perplexity leaves nothing: add --speed, --tasks or --generate")
    windows = [] if text is None else [windows_of(each, text, asked.sliding) for each in models]
    found = evaluate(
        models, asked, device, windows,
        lambda steps: progress(say("measuring_perplexity"), steps, quiet),
        lambda steps: progress(say("measuring_speed"), steps, quiet),
    )  # fmt: skip
    if output.medium == "json":
        from prunescope.report.eval_json import evaluations_json

        output.data(evaluations_json(found, asked, device))
        return
    from prunescope.report.evaluation import print_evaluations

    print_evaluations(found, asked, device, output.screen(), say)


def _harness(tasks: str | None, limit: int | None, is_quiet: bool) -> Any:
    if tasks is None:
        return None
    from prunescope.evaluation.harness import Harness

    return Harness([name.strip() for name in tasks.split(",") if name.strip()], limit, is_quiet)
