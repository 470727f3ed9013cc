"""prunescope: prune large language models, measure and prove what pruning did."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "compare", "cost", "load", "open_checkpoint", "scan", "size", "sparsity", "trace", "verify",
]  # fmt: skip

if TYPE_CHECKING:
    from prunescope.analysis.compare import compare
    from prunescope.analysis.cost import cost
    from prunescope.analysis.scan import scan
    from prunescope.analysis.size import measure as size
    from prunescope.analysis.sparsity import sparsity
    from prunescope.analysis.trace.run import trace
    from prunescope.analysis.verify import verify
    from prunescope.checkpoint import open_checkpoint
    from prunescope.interop.hf import load

# Each is called as the command that prints it, and is imported on first use.
_HOMES = {
    "compare": ("prunescope.analysis.compare", "compare"),
    "cost": ("prunescope.analysis.cost", "cost"),
    "load": ("prunescope.interop.hf", "load"),
    "open_checkpoint": ("prunescope.checkpoint", "open_checkpoint"),
    "scan": ("prunescope.analysis.scan", "scan"),
    "size": ("prunescope.analysis.size", "measure"),
    "sparsity": ("prunescope.analysis.sparsity", "sparsity"),
    "trace": ("prunescope.analysis.trace.run", "trace"),
    "verify": ("prunescope.analysis.verify", "verify"),
}


def __getattr__(name: str) -> Any:
    # Lazy, so that reading headers never waits for torch.
    if name in _HOMES:
        from importlib import import_module

        home, function = _HOMES[name]
        return getattr(import_module(home), function)
    raise AttributeError(f"module 'prunescope' has no attribute {name!r}")
