"""Does config.json describe these weights?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prunescope.analysis.axes import Layout, stated, stated_of
from prunescope.analysis.checks.check import Check, Finding, Verdict, finding, judged
from prunescope.architecture.block_configs import BLOCKS
from prunescope.checkpoint.gguf_config import PER_LAYER

PICKLED = "prunescope.class"


def config_check(after: Layout, before: Layout | None) -> Check:
    """Counts of every space and layer, head_dim, depth and bias flags, against the weights."""
    model = after.model
    if not model.checkpoint.config:
        return judged("coherence", "config", [finding("skip", "no_config")])
    # A whole pickled model has its shapes from its own modules; the config in it is a leftover.
    verdict: Verdict = "warn" if PICKLED in model.checkpoint.metadata else "fail"
    findings = [*_counts(after, verdict), *_depth(after, verdict), *_flags(after, verdict)]
    if before is not None:
        findings.extend(_kept(after, before, verdict))
    return judged("coherence", "config", findings)


def _counts(after: Layout, verdict: Verdict) -> Iterator[Finding]:
    for layer, name in after.axes:
        space = after.space(name)
        said, found = stated(after.model, space, layer), after.units(layer, name)
        if said is None or found is None or said == found:
            continue
        yield finding(verdict, "config_says", layer, key=space.config, stated=said, found=found)


def _depth(after: Layout, verdict: Verdict) -> Iterator[Finding]:
    model = after.model
    counts = Counter(model.stack_of(layer) for layer in model.layers)
    for number, stack in enumerate(model.family.stacks):
        said, found = stated_of(model, stack.depth, None), counts[number]
        more = stated_of(model, stack.more, None) if stack.more else None
        if said is not None and found not in (said, said + (more or 0)):
            yield finding(verdict, "config_says", key=stack.depth, stated=said, found=found)
    blocks = model.config.get(BLOCKS)
    if isinstance(blocks, list) and len(blocks) != len(model.layers):
        found = len(model.layers)
        yield finding(verdict, "config_says", key=BLOCKS, stated=len(blocks), found=found)
    sparse = after.model.checkpoint.config.get(PER_LAYER)
    known = {str(layer) for layer in after.model.layers}
    strange = sorted(set(sparse) - known) if isinstance(sparse, dict) else []
    if strange:
        yield finding(verdict, "config_layers", layers=", ".join(strange))


def _flags(after: Layout, verdict: Verdict) -> Iterator[Finding]:
    """Biases that config.json does not announce are not loaded, and the model computes others."""
    model = after.model
    if model.checkpoint.format == "GGUF":
        return
    there = {axis.key for axes in after.axes.values() for axis in axes}
    for key, tensors in model.family.flags.items():
        said = model.config.get(key, key in model.family.usual_flags) is True
        missing = sorted(set(tensors) - there) if said else []
        unannounced = [] if said else sorted(set(tensors) & there)
        if missing:
            yield finding(verdict, "flag_without", key=key, tensors=", ".join(missing))
        if unannounced:
            yield finding(verdict, "flag_unset", key=key, tensors=", ".join(unannounced))


def _kept(after: Layout, before: Layout, verdict: Verdict) -> Iterator[Finding]:
    """What no pruning changes: the rows of a head."""
    now, then = after.model.head_dim, before.model.head_dim
    if now is not None and then is not None and now != then:
        yield finding(verdict, "config_says", key="head_dim", stated=now, found=then)
