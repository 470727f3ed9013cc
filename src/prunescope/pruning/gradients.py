"""What is the gradient of a stage's weights, and of its squares, once all windows have passed?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from prunescope.extras import require
from prunescope.interop.layered import Present
from prunescope.pruning.importance import pieces, taylor
from prunescope.pruning.plan import TaylorForm
from prunescope.pruning.processes import Processes

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require("torch", "prune")

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
            gradient = self._present.gradient(name)
            squares = _sum(self._squares, name, gradient)
            sums = _sum(self._sums, name, gradient) if self._form == "param_mix" else None
            # Of a head in float32, what is only passed through would take gigabytes more.
            for rows in pieces(gradient):
                # The loss is the mean over examples: one example's share of its gradient.
                share = gradient[rows].float()
                # n·(g/n)² summed over n examples is the mean of their g².
                squares[rows] += share.square().mul_(self._examples)
                if sums is not None:
                    sums[rows] += share
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
                squares = processes.summed(_sum(self._squares, name, weight))
                del self._squares[name]
            if self._form == "param_second":
                gradient = weight
            elif self._form == "param_mix":
                gradient = processes.summed(_sum(self._sums, name, weight))
                del self._sums[name]
            else:
                gradient = processes.summed(self._present.gradient(name))
            for axis in axes[name]:
                found[name, axis] = taylor(weight, gradient, axis, self._form, squares).cpu()
        self._present.forget()
        return found


def _sum(sums: dict[str, Tensor], name: str, like: Tensor) -> Tensor:
    """What has been summed of `name`; zeros where nothing has come yet, of the shape of `like`."""
    if name not in sums:
        sums[name] = torch.zeros_like(like, dtype=torch.float32)
    return sums[name]
