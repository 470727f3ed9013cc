"""Which numbers does a tensor's name hold, a layer's and an expert's?"""

from __future__ import annotations

import re
from functools import lru_cache

# One spelling of each number, and no stranger's number of a thousand digits.
_NUMBER = re.compile(r"0|[1-9][0-9]{0,5}")
# Layers repeat the names of their experts.
_NAMES_KEPT = 1 << 14
# Stands in a table for the number of an expert.
ANY = "*"


def numbered(key: str, expert: int | None) -> str:
    """A table's key with the expert's number in it."""
    return key if expert is None else key.replace(ANY, str(expert))


def split(name: str, prefix: str) -> tuple[int | None, str]:
    """Layer number and the rest of a tensor's name; outside the layers, None and the name."""
    if name.startswith(prefix):
        number, dot, rest = name[len(prefix) :].partition(".")
        if dot and is_number(number):
            return int(number), rest
    return None, name


def is_number(piece: str) -> bool:
    """Whether a part of a tensor's name numbers a layer or an expert."""
    return piece.isdigit() and _NUMBER.fullmatch(piece) is not None


@lru_cache(_NAMES_KEPT)
def starred(rest: str) -> tuple[str, int | None]:
    """`experts.5.w1.weight` → `experts.*.w1.weight` and 5; None without a number."""
    pieces = rest.split(".")
    for index, piece in enumerate(pieces):
        if is_number(piece):
            pieces[index] = ANY
            return ".".join(pieces), int(piece)
    return rest, None
