"""Which part of the network is each tensor? One small table per model family."""

from prunescope.architecture.describing import describe, describe_both
from prunescope.architecture.family import Family, GroupSpec, Space, TensorRole
from prunescope.architecture.model import (
    Model,
    Module,
    refuse_generic,
    refuse_more_than_text,
    refuse_other_names,
)
from prunescope.architecture.recognition import recognise
from prunescope.architecture.roles import PROJECTIONS, Role, in_order, tabled
from prunescope.architecture.tables import load_family

__all__ = [
    "PROJECTIONS",
    "Family",
    "GroupSpec",
    "Model",
    "Module",
    "Role",
    "Space",
    "TensorRole",
    "describe",
    "describe_both",
    "in_order",
    "load_family",
    "recognise",
    "refuse_generic",
    "refuse_more_than_text",
    "refuse_other_names",
    "tabled",
]
