"""What a checkpoint is to the rest of the house: named tensors with a place in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

from prunescope.checkpoint.own_bytes import own_bytes
from prunescope.checkpoint.storage import File, Folder

# How keys of metadata begin that readers put there: where in a file the model was, and how.
READERS_NOTE = "prunescope."


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor's header.

    Attributes:
        name: as in the model's state dict; wrappers' prefixes (`module.`) are left out.
        shape: logical shape, outermost first.
        dtype: safetensors' name (`F32`, `BF16`, …), ggml's (`Q4_K`), or that of a quantisation
            (`GPTQ-4bit`).
        file: the file that holds its bytes.
        offset: where they start: bytes from the start of `file`, or of the zip record whose
            local header lies at `record`.
        nbytes: bytes from the first element to the last; of a tensor with `parts`, theirs.
        record: offset of the zip local header in `file`; None outside zip files.
        strides: in elements; None when rows are contiguous.
        shared_with: an earlier tensor that has the same bytes (tied weights); None otherwise.
        parts: what is stored, where this tensor is not: packed weights with their scales, or
            the pieces of a tensor that several processes saved.
        start: of a piece, where it begins in the whole along each axis; None otherwise.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    file: File
    offset: int
    nbytes: int
    record: int | None = None
    strides: tuple[int, ...] | None = None
    shared_with: str | None = None
    parts: Sequence[TensorInfo] = ()
    start: tuple[int, ...] | None = None

    @property
    def parameters(self) -> int:
        """Number of elements."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Adapter:
    """Weights that only mean something on top of a base model.

    Attributes:
        kind: PEFT's name of the method: `LORA`, `IA3`, …; `PEFT` where nothing says.
        base: the base model, as adapter_config.json names it; None where it does not.
        rank: of a low-rank adapter; None for other kinds, or where nothing says.
    """

    kind: str
    base: str | None
    rank: int | None

    def __str__(self) -> str:
        kind = "a LoRA adapter" if self.kind == "LORA" else f"a PEFT adapter ({self.kind})"
        return f"{kind} of {self.base}" if self.base else kind


@dataclass(frozen=True)
class Contents:
    """What one weight file holds.

    Attributes:
        tensors: by name, in file order.
        metadata: the file's own key/value notes.
        config: the model's config, where the file itself has one.
        mixed: whether other tensors than the model's lie there too (optimizer state).
    """

    tensors: dict[str, TensorInfo]
    metadata: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    mixed: bool = False


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of one model, over all its files.

    Attributes:
        path: what the user named.
        format: a name of `prunescope.checkpoint.formats`, or `torch distributed`.
        tensors: by name, in file order.
        files: the weight files, in the order read.
        metadata: the files' own key/value notes.
        config: the parsed `config.json` beside the weights, and what the weight files say of
            keys that it leaves out; empty without either.
        home: the folder that the weights lie in.
        owns_home: whether that folder is this model's own: it has a `config.json` (an adapter's:
            an `adapter_config.json`), or the user named it. Beside a lone file anything may lie.
        adapter: what adapter this is; None for a model.
        mixed: whether the files also hold what is no part of the model (optimizer state), so
            that their length says little about it.
    """

    path: str
    format: str
    tensors: Mapping[str, TensorInfo]
    files: tuple[File, ...]
    home: Folder
    metadata: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    owns_home: bool = False
    adapter: Adapter | None = None
    mixed: bool = False

    @cached_property
    def parameters(self) -> int:
        """Stored parameters: a tensor that shares another's bytes counts once."""
        return sum(t.parameters for t in self.tensors.values() if t.shared_with is None)

    @cached_property
    def nbytes(self) -> int:
        """Bytes of the stored tensors, without headers and padding; shared bytes count once, also
        those of views that overlap (whose elements count for each in `parameters`)."""
        return sum(self.own_bytes.values())

    @cached_property
    def own_bytes(self) -> Mapping[str, int]:
        """Stored tensor → those of its bytes that count for it in `nbytes`."""
        return own_bytes(self.tensors.values())

    @property
    def bits_per_weight(self) -> float | None:
        """Stored bits per parameter, scales and zero points included; None without parameters."""
        return 8 * self.nbytes / self.parameters if self.parameters else None

    @cached_property
    def dtypes(self) -> dict[str, int]:
        """Stored parameters by dtype, most first."""
        counts: dict[str, int] = {}
        for tensor in self.tensors.values():
            if tensor.shared_with is None:
                counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.parameters
        return dict(sorted(counts.items(), key=lambda item: -item[1]))

    @property
    def shared(self) -> dict[str, str]:
        """Tied tensors: name → the tensor that holds the bytes."""
        return {t.name: t.shared_with for t in self.tensors.values() if t.shared_with}
