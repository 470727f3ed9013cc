"""Is there a tokenizer beside these weights that a GGUF file can hold? If not, why?

`verify` says it, and `prunescope convert --format gguf` refuses it: one judgement for both, by the
beginning of tokenizer.json for the one, and by all of it for the other. `tokenizer.ggml.pre` names
one of the splitting rules that are built into llama.cpp (`llama_vocab::impl::load` in
src/llama-vocab.cpp); here it is found by the rule itself, which tokenizer.json spells out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from prunescope.checkpoint.jsonfile import read_object
from prunescope.checkpoint.storage import File, Folder
from prunescope.errors import CheckpointError, printable

TOKENIZER = "tokenizer.json"
# SentencePiece's own file, which is not read.
_PIECES = "tokenizer.model"
# As the tokenizers library writes it, the vocabulary comes last, behind all that is asked for here.
_BEGINNING = 1 << 20
_VOCABULARY = ("vocab", "merges")
_MEMBER = re.compile(r'\s*[{,]\s*"((?:[^"\\]|\\.){0,200})"\s*:\s*')
_DECODER = json.JSONDecoder()

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


def folder_objection(folder: Folder) -> str | None:
    """Why the tokenizer in `folder` cannot be written; None where nothing is known against it."""
    absent = absence(folder)
    if absent is not None:
        return absent
    try:
        file = folder.file(TOKENIZER)
        if file.size <= _BEGINNING:
            return objection(read_object(file, TOKENIZER))
        told = _beginning(file)
    except CheckpointError as err:
        return err.cause
    # What comes behind the vocabulary, if anything does, is not known.
    is_told = isinstance(told.get("model"), dict) and "type" in told["model"]
    return objection(told, has_rule="pre_tokenizer" not in told) if is_told else None


def absence(folder: Folder) -> str | None:
    """What to say where there is no tokenizer.json in `folder`."""
    if folder.has(TOKENIZER):
        return None
    other = f", and {_PIECES} is not read" if folder.has(_PIECES) else ""
    return f"has no {TOKENIZER}, which a GGUF file must contain{other}"


def objection(tokenizer: Mapping[str, Any], has_rule: bool = False) -> str | None:
    """Why a tokenizer cannot be written; None where nothing is known against it.

    Args:
        tokenizer: what tokenizer.json says.
        has_rule: whether its rule is known otherwise.
    """
    model = tokenizer.get("model")
    kind = model.get("type") if isinstance(model, dict) else None
    if kind != "BPE":
        shown = printable(str(kind), 40)
        return f"{TOKENIZER}: a {shown} tokenizer has no place in a GGUF file"
    if has_rule or is_sentencepiece(tokenizer) or rule_of(tokenizer) is not None:
        return None
    known = ", ".join(sorted(_RULES.values()))
    return (
        f"{TOKENIZER}: splits text by a rule that is none of {known}: name llama.cpp's with "
        "--tokenizer_pre"
    )


def is_sentencepiece(tokenizer: Mapping[str, Any]) -> bool:
    """Whether it is SentencePiece's BPE, which splits by no rule."""
    return bool(tokenizer["model"].get("byte_fallback"))


def rule_of(tokenizer: Mapping[str, Any]) -> str | None:
    """llama.cpp's name of the rule by which text is split; None for one that it is not known by."""
    if tokenizer.get("normalizer") not in (None, {"type": "NFC"}):
        return None
    try:
        return _RULES.get(tuple(map(_cut, steps(tokenizer.get("pre_tokenizer")))))
    except RecursionError:
        # Sequences of sequences, deeper than Python goes and not than its JSON parser does.
        return None


def cuts_of(name: str) -> tuple[str, ...]:
    """How text is cut by the rule that llama.cpp calls `name`: what each step of a pre-tokenizer
    does (`ByteLevel`, `bytes`, its type, or the pattern of a Split); nothing for an unknown one."""
    return next((cuts for cuts, known in _RULES.items() if known == name), ())


def steps(rule: object) -> Iterator[Mapping[str, Any]]:
    """The steps of a normalizer or pre-tokenizer, one after the other; none of what is neither."""
    if not isinstance(rule, dict):
        return
    if rule.get("type") != "Sequence":
        yield rule
        return
    inner = rule.get("normalizers", rule.get("pretokenizers"))
    for step in inner if isinstance(inner, list) else ():
        yield from steps(step)


def _cut(step: Mapping[str, Any]) -> str:
    """What a step of a pre-tokenizer does; a ByteLevel that only maps bytes is `bytes`."""
    kind, pattern = step.get("type"), step.get("pattern")
    if kind == "Split":
        return str(pattern.get("Regex") if isinstance(pattern, dict) else None)
    if kind == "ByteLevel":
        return "ByteLevel" if step.get("use_regex", True) else "bytes"
    return str(kind)


def _beginning(file: File) -> dict[str, Any]:
    """What a long tokenizer.json says before its vocabulary, as far as its beginning goes."""
    text = file.read(0, _BEGINNING).decode("utf-8", "ignore")
    try:
        return _members(text, 0)
    except (ValueError, RecursionError):
        return {}


def _members(text: str, at: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while (member := _MEMBER.match(text, at)) and member[1] not in _VOCABULARY:
        if member[1] == "model":
            return found | {"model": _members(text, member.end())}
        found[member[1]], at = _DECODER.raw_decode(text, member.end())
    return found
