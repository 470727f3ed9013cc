"""A PEFT adapter is told apart from a model, and never taken for a pruned one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from prunescope.analysis.compare import compare
from prunescope.analysis.size import compare_sizes, measure, pruned_models
from prunescope.architecture import describe
from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.types import Adapter
from prunescope.cli.main import group
from prunescope.cli.run import run
from prunescope.errors import ArchitectureError, CheckpointError
from tests.support.adapters import BASE, ia3_config, lora_config, save_adapter
from tests.support.tiny import edit_json, tiny_folder, tiny_network

LORA = Adapter("LORA", BASE, 4)


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_adapter(tmp_path_factory.mktemp("lora"), lora_config())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("model"))


def test_a_folder_that_peft_saved(lora: Path) -> None:
    checkpoint = open_checkpoint(lora)

    assert checkpoint.adapter == LORA
    # q and v of four layers, each with A of rank × 24 and B of out × rank; out is 32 and 16.
    assert checkpoint.parameters == 4 * (2 * 4 * 24 + 4 * 32 + 4 * 16)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "renamed.safetensors"])
def test_the_adapters_own_file(lora: Path, tmp_path: Path, name: str) -> None:
    for file in lora.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "adapter_model.safetensors").rename(tmp_path / name)
    assert open_checkpoint(tmp_path / name).adapter == LORA


def test_a_file_without_its_config_says_what_its_names_say(lora: Path, tmp_path: Path) -> None:
    lone = tmp_path / "some.safetensors"
    lone.write_bytes((lora / "adapter_model.safetensors").read_bytes())
    assert open_checkpoint(lone).adapter == Adapter("LORA", None, 4)


def test_the_older_bin_beside_what_a_trainer_leaves(tmp_path: Path) -> None:
    save_adapter(tmp_path, lora_config(), safetensors=False)
    torch.save({"state": {}, "step": torch.ones(3)}, tmp_path / "optimizer.pt")
    torch.save({"cpu": torch.ones(9)}, tmp_path / "rng_state.pth")

    checkpoint = open_checkpoint(tmp_path)

    assert checkpoint.adapter == LORA
    assert checkpoint.format == "torch zip"


def test_another_kind_has_no_rank(tmp_path: Path) -> None:
    adapter = open_checkpoint(save_adapter(tmp_path, ia3_config())).adapter
    assert adapter == Adapter("IA3", BASE, None)
    assert str(adapter) == f"a PEFT adapter (IA3) of {BASE}"


def test_a_whole_model_beside_an_adapter_is_the_model(lora: Path, tmp_path: Path) -> None:
    tiny_folder(tmp_path)
    for file in lora.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())

    checkpoint = open_checkpoint(tmp_path)

    assert checkpoint.adapter is None
    assert describe(checkpoint).layers


def test_a_state_dict_with_the_base_model_in_it_is_no_adapter(tmp_path: Path) -> None:
    from peft import get_peft_model

    torch.save(get_peft_model(tiny_network(), lora_config()).state_dict(), tmp_path / "all.bin")
    assert open_checkpoint(tmp_path / "all.bin").adapter is None


def test_it_is_refused_wherever_a_whole_model_is_needed(lora: Path, model: Path) -> None:
    cause = f"{lora}: is a LoRA adapter of {BASE}, not a whole model: merge it first"
    adapter, whole = open_checkpoint(lora), open_checkpoint(model)
    with pytest.raises(ArchitectureError) as caught:
        describe(adapter)
    assert str(caught.value) == cause
    for pair in ((whole, adapter), (adapter, whole)):
        with pytest.raises(ArchitectureError, match="not a whole model"):
            compare(*pair)
        with pytest.raises(ArchitectureError, match="not a whole model"):
            compare_sizes(*map(measure, pair))


def test_it_is_no_pruned_model_in_prune_log(lora: Path, tmp_path: Path) -> None:
    (tmp_path / "lora").symlink_to(lora)
    with pytest.raises(CheckpointError, match="holds no pruned model"):
        pruned_models(tmp_path)
    tiny_folder(tmp_path / "pruned")
    assert [Path(size.path).name for size in pruned_models(tmp_path)[0]] == ["pruned"]


def called(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        run(group, "en", arguments)
    return int(ended.value.code or 0)


def test_size_says_what_it_is(lora: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called("size", str(lora)) == 0
    told = f"{lora} is an adapter (LORA, r=4), not a whole model; base model: {BASE}"
    assert told in capsys.readouterr().out
    assert called("size", str(lora), "--lang", "zh") == 0
    assert f"{lora} 是适配器 (LORA, r=4)" in capsys.readouterr().out
    assert called("size", str(lora), "--json") == 0
    told_json = json.loads(capsys.readouterr().out)["models"][0]["adapter"]
    assert told_json == {"kind": "LORA", "base": BASE, "rank": 4}


@pytest.mark.parametrize("command", ["analyze", "size"])
def test_commands_refuse_it_in_one_line(
    lora: Path, model: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(command, str(model), str(lora)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "merge it first" in err


def test_prune_refuses_it(lora: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called("prune", "--base_model", str(lora), "--pruning_ratio", "0.25") == 2
    assert "is a LoRA adapter of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"base_model_name_or_path": None}, Adapter("LORA", None, 4)),
        ({"base_model_name_or_path": ""}, Adapter("LORA", None, 4)),
        ({"peft_type": None}, LORA),
        ({"r": "four"}, Adapter("LORA", BASE, None)),
        ({"r": True}, Adapter("LORA", BASE, None)),
    ],
)
def test_settings_may_be_missing(
    lora: Path, tmp_path: Path, changes: dict[str, object], expected: Adapter
) -> None:
    for file in lora.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    edit_json(tmp_path / "adapter_config.json", changes)
    assert open_checkpoint(tmp_path).adapter == expected


@pytest.mark.parametrize("content", ["{", "[]", '{"peft_type": 3}', '{"peft_type": ["LORA"]}'])
def test_malformed_settings_are_named(lora: Path, tmp_path: Path, content: str) -> None:
    weights = (lora / "adapter_model.safetensors").read_bytes()
    (tmp_path / "adapter_model.safetensors").write_bytes(weights)
    (tmp_path / "adapter_config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"adapter_config\.json"):
        open_checkpoint(tmp_path)
