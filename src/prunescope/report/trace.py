"""How does a trace read? One row a layer, then what was found wrong, then the verdict."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from math import isnan

from prunescope.analysis.trace.results import PADDING, LayerTrace, MemberTrace, SpaceTrace, Trace
from prunescope.report.console import Justify, Screen
from prunescope.report.layers import collapsed, layer_ranges
from prunescope.report.messages import Messages
from prunescope.report.trace_findings import (
    print_findings,
    print_verdict,
    space_title,
    tensor_name,
)

# More units than this are counted, not listed; and a list may be this long.
_LISTED = 256
_WIDTH = 32


def print_trace(trace: Trace, everything: bool, screen: Screen, say: Messages) -> None:
    """Print the layers, the findings and the verdict.

    Args:
        everything: a row for each layer, where else equal neighbours share one; and every kept
            unit and every tensor too.
    """
    screen.section(say("trace_title"))
    _layers(trace, everything, screen, say)
    for space in trace.spaces.values():
        units = _ranges(space.kept)
        units = units if everything else _shortened(units)
        text = say(
            "trace_shared",
            space=space_title(space.name, say),
            n=len(space.kept),
            total=space.original,
            units=units,
            mark=_mark(space.ok),
        )
        screen.line(text)
    screen.line(say("trace_legend"), "dim")
    if everything:
        screen.line()
        _units(trace, screen, say)
        screen.line()
        _tensors(trace, screen, say)
    screen.line()
    print_findings(trace, screen, say)
    print_verdict(trace, screen, say)


def _layers(trace: Trace, everything: bool, screen: Screen, say: Messages) -> None:
    names = list(dict.fromkeys(_plain(name) for layer in trace.layers for name in layer.spaces))
    retention = {}
    if trace.comparison is not None:
        retention = {c.layer: c.parameters.retention for c in trace.comparison.layers}
    headers = [
        say("layer"),
        say("trace_file_layer"),
        *(_header(name, trace, say) for name in names),
        say("trace_pairing"),
        say("trace_drift"),
        say("retention"),
    ]
    rows = []
    for layer in trace.layers:
        pairing = "-" if layer.pairing is None else _mark(layer.pairing.ok)
        kept = None if layer.layer is None else retention.get(layer.layer)
        rows.append(
            [
                "?" if layer.layer is None else str(layer.layer),
                str(layer.position),
                *(_cell(_of(layer, name), say) for name in names),
                pairing,
                _drift(layer.members),
                "-" if kept is None else f"{kept:.4f}",
            ]
        )
    middle: list[Justify] = ["left"] * (len(names) + 1)
    justify: list[Justify] = ["right", "right", *middle, "right", "right"]
    screen.table(headers, collapsed(rows, 2, every=everything), justify)


def _header(name: str, trace: Trace, say: Messages) -> str:
    """A space with the projections that tell of it: `KV heads (k/v)`."""
    members = next(found[0].members for layer in trace.layers if (found := _of(layer, name)))
    roles = (member.role.name.lower().removeprefix("expert_") for member in members)
    return f"{space_title(name, say)} ({'/'.join(dict.fromkeys(roles))})"


def _plain(name: str) -> str:
    return name.partition("[")[0]


def _of(layer: LayerTrace, name: str) -> list[SpaceTrace]:
    """The space of a name: one, or one for each expert."""
    return [space for key, space in layer.spaces.items() if _plain(key) == name]


def _cell(spaces: list[SpaceTrace], say: Messages) -> str:
    if not spaces:
        return "-"
    if len(spaces) > 1:
        # A column for each expert would leave no room for anything else.
        left, total = {len(s.kept) for s in spaces}, {s.original for s in spaces}
        counts = "/".join("-".join(map(str, sorted({min(n), max(n)}))) for n in (left, total))
        return f"{len(spaces)} × {counts} {_mark(all(s.ok for s in spaces))}"
    (space,) = spaces
    if not space.whole:
        units = say("trace_rows", n=len(space.kept), total=space.original)
    elif space.original > _LISTED:
        units = f"{len(space.kept)}/{space.original}"
    else:
        units = _shortened(_ranges(space.kept))
    return f"{units} {_mark(space.ok)}"


def _ranges(units: Iterable[int]) -> str:
    """Kept units; `?` stands for those that were not found, `∅` for zeros."""
    parts = []
    for sign, run in groupby(units, lambda unit: min(unit, 0)):
        together = list(run)
        lost = "∅" if sign == PADDING else "?"
        parts.append(f"{lost} × {len(together)}" if sign else layer_ranges(together))
    return ", ".join(parts) or "-"


def _shortened(text: str) -> str:
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1].rpartition(",")[0] + ", …"


def _mark(ok: bool) -> str:
    return "✓" if ok else "✗"


def _drift(members: Iterable[MemberTrace]) -> str:
    """The largest of them; `=` where all have the original's bits."""
    changed = [member.drift for member in members if not member.identical]
    if not changed:
        return "="
    largest = max(changed, key=lambda drift: (isnan(drift), drift))
    return f"{largest:.2e}" if largest else "0"


def _units(trace: Trace, screen: Screen, say: Messages) -> None:
    for layer in trace.layers:
        for space in layer.spaces.values():
            text = say(
                "trace_kept",
                place=_place(layer, say),
                space=space_title(space.name, say),
                units=_ranges(space.kept),
            )
            screen.line(text)


def _place(layer: LayerTrace, say: Messages) -> str:
    return say("trace_place", layer="?" if layer.layer is None else layer.layer)


def _tensors(trace: Trace, screen: Screen, say: Messages) -> None:
    rows = [[tensor_name(member), _mark(member.ok), _drift([member])] for member in trace.members]
    headers = [say("trace_module"), say("trace_agrees"), say("trace_drift")]
    screen.table(headers, rows, ["left", "left", "right"])
