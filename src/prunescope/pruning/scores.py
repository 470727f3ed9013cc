"""What has been measured? One score for each row and column that may go; of units, on demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prunescope.pruning.groups import Group
from prunescope.pruning.importance import combine, unit_scores
from prunescope.pruning.plan import Grouping

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Scores:
    """The measure of a model, before anything is chosen by it.

    Attributes:
        rows: (tensor name, axis) → [length of the axis], float32: a score for each index. Rows,
            not units: what a unit is (a head, a GQA group, a channel) is for the plan to say.
        loss: of the unpruned model on the calibration set, in nats per token; None where it was
            not measured.
        influence: layer → how much it changes what passes through it; empty where it was not
            measured.
    """

    rows: Mapping[tuple[str, int], Tensor]
    loss: float | None = None
    influence: Mapping[int, float] = field(default_factory=dict)

    def of(self, group: Group, grouping: Grouping) -> list[float]:
        """One score for each unit of `group`: rows summed, then members combined."""
        members = [
            unit_scores(
                self.rows[member.tensor.name, member.axis][: group.units * member.width],
                member.width,
            )
            for member in group.members
        ]
        return combine(members, grouping).tolist()
