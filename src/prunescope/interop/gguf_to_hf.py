"""Which Hugging Face model is in this GGUF file? Its weights, config and tokenizer as files.

Config and tokenizer come from transformers' own GGUF support, without the marks of a quantised
model; the tokenizer is corrected where transformers' is not the model's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from prunescope.checkpoint import Checkpoint, open_checkpoint
from prunescope.checkpoint.gguf_config import COUNTS, PER_LAYER
from prunescope.errors import CheckpointError
from prunescope.extras import require
from prunescope.interop.gguf import check_architecture, check_shapes, read_tensors, reason_of
from prunescope.interop.gguf_deci import write_keys_as_llama
from prunescope.interop.gguf_factors import scaling_of
from prunescope.steps import Progress, silent

if TYPE_CHECKING:
    import transformers
else:
    # transformers reads GGUF only where torch is.
    require("torch", "demo")
    transformers = require("transformers", "demo")
pre_tokenizers = require("tokenizers.pre_tokenizers", "demo")
safetensors_numpy = require("safetensors.numpy", "demo")

# What transformers' GGUF loading leaves behind, and no Llama config has.
_NOT_CONFIG = ("_model_name_or_path", "quantization_config", "unk_token_id")
_MARKS = ("bos_token", "eos_token", "pad_token")
_NOT_TOKENIZER = ("backend", "is_local", "local_files_only", "name_or_path")


def convert(path: Path, folder: Path, progress: Progress = silent) -> None:
    """Write the model in the GGUF file `path` into `folder` as Hugging Face files.

    These are model.safetensors (float32), config.json, generation_config.json and those of the
    tokenizer. The same file gives the same bytes.

    Args:
        path: a GGUF file of an architecture of `gguf.ARCHITECTURES`, or a shard of one.
        folder: an existing folder.
        progress: called with the number of steps; yields what counts one of them off.

    Raises:
        ArchitectureError: the GGUF holds another architecture.
        CheckpointError: it is damaged, or no Llama model with a tokenizer.
    """
    source = open_checkpoint(path)
    check_architecture(source)
    with progress(len(source.tensors) + 3) as tick:
        with _alone(source) as file:
            config = read_config(source, file)
            _write_json(folder / "config.json", config)
            _write_generation_config(folder, config)
            tick()
            _write_tokenizer(source, file, config, folder)
            tick()
        tensors = read_tensors(source, tick)
        check_shapes(source, tensors, config)
        weights = folder / "model.safetensors"
        safetensors_numpy.save_file(tensors, weights, {"format": "pt"})
        # safetensors makes it readable for its owner alone.
        weights.chmod((folder / "config.json").stat().st_mode)
        tick()


@contextmanager
def _alone(source: Checkpoint) -> Iterator[Path]:
    """The file with the keys, of a split model the first, where no other file lies beside it:
    transformers would read config and tokenizer there instead of those in it.

    Of a `deci`, of which transformers has no model, its keys as a Llama's.
    """
    file = source.files[0].local
    assert file is not None
    with TemporaryDirectory() as folder:
        alone = Path(folder) / "model.gguf"
        if source.config.get("model_type") == "deci":
            write_keys_as_llama(source, file, alone)
        else:
            alone.symlink_to(file.resolve())
        yield alone


def read_config(source: Checkpoint, file: Path) -> dict[str, Any]:
    """The config.json of an ordinary float32 Llama, by transformers' own reading of the GGUF.

    Args:
        file: the one of `source` that has its keys, with nothing beside it.

    Raises:
        CheckpointError: transformers cannot read it.
    """
    try:
        config = transformers.AutoConfig.from_pretrained(
            file.parent, gguf_file=file.name, local_files_only=True, trust_remote_code=False
        )
        values: dict[str, Any] = config.to_diff_dict()
    except Exception as err:  # transformers raises errors of many kinds
        raise CheckpointError(source.path, f"transformers refuses it: {reason_of(err)}") from None
    for key in _NOT_CONFIG:
        values.pop(key, None)
    if values.get("model_type") != "llama":
        raise CheckpointError(source.path, f"transformers reads a {values.get('model_type')!r}")
    is_deci = source.config.get("model_type") == "deci"
    if len(source.files) > 1 or is_deci:
        # transformers looks for an output head in the file it was given alone.
        values["tie_word_embeddings"] = source.config.get("tie_word_embeddings") is True
    if is_deci:
        keys = (*COUNTS.values(), PER_LAYER)
        values |= {key: source.config[key] for key in keys if key in source.config}
    rope = dict(values.get("rope_parameters", {}))
    # transformers before 5 knows no rope_parameters, and would take its default of 10000.
    theta = rope.get("rope_theta")
    rope |= scaling_of(source, _head_dim(config), float(theta or 10000.0))
    if rope:
        values["rope_parameters"] = rope
    return values | {
        "architectures": ["LlamaForCausalLM"],
        "dtype": "float32",
        "rope_theta": theta,
    }


def _head_dim(config: transformers.PreTrainedConfig) -> int:
    dim = getattr(config, "head_dim", None)
    return int(dim or config.hidden_size // config.num_attention_heads)


def _write_generation_config(folder: Path, config: Mapping[str, Any]) -> None:
    keys = [f"{mark}_id" for mark in _MARKS]
    marks = {key: config[key] for key in keys if config.get(key) is not None}
    version = {"transformers_version": transformers.__version__}
    _write_json(folder / "generation_config.json", {"_from_model_config": True} | marks | version)


def _write_tokenizer(
    source: Checkpoint, file: Path, config: Mapping[str, Any], folder: Path
) -> None:
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            file.parent, gguf_file=file.name, local_files_only=True, trust_remote_code=False
        )
        if source.metadata.get("tokenizer.ggml.pre") == "smollm":
            # transformers ignores this key. llama.cpp (llama-vocab.cpp, SMOLLM), like the model's
            # own tokenizer, splits digits off first: "a  12" has one token of two spaces.
            tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
                [
                    pre_tokenizers.Digits(individual_digits=True),
                    pre_tokenizers.ByteLevel(add_prefix_space=False),
                ]
            )
        for mark in _MARKS:
            # transformers 5.14 takes its own defaults for those of the file.
            if config.get(f"{mark}_id") not in (None, getattr(tokenizer, f"{mark}_id")):
                setattr(tokenizer, mark, tokenizer.convert_ids_to_tokens(config[f"{mark}_id"]))
        tokenizer.save_pretrained(folder)
    except Exception as err:  # tokenizers raises plain Exception
        raise CheckpointError(source.path, f"no usable tokenizer ({reason_of(err)})") from None
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text("utf-8"))
    for key in _NOT_TOKENIZER:
        settings.pop(key, None)
    # The class that every transformers takes for "what tokenizer.json says".
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    settings["clean_up_tokenization_spaces"] = False
    settings["model_max_length"] = config["max_position_embeddings"]
    _write_json(path, settings)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")
