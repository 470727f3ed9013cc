"""Does llama.cpp load this model once `prunescope convert --format gguf` has written it?

What it is asked here is what that command refuses: `prunescope.analysis.llama_cpp_config` and
`llama_cpp_tokenizer`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from prunescope.analysis.axes import Layout, layout
from prunescope.analysis.checks.check import Finding, finding
from prunescope.analysis.llama_cpp_config import objection
from prunescope.analysis.llama_cpp_fit import Fit, fit
from prunescope.analysis.llama_cpp_tokenizer import folder_objection
from prunescope.architecture import describe
from prunescope.architecture.from_deci import as_llama
from prunescope.errors import ArchitectureError, CheckpointError


def llama_cpp_findings(
    after: Layout, uneven: list[Finding], linear: list[Finding]
) -> Iterator[Finding]:
    """Whether it does, and as what.

    Args:
        uneven: what differs between layers.
        linear: linear layers in the place of what it builds.
    """
    checkpoint = after.model.checkpoint
    architecture = checkpoint.config.get("model_type")
    if checkpoint.format == "GGUF":
        if uneven and architecture != "deci":
            yield finding("warn", "not_deci", architecture=str(architecture))
        return
    try:
        found = _as_llama(after)
    except (ArchitectureError, CheckpointError):
        # What stands in our way need not stand in that of llama.cpp's own converter.
        if not linear:
            yield finding("skip", "convert_theirs")
        return
    fitting = fit(found)
    if not architecture:
        yield finding("warn", "needs_config")
    elif fitting is None:
        yield from uneven or [finding("skip", "convert_theirs")]
    elif fitting.strange:
        for layer in fitting.strange:
            yield finding("warn", "no_experts", layer, usual=fitting.usual)
    elif fitting.is_partly_rotated:
        yield finding("warn", "partly_rotated", usual=fitting.usual)
    elif (cause := objection(found, fitting)) is not None:
        yield finding("warn", "not_written", cause=cause)
    elif fitting.architecture is None:
        yield from uneven or [finding("warn", "unfilled", usual=fitting.usual)]
    else:
        yield from _written(after, fitting, fitting.architecture, bool(uneven))


def _written(after: Layout, fitting: Fit, needed: str, is_uneven: bool) -> Iterator[Finding]:
    """As what it is written, and what stands against its tokenizer.

    Args:
        needed: the architecture that holds it.
    """
    home = after.model.checkpoint.home
    # From afar `convert` takes no model, and to look would be to wait for more.
    cause = None if home.local is None else folder_objection(home)
    if cause is not None:
        yield finding("warn", "not_written", cause=cause)
    if is_uneven or fitting.is_uneven:
        yield finding("warn", "deci_needed", architecture=needed)
    elif needed != fitting.usual:
        yield finding("warn", "other_needed", usual=fitting.usual, architecture=needed)
    elif cause is None:
        yield finding("pass", "convert_gguf")


def _as_llama(after: Layout) -> Layout:
    """The layout that `convert` goes by: of nemotron-nas the Llama's that it is.

    Raises:
        ArchitectureError, CheckpointError: it is none.
    """
    checkpoint = after.model.checkpoint
    config = as_llama(checkpoint.config, checkpoint.path)
    if config == checkpoint.config:
        return after
    return layout(describe(replace(checkpoint, config=config)))
