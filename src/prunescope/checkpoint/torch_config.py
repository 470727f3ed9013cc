"""Which config does a whole pickled transformers model carry? Plain values, as in config.json.

A `PretrainedConfig` is pickled as its class's name and its `__dict__`. `model_type` and, before a
model is saved by transformers, `architectures` are no part of it: the first is a class attribute,
named like the package of its class (`transformers.models.<model_type>.…`), and the second is the
name of the model's class
(https://github.com/huggingface/transformers/blob/main/src/transformers/configuration_utils.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Any

from prunescope.checkpoint.dtypes import TORCH_DTYPES
from prunescope.checkpoint.pickle_values import Call, Dict, Global
from prunescope.checkpoint.storage import File
from prunescope.errors import CheckpointError

MAX_DEPTH = 16
MAX_VALUES = 200_000
_DROPPED = object()
_PACKAGE = "transformers.models."


def config_of(modules: Iterable[Call], file: File) -> dict[str, Any]:
    """The config of the first of `modules` that has one; empty where none does.

    Objects that JSON has no form for are left out, a dtype is its name (`bfloat16`).

    Raises:
        CheckpointError: nested too deeply or too large to be a config.
    """
    seen: set[int] = set()
    for module in modules:
        # One may be under many names, and its attributes are gone through.
        if id(module) in seen:
            continue
        seen.add(id(module))
        config = module.attributes().get("config")
        if isinstance(config, Call) and isinstance(config.state, Dict):
            found: dict[str, Any] = _Plain(file).value(config, 0)
            if found.get("architectures") is None and module.named is not None:
                found["architectures"] = [module.named.name]
            return found
    return {}


class _Plain:
    """Turns descriptions into plain values, counting them: a hostile DAG has no end."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.count = 0

    def value(self, value: Any, depth: int) -> Any:
        self.count += 1
        if depth > MAX_DEPTH or self.count > MAX_VALUES:
            raise CheckpointError(self.file, "the config in the pickle is nested too deeply")
        if value is None or isinstance(value, (bool, int, str)):
            return value
        if isinstance(value, float):
            return value if isfinite(value) else _DROPPED
        if isinstance(value, Global):
            is_dtype = value.module == "torch" and value.name in TORCH_DTYPES
            return value.name if is_dtype else _DROPPED
        if isinstance(value, (list, tuple)):
            plain = (self.value(item, depth + 1) for item in value)
            return [item for item in plain if item is not _DROPPED]
        if isinstance(value, Dict) or (isinstance(value, Call) and value.flat):
            return self.mapping(value.pairs, depth)
        if isinstance(value, Call) and isinstance(value.state, Dict):
            return self.configuration(value, value.state, depth)
        return _DROPPED

    def configuration(self, config: Call, state: Dict, depth: int) -> dict[str, Any]:
        found = self.mapping(state.pairs, depth)
        # What begins with an underscore is how a class works, not what a model is.
        found = {name: v for name, v in found.items() if not name.startswith("_")}
        module = config.named.module if config.named else ""
        if "model_type" not in found and module.startswith(_PACKAGE):
            found["model_type"] = module.removeprefix(_PACKAGE).partition(".")[0]
        return found

    def mapping(self, pairs: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        found = {}
        for key, item in pairs:
            plain = self.value(item, depth + 1)
            if isinstance(key, (str, int)) and plain is not _DROPPED:
                # JSON's keys are strings: id2label has numbers in memory and "0" in the file.
                found[str(key)] = plain
        return found
