"""`prunescope trace`: which heads, channels and layers survived?"""

from __future__ import annotations

import click

from prunescope.cli.run import language_option
from prunescope.report.messages import Messages


def subcommand(say: Messages) -> click.Command:
    """`prunescope trace ORIGINAL PRUNED`."""
    example = "prunescope trace Llama-3-8B-Instruct prune_log/llama_prune"

    @click.command("trace", help=say("help_trace", example=example))
    @click.argument("original")
    @click.argument("pruned")
    @click.option("--all", "everything", is_flag=True, help=say("help_trace_all"))
    @click.option("--json", "as_json", is_flag=True, help=say("help_json"))
    @click.option("--quiet", is_flag=True, help=say("help_quiet"))
    @language_option(say)
    def command(original: str, pruned: str, everything: bool, as_json: bool, quiet: bool) -> int:
        return _trace(say, original, pruned, everything, as_json, quiet)

    return command


def _trace(
    say: Messages, original: str, pruned: str, everything: bool, as_json: bool, quiet: bool
) -> int:
    from prunescope.analysis.trace.run import trace
    from prunescope.checkpoint import open_checkpoint
    from prunescope.report.progress import progress

    found = trace(
        open_checkpoint(original),
        open_checkpoint(pruned),
        lambda steps: progress(say("trace_reading"), steps, quiet),
    )
    if as_json:
        from prunescope.report.trace_json import trace_json

        click.echo(trace_json(found))
    else:
        from prunescope.report.console import Screen
        from prunescope.report.trace import print_trace

        print_trace(found, everything, Screen(), say)
    return 0 if found.ok else 1
