"""How does a result look in a paper? LaTeX, each table a float with a caption, ruled by booktabs.

The rules are those of booktabs' manual (https://ctan.org/pkg/booktabs): no vertical lines, three
horizontal ones. What LaTeX would read as a command is escaped, since names in a file come from
strangers; signs that its fonts lack are written as mathematics.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TextIO

from prunescope.report.console import Justify, Screen

_NEEDS = r"% Needs \usepackage{booktabs,longtable}; Chinese needs xelatex and \usepackage{ctex}."
# More rows do not fit on a page; a longtable goes on over the next.
MOST_ROWS = 40
# A column with longer cells wraps them, in half of the line.
_LONG_CELL = 40
_MARKS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "_": r"\_", "%": r"\%", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": "$<$", ">": "$>$", "|": "$|$", "`": r"\textasciigrave{}",
    # After the end of a row these would be its option and its star.
    "[": "{[}", "]": "{]}", "*": "{*}",
}  # fmt: skip
_SIGNS = {
    "×": r"$\times$", "→": r"$\rightarrow$", "−": "$-$", "±": r"$\pm$", "‖": r"$\Vert$",
    "≥": r"$\geq$", "≤": r"$\leq$", "Σ": r"$\Sigma$", "…": r"\ldots{}",
    "✓": r"$\surd$", "✅": r"$\surd$", "✗": r"$\times$", "❌": r"$\times$", "⚠": "(!)",
    "📊": "", "\ufe0f": "",
}  # fmt: skip
_ESCAPES = str.maketrans(_MARKS | _SIGNS)
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
        body = [list(map(escape, row)) for row in rows]
        head = " & ".join(map(escape, headers)) + r" \\"
        lines = [" & ".join(cells) + r" \\" for cells in body]
        columns = "".join(
            "r" if side == "right" else _left(cells)
            for side, *cells in zip(justify, headers, *body, strict=True)
        )
        caption = [rf"\caption{{{self._title}}}"] if self._title else []
        self._title = ""
        ruled = [r"\toprule", head, r"\midrule"]
        if len(body) > MOST_ROWS:
            top = [f"{line} \\\\" for line in caption]
            parts = [rf"\begin{{longtable}}{{{columns}}}", *top, *ruled, r"\endhead", *lines,
                     r"\bottomrule", r"\end{longtable}"]  # fmt: skip
        else:
            parts = [r"\begin{table}", r"\centering", *caption,
                     rf"\begin{{tabular}}{{{columns}}}", *ruled, *lines, r"\bottomrule",
                     r"\end{tabular}", r"\end{table}"]  # fmt: skip
        self._block("\n".join(parts))

    def _end_title(self) -> None:
        if self._title:
            self._block(rf"\paragraph{{{self._title}}}")
        self._title = ""

    def _block(self, text: str) -> None:
        self._write(f"\n{text}\n")


def escape(text: str) -> str:
    """`text` on one line, as LaTeX that shows it to the letter."""
    shown = " ".join(text.split()).translate(_ESCAPES).strip()
    # Two hyphens would be a dash.
    return re.sub("-(?=-)", "-{}", shown)


def _left(cells: Sequence[str]) -> str:
    return r"p{0.5\linewidth}" if any(len(cell) > _LONG_CELL for cell in cells) else "l"
