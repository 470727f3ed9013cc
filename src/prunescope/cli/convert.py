"""`prunescope convert`: any checkpoint in, a Hugging Face folder or a GGUF file out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from prunescope.cli.given import refuse_unused
from prunescope.cli.help_text import PRUNED, help_text
from prunescope.cli.run import language_option
from prunescope.errors import PrunescopeError
from prunescope.interop.formats import FORMATS, GGUF_TYPES, SHARDED
from prunescope.report.messages import Messages


def _size(ctx: click.Context, param: click.Parameter, value: str) -> int:  # noqa: ARG001
    from prunescope.interop.shards import parse_size

    try:
        return parse_size(value)
    except ValueError as err:
        raise click.BadParameter(str(err)) from None


def subcommand(say: Messages) -> click.Command:
    """`prunescope convert SRC DST`."""
    example = f"prunescope convert {PRUNED} models/pruned.gguf --format gguf"

    @click.command("convert", help=help_text(say, "help_convert", example))
    @click.argument("source", metavar="SRC", type=click.Path())
    @click.argument("target", metavar="DST", type=click.Path(path_type=Path))
    @click.option("--max_shard_size", default="5GB", show_default=True, callback=_size,
                  help=say("help_max_shard_size"))  # fmt: skip
    @click.option(
        "--format",
        "form",
        default="hf",
        show_default=True,
        type=click.Choice((*FORMATS, "gguf")),
        help=say("help_format"),
    )
    @click.option("--uniform", is_flag=True, help=say("help_uniform"))
    @click.option("--gguf_type", default="f16", show_default=True, type=click.Choice(GGUF_TYPES),
                  help=say("help_gguf_type"))  # fmt: skip
    @click.option("--tokenizer_pre", help=say("help_tokenizer_pre"))
    @click.option("--overwrite", is_flag=True, help=say("help_overwrite"))
    @click.option("--quiet", is_flag=True, help=say("help_quiet"))
    @language_option(say)
    def command(source: str, target: Path, quiet: bool, **options: Any) -> None:
        form = options["form"]
        refuse_unused(
            (("max_shard_size",), form in SHARDED, f"--format {' or '.join(SHARDED)}"),
            (("gguf_type", "tokenizer_pre"), form == "gguf", "--format gguf"),
        )
        work = _export_gguf if form == "gguf" else _convert
        work(say, source, target, quiet, options)

    return command


def _convert(
    say: Messages, source: str, target: Path, quiet: bool, options: dict[str, Any]
) -> None:
    from prunescope.interop.convert import convert
    from prunescope.report.console import Screen
    from prunescope.report.convert import print_conversion
    from prunescope.report.progress import progress

    if options["form"] != "hf" or options["uniform"]:
        from prunescope.extras import require

        # Its warnings would come between our lines; its errors we report.
        require("transformers", "prune").logging.set_verbosity_error()
    done = convert(
        source,
        target,
        options["max_shard_size"],
        options["overwrite"],
        lambda steps: progress(say("convert_writing"), steps, quiet),
        options["form"],
        options["uniform"],
    )
    print_conversion(done, target, Screen(), say)


def _export_gguf(
    say: Messages, source: str, target: Path, quiet: bool, options: dict[str, Any]
) -> None:
    from prunescope.interop.gguf_export import export_gguf
    from prunescope.report.console import Screen
    from prunescope.report.convert import print_gguf
    from prunescope.report.progress import progress

    if options["uniform"]:
        raise PrunescopeError(
            "--uniform is not for GGUF: convert to hf with --uniform first, and the result to gguf"
        )
    done = export_gguf(
        source,
        target,
        options["gguf_type"],
        options["tokenizer_pre"],
        options["overwrite"],
        lambda steps: progress(say("convert_writing"), steps, quiet),
    )
    print_gguf(done, target, Screen(), say)
