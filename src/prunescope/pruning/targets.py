"""How many units of a group go, and how many may?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from prunescope.pruning.groups import Group


@dataclass(frozen=True, slots=True)
class Target:
    """One group to cut, and how many of its units go.

    Attributes:
        step: what is left is a multiple of it, unless nothing is removed.
        least: units that stay at least.
        free: whether `remove` is only this target's share of what all of its kind lose together,
            wherever the scores are lowest.
    """

    group: Group
    remove: int
    step: int = 1
    least: int = 1
    free: bool = False

    @property
    def choices(self) -> Sequence[int]:
        """How many units may go, ascending, the first of them none."""
        units, step = self.group.units, self.step
        floor = max(-(-self.least // step) * step, step)
        first = units % step
        counts = range(first or step, units - floor + 1, step)
        return (0, *counts)

    def nearest(self, share: Fraction) -> Target:
        """The same, but losing the nearest possible number to `share` of the units.

        Of two equally near numbers the smaller one; the whole group at most, but for `least`.
        """
        wanted = share * self.group.units
        if self.step == 1:
            # Not bounded: that a ratio leaves nothing is for the plan to say.
            return replace(self, remove=math.ceil(wanted - Fraction(1, 2)))
        return replace(self, remove=min(self.choices, key=lambda n: (abs(n - wanted), n)))


def portion(targets: Sequence[Target], step: int, steps: int) -> tuple[Target, ...]:
    """What has gone after step `step` of `steps`: as much in each, to the nearest that may go."""
    done = []
    for target in targets:
        share = Fraction(target.remove * step, target.group.units * steps)
        part = target.nearest(share)
        # The last step ends where the plan does, whatever was rounded on the way.
        done.append(
            target if step == steps else replace(part, remove=min(part.remove, target.remove))
        )
    return tuple(done)
