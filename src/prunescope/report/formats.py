"""What should a user know of the format a model was saved in?"""

from __future__ import annotations

from prunescope.interop.padding import Padding
from prunescope.report.console import Screen
from prunescope.report.messages import Messages


def print_format(
    padding: Padding | None, nbytes: int, has_code: bool, screen: Screen, say: Messages
) -> None:
    """What padding costs, and whether loading takes the folder's own code.

    Args:
        nbytes: of all tensors, zeros included.
    """
    if padding is not None:
        share = 100 * padding.nbytes / nbytes if nbytes else 0.0
        mib = padding.nbytes / 2**20
        screen.line(say("padding_cost", n=padding.parameters, mib=mib, p=share), "yellow")
    if has_code:
        screen.line(say("needs_code"), "yellow")
