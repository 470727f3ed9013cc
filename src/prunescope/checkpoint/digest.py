"""Which model is this? What tells it from others of the same shapes, without reading all of it."""

from __future__ import annotations

import hashlib

from prunescope.checkpoint.types import Checkpoint
from prunescope.checkpoint.weights import WeightMap

# Of each tensor: whoever has trained it a little has changed some of so many.
_BYTES = 256


def model_digest(checkpoint: Checkpoint) -> str:
    """A SHA-256 of names, dtypes, shapes, file sizes, and 256 bytes of the middle of each tensor.

    Headers alone do not tell a model from another that was trained from it. All bytes would take
    as long as the work whose result is to be known again.

    Returns:
        In hexadecimal.

    Raises:
        CheckpointError: weights that cannot be read, or are not stored as they are.
    """
    digest = hashlib.sha256()
    with WeightMap() as weights:
        for name, tensor in sorted(checkpoint.tensors.items()):
            digest.update(f"{name}\0{tensor.dtype}\0{tensor.shape}\n".encode())
            if tensor.nbytes:
                middle = max(0, tensor.nbytes - _BYTES) // 2
                digest.update(weights.view(tensor)[middle : middle + _BYTES])
        weights.release()
    for size in sorted(file.size for file in checkpoint.files):
        digest.update(f"{size}\n".encode())
    return digest.hexdigest()
