"""How does a conversion read? What was written, and what the user should know about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prunescope.errors import printable
from prunescope.interop.copied import Conversion
from prunescope.report.console import Screen
from prunescope.report.formats import print_format
from prunescope.report.layers import ties
from prunescope.report.messages import Messages
from prunescope.report.sizes import GIB

if TYPE_CHECKING:
    from prunescope.interop.gguf_export import Exported


def print_conversion(done: Conversion, folder: Path, screen: Screen, say: Messages) -> None:
    """One line for the result, one for each thing that is not as in the source."""
    screen.line(
        say(
            "convert_done",
            n=done.tensors,
            gib=done.nbytes / GIB,
            files=len(done.files),
            path=printable(str(folder)),
        ),
        "green",
    )
    if done.written.retied:
        screen.line(say("convert_retied", names=ties(done.written.retied)))
    if done.written.doubled:
        screen.line(say("convert_doubled", names=ties(done.written.doubled)), "yellow")
    print_format(done.padding, done.nbytes, done.code, screen, say)
    if done.is_inferred:
        screen.line(say("config_inferred"), "yellow")
    if done.is_dequantised:
        screen.line(say("convert_dequantised"), "yellow")
    if done.is_adapter:
        screen.line(say("convert_adapter"), "yellow")
    if not done.has_config:
        name = "adapter_config.json" if done.is_adapter else "config.json"
        screen.line(say("convert_no_config", name=name), "yellow")


def print_gguf(done: Exported, file: Path, screen: Screen, say: Messages) -> None:
    """The file, what llama.cpp takes it for, and how its weights are stored."""
    types = ", ".join(f"{n} {kind}" for kind, n in sorted(done.types.items()))
    screen.line(
        say(
            "gguf_done",
            n=done.tensors,
            gib=done.nbytes / GIB,
            architecture=done.architecture,
            types=types,
            path=printable(str(file)),
        ),
        "green",
    )
