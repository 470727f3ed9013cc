"""Which tokens is a model trained on? Documents one behind the other, cut into equal blocks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from prunescope.architecture import Model
from prunescope.data.sources import Documents
from prunescope.errors import PrunescopeError
from prunescope.interop.companions import home
from prunescope.interop.tokenizer import check_embedded, load_tokenizer


@dataclass(frozen=True, slots=True)
class Blocks:
    """Token blocks of one length, and the SHA-256 of their ids as little-endian int64."""

    source: str
    blocks: tuple[tuple[int, ...], ...]
    digest: str

    def record(self) -> dict[str, Any]:
        """What `--json` and pruning.json say of the text."""
        return {"source": self.source, "blocks": len(self.blocks), "sha256": self.digest}


def blocks_of(model: Model, documents: Documents, length: int) -> Blocks:
    """Each document as the model's tokenizer cuts it, then its end-of-text token if it has one.

    The rest of the last document that fills no block is left out.

    Raises:
        PrunescopeError: there is no tokenizer, a token has no embedding, or the text is shorter
            than one block.
    """
    if length < 2:
        raise PrunescopeError(f"a block of {length} tokens teaches nothing: take at least 2")
    tokenizer = load_tokenizer(home(model))
    end = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
    tokens: list[int] = []
    texts = [text for text in documents.texts if text.strip()]
    for ids in tokenizer(texts, verbose=False)["input_ids"]:
        tokens += ids
        tokens += end
    check_embedded(model, tokens)
    count = len(tokens) // length
    if not count:
        raise PrunescopeError(
            f"{documents.name}: the text has {len(tokens)} tokens, a block needs {length}"
        )
    blocks = tuple(tuple(tokens[n * length : (n + 1) * length]) for n in range(count))
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(b"".join(token.to_bytes(8, "little") for token in block))
    return Blocks(documents.name, blocks, digest.hexdigest())
