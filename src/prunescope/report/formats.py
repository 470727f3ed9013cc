"""What should a user know of the format a model was saved in?"""

from __future__ import annotations

from prunescope.interop.hf_config import CodeReason
from prunescope.interop.padding import Padding
from prunescope.report.console import Screen
from prunescope.report.messages import Messages

_REASONS = {"layers": "code_layers", "heads": "code_heads"}


def print_format(
    padding: Padding | None, nbytes: int, code: CodeReason | None, screen: Screen, say: Messages
) -> None:
    """What padding costs, and why loading takes the folder's own code, if it does.

    Args:
        nbytes: of all tensors, zeros included.
    """
    if padding is not None:
        share = 100 * padding.nbytes / nbytes if nbytes else 0.0
        mib = padding.nbytes / 2**20
        screen.line(say("padding_cost", n=padding.parameters, mib=mib, p=share), "yellow")
    if code is not None:
        screen.line(say("needs_code", reason=say(_REASONS[code])), "yellow")
