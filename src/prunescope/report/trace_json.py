"""What do scripts get of a trace? Kept units by their numbers in the original, and every check."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from typing import Any

from prunescope.analysis.trace.results import MemberTrace, SpaceTrace, Trace
from prunescope.report.json_output import dump


def trace_json(found: Trace) -> str:
    """What pruning kept: units by their numbers in the original, and every check."""
    return dump(
        {
            "schema": "prunescope.trace/1",
            "original": found.original,
            "pruned": found.pruned,
            "ok": found.ok,
            "head_dim": found.head_dim,
            "removed_layers": found.removed,
            "reordered": found.reordered,
            "unrelated": found.unrelated,
            "layers": [
                {
                    "layer": layer.layer,
                    "pruned_layer": layer.position,
                    "ok": layer.ok,
                    "spaces": [_space(space) for space in layer.spaces.values()],
                    "pairing": layer.pairing
                    and {
                        "ok": layer.pairing.ok,
                        "even": layer.pairing.even,
                        "heads": [asdict(pair) for pair in layer.pairing.pairs],
                    },
                    "others": [_member(member) for member in layer.others],
                }
                for layer in found.layers
            ],
            "outside_layers": {
                "spaces": [_space(space) for space in found.spaces.values()],
                "others": [_member(member) for member in found.others],
            },
        }
    )


def _space(space: SpaceTrace) -> dict[str, Any]:
    return space.record() | {"tensors": [_member(member) for member in space.members]}


def _member(member: MemberTrace) -> dict[str, Any]:
    return {
        "tensor": member.tensor,
        "part": member.part,
        "module": member.role.title,
        "disagreeing": member.disagreeing,
        "untraced": member.untraced,
        "identical": member.identical,
        "finite": member.finite,
        # JSON knows no infinity.
        "drift": member.drift if isfinite(member.drift) else None,
    }
