"""How does a tokenizer become the keys of a GGUF file? Byte-level BPE and SentencePiece's.

Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#tokenizer. `tokenizer.ggml.pre`
names one of the splitting rules that are built into llama.cpp (`llama_vocab::impl::load` in
src/llama-vocab.cpp); here it is found by the rule itself, which tokenizer.json spells out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
        raise PrunescopeError(f"{path}: a {kind} tokenizer has no place in a GGUF file of a Llama")
    try:
        if model.get("byte_fallback"):
            writer.add_tokenizer_model("llama")
            writer.add_tokenizer_pre(rule or "default")
            tokens = list(gguf.LlamaHfVocab(folder).all_tokens())
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
    found = _RULES.get(tuple(_cuts(tokenizer.get("pre_tokenizer"))))
    if found is None or tokenizer.get("normalizer") not in (None, {"type": "NFC"}):
        known = ", ".join(sorted(_RULES.values()))
        raise PrunescopeError(
            f"{path}: splits text by a rule that is none of {known}: "
            "name llama.cpp's with --tokenizer_pre"
        )
    return found


def _cuts(rule: Any) -> Iterable[str]:
    """Each step of a pre-tokenizer; a ByteLevel that only maps bytes is `bytes`."""
    kind = rule.get("type") if isinstance(rule, dict) else None
    if kind == "Sequence":
        for step in rule["pretokenizers"]:
            yield from _cuts(step)
    elif kind == "Split":
        yield str(rule["pattern"].get("Regex"))
    elif kind == "ByteLevel":
        yield "ByteLevel" if rule.get("use_regex", True) else "bytes"
    else:
        yield str(kind)
