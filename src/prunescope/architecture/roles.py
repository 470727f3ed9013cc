"""What can a tensor be? The vocabulary that every family's table draws from."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from prunescope.errors import printable

_MAX_NAME = 200


class Role(Enum):
    """A module's role, with the title reports give it.

    A model of unknown architecture has roles of its own, one for each module's name: see `own`.
    """

    EMBEDDING = "Token Embedding"
    POSITION = "Position Embedding"
    SEGMENT = "Segment Embedding"
    PATCH = "Patch Embedding"
    CLASS_EMBEDDING = "Class Embedding"
    EMBEDDING_NORM = "Embedding Norm"
    EMBEDDING_IN = "Embedding In Projection"
    EMBEDDING_OUT = "Embedding Out Projection"
    Q = "Attention Q Projection"
    K = "Attention K Projection"
    V = "Attention V Projection"
    O = "Attention O Projection"  # noqa: E741 — the field's own name
    QKV = "Attention QKV Projection"
    Q_A = "Attention Q-A Projection"
    Q_B = "Attention Q-B Projection"
    KV_A = "Attention KV-A Projection"
    KV_B = "Attention KV-B Projection"
    LINEAR_ATTENTION = "Linear Layer for Attention"
    CROSS_Q = "Cross-Attention Q Projection"
    CROSS_K = "Cross-Attention K Projection"
    CROSS_V = "Cross-Attention V Projection"
    CROSS_O = "Cross-Attention O Projection"
    Q_NORM = "Attention Q Norm"
    K_NORM = "Attention K Norm"
    Q_A_NORM = "Attention Q-A Norm"
    KV_A_NORM = "Attention KV-A Norm"
    RELATIVE_BIAS = "Attention Relative Bias"
    SINKS = "Attention Sinks"
    GATE = "MLP Gate Projection"
    UP = "MLP Up Projection"
    DOWN = "MLP Down Projection"
    GATE_UP = "MLP Gate-Up Projection"
    LINEAR_MLP = "Linear Layer for MLP"
    ROUTER = "MoE Router"
    EXPERT_GATE = "Expert Gate Projection"
    EXPERT_UP = "Expert Up Projection"
    EXPERT_DOWN = "Expert Down Projection"
    EXPERT_GATE_UP = "Expert Gate-Up Projection"
    SHARED_ROUTER = "Shared Expert Router"
    SHARED_GATE = "Shared Expert Gate Projection"
    SHARED_UP = "Shared Expert Up Projection"
    SHARED_DOWN = "Shared Expert Down Projection"
    MAMBA_IN = "Mamba In Projection"
    MAMBA_CONV = "Mamba Convolution"
    MAMBA_X = "Mamba X Projection"
    MAMBA_DT = "Mamba DT Projection"
    MAMBA_OUT = "Mamba Out Projection"
    MAMBA_A = "Mamba A"
    MAMBA_D = "Mamba D"
    MAMBA_NORM = "Mamba Norm"
    MTP = "MTP Projection"
    MTP_NORM = "MTP Norm"
    MTP_EMBEDDING = "MTP Embedding"
    MTP_HEAD = "MTP Head"
    INPUT_NORM = "Input Norm"
    POST_NORM = "Post-Attention Norm"
    CROSS_NORM = "Cross-Attention Norm"
    PRE_MLP_NORM = "Pre-MLP Norm"
    POST_MLP_NORM = "Post-MLP Norm"
    FINAL_NORM = "Final Norm"
    POOLER = "Pooler"
    HEAD_TRANSFORM = "Output Head Transform"
    HEAD_NORM = "Output Head Norm"
    HEAD = "Output Head"
    CLASSIFIER = "Classifier"
    BUFFER = "Buffer"

    @property
    def title(self) -> str:
        """The name printed for the role."""
        return self.value

    @property
    def is_own(self) -> bool:
        """Whether no table knows it."""
        return self.name not in Role.__members__

    @classmethod
    def own(cls, name: str) -> Role:
        """The role of what no table knows: a module that its file calls `name`.

        Equal names have one role, so that two models can be compared.
        """
        name = printable(name, _MAX_NAME)
        # A stranger's module may be called what a table's role is.
        return cls(f"{name} " if name in _TITLES else name)

    @classmethod
    def _missing_(cls, value: object) -> Role | None:
        # As enum.Flag makes its unnamed members.
        if not isinstance(value, str):
            return None
        role = object.__new__(cls)
        role._name_ = role._value_ = value
        known = cls._value2member_map_.setdefault(value, role)
        return known if isinstance(known, Role) else None


_TITLES = frozenset(role.value for role in Role)
# The seven the mission's tables list, in its order.
PROJECTIONS = (Role.Q, Role.K, Role.V, Role.O, Role.GATE, Role.UP, Role.DOWN)
# Beside the seven: the other matrices of attention, and those of a feed-forward block.
_ATTENTION_FORMS = (
    Role.QKV,
    Role.Q_A,
    Role.Q_B,
    Role.KV_A,
    Role.KV_B,
    Role.LINEAR_ATTENTION,
    Role.CROSS_Q,
    Role.CROSS_K,
    Role.CROSS_V,
    Role.CROSS_O,
)
_MLP_FORMS = (
    Role.GATE_UP,
    Role.LINEAR_MLP,
    Role.ROUTER,
    Role.EXPERT_GATE,
    Role.EXPERT_UP,
    Role.EXPERT_DOWN,
    Role.EXPERT_GATE_UP,
    Role.SHARED_ROUTER,
    Role.SHARED_GATE,
    Role.SHARED_UP,
    Role.SHARED_DOWN,
)
# All matrices of a layer; tables list the others after the seven.
MATRICES = (
    *PROJECTIONS,
    *_ATTENTION_FORMS,
    *_MLP_FORMS,
    Role.MAMBA_IN,
    Role.MAMBA_X,
    Role.MAMBA_DT,
    Role.MAMBA_OUT,
    Role.MTP,
)
# What attention is made of, whatever its form, and what a feed-forward block is, experts included.
ATTENTION = (Role.Q, Role.K, Role.V, Role.O, *_ATTENTION_FORMS, Role.RELATIVE_BIAS, Role.SINKS)
MLP = (Role.GATE, Role.UP, Role.DOWN, *_MLP_FORMS)
NORMS = tuple(role for role in Role if role.name.endswith("_NORM"))
# What may stand in a pruned model where the original had a whole block: no growth of it.
SUBSTITUTES = (Role.LINEAR_ATTENTION, Role.LINEAR_MLP)
_PLACES = {role: place for place, role in enumerate(Role)}


def in_order(roles: Iterable[Role]) -> list[Role]:
    """Each of `roles` once: in the order above, then a file's own in the order they are met."""
    met = list(dict.fromkeys(roles))
    return sorted(met, key=lambda role: _PLACES.get(role, len(_PLACES)))


def tabled(roles: Iterable[Role]) -> list[Role]:
    """Those of `roles` that have a table of their own: matrices, and all that no table knows."""
    met = in_order(roles)
    return [role for role in MATRICES if role in met] + [role for role in met if role.is_own]
