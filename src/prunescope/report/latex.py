"""How does a result look in a paper? LaTeX, each table a float with a caption, ruled by booktabs.

The rules are those of booktabs' manual (https://ctan.org/pkg/booktabs): no vertical lines, three
horizontal ones. A table that is wider than its line is made smaller, until it fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.cells import cell_len

from prunescope.report.console import Justify, Screen
from prunescope.report.latex_text import escape

_NEEDS = (
    r"% Needs \usepackage{booktabs,graphicx,longtable}; "
    r"Chinese needs xelatex and \usepackage{ctex}."
)
# More rows do not fit on a page; a longtable goes on over the next.
MOST_ROWS = 40
# A column with longer cells wraps them, in half of the line or in what is left of it.
_LONG_CELL = 40
_MOST, _LEAST = 0.5, 0.3
# Points: the line of an article, what a letter takes of it, and the room of a column.
_LINE, _LETTER, _ROOM = 345, 5, 12
# Of these, how much in a smaller size; a longtable can be narrowed in no other way.
_SIZES = {
    "": (1.0, 1.0), r"\small": (0.93, 0.5), r"\footnotesize": (0.85, 0.5),
    r"\scriptsize": (0.8, 0.5), r"\tiny": (0.68, 0.5),
}  # fmt: skip
_TIGHT = r"\setlength{\tabcolsep}{3pt}"
# The line may be that of a journal's column, which only LaTeX knows.
_NARROWED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
# A bold line is a title, unless its colour makes it a verdict.
_JUDGING = {"red", "yellow", "green"}


class Latex(Screen):
    """Tables become floats, captioned by the title before them; other lines paragraphs."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream, plain=True)
        self._title = ""
        self._write(_NEEDS + "\n")

    def line(self, text: str = "", style: str = "") -> None:
        """A paragraph; a title is the caption of the table that follows, else a heading."""
        shown, words = escape(text), set(style.split())
        if not shown:
            return
        self._end_title()
        if "bold" not in words:
            self._block(shown)
        elif words & _JUDGING:
            self._block(rf"\textbf{{{shown}}}")
        else:
            self._title = shown

    def section(self, title: str) -> None:
        """A title, as above."""
        self._end_title()
        self._title = escape(title)

    def table(
        self, headers: Sequence[str], rows: Iterable[Sequence[str]], justify: Sequence[Justify]
    ) -> None:
        """A `table`, or a `longtable` where it would not fit on a page."""
        body = list(rows)
        size, columns = _columns([headers, *body], justify)
        lines = [" & ".join(map(escape, row)) + r" \\" for row in body]
        caption = [rf"\caption{{{self._title}}}"] if self._title else []
        self._title = ""
        ruled = [r"\toprule", " & ".join(map(escape, headers)) + r" \\", r"\midrule"]
        if len(body) > MOST_ROWS:
            top = [f"{line} \\\\" for line in caption]
            parts = [rf"\begin{{longtable}}{{{columns}}}", *top, *ruled, r"\endhead", *lines,
                     r"\bottomrule", r"\end{longtable}"]  # fmt: skip
            if size:
                parts = [r"\begingroup", size + _TIGHT, *parts, r"\endgroup"]
        else:
            parts = [rf"\begin{{tabular}}{{{columns}}}", *ruled, *lines, r"\bottomrule",
                     r"\end{tabular}"]  # fmt: skip
            if size:
                parts = [_NARROWED, *parts, "}"]
            parts = [r"\begin{table}", r"\centering", *caption, *parts, r"\end{table}"]
        self._block("\n".join(parts))

    def _end_title(self) -> None:
        if self._title:
            self._block(rf"\paragraph{{{self._title}}}")
        self._title = ""

    def _block(self, text: str) -> None:
        self._write(f"\n{text}\n")


def _columns(table: Sequence[Sequence[str]], justify: Sequence[Justify]) -> tuple[str, str]:
    """The largest size in which it fits, empty for the text's own, and the columns' letters."""
    widths = [max(map(cell_len, cells)) for cells in zip(*table, strict=True)]
    wraps = [
        side == "left" and width > _LONG_CELL for side, width in zip(justify, widths, strict=True)
    ]
    letters = sum(width for width, wrap in zip(widths, wraps, strict=True) if not wrap)

    def left(size: str) -> float:
        """The share of the line that no letter and no room takes."""
        letter, room = _SIZES[size]
        return 1 - (letters * _LETTER * letter + len(widths) * _ROOM * room) / _LINE

    count = sum(wraps)
    size = next((size for size in _SIZES if left(size) >= _LEAST * count), r"\tiny")
    share = min(_MOST, max(_LEAST, left(size) / max(1, count)))
    wrapped = rf"p{{{share:.2f}\linewidth}}"
    return size, "".join(
        wrapped if wrap else side[0] for side, wrap in zip(justify, wraps, strict=True)
    )
