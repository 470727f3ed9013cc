"""What is the gradient of a stage's weights, and of its squares, once all windows have passed?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from prunescope.interop.layered import Present
from prunescope.pruning.importance import taylor
from prunescope.pruning.plan import TaylorForm
from prunescope.pruning.processes import Processes

if TYPE_CHECKING:
    from torch import Tensor

SECOND_ORDER = ("param_second", "param_mix")


class Gradients:
    """Gathers what a Taylor form needs from the gradients of one stage.

    First-order forms leave the sum to autograd, in the computing type. Second-order forms take each
    example's gradient by itself, as LLM-Pruner's `acc_grad` does; their sums are float32.
    """

    def __init__(
        self, form: TaylorForm, present: Present, wanted: Collection[str], examples: int
    ) -> None:
        """Start at zero.

        Args:
            wanted: stored tensors.
            examples: in the whole calibration set, over all processes.
        """
        self._form, self._present, self._examples = form, present, examples
        self._wanted = sorted(wanted)
        self._sums: dict[str, Tensor] = {}
        self._squares: dict[str, Tensor] = {}

    def batch_is_done(self) -> None:
        """Take in the gradients of the last batch: with a second-order form, of one example."""
        if self._form not in SECOND_ORDER:
            return
        for name in self._wanted:
            # The loss is the mean over examples: this is one example's share of its gradient.
            share = self._present.gradient(name).float()
            # n·(g/n)² summed over n examples is the mean of their g².
            squares = share.square().mul_(self._examples)
            _add(self._squares, name, squares)
            if self._form == "param_mix":
                _add(self._sums, name, share)
        self._present.forget()

    def rows(
        self, axes: Mapping[str, Collection[int]], processes: Processes
    ) -> dict[tuple[str, int], Tensor]:
        """The scores of all wanted tensors along their `axes`, over all processes' windows."""
        found: dict[tuple[str, int], Tensor] = {}
        for name in self._wanted:
            weight = self._present.weight(name)
            squares = None
            if self._form in SECOND_ORDER:
                squares = processes.summed(self._squares.pop(name, weight.float() * 0))
            if self._form == "param_second":
                gradient = weight
            elif self._form == "param_mix":
                gradient = processes.summed(self._sums.pop(name, weight.float() * 0))
            else:
                gradient = processes.summed(self._present.gradient(name))
            for axis in axes[name]:
                found[name, axis] = taylor(weight, gradient, axis, self._form, squares).cpu()
        self._present.forget()
        return found


def _add(sums: dict[str, Tensor], name: str, values: Tensor) -> None:
    if name in sums:
        sums[name] += values
    else:
        # Its own memory: what it is a view of goes on.
        sums[name] = values.clone() if values._base is not None else values
