"""Which config.json do the keys of a GGUF file stand for? Those that export writes, read back.

What a missing key means is llama.cpp's to say (`load_hparams` in src/llama-model.cpp, and
`load_arch_hparams` of each architecture in src/models/).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prunescope.analysis.llama_cpp_config import CONTEXT, EPSILON
from prunescope.architecture.head_counts import takes_heads
from prunescope.checkpoint import Checkpoint
from prunescope.checkpoint.gguf_config import (
    COUNTS,
    EMBEDDING,
    FULL,
    HEAD,
    KINDS,
    LAYER_TYPES,
    PER_LAYER,
    WINDOW,
)
from prunescope.errors import ArchitectureError, CheckpointError, first_line
from prunescope.extras import require
from prunescope.interop.gguf_family import Reading
from prunescope.interop.gguf_stated import Stated
from prunescope.interop.gguf_to_rope import add_rope
from prunescope.interop.gguf_values import scaling_rows
from prunescope.interop.hf_config import stock_class

if TYPE_CHECKING:
    import transformers
else:
    # transformers' tokenizers read GGUF only where torch is.
    require("torch", "demo")
    transformers = require("transformers", "demo")

_HEADS = ("num_attention_heads", "num_key_value_heads")
# What no config.json of a model that was trained as it is has.
_NOT_CONFIG = ("_name_or_path", "quantization_config")
TOKENS = {
    "bos_token_id": "tokenizer.ggml.bos_token_id",
    "eos_token_id": "tokenizer.ggml.eos_token_id",
    "pad_token_id": "tokenizer.ggml.padding_token_id",
}


def config_of(source: Checkpoint, reading: Reading) -> dict[str, Any]:
    """What the keys and the tensors of `source` say, by the keys of config.json.

    Layers that differ depart from it in its `per_layer_config`.

    Raises:
        ArchitectureError: what no config.json of the family says.
        CheckpointError: keys that are missing or absurd.
    """
    stated, told = Stated(source, reading.architecture), reading.told
    if stated.text("attention.causal") == "false":
        cause = "its tokens see those behind them, which no config.json of a causal model says"
        raise ArchitectureError(f"{source.path}: {cause}")
    embedding = source.tensors.get(EMBEDDING)
    if embedding is None:
        raise CheckpointError(source.path, "has no token embedding")
    config: dict[str, Any] = {
        "model_type": reading.family.name,
        "vocab_size": embedding.shape[0],
        "num_hidden_layers": stated.count("block_count"),
        "hidden_size": stated.count("embedding_length"),
        CONTEXT: stated.count("context_length"),
        EPSILON: stated.real("attention.layer_norm_rms_epsilon"),
        "tie_word_embeddings": HEAD not in source.tensors
        or HEAD not in reading.names.outside.values(),
    }
    for space, key in told.lengths.items():
        config[reading.family.spaces[space].config] = stated.count(key)
    _add_heads(config, stated)
    # A count of 0 says what a key that is left out of config.json does.
    for name, key in told.integers.items():
        usual = 0 if told.defaults.get(name) == 0 else None
        config[name] = stated.count(key, usual) or None
    config |= {name: stated.real(key) for name, key in told.floats.items()}
    _check_experts(config, reading, stated)
    if told.query_scale is not None:
        config[told.query_scale] = scaling_rows(
            config["num_hidden_layers"],
            config["head_dim"],
            config["hidden_size"],
            config["num_attention_heads"],
        )
    if told.has_window:
        _add_windows(config, stated)
    _add_wanted(config, source, reading)
    add_rope(config, source, reading, stated)
    config |= {name: stated.token(key, embedding.shape[0]) for name, key in TOKENS.items()}
    _add_layers(config, stated, reading)
    return config


def _add_heads(config: dict[str, Any], stated: Stated) -> None:
    dim = config["head_dim"] = stated.count("attention.key_length")
    of_values = stated.count("attention.value_length", dim)
    if of_values != dim:
        raise CheckpointError(
            stated.where, f"keys of {dim} rows a head and values of {of_values}: no config says it"
        )
    if dim % 2:
        raise CheckpointError(stated.where, f"heads of {dim} rows, an odd number, have no rotation")


def _check_experts(config: Mapping[str, Any], reading: Reading, stated: Stated) -> None:
    if "experts" not in reading.told.lengths:
        return
    there, used = config[reading.family.spaces["experts"].config], config[reading.family.active]
    if used > there:
        raise CheckpointError(stated.where, f"{used} experts are to see a token, of {there}")


def _add_windows(config: dict[str, Any], stated: Stated) -> None:
    kinds = stated.config.get(LAYER_TYPES)
    if kinds is None:
        return
    config[LAYER_TYPES] = list(kinds)
    if config[WINDOW] >= config[CONTEXT] and FULL not in kinds:
        # As export has it for windows that leave nothing out: llama.cpp wants some.
        config[LAYER_TYPES] = [FULL] * len(kinds)


def _add_wanted(config: dict[str, Any], source: Checkpoint, reading: Reading) -> None:
    """What llama.cpp computes with, and what the tensors that are there stand for."""
    found = config | reading.flags
    for key, values in reading.told.wants.items():
        if found.get(key, values[0]) not in values:
            raise CheckpointError(
                source.path,
                f"its tensors stand for {key} {found[key]!r}, and llama.cpp's "
                f"{reading.architecture} computes with {values[0]!r}",
            )
        found.setdefault(key, values[0])
    config |= found


def _add_layers(config: dict[str, Any], stated: Stated, reading: Reading) -> None:
    """Where layers differ, as only one architecture may have it."""
    layers = stated.config.get(PER_LAYER, {})
    for layer, own in layers.items():
        if not reading.takes.per_layer:
            # llama.cpp itself takes the first layer's counts for all.
            raise ArchitectureError(f"{stated.where}: GGUF whose layers differ, and no 'deci'")
        for part, kind in own.get(KINDS, {}).items():
            what = "no" if kind == "none" else "a linear layer for its"
            raise ArchitectureError(f"{stated.where}: layer {layer} has {what} {part}: is no Llama")
    known = {COUNTS[key] for key in reading.told.lengths.values() if key in COUNTS}
    for layer, own in layers.items():
        if own.keys() - known or min(own.values()) < 1:
            what = ", ".join(f"{key} {value}" for key, value in own.items())
            raise CheckpointError(stated.where, f"layer {layer} cannot have {what}")
    if layers:
        config[PER_LAYER] = dict(layers)


def as_stock(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The config.json that transformers' class of the model would save, of float32 weights.

    Raises:
        CheckpointError: transformers refuses it.
    """
    values = {key: value for key, value in config.items() if key not in ("model_type", PER_LAYER)}
    mine: dict[str, Any] = {}
    alone = dict.fromkeys(_HEADS, 1)
    if not takes_heads(config) and takes_heads({**config, **alone}):
        # What transformers' class would refuse, and the code that comes along builds.
        mine, values = {key: values[key] for key in _HEADS}, values | alone
    try:
        made = transformers.AutoConfig.for_model(config["model_type"], **values)
        found: dict[str, Any] = made.to_diff_dict() | mine
    except Exception as err:  # transformers raises errors of many kinds
        raise CheckpointError(where, f"transformers refuses it: {first_line(err)}") from None
    for key in _NOT_CONFIG:
        found.pop(key, None)
    if PER_LAYER in config:
        found[PER_LAYER] = config[PER_LAYER]
    return found | {
        "architectures": [stock_class(config)],
        "dtype": "float32",
        # transformers before 5 knows no rope_parameters, and would take its default of 10000.
        "rope_theta": config["rope_parameters"]["rope_theta"],
    }
