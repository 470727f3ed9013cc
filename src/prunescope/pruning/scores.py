"""What has been measured? One score for each row and column that may go; of units, on demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prunescope.errors import PlanError
from prunescope.pruning.groups import Group, Member
from prunescope.pruning.importance import combine, unit_scores
from prunescope.pruning.plan import Grouping

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Scores:
    """The measure of a model, before anything is chosen by it.

    Attributes:
        rows: (tensor name, axis) → [length of the axis], float32: a score for each index. Rows,
            not units: what a unit is (a head, a GQA group, a channel) is for the plan to say. An
            axis that the measure says nothing of (FLAP: all but input columns) is not there.
        loss: of the unpruned model on the calibration set, in nats per token; None where it was
            not measured.
        influence: a layer's place, from 0 → block influence, the mean over tokens of
            1 − cos(x_in, x_out); empty where it was not measured.
    """

    rows: Mapping[tuple[str, int], Tensor]
    loss: float | None = None
    influence: Mapping[int, float] = field(default_factory=dict)

    def of(self, group: Group, grouping: Grouping) -> list[float]:
        """One score for each unit of `group`: rows summed, then members combined.

        Members that the measure says nothing of have no say; the first of the others is the root.

        Raises:
            PlanError: it says nothing of any, or their product is beyond what can be computed.
        """
        members = [
            (member.lane, unit_scores(self._of(group, member), member.width))
            for member in group.members
            if (member.tensor.name, member.axis) in self.rows
        ]
        where = "" if group.layer is None else f" of layer {group.layer}"
        if not members:
            raise PlanError(f"there are no scores for the {group.kind}{where}")
        lanes = sorted(dict.fromkeys(lane for lane, _ in members), key=lambda lane: lane or 0)
        by_lane = [[each for own, each in members if own == lane] for lane in lanes]
        try:
            return [score for each in by_lane for score in combine(each, grouping).tolist()]
        except OverflowError:
            raise PlanError(
                f"the products of {len(by_lane[0])} {group.kind} scores{where} are beyond float64: "
                "take another --grouping_strategy than prod"
            ) from None

    def _of(self, group: Group, member: Member) -> Tensor:
        rows = self.rows[member.tensor.name, member.axis]
        return rows[member.start :][: len(group.units_on(member)) * member.width]
