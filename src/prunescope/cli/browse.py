"""`prunescope browse`: one checkpoint or a pair, in the terminal."""

from __future__ import annotations

import sys

import click

from prunescope.cli.help_text import DEMO, PRUNED, help_text
from prunescope.cli.run import language_option
from prunescope.report.messages import Messages


def subcommand(say: Messages) -> click.Command:
    """`prunescope browse A [B]`."""
    example = f"prunescope browse {DEMO} {PRUNED}"

    @click.command("browse", help=help_text(say, "help_browse", example))
    @click.argument("model", type=click.Path())
    @click.argument("pruned", required=False, type=click.Path())
    @language_option(say)
    def command(model: str, pruned: str | None) -> None:
        _browse(say, model, pruned)

    return command


def _browse(say: Messages, model: str, pruned: str | None) -> None:
    from prunescope.architecture import describe
    from prunescope.checkpoint import open_checkpoint
    from prunescope.errors import PrunescopeError, printable
    from prunescope.report.browser.app import Browser
    from prunescope.report.browser.entries import of_model, of_pair

    # Textual reads keys from the one and draws on the other; without them it waits for ever.
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise PrunescopeError("browse needs a terminal; analyze, size and report do not")
    original = open_checkpoint(model)
    if pruned is None:
        entries = of_model(describe(original, strict=False), say("layer"))
        title = original.path
    else:
        from prunescope.analysis.compare import compare
        from prunescope.analysis.record import read_record

        after = open_checkpoint(pruned)
        entries = of_pair(compare(original, after), read_record(after), say("layer"))
        title = f"{original.path} → {after.path}"
    Browser(printable(title), entries, say).run()
