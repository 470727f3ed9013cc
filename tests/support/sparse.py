"""Models with true headers and holes for data: Llama-3-8B in a few kilobytes of disk."""

from __future__ import annotations

import json
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class LlamaShape:
    """The figures that fix every shape of a Llama-family model."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool

    def config(self) -> dict[str, object]:
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "num_hidden_layers": self.layers,
            "head_dim": self.head_dim,
            "vocab_size": self.vocab,
            "tie_word_embeddings": self.tied,
        }


LLAMA_3_8B = LlamaShape(32, 4096, 14336, 32, 8, 128, 128256, tied=False)
TINYLLAMA = LlamaShape(22, 2048, 5632, 32, 4, 64, 32000, tied=False)
SMOLLM2 = LlamaShape(30, 576, 1536, 9, 3, 64, 49152, tied=True)


def llama_shapes(
    model: LlamaShape,
    pruned: range = range(0),
    q_rows: int = 0,
    kv_rows: int = 0,
    channels: int = 0,
) -> Shapes:
    """Tensor shapes of `model`; layers in `pruned` lose rows of q (and columns of o), k and v,
    and MLP channels."""
    hidden = model.hidden
    shapes: Shapes = {"model.embed_tokens.weight": (model.vocab, hidden)}
    for layer in range(model.layers):
        cut = layer in pruned
        q = model.heads * model.head_dim - q_rows * cut
        kv = model.kv_heads * model.head_dim - kv_rows * cut
        mlp = model.intermediate - channels * cut
        prefix = f"model.layers.{layer}."
        shapes |= {
            prefix + "input_layernorm.weight": (hidden,),
            prefix + "mlp.down_proj.weight": (hidden, mlp),
            prefix + "mlp.gate_proj.weight": (mlp, hidden),
            prefix + "mlp.up_proj.weight": (mlp, hidden),
            prefix + "post_attention_layernorm.weight": (hidden,),
            prefix + "self_attn.k_proj.weight": (kv, hidden),
            prefix + "self_attn.o_proj.weight": (hidden, q),
            prefix + "self_attn.q_proj.weight": (q, hidden),
            prefix + "self_attn.v_proj.weight": (kv, hidden),
        }
    shapes["model.norm.weight"] = (hidden,)
    if not model.tied:
        shapes["lm_head.weight"] = (model.vocab, hidden)
    return shapes


def write_safetensors(
    path: Path, shapes: Mapping[str, tuple[int, ...]], packed: Collection[str] = ()
) -> None:
    """A safetensors file whose data is one hole: in bf16, but bytes of those in `packed`."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, shape in shapes.items():
        kind, width = ("U8", 1) if name in packed else ("BF16", 2)
        end = position + width * elements(shape)
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [position, end]}
        position = end
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    with path.open("wb") as stream:
        stream.write(len(raw).to_bytes(8, "little") + raw)
        stream.truncate(8 + len(raw) + position)


def write_sharded(
    folder: Path,
    shapes: Shapes,
    shards: int,
    write: Callable[[Path, Mapping[str, tuple[int, ...]]], None],
    suffix: str,
) -> None:
    """Shards of about equal numbers of tensors, with transformers' index file."""
    names = list(shapes)
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    weight_map = {}
    for shard in range(shards):
        part = names[shard * len(names) // shards : (shard + 1) * len(names) // shards]
        file = f"{stem}-{shard + 1:05}-of-{shards:05}.{suffix}"
        write(folder / file, {name: shapes[name] for name in part})
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))


def write_torch_zip(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """A bf16 file by `torch.save` itself, which leaves holes for storages it is told to skip."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.serialization import skip_data

    with FakeTensorMode(), skip_data(materialize_fake_tensors=True):
        state = OrderedDict((n, torch.empty(s, dtype=torch.bfloat16)) for n, s in shapes.items())
        torch.save(state, path)


def write_model(folder: Path, model: LlamaShape, shapes: Shapes) -> Path:
    """A folder with one safetensors file and its config."""
    folder.mkdir(parents=True)
    write_safetensors(folder / "model.safetensors", shapes)
    (folder / "config.json").write_text(json.dumps(model.config()))
    return folder


def elements(shape: tuple[int, ...]) -> int:
    count = 1
    for n in shape:
        count *= n
    return count


def torch_zip_names(path: Path) -> list[str]:
    """The records of a torch file, as the standard library sees them."""
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()
