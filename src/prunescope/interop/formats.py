"""In which formats is a model saved? Named here, so that `--help` loads no library."""

from __future__ import annotations

from typing import Literal, get_args

Format = Literal["hf", "bin", "llm_pruner", "deci"]
FORMATS: tuple[Format, ...] = get_args(Format)
