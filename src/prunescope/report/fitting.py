"""How does a table fit into a terminal? Figures keep their width, words wrap, columns stay columns.

rich's own way of shrinking a table takes from the widest column first, figures included, and a
figure broken over two lines is another figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.table import Table

if TYPE_CHECKING:
    from prunescope.report.console import Justify

GAP = 2
# A word longer than this, a path, is folded where there is no room for it otherwise.
_LONGEST_WORD = 14
_WHOLE = 10_000


def side_by_side(
    lines: Sequence[Sequence[str]], justify: Sequence[Justify], width: int
) -> list[list[int]]:
    """Which columns stand in one table of `width` cells, and which in the next ones below it.

    The first column, which says what a line is of, is in each.
    """
    least = [
        _least(*column, _LONGEST_WORD)
        for column in zip(zip(*lines, strict=True), justify, strict=True)
    ]
    tables = [[0]]
    for column in range(1, len(least)):
        if sum(least[i] + GAP for i in tables[-1]) + least[column] > width and len(tables[-1]) > 1:
            tables.append([0])
        tables[-1].append(column)
    return tables


def fitted(lines: Sequence[Sequence[str]], justify: Sequence[Justify], width: int) -> Table:
    """The table whose first line is its header, in at most `width` cells.

    Text wraps, a name without spaces is folded; figures are shortened with an ellipsis, but only
    where the terminal is too narrow for all of them.
    """
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
    widths = column_widths(lines, justify, width)
    for title, side, cells in zip(lines[0], justify, widths, strict=True):
        table.add_column(
            title, justify=side, width=cells, overflow="fold" if side == "left" else "ellipsis"
        )
    for row in lines[1:]:
        table.add_row(*row)
    return table


def column_widths(
    lines: Sequence[Sequence[str]], justify: Sequence[Justify], width: int
) -> list[int]:
    """How many cells each column gets: what it wants, and where that is too much, less.

    The widest column that can still shrink shrinks first: lines of words wrap, then paths fold.
    None becomes narrower than its figures or its words, unless even these have no room; then rich
    takes from all.
    """
    columns = list(zip(*lines, strict=True))
    widths = [max(map(cell_len, column)) for column in columns]
    over = sum(widths) + GAP * (len(widths) - 1) - width
    for longest in (_WHOLE, _LONGEST_WORD):
        least = [_least(*column, longest) for column in zip(columns, justify, strict=True)]
        while over > 0:
            spare = [i for i, wide in enumerate(widths) if wide > least[i]]
            if not spare:
                break
            widths[max(spare, key=widths.__getitem__)] -= 1
            over -= 1
    return widths


def _least(column: Sequence[str], side: Justify, longest: int) -> int:
    if side == "right":
        return max(_longest_word(column[0]), *map(cell_len, column[1:]), 1)
    return max(1, min(longest, max(map(_longest_word, column))))


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)
