"""How does Python build millions of objects without going through them again and again?

Its collector looks for cycles each time that a quarter more objects live: that is a quarter of the
time that a large pickle takes. It is off meanwhile; what a pickle made of objects that hold
themselves is collected before the next one is read.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# So many bytes may be left behind in cycles.
MAX_LEFT = 32 << 20


@contextmanager
def no_collecting() -> Iterator[None]:
    """Look for no cycles meanwhile, in any thread; garbage without cycles goes as ever."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class Leftovers:
    """What was made with the collector off, and may lie about in cycles.

    Attributes:
        nbytes: of all that was made since something was collected.
    """

    def __init__(self) -> None:
        self.nbytes = 0

    def collect(self) -> None:
        """Collect cycles, where enough was made to be worth the time."""
        if self.nbytes > MAX_LEFT:
            self.nbytes = 0
            gc.collect()


LEFTOVERS = Leftovers()
