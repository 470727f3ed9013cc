"""Which spaces does an axis lie in? Its label in a family's table, taken apart.

`heads` is one space. `heads+kv_heads+kv_heads` is a row of them, one behind the other, as a fused
projection has; `heads|heads|heads` are the same rows, but each unit of one space (a head's rows)
lies beside its units of the others. `_` is an axis that lies in none.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

NO_SPACE = "_"
BEHIND, BESIDE = "+", "|"


@cache
def parts(label: str) -> tuple[str, ...]:
    """The spaces of a label, in order; one that repeats occurs as often."""
    return tuple(label.replace(BESIDE, BEHIND).split(BEHIND)) if label != NO_SPACE else ()


def solve(label: str, length: int, known: Mapping[str, int]) -> tuple[str, int] | None:
    """What an axis tells of one of its spaces: the one not `known`, else the last.

    Args:
        length: of the axis.
        known: space → its length, as other axes tell.

    Returns:
        The space, and how long it is if the others are as long as is known (rounded up, so that
        what does not divide evenly fits nothing); None where more than one of them is unknown.
    """
    spaces = parts(label)
    distinct = list(dict.fromkeys(spaces))
    open_spaces = [space for space in distinct if space not in known]
    if not distinct or len(open_spaces) > 1:
        return None
    space = open_spaces[0] if open_spaces else distinct[-1]
    others = sum(known[other] for other in spaces if other != space)
    return space, max(0, -(-(length - others) // spaces.count(space)))
