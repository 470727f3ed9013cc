"""prunescope: prune large language models, measure and prove what pruning did."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["compare", "load", "open_checkpoint"]

if TYPE_CHECKING:
    from prunescope.analysis.compare import compare
    from prunescope.checkpoint import open_checkpoint
    from prunescope.interop.hf import load

_HOMES = {
    "compare": "prunescope.analysis.compare",
    "load": "prunescope.interop.hf",
    "open_checkpoint": "prunescope.checkpoint",
}


def __getattr__(name: str) -> Any:
    # Lazy, so that reading headers never waits for torch.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'prunescope' has no attribute {name!r}")
