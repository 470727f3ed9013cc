"""What did pruning keep? Both models' weights, compared layer by layer on every core."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from prunescope.analysis.compare import compare
from prunescope.analysis.pair import describe_pair
from prunescope.analysis.trace.layers import trace_layer, trace_outside
from prunescope.analysis.trace.pairs import Reader
from prunescope.analysis.trace.results import Trace
from prunescope.analysis.trace.shared import locate_hidden, match_depth
from prunescope.architecture import refuse_generic
from prunescope.checkpoint import Checkpoint
from prunescope.checkpoint.weights import WeightMap

# numpy works outside Python's lock; memory, not cores, is the limit beyond a few.
_MAX_THREADS = 8
# Steps → what counts them off while they are done.
Progress = Callable[[int], AbstractContextManager[Callable[[], None]]]


def trace(
    original: Checkpoint,
    pruned: Checkpoint,
    progress: Progress = lambda _: nullcontext(lambda: None),
) -> Trace:
    """Find what is left of `original` in `pruned`, from the weights of both.

    Raises:
        ArchitectureError: as `compare` does; tensors whose shapes do not fit together; or a
            hidden dimension, or layers, of which it cannot be told what is left.
        CheckpointError: weights that are not here, or of a type that cannot be compared.
    """
    before, after = describe_pair(original, pruned)
    refuse_generic(after, "trace")
    with WeightMap() as weights:
        reader = Reader(weights, before, after, before.head_dim or after.head_dim)
        outside = reader.pairs(before.outside, after.outside)
        hidden = locate_hidden(reader, outside)
        matched = match_depth(reader, hidden)
        found = [layer for layer in matched.values() if layer is not None]
        comparison = None
        if len(set(found)) == len(matched):
            layers = {p: o for p, o in matched.items() if o is not None}
            comparison = compare(original, pruned, layers)
        jobs = [partial(trace_layer, reader, o, p, hidden) for p, o in matched.items()]
        with ThreadPoolExecutor(_threads()) as pool, progress(len(jobs) + 1) as tick:
            rest = pool.submit(trace_outside, reader, outside, hidden)
            running = [pool.submit(job) for job in jobs]
            traced = []
            for future in running:
                traced.append(future.result())
                tick()
            spaces, others = rest.result()
            tick()
    return Trace(
        original.path,
        pruned.path,
        comparison,
        tuple(traced),
        tuple(sorted(before.layers.keys() - set(found))),
        spaces,
        others,
        reader.head_dim,
    )


def _threads() -> int:
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(2)
    return min(_MAX_THREADS, len(cores))
