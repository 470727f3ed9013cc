"""Is an optional dependency there? If not, one line says what to install."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from prunescope.errors import MissingExtra


def require(module: str, extra: str, attribute: str | None = None) -> ModuleType:
    """Import `module`, which comes with the extra `extra`.

    Args:
        attribute: what the oldest release that the extra allows has, and older ones lack. One of
            them may be there where the extra was never installed.

    Raises:
        MissingExtra: it is not installed, or too old.
    """
    package = module.partition(".")[0]
    try:
        found = import_module(module)
    except ModuleNotFoundError as err:
        # A module that is there but lacks a dependency of its own is another failure.
        if err.name != package:
            raise
        raise MissingExtra(package, extra) from None
    if attribute is not None and not hasattr(found, attribute):
        raise MissingExtra(package, extra, "too old")
    return found
