"""Which Hugging Face model is in this GGUF file? Its weights, config and tokenizer as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.weights import WeightMap
from prunescope.extras import require
from prunescope.interop.config_file import write_json
from prunescope.interop.gguf import Dequantised, held_in
from prunescope.interop.gguf_family import reading_of
from prunescope.interop.gguf_to_config import TOKENS, as_stock, config_of
from prunescope.interop.gguf_to_tokenizer import write_tokenizer
from prunescope.interop.safetensors_writer import write_safetensors
from prunescope.steps import Progress, silent

transformers = require("transformers", "demo")


def convert(path: Path, folder: Path, progress: Progress = silent) -> None:
    """Write the model in the GGUF file `path` into `folder` as Hugging Face files.

    These are model.safetensors (float32), config.json, generation_config.json and those of the
    tokenizer. The same file gives the same bytes. Tensors are read and written one at a time.

    Args:
        path: a GGUF file of one of `gguf_family.architectures`, or a shard of one.
        folder: an existing folder.
        progress: called with the number of steps; yields what counts one of them off.

    Raises:
        ArchitectureError: the GGUF holds another architecture, or what no config.json says.
        CheckpointError: it is damaged, or has no tokenizer.
    """
    source = open_checkpoint(path)
    reading = reading_of(source)
    said = config_of(source, reading)
    held = held_in(source, reading, said)
    config = as_stock(said, source.path)
    with progress(len(held) + 2) as tick:
        write_json(folder / "config.json", dict(sorted(config.items())))
        _write_generation_config(folder, config)
        tick()
        write_tokenizer(source, config, folder)
        tick()
        tensors = {name: held[name].info for name in sorted(held)}
        weights_file = folder / "model.safetensors"
        with WeightMap() as weights:
            made = Dequantised(held, weights)
            write_safetensors(weights_file, tensors, made, {"format": "pt"}, tick)


def _write_generation_config(folder: Path, config: Mapping[str, Any]) -> None:
    marks = {key: config[key] for key in TOKENS if config.get(key) is not None}
    version = {"transformers_version": transformers.__version__}
    write_json(folder / "generation_config.json", {"_from_model_config": True} | marks | version)
