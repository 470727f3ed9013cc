"""Which tensors, and which config.json, does each format of a saved model get?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prunescope.architecture import Model
from prunescope.errors import CheckpointError
from prunescope.interop.deci import deci_config, deci_lengths
from prunescope.interop.formats import Format
from prunescope.interop.hf_config import NO_CHANGE, Change, config_for, with_code
from prunescope.interop.padding import Lengths, Padding, common_lengths, padded

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Export:
    """A model on its way into a folder.

    Attributes:
        form: `hf` and `deci` have safetensors, `bin` a plain state dict in pytorch_model.bin, and
            `llm_pruner` a pickled module there.
        state: tensors by name; tied ones are one object.
        config: config.json.
        padding: what `--uniform` added; None where it was not asked for.
    """

    form: Format
    state: Mapping[str, Tensor]
    config: Mapping[str, Any]
    padding: Padding | None = None


def export(
    model: Model,
    state: Mapping[str, Tensor],
    lengths: Lengths,
    form: Format,
    is_uniform: bool = False,
    change: Change = NO_CHANGE,
) -> Export:
    """`state` as `form` has it.

    Args:
        model: the model that `state` was cut from, or its own: names, axes and config.
        lengths: what `state` has of each per-layer space of each layer.
        is_uniform: pad layers with zeros to what all of them (`deci`: the format) can have.
        change: what else `state` lacks of the model.

    Raises:
        CheckpointError: the format cannot express the model; or no common shape is allowed.
    """
    target, config = check_lengths(model, lengths, form, is_uniform, change)
    padding = None
    if is_uniform:
        state, padding = padded(model, state, lengths, target)
    return Export(form, state, config, padding)


def check_lengths(
    model: Model,
    lengths: Lengths,
    form: Format,
    is_uniform: bool = False,
    change: Change = NO_CHANGE,
) -> tuple[Lengths, dict[str, Any]]:
    """The lengths that `form` stores for `lengths`, and config.json: before there are tensors.

    Raises:
        CheckpointError: as `export`.
    """
    if form == "deci" and change != NO_CHANGE:
        cause = "has lost layers or hidden size: save it as hf, and convert that to deci"
        raise CheckpointError(model.checkpoint.path, cause)
    if form == "llm_pruner" and any(place.expert is not None for place in model.places.values()):
        cause = "transformers' own object holds its experts stacked: save it as hf or bin"
        raise CheckpointError(model.checkpoint.path, cause)
    if is_uniform:
        wanted = deci_lengths if form == "deci" else common_lengths
        lengths = wanted(model, lengths)
    if form == "deci":
        return lengths, deci_config(model, lengths)
    config = config_for(model, lengths, change)
    return lengths, with_code(config) if form == "hf" else config
