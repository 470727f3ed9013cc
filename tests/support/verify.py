"""Pruned models to verify, and faults to plant in them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from prunescope.analysis.checks import Check
from prunescope.analysis.checks.values import value_checks
from prunescope.analysis.expectation import Wanted
from prunescope.analysis.verify import Verification, verify
from prunescope.checkpoint import open_checkpoint
from tests.support.pruning import State, described, plan, prune_tiny
from tests.support.tiny import edit_json, tiny_folder

ENGINES = ("transformers", "vllm", "llama.cpp")
Edit = Callable[[State], Mapping[str, torch.Tensor | None]]


def pruned_pair(folder: Path, **changes: Any) -> tuple[Path, Path]:
    """A tiny model, and the same after half of layers 1 and 2 went."""
    original = tiny_folder(folder / "original", **changes)
    prune_tiny(described(original), plan()).save(folder / "pruned")
    return original, folder / "pruned"


def spoilt(
    source: Path,
    target: Path,
    edit: Edit | None = None,
    config: Mapping[str, Any] | None = None,
    record: Callable[[Any], None] | None = None,
) -> Path:
    """A copy of a pruned model with tensors changed (None removes one), or what describes them."""
    shutil.copytree(source, target)
    if edit is not None:
        path = target / "pytorch_model.bin"
        state = torch.load(path, weights_only=True)
        changed = state | edit(state)
        torch.save({name: t for name, t in changed.items() if t is not None}, path)
    if config is not None:
        edit_json(target / "config.json", config)
    if record is not None:
        value = json.loads((target / "pruning.json").read_text("utf-8"))
        record(value)
        (target / "pruning.json").write_text(json.dumps(value), "utf-8")
    return target


def without_record(folder: Path) -> Path:
    """The same folder without its pruning.json."""
    (folder / "pruning.json").unlink()
    return folder


def verified(
    pruned: Path,
    original: Path | None = None,
    wanted: Wanted | None = None,
    weights: bool = False,
) -> Verification:
    """`verify` of what lies at two paths."""
    before = open_checkpoint(original) if original else None
    read = (lambda model: value_checks(model, lambda: None)) if weights else None
    return verify(open_checkpoint(pruned), before, wanted, read)


def check(found: Verification, name: str) -> Check:
    """The check `name`."""
    return next(each for each in found.checks if each.name == name)


def verdicts(found: Verification) -> dict[str, str]:
    """Name → verdict of each check, engines left out."""
    return {each.name: each.verdict for each in found.checks if each.group != "loading"}


def failed(found: Verification) -> set[str]:
    """Names of the checks that failed."""
    return {each.name for each in found.failed}


def codes(found: Verification, name: str, verdict: str = "fail") -> set[str]:
    """What the check `name` found of this verdict."""
    return {one.code for one in check(found, name).findings if one.verdict == verdict}
