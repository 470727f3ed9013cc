"""Which tokenizer is in this GGUF file? transformers' reading of it, corrected by its own keys.

What the keys mean is llama.cpp's to say (src/llama-vocab.cpp).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prunescope.analysis.llama_cpp_tokenizer import TOKENIZER, cuts_of
from prunescope.checkpoint import Checkpoint
from prunescope.errors import CheckpointError, first_line
from prunescope.extras import require
from prunescope.interop.config_file import write_json
from prunescope.interop.gguf_to_config import TOKENS

transformers = require("transformers", "demo")
tokenizers = require("tokenizers", "demo")
decoders = require("tokenizers.decoders", "demo")
normalizers = require("tokenizers.normalizers", "demo")
pre_tokenizers = require("tokenizers.pre_tokenizers", "demo")

# What transformers' GGUF loading leaves behind.
_NOT_TOKENIZER = ("backend", "is_local", "local_files_only", "name_or_path")
_SPACE = "▁"


def write_tokenizer(source: Checkpoint, config: Mapping[str, Any], folder: Path) -> None:
    """Write the files of the tokenizer of the GGUF `source` into `folder`.

    Args:
        config: the model's.

    Raises:
        CheckpointError: there is none, or transformers does not read one of its kind.
    """
    try:
        with _alone(source) as file:
            # By the class that every transformers takes for "what tokenizer.json says".
            tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(
                file.parent, gguf_file=file.name, local_files_only=True, trust_remote_code=False
            )
        _correct(tokenizer.backend_tokenizer, source)
        for key in TOKENS:
            # transformers 5.14 takes its own defaults for those of the file.
            mark = key.removesuffix("_id")
            if config.get(key) not in (None, getattr(tokenizer, key)):
                setattr(tokenizer, mark, tokenizer.convert_ids_to_tokens(config[key]))
        tokenizer.save_pretrained(folder)
    except Exception as err:  # tokenizers raises plain Exception
        raise CheckpointError(source.path, f"no usable tokenizer ({first_line(err)})") from None
    _leave_out(folder / TOKENIZER, config["vocab_size"])
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text("utf-8"))
    for key in _NOT_TOKENIZER:
        settings.pop(key, None)
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    settings["clean_up_tokenization_spaces"] = False
    settings["model_max_length"] = config["max_position_embeddings"]
    write_json(path, settings)


@contextmanager
def _alone(source: Checkpoint) -> Iterator[Path]:
    """The file with the keys, of a split model the first, where no other file lies beside it:
    transformers would read a tokenizer there instead of that in it."""
    file = source.files[0].local
    assert file is not None
    with TemporaryDirectory() as folder:
        alone = Path(folder) / "model.gguf"
        alone.symlink_to(file.resolve())
        yield alone


def _correct(backend: Any, source: Checkpoint) -> None:
    """Cut text, and mark spaces, as the file says and transformers does not always."""
    kind = source.metadata.get("tokenizer.ggml.model")
    if kind == "gpt2":
        # Which rules transformers knows depends on its version.
        cuts = cuts_of(source.metadata.get("tokenizer.ggml.pre", ""))
        if cuts:
            backend.pre_tokenizer = pre_tokenizers.Sequence([_step(cut) for cut in cuts])
    elif kind == "llama":
        # A space before the text and after each special token, unless the file says otherwise.
        has_prefix = source.metadata.get("tokenizer.ggml.add_space_prefix") != "false"
        prefix = [normalizers.Prepend(_SPACE)] if has_prefix else []
        backend.normalizer = normalizers.Sequence([*prefix, normalizers.Replace(" ", _SPACE)])
        backend.pre_tokenizer = None
        steps = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
        if has_prefix:
            steps.append(decoders.Strip(" ", 1, 0))
        backend.decoder = decoders.Sequence(steps)


def _step(cut: str) -> Any:
    """The step of a pre-tokenizer that a name of `cuts_of` stands for."""
    if cut in ("ByteLevel", "bytes"):
        return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=cut == "ByteLevel")
    if cut == "Digits":
        return pre_tokenizers.Digits(individual_digits=True)
    return pre_tokenizers.Split(tokenizers.Regex(cut), "isolated")


def _leave_out(path: Path, tokens: int) -> None:
    """Special tokens that transformers' classes have of their own, behind all that there are: the
    embedding has no row for them."""
    made = json.loads(path.read_text("utf-8"))
    added = made["added_tokens"]
    made["added_tokens"] = [each for each in added if each["id"] < tokens]
    if made["added_tokens"] != added:
        path.write_text(json.dumps(made, ensure_ascii=False, indent=2), encoding="utf-8")
