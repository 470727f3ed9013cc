"""Is an optional dependency there? If not, one line says what to install."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from prunescope.errors import MissingExtra


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, which comes with the extra `extra`.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as err:
        # A module that is there but lacks a dependency of its own is another failure.
        if err.name != module.partition(".")[0]:
            raise
        raise MissingExtra(module.partition(".")[0], extra) from None
