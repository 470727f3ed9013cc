"""How do tensors become transformers' network, whatever the shapes of its layers?

It is built without memory; then each tensor takes its place, and what depends on shape is set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prunescope.architecture import refuse_more_than_text
from prunescope.errors import CheckpointError, first_line
from prunescope.extras import require
from prunescope.interop.carried.modeling_prunescope import LayerConfig
from prunescope.interop.hf_config import uniform
from prunescope.interop.packed import stacked

if TYPE_CHECKING:
    import torch
    import transformers
else:
    torch = require("torch", "prune")
    transformers = require("transformers", "prune")


def assemble(
    config: Mapping[str, Any], state: Mapping[str, torch.Tensor], where: str
) -> transformers.PreTrainedModel:
    """A causal language model whose parameters are the tensors of `state`, not copies of them.

    But for experts that are stored one by one: transformers has one parameter for all of a layer.

    Raises:
        ArchitectureError, CheckpointError: as `network_of` and `stacked`.
    """
    return network_of(config, stacked(state, config, where), where)


def network_of(
    config: Mapping[str, Any], parameters: Mapping[str, torch.Tensor], where: str
) -> transformers.PreTrainedModel:
    """The same, of tensors that have the names of transformers' parameters.

    Raises:
        ArchitectureError: the config of a model that also sees or hears.
        CheckpointError: config.json is unfit, or tensors are missing or extra.
    """
    refuse_more_than_text(config, where)
    settings = uniform(config, where)
    try:
        built = transformers.AutoConfig.for_model(**settings)
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(built)
    except Exception as err:  # transformers validates configs with errors of many kinds
        raise CheckpointError(
            where, f"transformers refuses config.json: {first_line(err)}"
        ) from None
    _renew_buffers(model, built)
    for name, tensor in parameters.items():
        _place(model, name, tensor, where)
    _tie(model)
    missing = next((name for name, p in model.named_parameters() if p.is_meta), None)
    if missing is not None:
        raise CheckpointError(where, f"tensor {missing!r} is missing")
    _settle_heads(model)
    return model.eval()


def _renew_buffers(model: transformers.PreTrainedModel, config: Any) -> None:
    """Compute the buffers that no file holds (rotary frequencies): on meta they have no values."""
    for module in list(model.modules()):
        if any(buffer.is_meta for buffer in module.buffers(recurse=False)):
            if isinstance(module, torch.nn.Embedding):
                # Gemma scales its embedding; transformers' own initialisation knows by how much.
                for name, buffer in list(module.named_buffers(recurse=False)):
                    empty = torch.empty_like(buffer, device="cpu")
                    module.register_buffer(name, empty, persistent=False)
                model._init_weights(module)
                continue
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
        old = None
    if old is None:
        # Or a bias that config.json does without: left out, the model would compute other things.
        raise CheckpointError(where, f"transformers has no place for tensor {name!r}")
    if not isinstance(old, torch.nn.Parameter):
        return
    setattr(module, attribute, torch.nn.Parameter(tensor, requires_grad=False))
    if isinstance(module, torch.nn.Linear) and tensor.dim() == 2:
        module.out_features, module.in_features = tensor.shape


def _tie(model: transformers.PreTrainedModel) -> None:
    """Tie as transformers does: not where the file has two tensors that differ."""
    head, embedding = model.get_output_embeddings().weight, model.get_input_embeddings().weight
    if not model.config.tie_word_embeddings:
        return
    if head.is_meta or embedding.is_meta or torch.equal(head, embedding):
        model.tie_weights()
    else:
        model.config.tie_word_embeddings = False


def _settle_heads(model: transformers.PreTrainedModel) -> None:
    """Make each attention repeat its KV heads as often as its own shapes say, and move buffers."""
    for module in model.modules():
        if not hasattr(module, "num_key_value_groups"):
            continue
        if hasattr(module, "q_proj"):
            queries, keys = module.q_proj.weight.shape[0], module.k_proj.weight.shape[0]
            module.num_key_value_groups = queries // keys
        elif hasattr(module, "qkv_proj"):
            # Its rows do not say how they are divided; the columns behind them do.
            heads = module.o_proj.weight.shape[1] // module.head_dim
            kv_heads = (module.qkv_proj.weight.shape[0] // module.head_dim - heads) // 2
            module.num_key_value_heads, module.num_key_value_groups = kv_heads, heads // kv_heads
            if heads != module.config.num_attention_heads:
                module.config = LayerConfig(module.config, num_attention_heads=heads)
    device = next(model.parameters()).device
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.device != device:
                setattr(module, name, buffer.to(device))
