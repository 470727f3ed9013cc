"""Which tensors go into which file? In order, as many as fit, named as transformers names them.

transformers and huggingface_hub split alike
(https://github.com/huggingface/huggingface_hub/blob/main/src/huggingface_hub/serialization/_base.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from prunescope.checkpoint.folder import INDEX_SUFFIX
from prunescope.checkpoint.types import TensorInfo
from prunescope.interop.safetensors_writer import stored_bytes

SUFFIX = ".safetensors"
DEFAULT_SHARD = 5 * 10**9
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def parse_size(text: str) -> int:
    """Bytes of a size such as `5GB` or `200MB`, decimal as in transformers.

    Raises:
        ValueError: it is none, or less than a byte.
    """
    found = re.fullmatch(r"\s*(\d{1,12}(?:\.\d{1,6})?)\s*([A-Za-z]*)\s*", text, re.ASCII)
    if found is None or found[2].upper() not in _UNITS:
        raise ValueError(f"{text!r} is no size such as 5GB or 200MB")
    size = int(float(found[1]) * _UNITS[found[2].upper()])
    if size < 1:
        raise ValueError(f"{text!r} is less than a byte")
    return size


def split(tensors: Mapping[str, TensorInfo], stem: str, limit: int) -> dict[str, list[str]]:
    """File name → the names of its tensors.

    Args:
        stem: `model` gives `model.safetensors`, or `model-00001-of-00002.safetensors` and so on.
        limit: bytes of tensors in one file; a larger tensor has a file to itself.
    """
    shards: list[list[str]] = []
    filled = 0
    for name, tensor in tensors.items():
        size = stored_bytes(tensor)
        if not shards or filled + size > limit:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    if len(shards) == 1:
        return {stem + SUFFIX: shards[0]}
    return {
        f"{stem}-{number:05}-of-{len(shards):05}{SUFFIX}": names
        for number, names in enumerate(shards, 1)
    }


def index_of(tensors: Mapping[str, TensorInfo], files: Mapping[str, list[str]]) -> str:
    """The text of `model.safetensors.index.json`."""
    index = {
        "metadata": {
            "total_parameters": sum(tensor.parameters for tensor in tensors.values()),
            "total_size": sum(map(stored_bytes, tensors.values())),
        },
        "weight_map": {name: file for file, names in files.items() for name in names},
    }
    return json.dumps(index, indent=2, sort_keys=True) + "\n"


def index_name(stem: str) -> str:
    """The name of the index file."""
    return stem + SUFFIX + INDEX_SUFFIX
