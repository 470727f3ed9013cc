"""How does a result look in a README or an issue? GitHub-flavoured Markdown.

Tables are those of https://github.github.com/gfm/#tables-extension-; whatever Markdown would read
as a mark is escaped, since names in a file come from strangers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TextIO

from prunescope.report.console import Justify, Screen

# Any ASCII punctuation may be escaped (https://spec.commonmark.org/0.31.2/#backslash-escapes);
# these can mean something inside a line. `$` and `@` do on GitHub, `:` before `//` makes a link.
_MARKS = re.compile(r"([\\`*_\[\]<>|~$&@!])|(?<=[a-zA-Z]):(?=//)|(?<=www)\.")
# These can mean something where a line begins: headings, lists, rules.
_OPENING = re.compile(r"^(?:([#+=-])|(\d{1,9})([.)]))")


class Markdown(Screen):
    """Sections become headings, lines paragraphs, tables tables."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream, plain=True)
        self._is_first = True

    def line(self, text: str = "", style: str = "") -> None:
        """A paragraph; an empty line says nothing that paragraphs do not say."""
        shown = _OPENING.sub(_opened, escape(text))
        if shown:
            self._block(f"**{shown}**" if "bold" in style.split() else shown)

    def section(self, title: str) -> None:
        """A heading."""
        self._block(f"## {escape(title)}")

    def table(
        self, headers: Sequence[str], rows: Iterable[Sequence[str]], justify: Sequence[Justify]
    ) -> None:
        """A table, its columns aligned as on the terminal."""
        rule = ["---:" if side == "right" else "---" for side in justify]
        lines = [list(map(escape, headers)), rule, *(list(map(escape, row)) for row in rows)]
        self._block("\n".join(f"| {' | '.join(cells)} |" for cells in lines))

    def _block(self, text: str) -> None:
        self._write(text + "\n" if self._is_first else f"\n{text}\n")
        self._is_first = False


def escape(text: str) -> str:
    """`text` on one line, as Markdown that shows it to the letter."""
    return _MARKS.sub(r"\\\g<0>", " ".join(text.split()))


def _opened(found: re.Match[str]) -> str:
    mark, number, stop = found.groups()
    return f"\\{mark}" if mark else f"{number}\\{stop}"
