"""How is a model folder loaded, whatever the shapes of its layers?

Loading goes through prunescope's own reader: nothing in the weights is executed, and layers that
differ in shape, which stock `from_pretrained` refuses, are given the parameters they have.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunescope.architecture import Model, Role, describe, refuse_other_names
from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.jsonfile import read_beside
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError, PrunescopeError, first_line
from prunescope.extras import require
from prunescope.interop.agreement import check_sizes
from prunescope.interop.carried.modeling_prunescope import LayerConfig
from prunescope.interop.hf_config import uniform
from prunescope.interop.lazy_state import LazyState, Outline
from prunescope.interop.packed import stacked
from prunescope.interop.torch_tensors import as_tensor, computing_dtype

if TYPE_CHECKING:
    import torch
    import transformers
else:
    torch = require("torch", "prune")
    transformers = require("transformers", "prune")


def load(
    path: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
) -> transformers.PreTrainedModel:
    """The model in the folder `path`, in evaluation mode, pruned unevenly or not.

    Args:
        path: a folder with config.json and weights that prunescope reads.
        device: where its parameters are put.
        dtype: of its parameters; as stored by default, that of most where they differ.

    Raises:
        CheckpointError, ArchitectureError: as `open_checkpoint` and `describe`.
        MissingExtra: torch or transformers is not installed.
    """
    model = describe(open_checkpoint(path))
    refuse_other_names(model)
    dtype = dtype or computing_dtype(model.checkpoint)
    tensors = model.checkpoint.tensors
    with WeightMap() as weights:

        def copied(name: str) -> torch.Tensor:
            tensor = as_tensor(weights, tensors[name]).to(device, dtype, copy=True)
            weights.release()
            return tensor

        outlines = {name: Outline(info.shape, dtype) for name, info in tensors.items()}
        network = as_stored(model, LazyState(outlines, copied))
    return with_generation_settings(network, model)


def mapped(model: Model, weights: WeightMap) -> dict[str, torch.Tensor]:
    """Every tensor of `model` over the memory map: read-only, on the CPU."""
    return {name: as_tensor(weights, info) for name, info in model.checkpoint.tensors.items()}


def as_stored(
    model: Model, state: Mapping[str, torch.Tensor], is_held: bool = True
) -> transformers.PreTrainedModel:
    """`assemble` for `model` in its own shapes.

    Args:
        is_held: whether experts' values are wanted; see `stacked`.

    Raises:
        ArchitectureError: tensors have names that transformers does not know.
        CheckpointError: the shapes fit neither each other nor config.json; or as `assemble`.
    """
    where = model.checkpoint.path
    refuse_other_names(model)
    # Before the sizes, which transformers' defaults may fill in, the config itself.
    if not model.checkpoint.config:
        raise CheckpointError(where, "no config.json beside the weights")
    check_sizes(model)
    config = model.checkpoint.config
    return network_of(config, stacked(state, config, where, is_held), where)


def with_generation_settings(
    network: transformers.PreTrainedModel, model: Model
) -> transformers.PreTrainedModel:
    """`network` with the settings (end-of-text tokens) of `model`'s generation_config.json.

    Raises:
        CheckpointError: transformers refuses them.
    """
    home, name = model.checkpoint.home, "generation_config.json"
    settings = read_beside(home, name) if model.checkpoint.owns_home else {}
    if settings:
        try:
            network.generation_config = transformers.GenerationConfig.from_dict(settings)
        except Exception as err:  # as for config.json
            raise CheckpointError(
                home.file(name), f"transformers refuses it: {first_line(err)}"
            ) from None
    return network


def assemble(
    config: Mapping[str, Any], state: Mapping[str, torch.Tensor], where: str
) -> transformers.PreTrainedModel:
    """A causal language model whose parameters are the tensors of `state`, not copies of them.

    But for experts that are stored one by one: transformers has one parameter for all of a layer.

    Raises:
        CheckpointError: as `network_of` and `stacked`.
    """
    return network_of(config, stacked(state, config, where), where)


def network_of(
    config: Mapping[str, Any], parameters: Mapping[str, torch.Tensor], where: str
) -> transformers.PreTrainedModel:
    """The same, of tensors that have the names of transformers' parameters.

    Raises:
        CheckpointError: config.json is unfit, or tensors are missing or extra.
    """
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


def token_ids(model: Model, text: str) -> list[int]:
    """`text` as the model's own tokenizer cuts it.

    Raises:
        PrunescopeError: there is no tokenizer, or it gives a token that has no embedding.
    """
    path = model.checkpoint.path
    ids: list[int] = load_tokenizer(home(model))(text, verbose=False)["input_ids"]
    if Role.EMBEDDING not in model.outside:
        raise CheckpointError(path, "no token embedding among the tensors")
    rows = model.outside[Role.EMBEDDING].shape[0]
    if max(ids, default=0) >= rows:
        raise PrunescopeError(f"{path}: the tokenizer gives token {max(ids)}, {rows} are embedded")
    return ids


def home(model: Model) -> Path:
    """The folder with what lies beside the weights.

    Raises:
        ArchitectureError: the model is not stored as transformers stores one.
        CheckpointError: it is not on this machine.
    """
    refuse_other_names(model)
    path = model.checkpoint.home.local
    if path is None:
        raise CheckpointError(model.checkpoint.path, "is remote: download the model first")
    return path


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
        # Where there is no file, transformers names a class that it then tried.
        why = first_line(err) if _has_tokenizer(folder) else "no tokenizer.json or tokenizer.model"
        raise PrunescopeError(
            f"{folder}: no usable tokenizer ({why}): put the model's own tokenizer there"
        ) from None


def _has_tokenizer(folder: Path) -> bool:
    return any(any(folder.glob(pattern)) for pattern in ("tokenizer*", "*vocab*", "*.model"))
