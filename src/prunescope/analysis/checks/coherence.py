"""Do a model's shapes fit together? One length a space, whole heads, heads with KV heads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prunescope.analysis.axes import Axis, Layout
from prunescope.analysis.checks.check import Check, Finding, Verdict, finding, judged
from prunescope.analysis.record import Gqa


def coherence_checks(after: Layout, before: Layout | None, gqa: Gqa = "group") -> tuple[Check, ...]:
    """What can be said of shapes alone, and of those of the original where it is known.

    Args:
        gqa: what pruning.json says a unit of attention was: what was done on purpose is no fault.
    """
    return (
        judged("coherence", "axes", _axes(after)),
        judged("coherence", "units", _units(after)),
        judged("coherence", "grouping", _grouping(after, before, gqa)),
    )


def _axes(after: Layout) -> Iterator[Finding]:
    for (layer, space), axes in after.axes.items():
        if after.agrees((layer, space)):
            continue
        if layer is not None:
            yield finding("fail", "lengths_differ", layer, space=space, lengths=_lengths(axes))
            continue
        # Of a space of the whole model, what departs from most is named.
        ((common, _),) = Counter(axis.length for axis in axes).most_common(1)
        for axis in axes:
            if axis.length != common:
                odd = {"length": axis.length, "common": common}
                yield finding("fail", "length_odd", axis.layer, space=space, tensor=axis.key, **odd)


def _lengths(axes: tuple[Axis, ...]) -> str:
    """`32: self_attn.q_proj.weight; 24: self_attn.o_proj.weight`."""
    found: dict[int, list[str]] = {}
    for axis in axes:
        found.setdefault(axis.length, []).append(axis.key)
    return "; ".join(f"{length}: {', '.join(sorted(found[length]))}" for length in sorted(found))


def _units(after: Layout) -> Iterator[Finding]:
    for space in after.model.family.spaces.values():
        if space.name not in after.unit_rows:
            yield finding("skip", "no_unit", space=space.name, unit=space.unit or "")
    for (layer, space_name), axes in after.axes.items():
        rows = after.unit_rows.get(after.space(space_name).name, 1)
        for length in sorted({axis.length for axis in axes}):
            if not length or length % rows:
                counts = {"length": length, "rows": rows}
                yield finding("fail", "not_whole", layer, space=space_name, **counts)


def _grouping(after: Layout, before: Layout | None, gqa: Gqa) -> Iterator[Finding]:
    """A unit of a group's first space goes with its share of each other space.

    A KV head that serves more query heads than it was trained with serves one that was trained
    with another. One that serves fewer may have lost its own, or not: only the weights tell.
    """
    for spec in after.model.family.groups.values():
        first, *others = spec.spaces
        for space in others:
            shares = {}
            for layer in after.model.layers:
                units, heads = after.units(layer, first), after.units(layer, space)
                if not units or heads is None:
                    continue
                if heads % units:
                    counts = {"heads": heads, "units": units}
                    yield finding("fail", "not_shared", layer, space=space, first=first, **counts)
                    continue
                shares[layer] = heads // units
            yield from _shares(shares, first, space, before, gqa)


def _shares(
    shares: dict[int, int], first: str, space: str, before: Layout | None, gqa: Gqa
) -> Iterator[Finding]:
    if before is None and len(set(shares.values())) < 2:
        return
    for layer, now in shares.items():
        values: dict[str, str | int] = {"space": space, "first": first, "now": now}
        if before is None:
            yield finding("warn", "shares_differ", layer, **values)
            continue
        units, heads = before.units(layer, first), before.units(layer, space)
        then = heads // units if units and heads else now
        if now > then:
            verdict: Verdict = "warn" if gqa == "naive" else "fail"
            yield finding(verdict, "foreign", layer, **values, then=then)
        elif now < then:
            # That each group lost as many is what the record's own check looks at.
            verdict = "pass" if gqa == "query" else "warn"
            yield finding(verdict, "fewer", layer, **values, then=then)
