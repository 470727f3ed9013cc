"""Do two checkpoints belong together? One family and one type of model, with roles for both."""

from __future__ import annotations

from prunescope.architecture import Model, describe_both
from prunescope.architecture.tables import form_of
from prunescope.checkpoint import Checkpoint
from prunescope.errors import ArchitectureError


def describe_pair(original: Checkpoint, pruned: Checkpoint) -> tuple[Model, Model]:
    """Name the tensors of both models.

    Raises:
        ArchitectureError: an unknown family, or models of two families or types.
    """
    before, after = describe_both(original, pruned)
    _check_types(before, after)
    return before, after


def _check_types(before: Model, after: Model) -> None:
    if "GGUF" in (before.checkpoint.format, after.checkpoint.format):
        # It names the graph that llama.cpp builds: a Mistral's is `llama`, that of a Llama whose
        # layers differ is `deci`.
        return
    types = [m.checkpoint.config.get("model_type") for m in (before, after)]
    if all(types) and form_of(types[0]) != form_of(types[1]):
        raise ArchitectureError(
            f"{after.checkpoint.path}: model_type {types[1]!r}, the original's is {types[0]!r}"
        )
