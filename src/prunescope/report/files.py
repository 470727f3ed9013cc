"""How is a result file written? Whole or not at all: a temporary file, then an atomic rename."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prunescope.errors import PrunescopeError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it over `path` when the block succeeds.

    Raises:
        PrunescopeError: the folder cannot be written to; an existing file is left as it was.
    """
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        # mkstemp's 0600 would surprise whoever shares the folder.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as err:
        raise PrunescopeError(f"{path}: cannot be written ({err.strerror})") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
