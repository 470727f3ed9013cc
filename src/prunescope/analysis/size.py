"""How large is a model on disk, and how much of that is weights?"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from prunescope.analysis.counts import Counts
from prunescope.checkpoint import Checkpoint, open_checkpoint
from prunescope.checkpoint.dtypes import DTYPE_BITS
from prunescope.errors import CheckpointError, NoWeights


@dataclass(frozen=True, slots=True)
class ModelSize:
    """One model's sizes.

    Attributes:
        path: what was asked about.
        weight_files: as the user would name them.
        weight_bytes: length of the weight files together.
        folder_bytes: length of every file in the model's folder, sub-folders included; None for
            a lone file.
        parameters: stored parameters, tied weights once.
        tensor_bytes: of the stored tensors alone.
        bits_per_weight: stored bits per parameter, scales included; None without parameters.
        dtypes: stored parameters by dtype.
        shared: tied tensors, name → the tensor that holds the bytes.
    """

    path: str
    format: str
    weight_files: tuple[str, ...]
    weight_bytes: int
    folder_bytes: int | None
    parameters: int
    tensor_bytes: int
    bits_per_weight: float | None
    dtypes: dict[str, int]
    shared: dict[str, str]

    @property
    def is_quantised(self) -> bool:
        """Whether some weights are stored with scales, so that no dtype tells their width."""
        return any(dtype not in DTYPE_BITS for dtype in self.dtypes)


@dataclass(frozen=True, slots=True)
class SizeComparison:
    """A pruned model's sizes beside its original's."""

    original: ModelSize
    pruned: ModelSize

    @property
    def weight_bytes(self) -> Counts:
        """Bytes of the weight files."""
        return Counts(self.original.weight_bytes, self.pruned.weight_bytes)

    @property
    def parameters(self) -> Counts:
        """Stored parameters."""
        return Counts(self.original.parameters, self.pruned.parameters)


def measure(checkpoint: Checkpoint) -> ModelSize:
    """Sizes of one open checkpoint; file lengths, so a sparse file counts its holes."""
    return ModelSize(
        checkpoint.path,
        checkpoint.format,
        tuple(str(file) for file in checkpoint.files),
        sum(file.size for file in checkpoint.files),
        checkpoint.home.total_bytes() if checkpoint.owns_home else None,
        checkpoint.parameters,
        checkpoint.nbytes,
        checkpoint.bits_per_weight,
        checkpoint.dtypes,
        checkpoint.shared,
    )


def pruned_models(root: Path) -> list[ModelSize]:
    """Sizes of every model folder directly under `root` (`prune_log`), by name.

    Raises:
        CheckpointError: no such folder, no model in it, or a model that cannot be read.
    """
    if not root.is_dir():
        raise CheckpointError(root, "no such folder: prune a model first, or name one")
    sizes = []
    for folder in sorted(root.iterdir()):
        # A dot marks a run in progress; a folder without weights is one of logs.
        if folder.is_dir() and not folder.name.startswith("."):
            with suppress(NoWeights):
                sizes.append(measure(open_checkpoint(folder)))
    if not sizes:
        raise CheckpointError(root, "holds no pruned model")
    return sizes
