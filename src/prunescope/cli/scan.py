"""`prunescope scan`: what would loading a pickle run?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from prunescope.cli.help_text import PRUNED, help_text
from prunescope.cli.output import Output, output_options
from prunescope.cli.run import language_option
from prunescope.report.messages import Messages

if TYPE_CHECKING:
    from prunescope.analysis.scan import Scan


def subcommand(say: Messages) -> click.Command:
    """`prunescope scan PATH`."""
    example = f"prunescope scan {PRUNED}"

    @click.command("scan", help=help_text(say, "help_scan", example))
    @click.argument("path", type=click.Path())
    @output_options(say)
    @language_option(say)
    def command(path: str, output: Output) -> int:
        return _scan(say, path, output)

    return command


def _scan(say: Messages, path: str, output: Output) -> int:
    from prunescope.analysis.scan import scan

    found = scan(path)
    if output.medium == "json":
        from prunescope.report.json_output import scan_json

        output.data(scan_json(found))
    else:
        from prunescope.report.scan import print_scan

        print_scan(found, output.screen(), say)
    return _exit_code(found)


def _exit_code(found: Scan) -> int:
    if found.is_dangerous:
        return 1
    return 2 if any(file.error for file in found.files) else 0
