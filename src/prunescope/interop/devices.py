"""Where does torch compute? The device asked for, or the best there is."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from prunescope.errors import PlanError, first_line
from prunescope.extras import require

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
        with warnings.catch_warnings():
            # torch warns of device names that it is about to forget.
            warnings.simplefilter("ignore")
            torch.empty(1, device=name).item()
    except Exception as err:  # each backend fails in its own way
        raise PlanError(f"device {name!r} cannot be used: {first_line(err)}") from None
    return name
