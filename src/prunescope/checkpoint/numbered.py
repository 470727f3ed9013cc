"""Which part of a model is a file, by the numbers in its name? `model-00002-of-00004.safetensors`.

Written so by transformers' `save_pretrained` (`{number:05d}-of-{count:05d}`,
https://github.com/huggingface/huggingface_hub/blob/main/src/huggingface_hub/serialization/_base.py)
and by llama-gguf-split; some uploads count in six digits.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from prunescope.errors import ArchitectureError, CheckpointError

_SHARD = re.compile(r"(.+)-([0-9]{5,6})-of-([0-9]{5,6})(\.\w+)", re.DOTALL)


def check_numbers(folder: object, names: Collection[str]) -> None:
    """Refuse numbered files of which some are not there: the rest would pass for a pruned model.

    Args:
        folder: what an error names.
        names: of all files in it that are taken for the model's.

    Raises:
        CheckpointError: a shard is missing.
    """
    models: dict[tuple[str, str, str], set[str]] = {}
    for found in filter(None, map(_SHARD.fullmatch, names)):
        models.setdefault((found[1], found[3], found[4]), set()).add(found[2])
    for (stem, count, suffix), numbers in models.items():
        # Counted, because some count from zero.
        if len(numbers) < int(count):
            width = len(min(numbers))
            number = next(
                n for i in range(1, int(count) + 1) if (n := f"{i:0{width}}") not in numbers
            )
            name = f"{stem}-{number}-of-{count}{suffix}"
            raise CheckpointError(folder, f"shard {name!r} is missing: download or copy it again")


def refuse_shard(path: str, names: Sequence[str]) -> None:
    """Raise ArchitectureError for one shard of several, which would pass for heavy pruning.

    Args:
        path: what was opened.
        names: of its weight files, or their paths.
    """
    found = _SHARD.fullmatch(names[0].rpartition("/")[2]) if len(names) == 1 else None
    if found is not None and int(found[3]) > 1:
        raise ArchitectureError(
            f"{path}: is shard {int(found[2])} of {int(found[3])}, not a whole model: name its "
            "folder or its index"
        )
