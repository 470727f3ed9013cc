"""How far along is it? A bar on a terminal, silence elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(text: str, steps: int, quiet: bool) -> Iterator[Callable[[], None]]:
    """Show a bar for `steps` steps on standard error; yields what counts one of them off."""
    if quiet or not sys.stderr.isatty():
        yield lambda: None
        return
    # rich.progress takes 20 ms to import: only for those who see it.
    from rich import progress as rich
    from rich.console import Console

    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text, total=steps)
        yield lambda: bar.advance(task)
