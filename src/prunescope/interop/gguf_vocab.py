"""How does a tokenizer become the keys of a GGUF file? Byte-level BPE and SentencePiece's.

Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#tokenizer. Which tokenizers are
written, and by what rule they split text: `prunescope.analysis.llama_cpp_tokenizer`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.analysis.llama_cpp_tokenizer import (
    TOKENIZER,
    absence,
    is_sentencepiece,
    objection,
    rule_of,
    steps,
)
from prunescope.checkpoint.jsonfile import read_object
from prunescope.checkpoint.storage import LocalFolder
from prunescope.errors import PrunescopeError, first_line
from prunescope.extras import require

if TYPE_CHECKING:
    import gguf
else:
    gguf = require("gguf", "gguf")

# Bytes that parsing may take: Gemma's has 256,000 tokens, twice as many merges, and much that is
# not ASCII.
_MEMORY = 1 << 30


def add_vocabulary(
    writer: gguf.GGUFWriter, folder: Path, rows: int, rule: str | None = None
) -> None:
    """Write the tokenizer in `folder` into `writer`: tokens, types, merges, special ones.

    Args:
        rows: of the embedding; where there are more than tokens, the rest are named [PAD…], as
            llama.cpp wants a token for each.
        rule: `tokenizer.ggml.pre`, where the user names it.

    Raises:
        PrunescopeError: there is no tokenizer.json, or it is of a kind or a rule that is unknown.
    """
    path, home = folder / TOKENIZER, LocalFolder(folder)
    cause = absence(home)
    if cause is None:
        tokenizer = read_object(home.file(TOKENIZER), TOKENIZER, _MEMORY)
        cause = objection(tokenizer, has_rule=rule is not None)
    if cause is not None:
        raise PrunescopeError(f"{folder}: {cause}")
    model, is_pieces = tokenizer["model"], is_sentencepiece(tokenizer)
    try:
        if is_pieces:
            writer.add_tokenizer_model("llama")
            writer.add_tokenizer_pre(rule or "default")
            writer.add_add_space_prefix(_has_prefix(tokenizer))
            tokens = list(_sentencepieces(tokenizer, model, rows))
        else:
            writer.add_tokenizer_model("gpt2")
            writer.add_tokenizer_pre(str(rule or rule_of(tokenizer)))
            tokens = list(_bpe_tokens(tokenizer, model, rows))
        special = gguf.SpecialVocab(folder, load_merges=not is_pieces, n_vocab=rows)
    except PrunescopeError:
        raise
    except Exception as err:  # the gguf library raises what its parsing meets
        raise PrunescopeError(f"{path}: cannot be written as GGUF ({first_line(err)})") from None
    if len(tokens) > rows:
        raise PrunescopeError(f"{path}: {len(tokens)} tokens, but {rows} rows in the embedding")
    tokens += [(f"[PAD{n}]".encode(), -1000.0, _UNUSED) for n in range(len(tokens), rows)]
    writer.add_token_list([text for text, _, _ in tokens])
    if is_pieces:
        writer.add_token_scores([score for _, score, _ in tokens])
    writer.add_token_types([kind for _, _, kind in tokens])
    # Unless told, llama.cpp goes by the rule's own habit, not by tokenizer.json's template.
    special.add_special_token.setdefault("bos", False)
    special.add_to_gguf(writer, quiet=True)


_UNUSED = gguf.TokenType.UNUSED
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def _sentencepieces(
    tokenizer: Mapping[str, Any], model: Mapping[str, Any], rows: int
) -> Iterable[tuple[bytes, float, gguf.TokenType]]:
    """As `_bpe_tokens`, with what SentencePiece knows of each: its score, and whether it is a byte.

    llama.cpp joins the pair whose token has the highest score (`llm_tokenizer_spm_session`), where
    tokenizer.json has a list of pairs, the first to be joined first.
    """
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(model["merges"]):
        pair = merge.split(" ") if isinstance(merge, str) else merge
        ranks.setdefault("".join(pair), rank)
    unknown = str(model.get("unk_token"))
    for token, _, kind in _bpe_tokens(tokenizer, model, rows):
        text = token.decode("utf-8")
        if _BYTE.fullmatch(text):
            known = gguf.TokenType.BYTE
        else:
            known = gguf.TokenType.UNKNOWN if text == unknown else kind
        yield token, -float(ranks.get(text, len(ranks))), known


def _has_prefix(tokenizer: Mapping[str, Any]) -> bool:
    """Whether a space is put before the text: Llama's tokenizer does it, Gemma's does not."""
    for step in (*steps(tokenizer.get("normalizer")), *steps(tokenizer.get("pre_tokenizer"))):
        never = step.get("prepend_scheme") == "never" or step.get("add_prefix_space") is False
        if step["type"] == "Prepend" or (step["type"] == "Metaspace" and not never):
            return True
    return False


def _bpe_tokens(
    tokenizer: Mapping[str, Any], model: Mapping[str, Any], rows: int
) -> Iterable[tuple[bytes, float, gguf.TokenType]]:
    """Every id up to the last one, in order; special tokens are control ones, gaps unused."""
    named: dict[int, tuple[str, gguf.TokenType]] = {
        number: (text, gguf.TokenType.NORMAL) for text, number in model["vocab"].items()
    }
    for added in tokenizer.get("added_tokens") or ():
        kind = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
        named[added["id"]] = (added["content"], kind)
    last = max(named, default=-1)
    if last >= rows:
        raise PrunescopeError(f"{TOKENIZER}: token {last} has no row among the embedding's {rows}")
    for number in range(last + 1):
        text, kind = named.get(number, (f"[PAD{number}]", _UNUSED))
        yield text.encode("utf-8"), 0.0, kind
