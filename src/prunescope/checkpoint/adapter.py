"""Is this an adapter, a small set of weights that only means something on top of a base model?

PEFT (https://huggingface.co/docs/peft/developer_guides/checkpoint) saves `adapter_config.json` and
`adapter_model.safetensors` or `.bin`, whose tensors are named `base_model.model.<module>.lora_A.…`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from prunescope.checkpoint.jsonfile import read_beside
from prunescope.checkpoint.storage import Folder
from prunescope.checkpoint.types import Adapter, TensorInfo
from prunescope.errors import ArchitectureError, CheckpointError, printable

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_PREFIX = "base_model.model."
# Where each kind that counts ranks says how many.
_RANKS = ("r", "init_r")


def adapter_in(
    folder: Folder, file_names: Collection[str], tensors: Mapping[str, TensorInfo]
) -> Adapter | None:
    """What adapter the weight files are, or None where they are a model's own.

    Args:
        folder: where adapter_config.json may lie.
        file_names: of the weight files.
        tensors: what they hold.

    Raises:
        CheckpointError: adapter_config.json is malformed.
    """
    by_name = any(name in ADAPTER_WEIGHTS for name in file_names)
    if not by_name and not _looks_like_lora(tensors):
        return None
    config = read_beside(folder, ADAPTER_CONFIG)
    kind, base = config.get("peft_type"), config.get("base_model_name_or_path")
    if not all(value is None or isinstance(value, str) for value in (kind, base)):
        raise CheckpointError(
            folder.file(ADAPTER_CONFIG), "peft_type or base_model_name_or_path is no text"
        )
    if kind is None and _looks_like_lora(tensors):
        kind = "LORA"
    return Adapter(kind or "PEFT", base or None, _rank(config, tensors))


def refuse_adapter(path: str, adapter: Adapter | None) -> None:
    """Raise ArchitectureError for an adapter, which would pass for a heavily pruned model.

    Args:
        path: what was opened.
        adapter: its `Checkpoint.adapter`.
    """
    if adapter is not None:
        what = printable(str(adapter))
        raise ArchitectureError(f"{path}: is {what}, not a whole model: merge it first")


def _looks_like_lora(tensors: Mapping[str, TensorInfo]) -> bool:
    """Whether all are named as PEFT's, and none is a weight of the base model under the adapter."""
    return (
        bool(tensors)
        and all(name.startswith(_PREFIX) and ".base_layer." not in name for name in tensors)
        and any(".lora_A." in name for name in tensors)
    )


def _rank(config: Mapping[str, Any], tensors: Mapping[str, TensorInfo]) -> int | None:
    for key in _RANKS:
        if type(config.get(key)) is int and config[key] > 0:
            return int(config[key])
    if config:
        return None
    # lora_A is [rank, in].
    rows = {t.shape[0] for name, t in tensors.items() if ".lora_A." in name and t.shape}
    return rows.pop() if len(rows) == 1 else None
