"""Which named tensors does an object that `torch.save` wrote hold?

The object is, in this order of precedence,

1. a whole `nn.Module`;
2. a dict with a model under one of `KEYS`, the first that holds tensors, at most three deep:
   `{"model": {"state_dict": …}, "optimizer": …}`;
3. a state dict: every tensor directly under a string.

Optimizer states and whatever else lies beside the model are never counted. What was chosen is
noted in `Contents.metadata`: `prunescope.key` (`model.state_dict`), `prunescope.class` of a whole
module, and `prunescope.subclass` of weights that are objects of torchao's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from typing import Any

from prunescope.checkpoint.pickle_values import Call, Dict
from prunescope.checkpoint.storage import File
from prunescope.checkpoint.torch_config import config_of
from prunescope.checkpoint.torch_module import is_module, named_modules, named_tensors
from prunescope.checkpoint.torch_storage import Locate
from prunescope.checkpoint.torch_subclass import SUBCLASS, Made, subclass, whole
from prunescope.checkpoint.torch_tensor import is_tensor, located, stored
from prunescope.checkpoint.types import Contents, TensorInfo
from prunescope.errors import CheckpointError

# The model itself before its moving average, which timm, BasicSR and others keep beside it.
KEYS = (
    "state_dict",
    "model_state_dict",
    "model",
    "module",
    "net",
    "network",
    "params",
    "weights",
    "model_state",
    "state_dict_ema",
    "model_ema",
    "params_ema",
    "ema",
)
_KEYS = frozenset(KEYS)
MAX_NESTING = 3
MAX_TENSORS = 150_000
# Of keys that are none of these.
_MOST_NAMED = 3


def contents(root: Any, locate: Locate, file: File) -> Contents:
    """The tensors, the config and notes on what was chosen, of the unpickled `root`.

    Args:
        locate: where a storage lies; its second argument is the tensor to name in an error.

    Raises:
        CheckpointError: no tensor in any place above, or one that cannot be read.
    """
    chosen = _chosen(root, (), set())
    if chosen is None:
        kind = "holds no state dict: no tensor at its top level, nor under any of"
        raise CheckpointError(file, f"{kind} {', '.join(KEYS)}{_elsewhere(root)}")
    path, model = chosen
    metadata = {"prunescope.key": ".".join(path)} if path else {}
    config: dict[str, Any] = {}
    if is_module(model):
        values = {n: v for n, v in named_tensors(model, file) if is_tensor(v)}
        config = config_of((module for _, module in named_modules(model, file)), file)
        metadata["prunescope.class"] = str(model.named)
    else:
        values = {n: v for n, v in model.by_name().items() if is_tensor(v)}
    if len(values) > MAX_TENSORS:
        raise CheckpointError(file, f"over {MAX_TENSORS} tensors")
    tensors = _tensors(values.items(), locate, file)
    weight = next((each for value in values.values() if (each := subclass(value))), None)
    if weight is not None:
        metadata[SUBCLASS] = str(weight.kind)
    return Contents(tensors, metadata, config)


def _chosen(
    value: Any, path: tuple[str, ...], barren: set[int]
) -> tuple[tuple[str, ...], Any] | None:
    """The model in `value` and the keys that lead to it; None without one.

    Args:
        path: the keys that lead to `value`.
        barren: what was found to hold none, since one dict may lie under many keys.
    """
    if is_module(value):
        return path, value
    if not isinstance(value, (Dict, Call)) or id(value) in barren:
        return None
    below = {key: entry for key, entry in value.pairs if isinstance(key, str) and key in _KEYS}
    for key in KEYS:
        if key in below and len(path) < MAX_NESTING:
            found = _chosen(below[key], (*path, key), barren)
            if found is not None:
                return found
    if any(isinstance(key, str) and is_tensor(entry) for key, entry in value.pairs):
        return path, value
    barren.add(id(value))
    return None


def _elsewhere(root: Any) -> str:
    """What to do where `root` has models under keys of its own."""
    pairs = root.pairs if isinstance(root, (Dict, Call)) else ()
    barren: set[int] = set()
    held = (key for key, value in pairs if isinstance(key, str) and _chosen(value, (), barren))
    keys = [repr(key) for key in islice(held, _MOST_NAMED)]
    return f"; save by itself what lies under {' or '.join(keys)}" if keys else ""


def _tensors(
    values: Iterable[tuple[str, Call]], locate: Locate, file: File
) -> dict[str, TensorInfo]:
    found: dict[str, TensorInfo] = {}
    owners: dict[tuple[int | None, int, tuple[int, ...]], str] = {}
    known: dict[int, Made] = {}
    parts = 0
    for name, value in values:
        weight = subclass(value)
        if weight is None:
            tensor = stored(value, name, file)
            info = located(name, tensor, locate(tensor.storage, name), file)
        else:
            info = whole(name, weight, locate, file, known)
            parts += len(info.parts)
            if parts > MAX_TENSORS:
                raise CheckpointError(file, f"over {MAX_TENSORS} tensors")
        owner = owners.setdefault((info.record, info.offset, info.shape), name)
        if owner != name and info.nbytes:
            info = replace(info, shared_with=owner)
        found[name] = info
    return found
