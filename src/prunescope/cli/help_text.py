"""How does a command's help read? In lines that fit, with an example that can be copied.

click wraps by characters, of which a Chinese one takes two cells; and a wrapped command line is
another command.
"""

from __future__ import annotations

from collections.abc import Iterable
from unicodedata import east_asian_width

import click

from prunescope.report.messages import Messages

# What the first steps make: examples run where these were taken.
DEMO = "models/SmolLM2-135M-Instruct"
PRUNED = "prune_log/llama_prune"
# A noncharacter, which no text has: behind a wide character it makes two of one.
_SECOND_CELL = "\ufdd0"
# Tells click to leave the lines of a paragraph as they are.
_AS_IT_IS = "\b"


def help_text(say: Messages, key: str, example: str) -> str:
    """What a command does, and a command line; its further lines follow `\\` and are indented."""
    title = say("help_example")
    return f"{say(key)}\n\n{_AS_IT_IS}\n{title}\n  {example}"


class _Formatter(click.HelpFormatter):
    """click's, by cells."""

    def write_text(self, text: str) -> None:
        super().write_text(_spread(text))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        spread = [(_spread(first), _spread(second)) for first, second in rows]
        super().write_dl(spread, col_max, col_spacing)

    def getvalue(self) -> str:
        return super().getvalue().replace(_SECOND_CELL, "")


class Context(click.Context):
    """click's, whose help fits where it is Chinese."""

    formatter_class = _Formatter


def fitting_help(command: click.Command) -> click.Command:
    """The same command, its help wrapped by cells."""
    command.context_class = Context
    return command


def _spread(text: str) -> str:
    if text.isascii():
        return text
    return "".join(c + _SECOND_CELL if east_asian_width(c) in "WF" else c for c in text)
