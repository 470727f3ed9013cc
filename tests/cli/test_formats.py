"""`--save_format`, `--format` and `--uniform`: what was saved, what it costs and what it needs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prunescope.analysis.compare import compare
from prunescope.checkpoint import open_checkpoint
from prunescope.cli.main import group
from prunescope.cli.run import run
from tests.support.commands import prunescope
from tests.support.prune_command import ON_CPU, RANGES, base_model
from tests.support.prune_command import call as llama3
from tests.support.tiny import tiny_folder

CODE = (
    "{}: transformers loads them with trust_remote_code=True (the folder's "
    "modeling_prunescope.py); prunescope.load needs no code"
)
DIFFER = CODE.format("Layers differ in shape")
HEADS = CODE.format("transformers' config refuses the layers' number of heads")
# Of layers 1 to 4 one of 4 KV heads with 2 query heads, and 5 of 20 channels: 8 rows each, 24 wide.
GONE = 4 * (2 * 8 + 2 * 16 + 3 * 5) * 24
SAVE = ("--base_model", "base", "--pruning_ratio", "0.25", *RANGES, *ON_CPU, "--save_model")


def call(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        run(group, "en", [str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    base_model(tmp_path / "base")
    return tmp_path


def last_lines(capsys: pytest.CaptureFixture[str], count: int) -> list[str]:
    return capsys.readouterr().out.splitlines()[-count:]


def test_prunescope_prune_saves_a_hugging_face_folder_with_a_card(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("prune", *SAVE) == 0
    assert last_lines(capsys, 2) == ["Pruned model saved to prune_log/llama_prune", DIFFER]
    out = here / "prune_log" / "llama_prune"
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md", "config.json", "generation_config.json", "model.safetensors",
        "modeling_prunescope.py", "pruning.json", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    card = (out / "README.md").read_text("utf-8")
    before, after = 51_960, 51_960 - GONE
    assert f"| Original params | {before:,} |" in card
    assert f"| Pruned params | {after:,} |" in card
    assert f"| Sparsity | {GONE / before:.4f} |" in card
    assert "| Base model | base |\n| Ratio of each pruned layer | 0.25 |" in card
    assert "trust_remote_code=True" in card
    found = compare(open_checkpoint(here / "base"), open_checkpoint(out))
    for layer in found.layers:
        counts = layer.parameters
        assert f"| {layer.layer} | {counts.original:,} | {counts.pruned:,} |" in card
    # The mission's format takes its place, and leaves nothing of it behind.
    (out / "notes.txt").write_text("mine")
    assert llama3(*SAVE) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "config.json", "generation_config.json", "notes.txt", "pruning.json",
        "pytorch_model.bin", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip


def test_what_takes_code_for_its_heads_says_so(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Of 24 hidden a quarter: 8 heads divide 24, and not 18.
    asked = ("--base_model", "base", "--pruning_ratio", "0.25", "--channel_wise", "--save_model")
    assert call("prune", *asked, *ON_CPU, "--pruner_type", "l2") == 0
    assert last_lines(capsys, 1) == [HEADS]
    out = here / "prune_log" / "llama_prune"
    assert "trust_remote_code=True" in (out / "README.md").read_text("utf-8")
    assert call("convert", out, "again") == 0
    assert last_lines(capsys, 1) == [HEADS]


def test_somebodys_own_readme_stays(here: Path) -> None:
    out = here / "prune_log" / "llama_prune"
    out.mkdir(parents=True)
    (out / "README.md").write_text("mine")
    assert llama3(*SAVE) == 0
    assert (out / "README.md").read_text() == "mine"


def test_padding_says_what_it_costs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("prune", *SAVE, "--uniform") == 0
    share = 100 * GONE / 51_960
    assert last_lines(capsys, 1) == [
        f"Layers are padded with zeros to one shape: {GONE:,} parameters more, "
        f"{4 * GONE / 2**20:.2f} MiB ({share:.2f}%)"
    ]
    card = (here / "prune_log" / "llama_prune" / "README.md").read_text("utf-8")
    assert f"the figures below count these {GONE:,} zeros too." in card
    assert "pruning.before_padding.json" in card


def test_what_a_format_cannot_express_is_said_before_the_work(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert llama3(*SAVE, "--save_format", "deci", "--lang", "en") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "error: base: deci has one head count for all layers, these have 6, 8 (--uniform pads them)"
    ]
    assert not (here / "prune_log").exists()


def test_convert_makes_each_of_what_llama3_saved(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert llama3(*SAVE) == 0
    source = "prune_log/llama_prune"
    assert call("convert", source, "hf") == 0
    assert last_lines(capsys, 1) == [DIFFER]
    (here / "lone").mkdir()
    weights = (here / source / "pytorch_model.bin").read_bytes()
    (here / "lone" / "pytorch_model.bin").write_bytes(weights)
    (here / "lone" / "config.json").write_bytes((here / "base" / "config.json").read_bytes())
    assert call("convert", "lone", "inferred") == 0
    assert last_lines(capsys, 2) == [
        DIFFER,
        "Note: config.json did not say what shapes the layers have; it was rewritten from them",
    ]
    for form in ("bin", "llm_pruner"):
        assert call("convert", source, form, "--format", form) == 0
        assert open_checkpoint(here / form).parameters == 51_960 - GONE
    assert call("convert", source, "deci", "--format", "deci", "--uniform") == 0
    config = json.loads((here / "deci" / "config.json").read_text())
    assert config["architectures"] == ["DeciLMForCausalLM"]
    assert [block["attention"]["n_heads_in_group"] for block in config["block_configs"]] == [2] * 6


def test_what_transformers_warns_of_does_not_come_between_our_lines(here: Path) -> None:
    assert call("prune", *SAVE) == 0
    done = prunescope(
        "convert", "prune_log/llama_prune", "module", "--format", "llm_pruner", cwd=here
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_card_says_no_more_than_the_plan(here: Path) -> None:
    """A budget has no ratio; layers have no importance; a replayed plan is the recorded one."""
    out = here / "prune_log" / "llama_prune"

    def totals() -> list[str]:
        lines = (out / "README.md").read_text("utf-8").splitlines()
        start = lines.index("| Base model | base |")
        return lines[start + 1 : lines.index(next(n for n in lines if "Original params" in n))]

    budget = ("--target_sparsity", "0.1", *RANGES, "--pruner_type", "l1")
    common = ("--base_model", "base", *ON_CPU, "--save_model")
    assert call("prune", *common, *budget) == 0
    assert totals() == ["| Importance | l1 |"]
    assert call("prune", *common, "--layer_wise", "--layer", "5") == 0
    assert totals() == ["| Importance | first |"]
    assert call("prune", *SAVE, "--pruner_type", "l1") == 0
    (here / "record.json").write_bytes((out / "pruning.json").read_bytes())
    assert call("prune", *common, "--plan", "record.json") == 0
    assert totals() == ["| Ratio of each pruned layer | 0.25 |", "| Importance | l1 |"]


def test_a_plan_is_held_to_what_it_leaves_not_to_what_was_there(here: Path) -> None:
    """deci wants multiples of 256 channels: 256 of 320 are one."""
    tiny_folder(here / "wide", intermediate_size=320)
    common = ("--base_model", "wide", *ON_CPU, "--save_model", "--save_format", "deci")
    cut = ("--block_mlp_layer_start", "0", "--block_mlp_layer_end", "4", "--round_to", "256",
           "--block_attention_layer_start", "1", "--block_attention_layer_end", "2",
           "--pruning_ratio", "0.2", "--pruner_type", "l1")  # fmt: skip
    assert call("prune", *common, *cut) == 0
    out = here / "prune_log" / "llama_prune"
    (here / "record.json").write_bytes((out / "pruning.json").read_bytes())
    weights = (out / "model.safetensors").read_bytes()
    assert call("prune", *common, "--plan", "record.json", "--save_ckpt_log_name", "again") == 0
    assert (here / "prune_log" / "again" / "model.safetensors").read_bytes() == weights
