"""Which part of the network is each tensor? One small table per model family."""

from prunescope.architecture.family import Family, Space, TensorRole, load_family
from prunescope.architecture.model import Model, Module, describe, recognise
from prunescope.architecture.roles import PROJECTIONS, Role

__all__ = [
    "PROJECTIONS",
    "Family",
    "Model",
    "Module",
    "Role",
    "Space",
    "TensorRole",
    "describe",
    "load_family",
    "recognise",
]
