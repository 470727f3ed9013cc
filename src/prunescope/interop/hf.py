"""How is a model folder loaded and saved, whatever the shapes of its layers?

Loading goes through prunescope's own reader: nothing in the weights is executed, and layers that
differ in shape, which stock `from_pretrained` refuses, are given the parameters they have.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.architecture import Model, describe
from prunescope.atomic import replacing_folder
from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.folder import inside
from prunescope.checkpoint.jsonfile import read_object
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import ArchitectureError, CheckpointError, PrunescopeError
from prunescope.extras import require
from prunescope.interop.hf_config import uniform
from prunescope.interop.torch_tensors import as_tensor

if TYPE_CHECKING:
    import torch
    import transformers
else:
    torch = require("torch", "prune")
    transformers = require("transformers", "prune")

WEIGHTS = "pytorch_model.bin"
RECORD = "pruning.json"
COMPANIONS = (
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)
_OURS = {WEIGHTS, RECORD, "config.json", *COMPANIONS}


def load(
    path: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
) -> transformers.PreTrainedModel:
    """The model in the folder `path`, in evaluation mode, pruned unevenly or not.

    Args:
        path: a folder with config.json and weights that prunescope reads.
        device: where its parameters are put.
        dtype: of its floating-point parameters; as stored by default.

    Raises:
        CheckpointError, ArchitectureError: as `open_checkpoint` and `describe`.
        MissingExtra: torch or transformers is not installed.
    """
    model = describe(open_checkpoint(path))
    with WeightMap() as weights:
        state = {
            name: as_tensor(weights, info).to(device, dtype, copy=True)
            for name, info in model.checkpoint.tensors.items()
        }
    loaded = assemble(model.checkpoint.config, state, str(path))
    folder = model.checkpoint.folder
    if folder is not None and (folder / "generation_config.json").is_file():
        settings = read_object(inside(folder, "generation_config.json"), "generation_config.json")
        loaded.generation_config = transformers.GenerationConfig.from_dict(settings)
    return loaded


def mapped(model: Model, weights: WeightMap) -> dict[str, torch.Tensor]:
    """Every tensor of `model` over the memory map: read-only, on the CPU."""
    return {name: as_tensor(weights, info) for name, info in model.checkpoint.tensors.items()}


def assemble(
    config: Mapping[str, Any], state: Mapping[str, torch.Tensor], where: str
) -> transformers.PreTrainedModel:
    """A causal language model whose parameters are the tensors of `state`, not copies of them.

    Raises:
        CheckpointError: config.json is missing or unfit, or tensors are missing or extra.
    """
    settings = uniform(config)
    if not settings:
        raise CheckpointError(where, "no config.json beside the weights")
    try:
        built = transformers.AutoConfig.for_model(**settings)
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(built)
    except Exception as err:  # transformers validates configs with errors of many kinds
        reason = str(err).strip().splitlines()[0] if str(err).strip() else type(err).__name__
        raise CheckpointError(where, f"transformers refuses config.json: {reason}") from None
    _renew_buffers(model, built)
    for name, tensor in state.items():
        _place(model, name, tensor, where)
    model.tie_weights()
    missing = next((name for name, p in model.named_parameters() if p.is_meta), None)
    if missing is not None:
        raise CheckpointError(where, f"tensor {missing!r} is missing")
    _settle_heads(model, where)
    return model.eval()


def _renew_buffers(model: transformers.PreTrainedModel, config: Any) -> None:
    """Compute the buffers that no file holds (rotary frequencies): on meta they have no values."""
    for module in list(model.modules()):
        if any(buffer.is_meta for buffer in module.buffers(recurse=False)):
            fresh = type(module)(config)
            for name, buffer in fresh.named_buffers(recurse=False):
                module.register_buffer(name, buffer, persistent=False)


def _place(
    model: transformers.PreTrainedModel, name: str, tensor: torch.Tensor, where: str
) -> None:
    path, _, attribute = name.rpartition(".")
    try:
        module = model.get_submodule(path)
        old = getattr(module, attribute)
    except AttributeError:
        if attribute == "inv_freq":
            return
        raise CheckpointError(where, f"transformers has no place for tensor {name!r}") from None
    if not isinstance(old, torch.nn.Parameter):
        return
    setattr(module, attribute, torch.nn.Parameter(tensor, requires_grad=False))
    if isinstance(module, torch.nn.Linear) and tensor.dim() == 2:
        module.out_features, module.in_features = tensor.shape


def _settle_heads(model: transformers.PreTrainedModel, where: str) -> None:
    """Make each attention repeat its KV heads as often as its own shapes say, and move buffers."""
    for module in model.modules():
        if hasattr(module, "num_key_value_groups"):
            queries, keys = module.q_proj.weight.shape[0], module.k_proj.weight.shape[0]
            if not keys or queries % keys:
                raise ArchitectureError(f"{where}: {queries} query rows for {keys} key rows")
            module.num_key_value_groups = queries // keys
    device = next(model.parameters()).device
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.device != device:
                setattr(module, name, buffer.to(device))


def load_tokenizer(folder: Path) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer of a model folder.

    Raises:
        PrunescopeError: there is none, or it cannot be read.
    """
    try:
        return transformers.AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    except Exception as err:  # tokenizers raises plain Exception
        reason = str(err).strip().splitlines()[0] if str(err).strip() else type(err).__name__
        raise PrunescopeError(f"{folder}: no usable tokenizer ({reason})") from None


def save(
    folder: Path,
    state: Mapping[str, torch.Tensor],
    config: Mapping[str, Any],
    record: Mapping[str, Any],
    base: Path,
) -> None:
    """Write a model folder as a whole: weights, config, pruning record, tokenizer of `base`.

    Weights are a plain state dict that `torch.load(weights_only=True)` reads. An earlier output
    is replaced only once the new one stands; other files in the folder stay.

    Raises:
        PrunescopeError: the folder cannot be written.
    """
    with replacing_folder(folder, lambda entry: entry.name in _OURS) as temporary:
        # torch names the archive's root after the file: written under its final name.
        torch.save(dict(state), temporary / WEIGHTS)
        _write_json(temporary / "config.json", config)
        _write_json(temporary / RECORD, record)
        for name in COMPANIONS:
            if (base / name).is_file():
                shutil.copyfile(inside(base, name), temporary / name)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=2)
    # Ten thousand kept channels belong on one line, not on ten thousand.
    text = re.sub(r"\[([\d\s,]+)\]", lambda found: f"[{' '.join(found[1].split())}]", text)
    path.write_text(text + "\n", encoding="utf-8")
