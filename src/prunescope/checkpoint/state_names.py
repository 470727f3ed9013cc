"""Which tensors of a training checkpoint are the model's, and what does the model call them?

A checkpoint is a nest of dicts; the path of a tensor is the keys that lead to it. In this order:

1. what training keeps for itself (optimizer, schedulers, data loader, …) is left out;
2. a dict under one of torch_pickle's `KEYS`, the earlier the better, is the model;
3. else tensors that lie beside each other are the model, with what is nested beside them;
4. else, where one dict is all there is, the search goes on inside it (`{"app": {"model": …}}`).

A name is the rest of the path joined by dots, without the marks of wrappers around the model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from prunescope.checkpoint.storage import File
from prunescope.checkpoint.torch_pickle import KEYS
from prunescope.checkpoint.wrapper_names import without_wrappers

Path = tuple[str, ...]

_OPTIMIZER = re.compile(r"optim(izer)?s?(_\w+)?")
_TRAINING = re.compile(
    r"optim\w*|(lr_)?schedulers?(_\w+)?|(grad_)?scaler(_\w+)?|(train_?)?data_?loader(_\w+)?"
    r"|train(er)?_?state|rng\w*|ema(_\w+)?|callbacks|loops"
)


def model_names(paths: Mapping[str, Path], file: File) -> dict[str, str]:
    """Key → the model's own name for it, of those that are the model's, in the order given.

    Args:
        paths: key → its path, which is not empty.
        file: what an error names.

    Raises:
        CheckpointError: two tensors would have the same name.
    """
    branch, inside = dict(paths), False
    while branch:
        if not inside:
            branch = {key: path for key, path in branch.items() if not _is_training(path)}
        nests = {path[0] for path in branch.values() if len(path) > 1}
        has_leaves = any(len(path) == 1 for path in branch.values())
        step = next((key for key in KEYS if key in nests), None)
        if step is None and len(nests) == 1 and not has_leaves:
            (step,) = nests
        elif step is not None and not (inside and has_leaves):
            inside = True
        else:
            break
        branch = {k: p[1:] for k, p in branch.items() if len(p) > 1 and p[0] == step}
    names, _ = without_wrappers([".".join(path) for path in branch.values()], file)
    return dict(zip(branch, names, strict=True))


def _is_training(path: Path) -> bool:
    if len(path) > 1:
        return _TRAINING.fullmatch(path[0]) is not None
    # A flat name may be a model's own `scaler`; an optimizer has its parts behind a dot.
    first, dot, _ = path[0].partition(".")
    return bool(dot) and _OPTIMIZER.fullmatch(first) is not None
