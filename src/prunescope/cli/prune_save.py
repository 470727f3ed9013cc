"""What does a prune command save? The folder it names, and the pruned model in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.cli.size import PRUNE_LOG
from prunescope.errors import PlanError
from prunescope.interop.formats import Format
from prunescope.report.messages import Messages

if TYPE_CHECKING:
    from prunescope.architecture import Model
    from prunescope.interop.padding import Padding
    from prunescope.pruning.plan import PruningPlan
    from prunescope.pruning.run import Pruned
    from prunescope.pruning.targets import Target
    from prunescope.report.console import Screen


def log_folder(name: str) -> Path:
    """The folder of the run that `--save_ckpt_log_name` names.

    Raises:
        PlanError: it cannot be a folder's name.
    """
    # A dot would hide it from check_model_size.py; the room is for a temporary name beside it.
    if not name or name.startswith(".") or "/" in name or len(os.fsencode(name)) > 200:
        raise PlanError(f"--save_ckpt_log_name {name!r} is not a folder name")
    return PRUNE_LOG / name


def check_format(
    model: Model, plan: PruningPlan, targets: Sequence[Target], options: dict[str, Any]
) -> None:
    """Find what a format cannot express before the work, where sizes are known before it.

    Raises:
        PlanError: the format of `--save_format` has no place for what would be left.
    """
    is_open = options["search"] or plan.knapsack
    if is_open or any(t.free or t.group.layer is None for t in targets):
        return
    from prunescope.interop.export import check_lengths
    from prunescope.interop.hf_config import lengths_of

    lengths = lengths_of(model)
    for target in targets:
        group = target.group
        if group.layer is not None:
            for space, count in group.lengths(group.units - target.remove).items():
                lengths[group.layer, space] = count
    check_lengths(model, lengths, options["save_format"], options["uniform"])


def save(
    say: Messages,
    screen: Screen,
    pruned: Pruned,
    folder: Path,
    options: dict[str, Any],
) -> None:
    """Write the pruned model to `folder`, whole or not at all, and say what loads it."""
    from prunescope.analysis.compare import compare
    from prunescope.checkpoint import open_checkpoint
    from prunescope.interop.hf_config import code_reason
    from prunescope.interop.weight_files import WEIGHTS
    from prunescope.report.formats import print_format
    from prunescope.report.model_card import model_card

    form: Format = options["save_format"]

    def card(written: Path, padding: Padding | None) -> str:
        found = compare(pruned.base.checkpoint, open_checkpoint(written))
        has_code = code_reason(found.pruned.checkpoint.config) is not None
        return model_card(found, pruned.record.get("plan"), has_code, padding, say)

    padding = pruned.save(folder, form, options["uniform"], card if form == "hf" else None)
    saved = folder if form in ("hf", "deci") else folder / WEIGHTS
    screen.line(say("prune_saved", path=saved), "green")
    checkpoint = open_checkpoint(folder)
    print_format(padding, checkpoint.nbytes, code_reason(checkpoint.config), screen, say)
