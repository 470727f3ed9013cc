"""How large is a model on disk, and how much of that is weights?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prunescope.analysis.counts import Counts
from prunescope.analysis.tabular import Tabular
from prunescope.checkpoint import Checkpoint, open_checkpoint
from prunescope.checkpoint.adapter import refuse_adapter
from prunescope.checkpoint.dtypes import DTYPE_BITS
from prunescope.checkpoint.numbered import refuse_shard
from prunescope.checkpoint.types import Adapter
from prunescope.errors import CheckpointError, NoWeights


@dataclass(frozen=True, slots=True)
class ModelSize(Tabular):
    """One model's sizes.

    Attributes:
        path: what was asked about.
        weight_files: as the user would name them.
        weight_bytes: length of the weight files together; of the tensors, where those files also
            hold what is no part of the model (optimizer state).
        folder_bytes: length of every file in the model's folder, sub-folders included; None for
            a lone file, and where a part of the folder may not be looked at.
        parameters: stored parameters, tied weights once.
        tensor_bytes: of the stored tensors alone.
        bits_per_weight: stored bits per parameter, scales included; None without parameters.
        dtypes: stored parameters by dtype.
        shared: tied tensors, name → the tensor that holds the bytes.
        adapter: what adapter it is; None for a model.
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
    adapter: Adapter | None = None

    @property
    def is_quantised(self) -> bool:
        """Whether some weights are stored with scales, so that no dtype tells their width."""
        return any(dtype not in DTYPE_BITS for dtype in self.dtypes)

    def rows(self) -> list[dict[str, Any]]:
        """One row, what `--json` says of a model."""
        return [
            {
                "path": self.path,
                "format": self.format,
                "weight_files": list(self.weight_files),
                "weight_bytes": self.weight_bytes,
                "folder_bytes": self.folder_bytes,
                "parameters": self.parameters,
                "tensor_bytes": self.tensor_bytes,
                "bits_per_weight": self.bits_per_weight,
                "dtypes": self.dtypes,
                "tied": self.shared,
                "adapter": self.adapter and asdict(self.adapter),
            }
        ]


@dataclass(frozen=True, slots=True)
class SizeComparison(Tabular):
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

    def rows(self) -> list[dict[str, Any]]:
        """The original's row and the pruned model's."""
        return [*self.original.rows(), *self.pruned.rows()]


def measure(checkpoint: Checkpoint) -> ModelSize:
    """Sizes of one open checkpoint; file lengths, so a sparse file counts its holes."""
    if checkpoint.mixed:
        weight_bytes = checkpoint.nbytes
    else:
        weight_bytes = sum(file.size for file in checkpoint.files)
    return ModelSize(
        checkpoint.path,
        checkpoint.format,
        tuple(str(file) for file in checkpoint.files),
        weight_bytes,
        checkpoint.home.total_bytes() if checkpoint.owns_home else None,
        checkpoint.parameters,
        checkpoint.nbytes,
        checkpoint.bits_per_weight,
        checkpoint.dtypes,
        checkpoint.shared,
        checkpoint.adapter,
    )


def compare_sizes(original: ModelSize, pruned: ModelSize) -> SizeComparison:
    """Put two models side by side.

    Raises:
        ArchitectureError: one is an adapter or one shard of several, whose few weights would pass
            for heavy pruning.
    """
    for size in (original, pruned):
        refuse_shard(size.path, size.weight_files)
        refuse_adapter(size.path, size.adapter)
    return SizeComparison(original, pruned)


def pruned_models(root: Path) -> tuple[list[ModelSize], list[CheckpointError]]:
    """Sizes of every model folder directly under `root` (`prune_log`), by name; adapters are none.

    Returns:
        The sizes; and of models that cannot be read, why.

    Raises:
        CheckpointError: no such folder, one that may not be read, or no model in it.
    """
    if not root.is_dir():
        raise CheckpointError(root, "no such folder: prune a model first, or name one")
    sizes: list[ModelSize] = []
    damaged: list[CheckpointError] = []
    try:
        folders = sorted(root.iterdir())
    except OSError as err:
        raise CheckpointError(root, f"cannot be read ({err.strerror})") from None
    for folder in folders:
        # A dot marks a run in progress; a folder without weights is one of logs.
        if folder.is_dir() and not folder.name.startswith("."):
            try:
                size = measure(open_checkpoint(folder))
            except NoWeights:
                continue
            except CheckpointError as err:
                damaged.append(err)
                continue
            if size.adapter is None:
                sizes.append(size)
    if not sizes and not damaged:
        raise CheckpointError(root, "holds no pruned model")
    return sizes, damaged
