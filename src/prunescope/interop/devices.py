"""Where does torch compute? The device asked for, or the best there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunescope.extras import require

from prunescope.errors import PlanError

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", "prune")


def choose_device(name: str | None) -> str:
    """`name` if torch can use it; without a name CUDA where there is one, else the CPU.

    Raises:
        PlanError: an unknown device, or one this machine does not have.
    """
    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (AssertionError, RuntimeError, NotImplementedError) as err:
        reason = (str(err).strip() or type(err).__name__).splitlines()[0]
        raise PlanError(f"device {name!r} cannot be used: {reason}") from None
    return name
