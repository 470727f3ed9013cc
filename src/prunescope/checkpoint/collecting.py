"""How does Python build millions of objects without going through them again and again?

Its collector looks for cycles each time that a quarter more objects live: that is a quarter of the
time that a large pickle takes.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


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
