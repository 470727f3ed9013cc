"""What is said of transformers is what the real `AutoModelForCausalLM.from_pretrained` does.

It refuses layers that differ and configs that do not fit; what it does not find it makes up.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, PreTrainedModel

from prunescope.analysis.verify import verify
from prunescope.checkpoint import open_checkpoint
from prunescope.errors import CheckpointError
from prunescope.interop.convert import convert
from prunescope.interop.gguf_export import export_gguf
from tests.support.gguf_families import folder_of, halved
from tests.support.pruning import described, plan, prune_tiny, store_as_torch
from tests.support.tiny import edit_json, tiny_folder, tiny_network
from tests.support.verify import ENGINES, check, codes, pruned_pair, verified

TOKENS = torch.arange(3, 33).view(1, 30)


def stock(folder: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def loads_truly(folder: Path, state: dict[str, torch.Tensor]) -> bool:
    """Whether stock transformers ends up with the values of the file."""
    try:
        loaded = stock(folder).state_dict()
    except Exception:  # of many kinds: RuntimeError, UnpicklingError, OSError, ValueError
        return False
    return all(name in loaded and torch.equal(loaded[name], state[name]) for name in state)


def reasons(folder: Path) -> set[str]:
    return codes(verified(folder), "transformers", "warn")


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_layers_that_are_alike_load(tmp_path: Path, family: str) -> None:
    original = tiny_folder(tmp_path / "a", family=family)
    pruned = prune_tiny(described(original), plan(attention=(0, 4), mlp=(0, 4)))
    pruned.save(tmp_path / "b")
    for folder in (original, tmp_path / "b"):
        assert {check(verified(folder), name).verdict for name in ENGINES} == {"pass"}
    assert loads_truly(tmp_path / "b", pruned.state)


def test_layers_that_differ_are_refused(tmp_path: Path) -> None:
    _, pruned = pruned_pair(tmp_path)
    assert reasons(pruned) == {"layers_differ"}
    with pytest.raises(RuntimeError):
        stock(pruned)
    assert codes(verified(pruned), "vllm", "warn") == {"layers_differ"}
    assert codes(verified(pruned), "llama.cpp", "warn") == {"deci_needed"}


@pytest.mark.parametrize(
    ("name", "even", "uneven"),
    [
        ("qwen2", "other_needed", "deci_needed"),
        ("qwen3", "convert_gguf", "layers_differ"),
        ("gemma2", "convert_gguf", "layers_differ"),
        ("phi3", "other_needed", "deci_needed"),
        ("mixtral", "convert_gguf", "layers_differ"),
        ("qwen2_moe", "unfilled", "layers_differ"),
        ("qwen3_moe", "convert_gguf", "layers_differ"),
        ("phi3 partly rotated", "unfilled", "layers_differ"),
    ],
)
def test_llama_cpp_takes_what_some_architecture_of_it_holds(
    tmp_path: Path, name: str, even: str, uneven: str
) -> None:
    # What it holds in truth: tests/interop/test_gguf_in_llama_cpp.py.
    whole = folder_of(name, tmp_path / "whole")
    assert check(verified(whole), "llama.cpp").verdict == "pass"
    for layers, expected in (((0, 4), even), ((1, 3), uneven)):
        found = check(verified(halved(whole, tmp_path / f"{layers}", *layers)), "llama.cpp")
        assert {f.code for f in found.findings} == {expected}
        assert found.verdict == ("pass" if expected == "convert_gguf" else "warn")


def test_llama_cpp_has_experts_in_every_layer(tmp_path: Path) -> None:
    folder = folder_of("qwen3_moe", tmp_path, mlp_only_layers=[0, 2])
    (found,) = check(verified(folder), "llama.cpp").findings
    assert (found.verdict, found.code, found.layers) == ("warn", "no_experts", (0, 2))


@pytest.mark.parametrize("layers", [(0, 4), (1, 3)])
def test_llama_cpp_rotates_all_rows_of_a_head(tmp_path: Path, layers: tuple[int, int]) -> None:
    whole = folder_of("qwen3", tmp_path / "whole")
    folder = halved(whole, tmp_path / "pruned", *layers)
    rope = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}
    edit_json(folder / "config.json", {"rope_parameters": rope})
    assert codes(verified(folder), "llama.cpp", "warn") == {"partly_rotated"}


def test_layers_that_differ_load_with_the_code_beside_them(tmp_path: Path) -> None:
    pruned = prune_tiny(described(tiny_folder(tmp_path / "a")), plan())
    pruned.save(tmp_path / "b", "hf")
    assert reasons(tmp_path / "b") == {"needs_code"}
    assert codes(verified(tmp_path / "b"), "vllm", "warn") == {"needs_code"}
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "b", trust_remote_code=True)
    state = loaded.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in pruned.state.items())
    # Named, but not there.
    (tmp_path / "b" / "modeling_prunescope.py").unlink()
    assert reasons(tmp_path / "b") == {"layers_differ"}
    assert codes(verified(tmp_path / "b"), "vllm", "warn") == {"layers_differ"}


def test_heads_that_no_longer_divide_the_hidden_size_are_the_reason(tmp_path: Path) -> None:
    # A quarter of 24: heads of 8 rows, of which 4 divide 24, and not 18.
    whole, wanted = described(tiny_folder(tmp_path / "a")), plan(ratio=0.25, structure="channel")
    pruned = prune_tiny(whole, wanted)
    for form, code in (("hf", "heads_need_code"), ("bin", "by_layer")):
        folder = tmp_path / form
        pruned.save(folder, form)
        assert reasons(folder) == codes(verified(folder), "vllm", "warn") == {code}
        (found,) = check(verified(folder), "transformers").findings
        said = {"hf": {"heads": 4, "hidden": 18}, "bin": {"found": 4, "stated": 3}}[form]
        assert said.items() <= dict(found.values).items()
        with pytest.raises(RuntimeError):
            stock(folder)
    AutoModelForCausalLM.from_pretrained(tmp_path / "hf", trust_remote_code=True)


def with_state(
    folder: Path, kept: Callable[[dict[str, Any]], Any], name: str, **saving: Any
) -> Path:
    """A tiny model whose weights are what `kept` makes of its state dict, under another name."""
    network = tiny_network()
    store_as_torch(
        tiny_folder(folder, network), kept({"model": network, "state": network.state_dict()})
    )
    if name != "pytorch_model.bin" or saving:
        (folder / "pytorch_model.bin").unlink()
        torch.save(kept({"model": network, "state": network.state_dict()}), folder / name, **saving)
    return folder


def dropped(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: t for name, t in state.items() if "1.mlp.up" not in name}


FILES: dict[str, tuple[Callable[[dict[str, Any]], Any], str, set[str]]] = {
    "a state dict": (lambda x: x["state"], "pytorch_model.bin", set()),
    "under another name": (lambda x: x["state"], "weights.pt", {"file_names"}),
    "a state dict inside another": (
        lambda x: {"state_dict": x["state"]}, "pytorch_model.bin", {"nested"},
    ),
    "names with a wrapper's prefix": (
        lambda x: {f"module.{n}": t for n, t in x["state"].items()},
        "pytorch_model.bin", {"wrapped"},
    ),
    "a tensor left out": (
        lambda x: dropped(x["state"]), "pytorch_model.bin", {"checks_failed"},
    ),
    "a whole pickled module": (
        lambda x: {"model": x["model"]}, "pytorch_model.bin", {"pickled_module"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_not_what_transformers_looks_for_is_named(tmp_path: Path, kind: str) -> None:
    kept, name, expected = FILES[kind]
    folder = with_state(tmp_path, lambda x: dict(kept(x)), name)
    assert reasons(folder) == expected
    assert loads_truly(folder, tiny_network().state_dict()) is (not expected)


@pytest.mark.parametrize("kind", [kind for kind in FILES if kind != "a tensor left out"])
def test_what_stood_in_the_way_is_gone_once_converted(tmp_path: Path, kind: str) -> None:
    kept, name, _ = FILES[kind]
    source = with_state(tmp_path / "m", lambda x: dict(kept(x)), name)
    convert(source, tmp_path / "out")
    assert reasons(tmp_path / "out") == set()
    assert loads_truly(tmp_path / "out", tiny_network().state_dict())


def test_a_wrapper_in_a_safetensors_file_is_named(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "m", tiny_network())
    state = {f"_orig_mod.{n}": t for n, t in tiny_network().state_dict().items()}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    assert reasons(folder) == {"wrapped"}
    assert not loads_truly(folder, tiny_network().state_dict())


def test_llama_cpp_is_not_said_to_load_what_convert_refuses(tmp_path: Path) -> None:
    folder = with_state(tmp_path / "m", lambda x: dropped(x["state"]), "pytorch_model.bin")
    found = check(verified(folder), "llama.cpp").findings
    assert {one.code for one in found} == {"checks_failed"}
    with pytest.raises(CheckpointError, match=r"'model\.layers\.1\.mlp\.up_proj\.weight' is miss"):
        export_gguf(folder, tmp_path / "x.gguf")


def test_torchs_format_before_1_6_loads(tmp_path: Path) -> None:
    folder = with_state(
        tmp_path, lambda x: x["state"], "pytorch_model.bin",
        _use_new_zipfile_serialization=False,
    )  # fmt: skip
    assert reasons(folder) == set()
    assert loads_truly(folder, tiny_network().state_dict())


@pytest.mark.parametrize(("family", "refused"), [("llama", True), ("mistral", False)])
def test_heads_that_do_not_divide_the_hidden_size(
    tmp_path: Path, family: str, refused: bool
) -> None:
    # Ten heads of 8 rows on 24 hidden.
    folder = tiny_folder(tmp_path / "x", family=family)
    counts = {"num_attention_heads": 10, "num_key_value_heads": 5}
    network = tiny_network(family, **counts | {"hidden_size": 40})
    tiny_folder(tmp_path / "x", network)
    edit_json(folder / "config.json", {"hidden_size": 40})
    assert reasons(folder) == set()
    wide = tiny_network("mistral", **counts)
    tiny_folder(tmp_path / "y", wide)
    edit_json(tmp_path / "y" / "config.json", {"model_type": family})
    assert (reasons(tmp_path / "y") == {"heads_refused"}) is refused
    assert loads_truly(tmp_path / "y", wide.state_dict()) is not refused


def test_without_a_config_nothing_loads(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    (folder / "config.json").unlink()
    assert "needs_config" in reasons(folder)
    with pytest.raises(ValueError, match="model_type"):
        stock(folder)


@pytest.mark.parametrize(
    "changes",
    [{"vocab_size": 300}, {"num_hidden_layers": 5}, {"num_hidden_layers": 3},
     {"num_attention_heads": 6, "num_key_value_heads": 3}],
)  # fmt: skip
def test_a_config_that_is_wrong_is_a_reason(tmp_path: Path, changes: dict[str, int]) -> None:
    network = tiny_network()
    folder = tiny_folder(tmp_path, network)
    edit_json(folder / "config.json", changes)
    assert reasons(folder) == {"checks_failed"}
    assert not loads_truly(folder, network.state_dict()) or _has_more(folder, network)


def _has_more(folder: Path, network: PreTrainedModel) -> bool:
    """Whether layers were made up that the file does not have."""
    return stock(folder).state_dict().keys() > network.state_dict().keys()


def test_a_gguf_is_llama_cpps_own(tmp_path: Path) -> None:
    from prunescope.interop.demo_source import find_gguf

    found = verify(open_checkpoint(find_gguf(tmp_path)))
    assert check(found, "llama.cpp").verdict == "pass"
    assert codes(found, "transformers", "warn") == {"gguf_file"}
    assert codes(found, "vllm", "skip") == {"gguf_vllm"}
