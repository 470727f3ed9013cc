"""Who else works on this pass? The processes that `torchrun` has started, or nobody.

Each has its share of the calibration windows. What they measure is summed over all of them before
a score is made of it, so that the scores are those of one process
(https://docs.pytorch.org/docs/stable/elastic/run.html).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prunescope.errors import PlanError, first_line
from prunescope.extras import require

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require("torch", "prune")


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among all.

    Attributes:
        rank: its number.
        count: how many there are.
        device: where their backend reduces: gloo on the CPU, nccl on CUDA.
    """

    rank: int = 0
    count: int = 1
    device: str = "cpu"

    def summed(self, tensor: Tensor) -> Tensor:
        """The sum of everybody's `tensor`; all must call it. Narrow types are summed in float32."""
        if self.count == 1:
            return tensor
        wide = tensor if tensor.element_size() >= 4 else tensor.float()
        # A copy, since it may be a view of what is still needed.
        total = wide.to(self.device, copy=True).contiguous()
        torch.distributed.all_reduce(total)
        return total.to(tensor.device)

    def least(self, number: int) -> int:
        """The smallest of everybody's `number`; all must call it."""
        if self.count == 1:
            return number
        value = torch.tensor(number, device=self.device)
        torch.distributed.all_reduce(value, op=torch.distributed.ReduceOp.MIN)
        return int(value)


ALONE = Processes()


def told_rank() -> int:
    """This process's number, before it has joined the others."""
    rank = os.environ.get("RANK", "0")
    return int(rank) if rank.isdigit() and told_count() > 1 else 0


def local_device(device: str | None) -> str | None:
    """`device`, or of several CUDA devices the one for this process of the machine."""
    local = os.environ.get("LOCAL_RANK", "")
    if device in ("cuda", None) and local.isdigit() and torch.cuda.is_available():
        return f"cuda:{local}"
    return device


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """Join the processes that `torchrun` tells of in the environment; alone without it.

    Raises:
        PlanError: they cannot be reached.
    """
    if told_count() < 2:
        yield ALONE
        return
    on_cuda = torch.device(device).type == "cuda"
    try:
        if on_cuda:
            torch.cuda.set_device(device)
        torch.distributed.init_process_group("nccl" if on_cuda else "gloo")
    except Exception as err:  # each backend fails in its own way
        raise PlanError(f"the other processes cannot be joined: {first_line(err)}") from None
    try:
        rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        yield Processes(rank, size, device if on_cuda else "cpu")
    finally:
        torch.distributed.destroy_process_group()


def told_count() -> int:
    """How many processes there are, this one included, by what `torchrun` has told."""
    count = os.environ.get("WORLD_SIZE", "1")
    return int(count) if count.isdigit() else 1
