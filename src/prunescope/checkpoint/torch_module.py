"""Which tensors and which config does a whole pickled `nn.Module` hold?

A module is pickled as its class's name and its `__dict__`, in which torch keeps `_parameters`,
`_buffers` and `_modules`, each a dict from names to values
(https://github.com/pytorch/pytorch/blob/main/torch/nn/modules/module.py). LLM-Pruner saves its
results so: `torch.save({"model": model, "tokenizer": tokenizer}, …)`
(https://github.com/horseee/LLM-Pruner/blob/main/hf_prune.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeGuard

from prunescope.checkpoint.pickle_values import Call, Dict
from prunescope.checkpoint.storage import File
from prunescope.errors import CheckpointError

# A model of 1,000 layers of 20 modules has a tenth of these; a module that contains itself, or
# one twice at each of many levels, has no end.
MAX_MODULES = 200_000
MAX_DEPTH = 64
MAX_NAME = 4096
# Characters of all names, each with what it costs to hold one.
MAX_NAMES = 32 << 20
_NAME_COST = 40


def is_module(value: Any) -> TypeGuard[Call]:
    """Whether `value` has the attributes of an `nn.Module`."""
    return isinstance(value, Call) and {"_parameters", "_modules"} <= value.attributes().keys()


def named_modules(root: Call, file: File) -> Iterator[tuple[str, Call]]:
    """Each module under each of its names, `""` for `root` and else with a dot at the end.

    Raises:
        CheckpointError: nested without end, or beyond this module's bounds.
    """
    children: dict[int, list[tuple[str, Call]]] = {}
    # To know a module its attributes are gone through, and one may be under many names.
    known: dict[int, bool] = {}
    waiting = [("", "", root, 0)]
    for _ in range(MAX_MODULES):
        if not waiting:
            return
        above, name, module, depth = waiting.pop()
        if depth > MAX_DEPTH or len(above) + len(name) > MAX_NAME:
            cause = f"pickled modules nested over {MAX_DEPTH} deep, or in themselves"
            raise CheckpointError(file, cause)
        prefix = f"{above}{name}." if depth else ""
        yield prefix, module
        if id(module) not in children:
            own = list(_entries(module.attributes().get("_modules")))
            known.update((id(v), is_module(v)) for _, v in own if id(v) not in known)
            children[id(module)] = [(name, v) for name, v in own if known[id(v)]]
        below = children[id(module)]
        # The last in, the first out: the children in their order.
        waiting.extend((prefix, name, child, depth + 1) for name, child in below[::-1])
        if len(waiting) > MAX_MODULES:
            break
    raise CheckpointError(file, f"over {MAX_MODULES} modules in a pickled module")


def named_tensors(root: Call, file: File) -> Iterator[tuple[str, Any]]:
    """Dotted names and values of parameters and buffers, in the order of `state_dict()`.

    Buffers that the module does not save (`persistent=False`) are left out.

    Raises:
        CheckpointError: as `named_modules`.
    """
    tensors: dict[int, list[tuple[str, Any]]] = {}
    total = 0
    for prefix, module in named_modules(root, file):
        if id(module) not in tensors:
            tensors[id(module)] = list(_own_tensors(module))
        for name, value in tensors[id(module)]:
            total += len(prefix) + len(name) + _NAME_COST
            if total > MAX_NAMES:
                raise CheckpointError(file, "more tensor names in a pickled module than any needs")
            yield prefix + name, value


def _own_tensors(module: Call) -> Iterator[tuple[str, Any]]:
    own = module.attributes()
    unsaved = set(_strings(own.get("_non_persistent_buffers_set")))
    yield from _entries(own.get("_parameters"))
    yield from ((name, v) for name, v in _entries(own.get("_buffers")) if name not in unsaved)


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (Dict, Call)):
        # A module without a bias has the parameter None.
        yield from ((name, v) for name, v in value.by_name().items() if v is not None)


def _strings(value: Any) -> list[str]:
    """A set of strings: a list, or the call of `set` on one."""
    if isinstance(value, Call) and isinstance(value.arguments, tuple) and value.arguments:
        value = value.arguments[0]
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
