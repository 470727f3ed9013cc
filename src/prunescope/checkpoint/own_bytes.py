"""Which bytes of a file are a tensor's own? Those that no tensor before it lies over.

torch may save views of one storage: a fused projection beside its parts, or columns of a matrix,
each of which reaches from its first row to its last. Together they take the bytes of the storage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prunescope.checkpoint.types import TensorInfo


def own_bytes(tensors: Iterable[TensorInfo]) -> Mapping[str, int]:
    """Name → bytes that belong to none that begins earlier; they add up to the ranges' union.

    Tensors that share another's bytes are left out. What has parts (packed weights, pieces of
    several processes) has them for itself.
    """
    own: dict[str, int] = {}
    ranges: dict[tuple[int, int | None], list[TensorInfo]] = {}
    for tensor in tensors:
        if tensor.shared_with is None:
            own[tensor.name] = tensor.nbytes
            if not tensor.parts:
                ranges.setdefault((id(tensor.file), tensor.record), []).append(tensor)
    for there in ranges.values():
        end = 0
        # Of those that begin together the longest, which is the others' whole.
        for tensor in sorted(there, key=lambda t: (t.offset, -t.nbytes)):
            stop = tensor.offset + tensor.nbytes
            if tensor.offset < end:
                own[tensor.name] = max(0, stop - end)
            end = max(end, stop)
    return own
