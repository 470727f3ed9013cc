"""What is one quantised module? Its tensors, and the weight that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from prunescope.checkpoint.dtypes import DTYPE_BITS
from prunescope.checkpoint.types import TensorInfo
from prunescope.checkpoint.weights import small_bytes
from prunescope.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class Layout:
    """What a module's tensors stand for: a weight's shape, and the name of its encoding."""

    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype} weight of {list(self.shape)}"


@dataclass(frozen=True, slots=True)
class Module:
    """The tensors of one quantised module.

    Attributes:
        stem: the module's name.
        marker: the part by which its method was known.
        tensors: all of the checkpoint's.
        settings: `quantization_config` of config.json; empty without one.
        joint: what stands between `stem` and a part's name.
        notes: the weight files' own key/value notes.
    """

    stem: str
    marker: str
    tensors: Mapping[str, TensorInfo]
    settings: Mapping[str, Any]
    joint: str = "."
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def weight(self) -> str:
        """The name of the weight that this stands for."""
        if self.joint == ".":
            return f"{self.stem}.weight"
        # torchao's parts of `X.weight` begin with `X._weight`.
        above, dot, leaf = self.stem.rpartition(".")
        return f"{above}{dot}{leaf.removeprefix('_')}"

    @property
    def marked(self) -> TensorInfo:
        """The tensor by which the method was known."""
        return self.tensors[f"{self.stem}{self.joint}{self.marker}"]

    def find(self, part: str) -> TensorInfo | None:
        """The tensor `<stem><joint><part>`, if there is one; without a `part`, `stem` itself."""
        return self.tensors.get(f"{self.stem}{self.joint}{part}" if part else self.stem)

    def get(self, part: str, axes: int = 2) -> TensorInfo:
        """The tensor `<stem><joint><part>`, which has `axes` axes."""
        tensor = self.find(part)
        if tensor is None:
            self.refuse(f"has no {part}")
        if len(tensor.shape) != axes or not tensor.parameters:
            self.refuse(f"has a {part} of shape {list(tensor.shape)}")
        return tensor

    def integers(self, part: TensorInfo, count: int) -> tuple[int, ...]:
        """The `count` integers in the tensor `part`, I32 or I64."""
        raw = small_bytes(part, 8 * count)
        width = DTYPE_BITS.get(part.dtype, 0) // 8
        if part.dtype not in ("I32", "I64") or len(raw) != count * width:
            name = part.name.removeprefix(self.stem + self.joint)
            self.refuse(f"has a {name} of type {part.dtype} and shape {list(part.shape)}")
        starts = range(0, len(raw), width)
        return tuple(int.from_bytes(raw[i : i + width], "little", signed=True) for i in starts)

    def refuse(self, cause: str) -> NoReturn:
        """Raise CheckpointError: this module's parts do not fit."""
        raise CheckpointError(self.marked.file, f"quantised module {self.stem!r} {cause}")

    def check(self, fits: bool, part: TensorInfo, expected: object) -> None:
        """Refuse the module unless its tensor `part` `fits`."""
        if not fits:
            self.refuse(f"has {part.name!r} of shape {list(part.shape)}, which fits no {expected}")


def scales_fit(scales: tuple[int, ...], weight: tuple[int, ...]) -> bool:
    """Whether elements can share scales: none of their axes is longer than the weight's."""
    filled = (*scales, *[1] * (len(weight) - len(scales)))
    return len(filled) == len(weight) and all(
        0 < s <= n for s, n in zip(filled, weight, strict=True)
    )
