"""`prunescope trace`: which heads, channels and layers survived?"""

from __future__ import annotations

import click

from prunescope.cli.cores import keep_from_blas
from prunescope.cli.help_text import DEMO, PRUNED, help_text
from prunescope.cli.output import Output, output_options
from prunescope.cli.run import language_option
from prunescope.report.messages import Messages


def subcommand(say: Messages) -> click.Command:
    """`prunescope trace ORIGINAL PRUNED`."""
    example = f"prunescope trace {DEMO} {PRUNED}"

    @click.command("trace", help=help_text(say, "help_trace", example))
    @click.argument("original", type=click.Path())
    @click.argument("pruned", type=click.Path())
    @click.option("--all", "everything", is_flag=True, help=say("help_trace_all"))
    @output_options(say)
    @language_option(say)
    def command(original: str, pruned: str, everything: bool, output: Output) -> int:
        return _trace(say, original, pruned, everything, output)

    return command


def _trace(say: Messages, original: str, pruned: str, everything: bool, output: Output) -> int:
    keep_from_blas()
    from prunescope.analysis.trace.run import trace
    from prunescope.checkpoint import open_checkpoint
    from prunescope.report.progress import progress

    found = trace(
        open_checkpoint(original),
        open_checkpoint(pruned),
        lambda steps: progress(say("trace_reading"), steps, output.quiet),
    )
    if output.medium == "json":
        from prunescope.report.trace_json import trace_json

        output.data(trace_json(found))
    else:
        from prunescope.report.trace import print_trace

        print_trace(found, everything, output.screen(), say)
    return 0 if found.ok else 1
