"""What would a Llama's GGUF say in the place of this `deci`'s keys? For readers without `deci`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prunescope.checkpoint import Checkpoint
from prunescope.errors import CheckpointError, first_line
from prunescope.extras import require

if TYPE_CHECKING:
    import gguf
else:
    gguf = require("gguf", "demo")

_OURS = "deci."
_THEIRS = "llama."
_WRITTEN = "general.architecture"


def write_keys_as_llama(source: Checkpoint, file: Path, target: Path) -> None:
    """Write a GGUF file without tensors: the keys of `file`, counts that differ left out.

    Args:
        source: the model, for a message.
        file: the file of it that has the keys.

    Raises:
        CheckpointError: the `gguf` library cannot read them.
    """
    try:
        fields = gguf.GGUFReader(file).fields.values()
        writer = gguf.GGUFWriter(target, _THEIRS.rstrip("."))
        for field in fields:
            name = field.name
            is_list = bool(field.types) and field.types[0] is gguf.GGUFValueType.ARRAY
            # What the reader makes up of the file's start, and what the writer writes itself.
            if name.startswith("GGUF.") or name == _WRITTEN:
                continue
            if name.startswith(_OURS):
                if is_list:
                    continue
                name = _THEIRS + name.removeprefix(_OURS)
            element = field.types[-1] if is_list else None
            writer.add_key_value(name, field.contents(), field.types[0], element)
        # A count that divides whatever the hidden size is; the true ones differ between layers.
        for key in (gguf.Keys.Attention.HEAD_COUNT, gguf.Keys.Attention.HEAD_COUNT_KV):
            name = key.format(arch=_THEIRS.rstrip("."))
            writer.kv_data[0].pop(name, None)
            writer.add_uint32(name, 1)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
    except Exception as err:  # gguf raises what numpy does
        raise CheckpointError(source.path, f"its keys cannot be read: {first_line(err)}") from None
