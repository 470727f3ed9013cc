"""What is a group? Axes that lose the same units, and what is left of each.

One axis may lie in a group more than once, with a part for each projection that is fused in it.
Of experts that are stored one by one each is a lane of its layer's group: all of them lose as
many units, since transformers keeps them in one parameter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prunescope.architecture import Role
from prunescope.checkpoint import TensorInfo


@dataclass(frozen=True, slots=True)
class Member:
    """One axis of one tensor, or a part of it, that a group cuts.

    Attributes:
        axis: which axis.
        width: how many rows (or columns) one unit has on it.
        start: the row at which the first unit begins: past 0 where projections are fused.
        lane: the lane whose units lie on it; None where those of all do.
    """

    tensor: TensorInfo
    role: Role
    axis: int
    width: int
    start: int = 0
    lane: int | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """The coupled axes of one layer, or of the whole model.

    Attributes:
        layer: None for a group of the whole model.
        kind: `attention`, `mlp`, `hidden` or `layers`.
        units: how many units there are to choose from.
        parts: space → how many of its own units (heads, channels) one unit of the group has.
        members: what is cut; the root's weight first, as in LLM-Pruner.
        totals: space → its own units, where they are more than those in the group's units: the
            rest stays.
        lanes: equal runs of consecutive units of which each loses as many.
        experts: the numbers of the experts whose units the lanes are; empty where they are not.
    """

    layer: int | None
    kind: str
    units: int
    parts: Mapping[str, int]
    members: tuple[Member, ...]
    totals: Mapping[str, int] = field(default_factory=dict)
    lanes: int = 1
    experts: tuple[int, ...] = ()

    def rows(self, kept: Sequence[int], width: int) -> list[int]:
        """Indices along an axis with `width` rows a unit, for the units `kept`."""
        return [unit * width + row for unit in kept for row in range(width)]

    def units_on(self, member: Member) -> range:
        """The units that lie on `member`."""
        if member.lane is None:
            return range(self.units)
        length = self.units // self.lanes
        return range(member.lane * length, (member.lane + 1) * length)

    def left_by_axis(self, kept: Sequence[int]) -> dict[tuple[str, int], list[int]]:
        """(tensor name, axis) → the indices along it that are left with the units `kept`."""
        gone: dict[tuple[str, int], set[int]] = {}
        lengths: dict[tuple[str, int], int] = {}
        stays = set(kept)
        for member in self.members:
            key = member.tensor.name, member.axis
            lengths[key] = member.tensor.shape[member.axis]
            units = self.units_on(member)
            removed = [unit - units.start for unit in units if unit not in stays]
            rows = self.rows(removed, member.width)
            gone.setdefault(key, set()).update(member.start + row for row in rows)
        return {
            key: [row for row in range(length) if row not in gone[key]]
            for key, length in lengths.items()
        }

    def left(self, kept: Sequence[int]) -> dict[str, list[int]]:
        """Space → its own units (heads, channels) that are left with the group's units `kept`.

        Where each expert has its own, by the expert: `expert_channels[3]`.
        """
        if self.experts:
            (space,) = self.parts
            length = self.units // self.lanes
            by_lane: list[list[int]] = [[] for _ in self.experts]
            for unit in kept:
                by_lane[unit // length].append(unit % length)
            return {f"{space}[{n}]": by_lane[lane] for lane, n in enumerate(self.experts)}
        left = {
            space: self.rows(kept, part)
            + list(range(self.units * part, self.totals.get(space, self.units * part)))
            for space, part in self.parts.items()
        }
        whole = {space: list(range(n)) for space, n in self.totals.items() if space not in left}
        return whole | left

    def units_of(self, left: Mapping[str, Sequence[int]]) -> list[int]:
        """The reverse of `left`, where that is what `left` is; else units of which it is not."""
        if self.experts:
            (space,) = self.parts
            length = self.units // self.lanes
            return [
                lane * length + unit
                for lane, number in enumerate(self.experts)
                for unit in left.get(f"{space}[{number}]", ())
                if unit < length
            ]
        space, part = next(iter(self.parts.items()))
        total = self.units * part
        return sorted({index // part for index in left.get(space, ()) if index < total})

    def lengths(self, count: int) -> dict[str, int]:
        """Space → how many of its own units are left with `count` units: of one expert's."""
        if self.experts:
            return dict.fromkeys(self.parts, count // self.lanes)
        return dict(self.totals) | {
            space: self.totals.get(space, self.units * part) - (self.units - count) * part
            for space, part in self.parts.items()
        }

    @property
    def unit_parameters(self) -> int:
        """Stored parameters that go with one unit."""
        stored = sum(
            member.tensor.parameters
            // member.tensor.shape[member.axis]
            * member.width
            * len(self.units_on(member))
            for member in self.members
            if member.tensor.shared_with is None
        )
        return stored // self.units if self.units else 0
