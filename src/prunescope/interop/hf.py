"""How is a model folder loaded, whatever the shapes of its layers?

Loading goes through prunescope's own reader: nothing in the weights is executed, and layers that
differ in shape, which stock `from_pretrained` refuses, are given the parameters they have.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from prunescope.architecture import Model, describe, refuse_other_names
from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.jsonfile import read_beside
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError, first_line
from prunescope.extras import require
from prunescope.interop.agreement import check_sizes
from prunescope.interop.assembling import network_of
from prunescope.interop.lazy_state import LazyState, Outline
from prunescope.interop.packed import stacked
from prunescope.interop.torch_tensors import as_tensor, computing_dtype

if TYPE_CHECKING:
    import torch
    import transformers
else:
    torch = require("torch", "prune")
    transformers = require("transformers", "prune")


def load(
    path: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
) -> transformers.PreTrainedModel:
    """The model in the folder `path`, in evaluation mode, pruned unevenly or not.

    Args:
        path: a folder with config.json and weights that prunescope reads.
        device: where its parameters are put.
        dtype: of its parameters; as stored by default, that of most where they differ.

    Raises:
        CheckpointError, ArchitectureError: as `open_checkpoint` and `describe`.
        MissingExtra: torch or transformers is not installed.
    """
    model = describe(open_checkpoint(path))
    refuse_other_names(model)
    dtype = dtype or computing_dtype(model.checkpoint)
    tensors = model.checkpoint.tensors
    with WeightMap() as weights:

        def copied(name: str) -> torch.Tensor:
            tensor = as_tensor(weights, tensors[name]).to(device, dtype, copy=True)
            weights.release()
            return tensor

        outlines = {name: Outline(info.shape, dtype) for name, info in tensors.items()}
        network = as_stored(model, LazyState(outlines, copied))
    return with_generation_settings(network, model)


def as_stored(
    model: Model, state: Mapping[str, torch.Tensor], is_held: bool = True
) -> transformers.PreTrainedModel:
    """`assemble` for `model` in its own shapes.

    Args:
        is_held: whether experts' values are wanted; see `stacked`.

    Raises:
        ArchitectureError: tensors have names that transformers does not know.
        CheckpointError: the shapes fit neither each other nor config.json; or as `assemble`.
    """
    where = model.checkpoint.path
    refuse_other_names(model)
    # Before the sizes, which transformers' defaults may fill in, the config itself.
    if not model.checkpoint.config:
        raise CheckpointError(where, "no config.json beside the weights")
    check_sizes(model)
    config = model.checkpoint.config
    return network_of(config, stacked(state, config, where, is_held), where)


def with_generation_settings(
    network: transformers.PreTrainedModel, model: Model
) -> transformers.PreTrainedModel:
    """`network` with the settings (end-of-text tokens) of `model`'s generation_config.json.

    Raises:
        CheckpointError: transformers refuses them.
    """
    home, name = model.checkpoint.home, "generation_config.json"
    settings = read_beside(home, name) if model.checkpoint.owns_home else {}
    if settings:
        try:
            network.generation_config = transformers.GenerationConfig.from_dict(settings)
        except Exception as err:  # as for config.json
            raise CheckpointError(
                home.file(name), f"transformers refuses it: {first_line(err)}"
            ) from None
    return network
