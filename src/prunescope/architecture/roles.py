"""What can a tensor be? The vocabulary that every family's table draws from."""

from __future__ import annotations

from enum import Enum


class Role(Enum):
    """A module's role, with the title reports give it."""

    EMBEDDING = "Token Embedding"
    Q = "Attention Q Projection"
    K = "Attention K Projection"
    V = "Attention V Projection"
    O = "Attention O Projection"  # noqa: E741 — the field's own name
    Q_NORM = "Attention Q Norm"
    K_NORM = "Attention K Norm"
    GATE = "MLP Gate Projection"
    UP = "MLP Up Projection"
    DOWN = "MLP Down Projection"
    INPUT_NORM = "Input Norm"
    POST_NORM = "Post-Attention Norm"
    FINAL_NORM = "Final Norm"
    HEAD = "Output Head"
    BUFFER = "Buffer"

    @property
    def title(self) -> str:
        """The name printed for the role."""
        return self.value


# The seven the mission's tables list, in its order.
PROJECTIONS = (Role.Q, Role.K, Role.V, Role.O, Role.GATE, Role.UP, Role.DOWN)
