"""What is a tensor called once the wrappers around the model are taken off its name?

- `_orig_mod` (torch.compile), `_fsdp_wrapped_module` and `_checkpoint_wrapped_module` are modules
  of their own anywhere in a model: as a component of a name they are dropped.
- `module.` (DataParallel, DistributedDataParallel, DeepSpeed) and `_forward_module.` (Lightning)
  hold the whole model: dropped where every name begins so.
- `model.` is where a LightningModule usually keeps a Hugging Face model: dropped where every name
  begins so and some go on as Hugging Face's own do, with `model.` or `lm_head.`.
"""

from __future__ import annotations

from collections.abc import Sequence

from prunescope.checkpoint.storage import File
from prunescope.checkpoint.types import READERS_NOTE
from prunescope.errors import CheckpointError

# The key of `Checkpoint.metadata` that has the wrappers which were taken off.
WRAPPERS = f"{READERS_NOTE}wrappers"
_ANYWHERE = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
_AROUND = ("module.", "_forward_module.")
# DeepSpeed around DDP around FSDP is as many as there are.
_MAX_AROUND = 8
_LIGHTNING = "model."
_HUGGING_FACE = ("model.model.", "model.lm_head.")


def without_wrappers(names: Sequence[str], file: File) -> tuple[list[str], list[str]]:
    """`names` without wrappers, in their order; and the wrappers found, outermost last.

    Raises:
        CheckpointError: two tensors would have the same name.
    """
    found: dict[str, None] = {}
    stripped = []
    for name in names:
        if any(wrapper in name for wrapper in _ANYWHERE):
            parts = name.split(".")
            # Not the last: a tensor may be called anything.
            kept = [p for p in parts[:-1] if p not in _ANYWHERE] + parts[-1:]
            found.update((f"{p}.", None) for p in parts[:-1] if p in _ANYWHERE)
            name = ".".join(kept)
        stripped.append(name)
    for _ in range(_MAX_AROUND):
        prefix = next((p for p in _AROUND if _all_begin(stripped, p)), None)
        if prefix is None:
            break
        found[prefix] = None
        stripped = [name.removeprefix(prefix) for name in stripped]
    if _all_begin(stripped, _LIGHTNING) and any(n.startswith(_HUGGING_FACE) for n in stripped):
        found[_LIGHTNING] = None
        stripped = [name.removeprefix(_LIGHTNING) for name in stripped]
    _check_unique(names, stripped, file)
    return stripped, list(found)


def _all_begin(names: Sequence[str], prefix: str) -> bool:
    # A name that is nothing but the prefix would be left empty.
    return bool(names) and all(n.startswith(prefix) and len(n) > len(prefix) for n in names)


def _check_unique(names: Sequence[str], stripped: Sequence[str], file: File) -> None:
    owners: dict[str, str] = {}
    for name, short in zip(names, stripped, strict=True):
        owner = owners.setdefault(short, name)
        if owner != name:
            cause = f"tensors {owner!r} and {name!r} are both {short!r} without their wrappers"
            raise CheckpointError(file, cause)
