"""Which tensors does a checkpoint hold, and where? Header bytes only; nothing is executed."""

from prunescope.checkpoint.opening import open_checkpoint
from prunescope.checkpoint.types import Checkpoint, TensorInfo

__all__ = ["Checkpoint", "TensorInfo", "open_checkpoint"]
