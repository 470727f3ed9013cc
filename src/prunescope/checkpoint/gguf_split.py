"""Which files make up a GGUF model? One, or the numbered shards that llama-gguf-split writes.

Names (`…-00002-of-00003.gguf`) and keys (`split.no` from 0, `split.count`,
`split.tensors.count`): https://github.com/ggml-org/llama.cpp/tree/master/tools/gguf-split.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from prunescope.checkpoint.folder import GGUF_SUFFIX
from prunescope.checkpoint.storage import File, Folder
from prunescope.checkpoint.types import Contents
from prunescope.errors import CheckpointError

_SHARD = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})\.gguf", re.DOTALL)


def model_names(folder: Folder, names: Sequence[str]) -> list[str]:
    """The names of the one GGUF model's files among `names`, of which one or more are GGUF.

    Raises:
        CheckpointError: several models, or as `shard_names`.
    """
    models: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        if name.endswith(GGUF_SUFFIX):
            found = _SHARD.fullmatch(name)
            models.setdefault((found[1], found[3]) if found else (name,), []).append(name)
    firsts = [shards[0] for shards in models.values()]
    if len(firsts) > 1:
        raise CheckpointError(folder, f"holds several GGUF models, name one: {', '.join(firsts)}")
    expected = shard_names(folder, firsts[0])
    known = set(expected)
    for name in models.popitem()[1]:
        if name not in known:
            raise CheckpointError(folder, f"{name!r} has a number that no shard has")
    return expected


def shard_names(folder: Folder, name: str) -> list[str]:
    """The names of all files of the model to which the file `name` belongs, in order.

    Raises:
        CheckpointError: a shard is missing, or `name` has a number that no shard has.
    """
    found = _SHARD.fullmatch(name)
    if found is None:
        return [name]
    stem, number, count = found[1], int(found[2]), int(found[3])
    if not 1 <= number <= count:
        raise CheckpointError(folder, f"{name!r} has a number that no shard has")
    names = [f"{stem}-{n:05}-of-{count:05}{GGUF_SUFFIX}" for n in range(1, count + 1)]
    for shard in names:
        if not folder.has(shard):
            raise CheckpointError(folder, f"shard {shard!r} is missing")
    return names


def check_shards(files: Mapping[str, File], contents: Sequence[Contents]) -> dict[str, Any]:
    """Compare the files' names with what their headers say of shards.

    Returns:
        What only the shards together tell of the config.

    Raises:
        CheckpointError: a shard under another's name, alone, or of another split.
    """
    count = len(files)
    for number, (file, content) in enumerate(zip(files.values(), contents, strict=True)):
        named = f"shard {number + 1} of {count}" if count > 1 else "no shard"
        own, total = (content.metadata.get(f"split.{key}") for key in ("no", "count"))
        if total in (None, "0", "1"):
            stated, fits = "no shard", count == 1
        else:
            stated, fits = f"shard no. {own} (from 0) of {total}", total == str(count) > "1"
            fits = fits and own == str(number)
        if not fits:
            raise CheckpointError(file, f"is {named} by its name and {stated} by its header")
    stated_tensors = contents[0].metadata.get("split.tensors.count")
    tensors = sum(len(content.tensors) for content in contents)
    if count > 1 and stated_tensors not in (None, str(tensors)):
        file = next(iter(files.values()))
        raise CheckpointError(file, f"the shards hold {tensors} tensors, not {stated_tensors}")
    tied = not any("tie_word_embeddings" in content.config for content in contents)
    return {"tie_word_embeddings": True} if tied else {}
