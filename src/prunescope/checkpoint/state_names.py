"""Which tensors of a training checkpoint are the model's, and what does the model call them?

A checkpoint is a nest of dicts; the path of a tensor is the keys that lead to it. In this order:

1. what training keeps for itself (optimizer, schedulers, data loader, …) is left out;
2. a dict under one of the keys `MODEL_KEYS`, the earlier the better, is the model;
3. else tensors that lie beside each other are the model, with what is nested beside them;
4. else, where one dict is all there is, the search goes on inside it (`{"app": {"model": …}}`).

A name is the rest of the path joined by dots, without the prefixes that wrappers around the whole
model (DistributedDataParallel, torch.compile) put before every one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

Path = tuple[str, ...]

MODEL_KEYS = ("model", "state_dict", "model_state_dict", "model_state", "module", "weights")
WRAPPER_PREFIXES = ("module.", "_orig_mod.", "_fsdp_wrapped_module.")
_OPTIMIZER = re.compile(r"optim(izer)?s?(_\w+)?")
_TRAINING = re.compile(
    r"optim\w*|(lr_)?schedulers?(_\w+)?|(grad_)?scaler(_\w+)?|(train_?)?data_?loader(_\w+)?"
    r"|train(er)?_?state|rng\w*|ema(_\w+)?|callbacks|loops"
)


def model_names(paths: Mapping[str, Path]) -> dict[str, str]:
    """Key → the model's own name for it, of those that are the model's, in the order given.

    Args:
        paths: key → its path, which is not empty.
    """
    branch, inside = dict(paths), False
    while branch:
        if not inside:
            branch = {key: path for key, path in branch.items() if not _is_training(path)}
        nests = {path[0] for path in branch.values() if len(path) > 1}
        has_leaves = any(len(path) == 1 for path in branch.values())
        step = next((key for key in MODEL_KEYS if key in nests), None)
        if step is None and len(nests) == 1 and not has_leaves:
            (step,) = nests
        elif step is not None and not (inside and has_leaves):
            inside = True
        else:
            break
        branch = {k: p[1:] for k, p in branch.items() if len(p) > 1 and p[0] == step}
    return unwrapped({key: ".".join(path) for key, path in branch.items()})


def unwrapped(names: Mapping[str, str]) -> dict[str, str]:
    """`names` without wrappers' prefixes that every one of them has."""
    found = dict(names)
    while prefix := next((p for p in WRAPPER_PREFIXES if _all_have(found, p)), None):
        found = {key: name[len(prefix) :] for key, name in found.items()}
    return found


def _all_have(names: Mapping[str, str], prefix: str) -> bool:
    return bool(names) and all(
        name.startswith(prefix) and len(name) > len(prefix) for name in names.values()
    )


def _is_training(path: Path) -> bool:
    if len(path) > 1:
        return _TRAINING.fullmatch(path[0]) is not None
    # A flat name may be a model's own `scaler`; an optimizer has its parts behind a dot.
    first, dot, _ = path[0].partition(".")
    return bool(dot) and _OPTIMIZER.fullmatch(first) is not None
