"""What does a trace find? Kept units, agreement and drift, per space, layer and model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from prunescope.analysis.compare_result import Comparison
from prunescope.analysis.tabular import Tabular
from prunescope.architecture import Role

# In place of a unit's original index: zeros, which were added to make layers alike.
PADDING = -2


@dataclass(frozen=True, slots=True)
class MemberTrace:
    """One tensor beside the original it was cut from.

    Attributes:
        tensor: its name in the pruned model.
        space: the space that was traced along one of its axes; None where its axes are known
            from other tensors (norms, biases).
        disagreeing: rows (columns) that come from another place than the space's other members
            say.
        untraced: rows (columns) found nowhere in the original, but for those that are all zeros.
        identical: whether what is left has the original's very bits.
        drift: ‖pruned − original‖ / ‖original‖ (Frobenius) over what is left; NaN or infinite
            where the weights are. A change of dtype alone that loses nothing is 0.
        finite: whether no NaN or infinity was put into it; those that the original has at the
            same places, all else being the same, are its own.
        part: `2/3` of the second of three that are fused into one tensor; None for a whole one.
    """

    tensor: str
    role: Role
    space: str | None
    disagreeing: int
    untraced: int
    identical: bool
    drift: float
    finite: bool = True
    part: str | None = None

    @property
    def ok(self) -> bool:
        """Whether all of it comes from where the other members of its space do."""
        return not self.disagreeing and not self.untraced


@dataclass(frozen=True, slots=True)
class SpaceTrace:
    """What is left of one space: heads, KV heads, channels, tokens.

    Attributes:
        rows: rows of a unit; 1 also where a unit of more was not kept whole.
        original: units before.
        kept: for each unit that is left, in the pruned model's order, its index in the
            original; -1 where it was not found, `PADDING` where it is nothing but zeros.
        whole: whether only whole units were kept.
        ambiguous: rows that more than one row of the original explains as well.
        members: the tensors that tell; none where the space is known from elsewhere.
    """

    name: str
    rows: int
    original: int
    kept: tuple[int, ...]
    whole: bool
    ambiguous: int
    members: tuple[MemberTrace, ...]

    @property
    def in_order(self) -> bool:
        """Whether the kept units stand in the original's order, none of them twice."""
        found = [unit for unit in self.kept if unit >= 0]
        return all(a < b for a, b in pairwise(found))

    @property
    def untraced(self) -> int:
        """Units that were not found in the original."""
        return self.kept.count(-1)

    @property
    def padded(self) -> int:
        """Units that are nothing but zeros."""
        return self.kept.count(PADDING)

    def record(self) -> dict[str, Any]:
        """What `--json` says of the space itself."""
        return {
            "space": self.name,
            "rows_per_unit": self.rows,
            "original_units": self.original,
            "kept": list(self.kept),
            "ok": self.ok,
            "whole_units": self.whole,
            "in_order": self.in_order,
            "ambiguous_rows": self.ambiguous,
        }

    @property
    def agrees(self) -> bool:
        """Whether all members tell the same."""
        return all(member.ok for member in self.members)

    @property
    def ok(self) -> bool:
        """Whether whole units were kept, and all members tell which."""
        return self.agrees and self.whole and not self.untraced


@dataclass(frozen=True, slots=True)
class HeadPair:
    """A query head that is left, by the original's numbers.

    Attributes:
        position: its number in the pruned layer.
        head: its number in the original.
        trained: the KV head it was trained with.
        met: the KV head it meets now.
    """

    position: int
    head: int
    trained: int
    met: int


@dataclass(frozen=True, slots=True)
class Pairing:
    """Do query heads meet the KV heads they were trained with?

    Attributes:
        pairs: every query head that is left; empty where they do not share the KV heads evenly.
        even: whether the query heads are a multiple of the KV heads, as attention needs.
    """

    pairs: tuple[HeadPair, ...]
    even: bool

    @property
    def mispaired(self) -> tuple[HeadPair, ...]:
        """Those that meet another KV head."""
        return tuple(pair for pair in self.pairs if pair.trained != pair.met)

    @property
    def ok(self) -> bool:
        """Whether every head meets its own."""
        return self.even and not self.mispaired


@dataclass(frozen=True, slots=True)
class LayerTrace:
    """One layer of the pruned model.

    Attributes:
        layer: its number in the original; None where it is like none of them.
        position: its number in the pruned model.
        spaces: by name.
        pairing: None where the kept heads are not known.
        others: tensors that only confirm: norms, biases.
    """

    layer: int | None
    position: int
    spaces: Mapping[str, SpaceTrace]
    pairing: Pairing | None
    others: tuple[MemberTrace, ...]

    @property
    def members(self) -> tuple[MemberTrace, ...]:
        """All tensors that were compared."""
        return (*(m for s in self.spaces.values() for m in s.members), *self.others)

    @property
    def ok(self) -> bool:
        """Whether every check of the layer passes."""
        pairs = self.pairing is None or self.pairing.ok
        parts = (*(s.ok for s in self.spaces.values()), *(m.ok for m in self.others))
        return self.layer is not None and pairs and all(parts) and _finite(self.members)


@dataclass(frozen=True)
class Trace(Tabular):
    """Everything that the weights tell about pruning.

    Attributes:
        comparison: from shapes, with the layers matched as traced; None where layers of the
            pruned model share one of the original's, or have none.
        layers: in the pruned model's order.
        removed: layers of the original that are gone.
        spaces: of the whole model: the vocabulary and, where it was cut, the hidden dimension.
        others: tensors outside the layers that only confirm.
        head_dim: rows of a head; None where no config.json says.
    """

    original: str
    pruned: str
    comparison: Comparison | None
    layers: tuple[LayerTrace, ...]
    removed: tuple[int, ...]
    spaces: Mapping[str, SpaceTrace]
    others: tuple[MemberTrace, ...]
    head_dim: int | None

    @property
    def reordered(self) -> bool:
        """Whether layers stand in another order than in the original, or more than once."""
        found = [layer.layer for layer in self.layers if layer.layer is not None]
        return any(a >= b for a, b in pairwise(found))

    @property
    def members(self) -> tuple[MemberTrace, ...]:
        """All tensors that were compared."""
        outside = (m for s in self.spaces.values() for m in s.members)
        return (*(m for layer in self.layers for m in layer.members), *outside, *self.others)

    @property
    def ok(self) -> bool:
        """Whether every check passes: agreement, whole units, pairing, nothing unfound or NaN."""
        outside = (*(s.ok for s in self.spaces.values()), *(m.ok for m in self.others))
        return all(layer.ok for layer in self.layers) and all(outside) and _finite(self.members)

    @property
    def unrelated(self) -> bool:
        """Whether nothing at all of the pruned model was found in the original."""
        spaces = [s for layer in self.layers for s in layer.spaces.values() if s.members]
        found = any(unit >= 0 for space in spaces for unit in space.kept)
        return bool(self.layers) and not found

    def rows(self) -> list[dict[str, Any]]:
        """One for each space: of every layer, then of the whole model."""
        return [
            {"layer": layer, "pruned_layer": position, **space.record()}
            for layer, position, spaces in (
                *((one.layer, one.position, one.spaces) for one in self.layers),
                (None, None, self.spaces),
            )
            for space in spaces.values()
        ]


def _finite(members: Iterable[MemberTrace]) -> bool:
    return all(member.finite for member in members)
