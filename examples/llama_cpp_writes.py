"""What does llama.cpp write with these GGUF files, and how fast? JSON; text on standard error.

It needs llama-cpp-python and nothing of prunescope.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from llama_cpp import Llama

PROMPT = "The capital of France is"


def write(path: Path, new_tokens: int) -> dict[str, Any]:
    """Greedy text after the prompt; the first token's time is the prompt's."""
    engine = Llama(str(path), n_ctx=64 + new_tokens, verbose=False)
    written, moments = [], []
    for token in engine.generate(engine.tokenize(PROMPT.encode()), temp=0.0, repeat_penalty=1.0):
        written.append(token)
        moments.append(perf_counter())
        if len(written) == new_tokens:
            break
    text = PROMPT + engine.detokenize(written).decode("utf-8", "replace")
    engine.close()
    return {
        "path": str(path),
        "bytes": path.stat().st_size,
        "text": text,
        "tokens_per_second": (new_tokens - 1) / (moments[-1] - moments[0]),
    }


def main() -> None:
    """`llama_cpp_writes.py NEW_TOKENS FILE…`."""
    models = []
    for name in sys.argv[2:]:
        models.append(write(Path(name), int(sys.argv[1])))
        print(f"{name}> {models[-1]['text']!r}", file=sys.stderr)
    print(json.dumps({"models": models}, indent=2))


if __name__ == "__main__":
    main()
