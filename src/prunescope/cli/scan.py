"""`prunescope scan`: what would loading a pickle run?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from prunescope.cli.run import language_option
from prunescope.report.messages import Messages

if TYPE_CHECKING:
    from prunescope.analysis.scan import FileScan


def subcommand(say: Messages) -> click.Command:
    """`prunescope scan PATH`."""
    example = "prunescope scan prune_log/llama_prune/pytorch_model.bin"

    @click.command("scan", help=say("help_scan", example=example))
    @click.argument("path")
    @click.option("--json", "as_json", is_flag=True, help=say("help_json"))
    @language_option(say)
    def command(path: str, as_json: bool) -> int:
        return _scan(say, path, as_json)

    return command


def _scan(say: Messages, path: str, as_json: bool) -> int:
    from prunescope.analysis.scan import scan

    scans = scan(path)
    if as_json:
        from prunescope.report.json_output import scans_json

        click.echo(scans_json(scans))
    else:
        from prunescope.report.console import Screen
        from prunescope.report.scan import print_scans

        print_scans(scans, Screen(), say)
    return _exit_code(scans)


def _exit_code(scans: Sequence[FileScan]) -> int:
    if any(scan.of("dangerous") for scan in scans):
        return 1
    return 2 if any(scan.error for scan in scans) else 0
