"""What did a trace find wrong, or worth knowing? One line a finding, then the verdict."""

from __future__ import annotations

from itertools import groupby
from math import isnan

from prunescope.analysis.trace.results import LayerTrace, MemberTrace, SpaceTrace, Trace
from prunescope.errors import printable
from prunescope.report.console import Screen
from prunescope.report.layers import layer_ranges
from prunescope.report.messages import Messages

_TITLES = {
    "heads": "trace_heads",
    "kv_heads": "trace_kv_heads",
    "channels": "trace_channels",
    "hidden": "trace_hidden",
    "vocab": "trace_vocab",
    "experts": "trace_experts",
    "expert_channels": "trace_expert_channels",
}


def space_title(name: str, say: Messages) -> str:
    """What a space is called; one that only a family's table knows, by its name there."""
    plain, bracket, number = name.partition("[")
    return say(_TITLES[plain]) + bracket + number if plain in _TITLES else name


def tensor_name(member: MemberTrace) -> str:
    """Its name in the pruned model, and which part of it is meant where several are fused."""
    part = f" [{member.part}]" if member.part else ""
    return printable(member.tensor) + part


def print_findings(trace: Trace, screen: Screen, say: Messages) -> None:
    """What is not as in an ordinary block-wise pruned model."""
    if trace.unrelated:
        screen.line(say("trace_unrelated"), "red")
        return
    if trace.head_dim is None:
        screen.line(say("trace_no_head_dim"), "yellow")
    if trace.removed:
        screen.line(say("trace_removed", layers=layer_ranges(trace.removed)), "yellow")
    if trace.reordered:
        screen.line(say("trace_reordered"), "yellow")
    _moved(trace, screen, say)
    _padded(trace, screen, say)
    for layer in trace.layers:
        place = say("trace_place", layer=layer.layer)
        if layer.layer is None:
            screen.line(say("trace_unknown_layer", layer=layer.position), "red")
        for space in layer.spaces.values():
            _space(space, place, screen, say)
        for member in layer.others:
            _member(member, place, screen, say)
        _pairing(layer, place, screen, say)
    for space in trace.spaces.values():
        _space(space, say("trace_outside"), screen, say)
    for member in trace.others:
        _member(member, say("trace_outside"), screen, say)


def print_verdict(trace: Trace, screen: Screen, say: Messages) -> None:
    """Whether what is left is unchanged, and whether every check passes."""
    if trace.unrelated:
        screen.line(say("trace_bad_unrelated"), "bold red")
        return
    changed = [member for member in trace.members if not member.identical]
    largest = max(changed, key=lambda m: (isnan(m.drift), m.drift), default=None)
    if largest is not None and not largest.drift:
        screen.line(say("trace_same_values"), "green")
    elif largest is not None:
        text = say(
            "trace_changed",
            n=len(changed),
            total=len(trace.members),
            drift=f"{largest.drift:.2e}",
            tensor=tensor_name(largest),
        )
        screen.line(text, "yellow")
    else:
        screen.line(say("trace_identical"), "green")
    failing = [layer.layer for layer in trace.layers if not layer.ok]
    if failing:
        known = sorted({layer for layer in failing if layer is not None})
        listed = ", ".join([*filter(None, [layer_ranges(known)]), *["?"] * failing.count(None)])
        screen.line(say("trace_bad", layers=listed), "bold red")
    elif not trace.ok:
        screen.line(say("trace_bad_outside"), "bold red")
    elif any(layer.pairing for layer in trace.layers):
        screen.line(say("trace_good"), "bold green")
    else:
        screen.line(say("trace_good_unpaired"), "bold green")


def _moved(trace: Trace, screen: Screen, say: Messages) -> None:
    moved: dict[str, list[int]] = {}
    for layer in trace.layers:
        for space in layer.spaces.values():
            if not space.in_order and layer.layer is not None:
                moved.setdefault(space.name, []).append(layer.layer)
    for name, layers in moved.items():
        text = say("trace_moved", space=space_title(name, say), layers=layer_ranges(sorted(layers)))
        screen.line(text, "yellow")


def _padded(trace: Trace, screen: Screen, say: Messages) -> None:
    padded: dict[str, list[int]] = {}
    for layer in trace.layers:
        for space in layer.spaces.values():
            if space.padded and layer.layer is not None:
                padded.setdefault(space.name, []).append(layer.layer)
    for name, layers in padded.items():
        text = say(
            "trace_padded", space=space_title(name, say), layers=layer_ranges(sorted(layers))
        )
        screen.line(text, "yellow")


def _space(space: SpaceTrace, place: str, screen: Screen, say: Messages) -> None:
    title = space_title(space.name, say)
    if not space.whole:
        screen.line(say("trace_not_whole", place=place, space=title), "red")
    if space.ambiguous:
        text = say("trace_ambiguous", place=place, space=title, n=space.ambiguous)
        screen.line(text, "yellow")
    for member in space.members:
        _member(member, place, screen, say)


def _member(member: MemberTrace, place: str, screen: Screen, say: Messages) -> None:
    tensor = tensor_name(member)
    if member.disagreeing:
        text = say("trace_disagrees", place=place, tensor=tensor, n=member.disagreeing)
        screen.line(text, "red")
    if member.untraced:
        screen.line(say("trace_untraced", place=place, tensor=tensor, n=member.untraced), "red")
    if not member.finite:
        screen.line(say("trace_not_finite", place=place, tensor=tensor), "red")


def _pairing(layer: LayerTrace, place: str, screen: Screen, say: Messages) -> None:
    pairing = layer.pairing
    if pairing is None or pairing.ok:
        return
    if not pairing.even:
        screen.line(say("trace_uneven", place=place), "red")
        return
    wrong, total = pairing.mispaired, len(pairing.pairs)
    screen.line(say("trace_mispaired", place=place, n=len(wrong), total=total), "red")
    for (trained, met), run in groupby(wrong, lambda pair: (pair.trained, pair.met)):
        heads = layer_ranges(pair.head for pair in run)
        screen.line(say("trace_pair", heads=heads, trained=trained, met=met), "red")
