"""How are a model's tensors written, in each format's way?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.checkpoint import TensorInfo
from prunescope.checkpoint.runs import MAX_RUN
from prunescope.checkpoint.storage import LocalFile
from prunescope.errors import PrunescopeError, first_line
from prunescope.extras import require
from prunescope.interop.assembling import assemble
from prunescope.interop.convert_target import MARK
from prunescope.interop.export import Export
from prunescope.interop.lazy_state import LazyState, Outline, in_memory
from prunescope.interop.safetensors_writer import write_safetensors
from prunescope.interop.shards import DEFAULT_SHARD, index_name, index_of, split
from prunescope.interop.tokenizer import load_tokenizer
from prunescope.interop.torch_tensors import DTYPES
from prunescope.interop.torch_writer import write_torch

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", "prune")

WEIGHTS = "pytorch_model.bin"
_DTYPES = {dtype: stored for stored, dtype in DTYPES.items()}


def write_weights(
    folder: Path, exported: Export, base: Path | None, shard_bytes: int = DEFAULT_SHARD
) -> list[str]:
    """Write the weight files of `exported` into `folder`; returns their names.

    Args:
        base: the folder with the tokenizer, which a pickled module is saved with.

    Raises:
        CheckpointError: the tensors are no whole model (`llm_pruner`).
        OSError: the disk is full.
    """
    state = in_memory(exported.state)
    if exported.form in ("bin", "llm_pruner"):
        module = None if exported.form == "bin" else _module(exported, base)
        try:
            # torch names the archive's root after the file: written under its final name.
            if module is None:
                write_torch(folder / WEIGHTS, state)
            else:
                torch.save(module, folder / WEIGHTS)
        except RuntimeError as err:
            # torch's archive writer has no OSError for a full disk.
            raise OSError(first_line(err)) from None
        return [WEIGHTS]
    place = LocalFile(folder / "model.safetensors")
    tensors = {
        name: _header(name, outline, place)
        for name, outline in state.outlines.items()
        # safetensors cannot say that two share their bytes; transformers ties them again.
        if outline.shared_with is None or not exported.config.get("tie_word_embeddings")
    }
    files = split(tensors, "model", shard_bytes)
    for file, names in files.items():
        part = {name: tensors[name] for name in names}
        write_safetensors(folder / file, part, _Made(state), {"format": "pt"} | MARK, lambda: None)
    if len(files) > 1:
        (folder / index_name("model")).write_text(index_of(tensors, files), encoding="utf-8")
    return list(files)


@dataclass(frozen=True, slots=True)
class _Made:
    """The bytes of tensors that are made when they are asked for."""

    state: LazyState

    def runs(self, tensor: TensorInfo) -> Iterator[tuple[int, memoryview]]:
        words: Any = self.state[tensor.name].contiguous().flatten().view(torch.uint8).numpy()
        data = memoryview(words)
        for start in range(0, len(data), MAX_RUN):
            yield start, data[start : start + MAX_RUN]

    def release(self) -> None:
        self.state.release()


def _header(name: str, outline: Outline, file: LocalFile) -> TensorInfo:
    nbytes = outline.parameters * outline.dtype.itemsize
    return TensorInfo(name, outline.shape, _DTYPES[outline.dtype], file, 0, nbytes)


def _module(exported: Export, base: Path | None) -> dict[str, Any]:
    """What LLM-Pruner's scripts find in a file: the model, an ordinary transformers class.

    https://github.com/horseee/LLM-Pruner/blob/main/hf_prune.py (its `torch.save`)
    """
    network = assemble(exported.config, exported.state, str(base))
    try:
        tokenizer = load_tokenizer(base) if base is not None else None
    except PrunescopeError:
        # A model can be pruned without one.
        tokenizer = None
    # As a model that was never stored: a script that trains it should not have to ask.
    return {"model": network.requires_grad_(), "tokenizer": tokenizer}
