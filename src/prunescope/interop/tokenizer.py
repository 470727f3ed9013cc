"""How does a model's own tokenizer cut a text?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prunescope.architecture import Model, Role
from prunescope.errors import CheckpointError, PrunescopeError, first_line
from prunescope.extras import require
from prunescope.interop.companions import home

if TYPE_CHECKING:
    import transformers
else:
    transformers = require("transformers", "prune")


def token_ids(model: Model, text: str) -> list[int]:
    """`text` as the model's own tokenizer cuts it.

    Raises:
        PrunescopeError: there is no tokenizer, or it gives a token that has no embedding.
    """
    ids: list[int] = load_tokenizer(home(model))(text, verbose=False)["input_ids"]
    check_embedded(model, ids)
    return ids


def check_embedded(model: Model, ids: Sequence[int]) -> None:
    """Raise PrunescopeError if one of the tokens `ids` has no embedding in `model`."""
    path = model.checkpoint.path
    if Role.EMBEDDING not in model.outside:
        raise CheckpointError(path, "no token embedding among the tensors")
    rows = model.outside[Role.EMBEDDING].shape[0]
    if max(ids, default=0) >= rows:
        raise PrunescopeError(f"{path}: the tokenizer gives token {max(ids)}, {rows} are embedded")


def load_tokenizer(folder: Path) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer of a model folder.

    Raises:
        PrunescopeError: there is none, or it cannot be read.
    """
    try:
        return transformers.AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    except Exception as err:  # tokenizers raises plain Exception
        # Where there is no file, transformers names a class that it then tried.
        why = first_line(err) if _has_tokenizer(folder) else "no tokenizer.json or tokenizer.model"
        raise PrunescopeError(
            f"{folder}: no usable tokenizer ({why}): put the model's own tokenizer there"
        ) from None


def _has_tokenizer(folder: Path) -> bool:
    return any(any(folder.glob(pattern)) for pattern in ("tokenizer*", "*vocab*", "*.model"))
