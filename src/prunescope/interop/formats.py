"""In which formats is a model saved? Named here, so that `--help` loads no library."""

from __future__ import annotations

from typing import Literal, get_args

Format = Literal["hf", "bin", "llm_pruner", "deci"]
FORMATS: tuple[Format, ...] = get_args(Format)
# Those whose weights may be divided into several files.
SHARDED: tuple[Format, ...] = ("hf", "deci")
GgufType = Literal["f32", "f16", "bf16", "q8_0"]
GGUF_TYPES: tuple[GgufType, ...] = get_args(GgufType)
