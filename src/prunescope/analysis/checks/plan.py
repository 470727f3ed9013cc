"""Was the plan obeyed? Layers that were to be left alone, targets, overall sparsity, dimensions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from prunescope.analysis.axes import Layout, Place
from prunescope.analysis.checks.check import Check, Finding, Source, Verdict, finding, judged
from prunescope.analysis.counts import Counts
from prunescope.analysis.expectation import Expectation, is_cut, is_gone
from prunescope.architecture import Model


def plan_checks(
    before: Layout, after: Layout, expected: Expectation, original: Model
) -> tuple[Check, ...]:
    """The checks of one model against its original.

    Args:
        before: the layers of the original that should be left, under the pruned model's numbers.
        original: all of it.
    """
    source = expected.source
    counts = Counts(original.parameters, after.model.parameters)
    stated: Source = "inferred" if expected.wanted.sparsity is None else "options"
    return (
        judged("plan", "depth", _depth(before, after, expected, original)),
        judged("plan", "untouched", _untouched(before, after, expected), source),
        judged("plan", "target", _target(before, after, expected), _target_source(expected)),
        judged("plan", "sparsity", _sparsity(counts, expected), stated),
        judged("plan", "directions", _directions(before, after, expected)),
    )


def _target_source(expected: Expectation) -> Source:
    return expected.source if expected.wanted.ratio is None else "options"


def _depth(
    before: Layout, after: Layout, expected: Expectation, original: Model
) -> Iterator[Finding]:
    old, new = before.model.layers.keys(), after.model.layers.keys()
    verdict: Verdict = "warn" if expected.source == "inferred" else "fail"
    if len(old) < len(original.layers):
        counts = {"old": len(original.layers), "new": len(old)}
        if expected.record is not None and expected.record.kept_layers is not None:
            yield Finding("pass", "layers_recorded", counts)
        else:
            left = frozenset(expected.kept or ())
            removed = tuple(sorted(original.layers.keys() - left))
            yield Finding(verdict, "layers_matched", counts, removed)
    gone, come = tuple(sorted(old - new)), tuple(sorted(new - old))
    if come:
        yield Finding("fail", "layers_come", layers=come)
    if gone:
        yield Finding(verdict, "layers_gone", {"old": len(old), "new": len(new)}, gone)


def _shared(before: Layout, after: Layout) -> list[int]:
    return [layer for layer in before.model.layers if layer in after.model.layers]


def _untouched(before: Layout, after: Layout, expected: Expectation) -> Iterator[Finding]:
    alone = []
    old_tensors, new_tensors = _tensors(before), _tensors(after)
    for layer in _shared(before, after):
        # What came or went is for the check of tensors to name.
        touched = old_tensors.get(layer) != new_tensors.get(layer)
        for group, spec in before.model.family.groups.items():
            if layer in expected.cut[group]:
                touched = True
                continue
            if is_gone(before, after, layer, spec.spaces):
                touched = True
                yield finding("fail", "group_gone", layer, group=group)
            for space in spec.spaces:
                for place in before.of_space(layer, space):
                    for old, new in _changes(before, after, place):
                        touched = True
                        yield finding("fail", "touched", layer, space=place[1], old=old, new=new)
        if not touched:
            alone.append(layer)
    yield Finding("pass", "untouched_layers", {"n": len(alone)}, tuple(alone))


def _tensors(shapes: Layout) -> dict[int | None, set[str]]:
    found: dict[int | None, set[str]] = {}
    for axes in shapes.axes.values():
        for axis in axes:
            found.setdefault(axis.layer, set()).add(axis.key)
    return found


def _changes(before: Layout, after: Layout, place: Place) -> set[tuple[int, int]]:
    old = {axis.key: axis.length for axis in before.axes.get(place, ())}
    pairs = {(old.get(a.key, a.length), a.length) for a in after.axes.get(place, ())}
    return {(a, b) for a, b in pairs if a != b}


def _target(before: Layout, after: Layout, expected: Expectation) -> Iterator[Finding]:
    ratio, tolerance = expected.wanted.ratio, expected.wanted.tolerance
    shared = set(_shared(before, after))
    for group, spec in before.model.family.groups.items():
        space = _counted(before, after, expected.cut[group] & shared, spec.spaces)
        left: dict[int, tuple[int, int]] = {}
        for layer in sorted(expected.cut[group] & shared):
            old, new = before.units(layer, space), after.units(layer, space)
            is_missed = not is_cut(before, after, layer, group)
            if is_missed and ratio != 0:
                yield finding("fail", "not_cut", layer, group=group)
            elif old and new is not None:
                left[layer] = old, new
        if ratio is None:
            widths = {layer: new for layer, (_, new) in left.items()}
            if len(set(widths.values())) > 1 and widths == _recorded(expected, group, space):
                # A plan of which each layer has its own: what most keep says nothing then.
                least, most = min(widths.values()), max(widths.values())
                values: dict[str, str | int] = {"space": space, "least": least, "most": most}
                yield Finding("pass", "as_recorded", values, tuple(widths))
            else:
                yield from _outliers(space, left)
            continue
        for layer, (old, new) in left.items():
            # The nearest whole number of units is as near as pruning comes.
            is_near = abs(old - new - ratio * old) <= 0.5 + tolerance * old
            verdict: Verdict = "pass" if is_near else "fail"
            yield finding(verdict, "share", layer, space=space, old=old, new=new, ratio=ratio)


def _counted(before: Layout, after: Layout, layers: Iterable[int], spaces: Sequence[str]) -> str:
    """The space that tells how much went: the first that was cut anywhere."""
    for space in spaces:
        if any(before.rows(n, space) != after.rows(n, space) for n in layers):
            return space
    return spaces[0]


def _recorded(expected: Expectation, group: str, space: str) -> dict[int, int]:
    """By layer the units that pruning.json says are left; none where the user says otherwise."""
    if expected.source != "pruning.json" or expected.record is None:
        return {}
    groups = {n: layer[group] for n, layer in expected.record.layers.items() if group in layer}
    cut = {n: of for n, of in groups.items() if of.removed and space in of.kept}
    return {n: len(of.kept[space]) for n, of in cut.items()}


def _outliers(space: str, left: dict[int, tuple[int, int]]) -> Iterator[Finding]:
    """Nobody says how much: then the pruned layers should agree, or be looked at."""
    if not left:
        return
    ((common, count),) = Counter(left.values()).most_common(1)
    if 2 * count < len(left):
        widths = [new for _, new in left.values()]
        values: dict[str, str | int] = {"space": space, "least": min(widths), "most": max(widths)}
        yield Finding("warn", "cut_unlike", values, tuple(left))
        return
    for layer, (old, new) in left.items():
        if (old, new) == common:
            yield finding("pass", "cut_alike", layer, space=space, old=old, new=new)
        else:
            values = {"space": space, "old": old, "new": new}
            yield finding("warn", "outlier", layer, **values, common=common[1])


def _sparsity(counts: Counts, expected: Expectation) -> Iterator[Finding]:
    wanted, tolerance = expected.wanted.sparsity, expected.wanted.tolerance
    values = {"old": counts.original, "new": counts.pruned, "sparsity": counts.sparsity}
    if wanted is None:
        yield Finding("pass", "sparsity_is", values)
        return
    verdict: Verdict = "pass" if abs(counts.sparsity - wanted) <= tolerance else "fail"
    yield Finding(verdict, "sparsity_wanted", {**values, "wanted": wanted, "tolerance": tolerance})


def _directions(before: Layout, after: Layout, expected: Expectation) -> Iterator[Finding]:
    """Only a layer's own spaces may shrink: rows of q, k, v, gate and up, columns of o and down.

    And those of the whole model that pruning.json says were cut. Where nobody says anything, a
    space that is cut alike wherever it is may have been meant.
    """
    record = expected.record
    groups = record.model.values() if record is not None else ()
    recorded = {space for group in groups if group.removed for space in group.kept}
    for place, axes in after.axes.items():
        old = {(axis.layer, axis.key): axis.length for axis in before.axes.get(place, ())}
        lengths = {(old.get((axis.layer, axis.key), axis.length), axis.length) for axis in axes}
        values: dict[str, str | int]
        if expected.source == "inferred" and place[0] is None and len(lengths) == 1:
            ((was, length),) = lengths
            if was > length:
                values = {"space": place[1], "old": was, "new": length}
                yield Finding("warn", "cut_throughout", values)
                continue
        for axis in axes:
            was = old.get((axis.layer, axis.key), axis.length)
            may_shrink = after.space(place[1]).per_layer or place[1] in recorded
            if was == axis.length or (was > axis.length and may_shrink):
                continue
            values = {"tensor": axis.key, "space": place[1], "old": was, "new": axis.length}
            code = "grown" if axis.length > was else "kept_cut"
            yield finding("fail", code, axis.layer, **values)
