"""How does a result look in a terminal? Sections and tables, coloured by rich where they are seen.

rich.console takes longer to import than most headers take to read, so output that is piped or
redirected does without it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from rich.console import Console

RULE_WIDTH = 98
Justify = Literal["left", "right"]


class Screen:
    """Standard output: plain text when piped, coloured on a terminal (NO_COLOR honoured).

    Reports speak to this interface alone: `line`, `section`, `table`. Other media
    (`report.markdown`, `report.latex`) derive from it.
    """

    def __init__(self, stream: TextIO | None = None, *, plain: bool = False) -> None:
        """`plain`: as if piped, wherever it goes."""
        if stream is None and isinstance(sys.stdout, TextIOWrapper):
            # An ASCII terminal, or a file name that is not UTF-8, is no reason to fail. Line by
            # line, because whoever pipes an hour's work into a log wants to follow it.
            sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
        self._stream = stream or sys.stdout
        seen = self._stream.isatty() or bool(os.environ.get("FORCE_COLOR"))
        self._console = _console(self._stream) if seen and not plain else None

    def line(self, text: str = "", style: str = "") -> None:
        """One line, however long."""
        if self._console is None:
            self._write(text + "\n")
            return
        from rich.text import Text

        self._console.print(Text(text, style=style))

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except BrokenPipeError:
            # The reader has left (`| head`); what else there is to do, a model to save, is done.
            self._stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115

    def section(self, title: str) -> None:
        """A title between two rules."""
        rule = "=" * min(RULE_WIDTH, self._console.width if self._console else RULE_WIDTH)
        self.line(rule, "dim")
        self.line(title, "bold")
        self.line(rule, "dim")

    def table(
        self, headers: Sequence[str], rows: Iterable[Sequence[str]], justify: Sequence[Justify]
    ) -> None:
        """Columns two spaces apart, aligned by display cells: a Chinese character has two.

        On a terminal the table keeps to its width, if need be in several below each other; where
        it is read by a program it is as wide as it is, one line a row.
        """
        lines = [headers, *rows]
        if self._console is not None:
            from prunescope.report.fitting import fitted, side_by_side

            width = self._console.width
            for number, columns in enumerate(side_by_side(lines, justify, width)):
                if number:
                    self.line()
                part = [[line[column] for column in columns] for line in lines]
                sides = [justify[column] for column in columns]
                self._console.print(fitted(part, sides, width), soft_wrap=False)
            return
        widths = [max(_width(row[i]) for row in lines) for i in range(len(headers))]
        for row in lines:
            cells = (
                _aligned(cell, width, side)
                for cell, width, side in zip(row, widths, justify, strict=True)
            )
            self.line("  ".join(cells).rstrip())


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    return Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)


def _width(text: str) -> int:
    """How many cells of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _aligned(text: str, width: int, side: Justify) -> str:
    space = " " * (width - _width(text))
    return space + text if side == "right" else text + space
