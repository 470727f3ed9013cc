"""Are the weights what pruning.json says they are?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from prunescope.analysis.axes import Layout
from prunescope.analysis.checks.check import Check, Finding, Verdict, finding, judged
from prunescope.analysis.record import Gqa, GroupRecord, PruningRecord
from prunescope.architecture import Model


def record_check(
    after: Layout, record: PruningRecord | None, before: Layout | None, original: Model | None
) -> Check:
    """Units, parameters and kept indices of `record`, held against the weights.

    Args:
        before: the layers of the original that are left, under the pruned model's numbers.
        original: all of it.
    """
    if record is None:
        return judged("plan", "record", [finding("skip", "no_record")])
    findings = [*_parameters(after, record, original)]
    for layer, groups in record.layers.items():
        for name, group in groups.items():
            findings.extend(_group(after, layer, name, group, before, record.gqa))
    for name, group in record.model.items():
        findings.extend(_whole(after, name, group, before))
    if before is not None:
        findings.extend(_unrecorded(after, record, before))
    return judged("plan", "record", findings, "pruning.json")


def _parameters(after: Layout, record: PruningRecord, original: Model | None) -> Iterator[Finding]:
    found = after.model.checkpoint.parameters
    verdict: Verdict = "pass" if found == record.parameters.pruned else "fail"
    yield finding(verdict, "recorded_parameters", found=found, recorded=record.parameters.pruned)
    if original is not None:
        found = original.checkpoint.parameters
        if found != record.parameters.original:
            recorded = record.parameters.original
            yield finding("fail", "recorded_original", found=found, recorded=recorded)


def _group(
    after: Layout,
    layer: int,
    name: str,
    group: GroupRecord,
    before: Layout | None,
    gqa: Gqa,
) -> Iterator[Finding]:
    spec = after.model.family.groups.get(name)
    known = layer in after.model.layers and spec is not None
    spaces = [at for s in spec.spaces for _, at in after.of_space(layer, s)] if spec else []
    if spec is None or not known or set(group.kept) != set(spaces):
        yield finding("fail", "recorded_nowhere", layer, group=name)
        return
    if set(spaces).isdisjoint(spec.spaces):
        yield from _experts(after, before, layer, name, group)
        return
    first, *others = spec.spaces
    counted = others[-1] if others and gqa == "query" else first
    left = group.units - group.removed
    if len(group.kept[counted]) != left:
        count = len(group.kept[counted])
        yield finding("fail", "record_differs", layer, group=name, units=left, kept=count)
    for space, kept in group.kept.items():
        yield from _space(after, before, layer, space, kept)
    if others and gqa == "query":
        yield from _lanes(group, layer, counted, first)
    if gqa != "group":
        return
    for space in others:
        kept = group.kept[space]
        share, rest = divmod(len(kept), len(group.kept[first]) or 1)
        pairs = tuple(unit * share + i for unit in group.kept[first] for i in range(share))
        if rest or kept != pairs:
            yield finding("fail", "record_unpaired", layer, space=space, first=first)


def _experts(
    after: Layout, before: Layout | None, layer: int, name: str, group: GroupRecord
) -> Iterator[Finding]:
    """Channels of which each expert has its own; the group's units are those of all experts."""
    left, count = group.units - group.removed, sum(map(len, group.kept.values()))
    if count != left:
        yield finding("fail", "record_differs", layer, group=name, units=left, kept=count)
    for space, kept in group.kept.items():
        yield from _space(after, before, layer, space, kept)


def _space(
    after: Layout, before: Layout | None, layer: int | None, space: str, kept: tuple[int, ...]
) -> Iterator[Finding]:
    found, count = after.units(layer, space), len(kept)
    if found is not None and found != count:
        yield finding("fail", "off_record", layer, space=space, found=found, recorded=count)
    total = before.units(layer, space) if before else None
    is_out = total is not None and kept and kept[-1] >= total
    if is_out or any(a >= b for a, b in pairwise(kept)):
        yield finding("fail", "record_disordered", layer, space=space)


def _lanes(group: GroupRecord, layer: int, space: str, first: str) -> Iterator[Finding]:
    """Query heads of which each KV head keeps as many."""
    heads = group.units // (len(group.kept[first]) or 1) or 1
    left = Counter(head // heads for head in group.kept[space])
    if [left[unit] for unit in group.kept[first]] != [min(left.values(), default=0)] * len(
        group.kept[first]
    ):
        yield finding("fail", "record_unpaired", layer, space=space, first=first)


def _whole(
    after: Layout, name: str, group: GroupRecord, before: Layout | None
) -> Iterator[Finding]:
    """A group of the whole model: one space of its own name."""
    kept = group.kept.get(name)
    if kept is None or (None, name) not in after.axes:
        yield finding("fail", "recorded_nowhere", group=name)
        return
    left = group.units - group.removed
    if len(kept) != left:
        yield finding("fail", "record_differs", group=name, units=left, kept=len(kept))
    yield from _space(after, before, None, name, kept)


def _unrecorded(after: Layout, record: PruningRecord, before: Layout) -> Iterator[Finding]:
    """A layer, or a group of one, that was cut and is not in the record."""
    for layer in before.model.layers:
        for name, spec in before.model.family.groups.items():
            if name in record.layers.get(layer, {}):
                continue
            for space in spec.spaces:
                old, new = before.rows(layer, space), after.rows(layer, space)
                if old is not None and new is not None and old != new:
                    yield finding("fail", "unrecorded", layer, space=space, old=old, new=new)
