"""How does a tokenizer become the keys of a GGUF file? Byte-level BPE and SentencePiece's.

Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#tokenizer. `tokenizer.ggml.pre`
names one of the splitting rules that are built into llama.cpp (`llama_vocab::impl::load` in
src/llama-vocab.cpp); here it is found by the rule itself, which tokenizer.json spells out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.checkpoint.jsonfile import read_object
from prunescope.checkpoint.storage import LocalFolder
from prunescope.errors import PrunescopeError, first_line
from prunescope.extras import require

if TYPE_CHECKING:
    import gguf
else:
    gguf = require("gguf", "gguf")

TOKENIZER = "tokenizer.json"
_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS = r"|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# How the text is cut before the merges (type, or the pattern of a Split) → llama.cpp's name of it.
_RULES: dict[tuple[str, ...], str] = {
    ("ByteLevel",): "gpt-2",
    ("Digits", "ByteLevel"): "smollm",
    (_CONTRACTIONS + _WORDS + r"|\p{N}{1,3}" + _REST, "bytes"): "llama-bpe",
    (_CONTRACTIONS + _WORDS + r"|\p{N}" + _REST, "bytes"): "qwen2",
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
        r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        "bytes",
    ): "tekken",
}


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
    path = folder / TOKENIZER
    if not path.is_file():
        raise PrunescopeError(f"{folder}: has no {TOKENIZER}, which a GGUF file must contain")
    tokenizer = read_object(LocalFolder(folder).file(TOKENIZER), TOKENIZER)
    model = tokenizer.get("model")
    if not isinstance(model, dict) or model.get("type") != "BPE":
        kind = model.get("type") if isinstance(model, dict) else None
        raise PrunescopeError(f"{path}: a {kind} tokenizer has no place in a GGUF file")
    try:
        if model.get("byte_fallback"):
            writer.add_tokenizer_model("llama")
            writer.add_tokenizer_pre(rule or "default")
            writer.add_add_space_prefix(_has_prefix(tokenizer))
            tokens = list(_sentencepieces(tokenizer, model, rows))
        else:
            writer.add_tokenizer_model("gpt2")
            writer.add_tokenizer_pre(rule or _rule(tokenizer, path))
            tokens = list(_bpe_tokens(tokenizer, model, rows))
        special = gguf.SpecialVocab(
            folder, load_merges=not model.get("byte_fallback"), n_vocab=rows
        )
    except PrunescopeError:
        raise
    except Exception as err:  # the gguf library raises what its parsing meets
        raise PrunescopeError(f"{path}: cannot be written as GGUF ({first_line(err)})") from None
    if len(tokens) > rows:
        raise PrunescopeError(f"{path}: {len(tokens)} tokens, but {rows} rows in the embedding")
    tokens += [(f"[PAD{n}]".encode(), -1000.0, _UNUSED) for n in range(len(tokens), rows)]
    writer.add_token_list([text for text, _, _ in tokens])
    if model.get("byte_fallback"):
        writer.add_token_scores([score for _, score, _ in tokens])
    writer.add_token_types([kind for _, _, kind in tokens])
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
    for step in (*_steps(tokenizer.get("normalizer")), *_steps(tokenizer.get("pre_tokenizer"))):
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


def _rule(tokenizer: Mapping[str, Any], path: Path) -> str:
    found = _RULES.get(tuple(map(_cut, _steps(tokenizer.get("pre_tokenizer")))))
    if found is None or tokenizer.get("normalizer") not in (None, {"type": "NFC"}):
        known = ", ".join(sorted(_RULES.values()))
        raise PrunescopeError(
            f"{path}: splits text by a rule that is none of {known}: "
            "name llama.cpp's with --tokenizer_pre"
        )
    return found


def _steps(rule: Any) -> Iterator[Mapping[str, Any]]:
    """The steps of a normalizer or pre-tokenizer, one after the other."""
    if isinstance(rule, dict) and rule.get("type") == "Sequence":
        for step in rule["normalizers"] if "normalizers" in rule else rule["pretokenizers"]:
            yield from _steps(step)
    elif rule is not None:
        yield rule


def _cut(step: Mapping[str, Any]) -> str:
    """What a step of a pre-tokenizer does; a ByteLevel that only maps bytes is `bytes`."""
    kind = step.get("type")
    if kind == "Split":
        return str(step["pattern"].get("Regex"))
    if kind == "ByteLevel":
        return "ByteLevel" if step.get("use_regex", True) else "bytes"
    return str(kind)
