"""`prunescope convert`: any checkpoint in, an ordinary Hugging Face folder out."""

from __future__ import annotations

from pathlib import Path

import click

from prunescope.cli.run import language_option
from prunescope.report.messages import Messages


def _size(ctx: click.Context, param: click.Parameter, value: str) -> int:  # noqa: ARG001
    from prunescope.interop.shards import parse_size

    try:
        return parse_size(value)
    except ValueError as err:
        raise click.BadParameter(str(err)) from None


def subcommand(say: Messages) -> click.Command:
    """`prunescope convert SRC DST`."""
    example = "prunescope convert outputs/checkpoint-500/pytorch_model_fsdp_0 models/merged"

    @click.command("convert", help=say("help_convert", example=example))
    @click.argument("source", metavar="SRC", type=click.Path())
    @click.argument("target", metavar="DST", type=click.Path(path_type=Path))
    @click.option("--max_shard_size", default="5GB", show_default=True, callback=_size,
                  help=say("help_max_shard_size"))  # fmt: skip
    @click.option("--overwrite", is_flag=True, help=say("help_overwrite"))
    @click.option("--quiet", is_flag=True, help=say("help_quiet"))
    @language_option(say)
    def command(
        source: str, target: Path, max_shard_size: int, overwrite: bool, quiet: bool
    ) -> None:
        _convert(say, source, target, max_shard_size, overwrite, quiet)

    return command


def _convert(
    say: Messages, source: str, target: Path, shard_bytes: int, overwrite: bool, quiet: bool
) -> None:
    from prunescope.interop.convert import convert
    from prunescope.report.console import Screen
    from prunescope.report.convert import print_conversion
    from prunescope.report.progress import progress

    done = convert(
        source,
        target,
        shard_bytes,
        overwrite,
        lambda steps: progress(say("convert_writing"), steps, quiet),
    )
    print_conversion(done, target, Screen(), say)
