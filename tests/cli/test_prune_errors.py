"""What `llama3.py` cannot do ends in one line and exit code 2, and writes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support.prune_command import ON_CPU, RANGES, base_model, call, refused
from tests.support.pruning import edit_weights
from tests.support.scripts import run_script

SOUND = ("--base_model", "tiny", *RANGES, *ON_CPU, "--save_model")
TAYLOR = ("--pruner_type", "taylor")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a model in it."""
    base_model(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- what this version does not do, and what would be ignored --------------------------------


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--block_wise", "--channel_wise"), "--block_wise and --channel_wise exclude each other"),
        # 12 is the default: it is refused because it is asked for, not because it differs.
        (("--layer=12",), "--layer belongs to --layer_wise"),
        (("--depth_by", "first"), "--depth_by belongs to --layer_wise"),
        (("--layer_floor", "0.2"), "--layer_floor belongs to --allocation global or knapsack"),
        (("--allocation", "knapsack"), "--allocation knapsack needs a budget: one of --target_"),
        (
            ("--allocation", "global", "--global_pruning"),
            "--global_pruning and --allocation exclude each other",
        ),
        (
            ("--target_sparsity", "0.1", "--allocation", "knapsack", "--iterative_steps", "2"),
            "a knapsack allocation needs a budget, and is block-wise and in one step",
        ),
        (("--batch", "2"), "--batch belongs to --target_memory"),
        (
            ("--target_params", "1K", "--target_sparsity", "0.1"),
            "--target_sparsity and --target_params exclude each other",
        ),
        (
            ("--target_sparsity", "0.1", "--pruning_ratio", "0.1"),
            "--target_sparsity and --pruning_ratio exclude each other",
        ),
        (
            ("--plan", "x.json", "--pruner_type", "l1"),
            "--plan and --block_attention_layer_end exclude each other",
        ),
        (("--target_params", "many"), "'many' is no number of parameters such as 6.7B"),
        (("--target_memory", "12 GX"), "'12 GX' is no size such as 12GiB"),
        (
            ("--target_sparsity", "0.9"),
            "a budget of sparsity 0.9000 cannot be met: what may be removed leaves sparsity ",
        ),
        (("--gqa", "naive", "--iterative_steps", "2"), "naive GQA pruning takes a ratio, "),
        # 8 and 4 heads lose 1: 7 query heads cannot share 3 KV heads.
        (
            ("--gqa", "naive", "--pruning_ratio", "0.25"),
            "naive GQA pruning leaves layer 1 7 query heads, which cannot share 3 KV heads: "
            "of 8 and 4 as many may go as leave a multiple (2, 3); take another ratio or "
            "--gqa group",
        ),
        (
            ("--global_pruning", "--layer_floor", "0.9"),
            "8 attention units should go, each layer's ",
        ),
    ],
)
def test_what_cannot_be_done_or_would_be_ignored_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], line: str
) -> None:
    assert refused(here, capsys, *SOUND, *options).startswith(line)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--layer_wise", "--layer", "7"), "cannot keep 7 of the model's 6 layers"),
        (("--layer_wise", "--pruning_ratio=0.1"), "--layer_wise and --pruning_ratio exclude each "),
        (("--channel_wise", "--gqa=query"), "--channel_wise and --gqa exclude each other"),
        (("--layer_ratios", "3:0.1,x:0.2"), "--layer_ratios: 'x' is no layer's number"),
        (("--layer_ratios", "3:0.1,03:0.5"), "--layer_ratios: layer 3 is named twice"),
        (("--layer_ratios", "3:much"), "--layer_ratios: 'much' of layer 3 is no ratio"),
        (("--layer_ratios", "9:0.1"), "a ratio for attention of layer 9, which is not there"),
        (("--layer_ratios", "3:1"), "ratio 1.0 of layer 3 is not in [0, 1)"),
        (("--layer_ratios", "gone.json"), "gone.json: "),
        (("--plan", "tiny/config.json"), "tiny/config.json: is no pruning.json of prunescope"),
    ],
)
def test_structures_refuse_what_is_not_theirs(
    here: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], line: str
) -> None:
    sound = ("--base_model", "tiny", *ON_CPU, "--save_model")
    assert refused(here, capsys, *sound, *options).startswith(line)


def test_options_that_ask_for_what_is_done_anyway_are_welcome(here: Path) -> None:
    assert call(*SOUND, "--block_wise", "--iterative_steps", "1", "--taylor", "param_first") == 0


# --- what this model cannot give ----------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (("--pruning_ratio", "1"), "pruning ratio 1.0 is not in [0, 1)"),
        (("--pruning_ratio=-0.1",), "pruning ratio -0.1 is not in [0, 1)"),
        (("--pruning_ratio", "nan"), "pruning ratio nan is not in [0, 1)"),
        # 0.9 × 4 = 3.6.
        (
            ("--pruning_ratio", "0.9"),
            "ratio 0.9 would remove all 4 attention units of layer 1: take a smaller ratio",
        ),
        (("--block_mlp_layer_end", "1"), "mlp layer range 1..1 (half open) is empty"),
        (("--block_attention_layer_start=6",), "attention layer range 6..5 (half open) is empty"),
        (
            ("--block_mlp_layer_end", "7"),
            "mlp layer range 1..7 (half open) goes past the model's 6 layers: 0..5 "
            "(set --block_mlp_layer_start and --block_mlp_layer_end)",
        ),
        (
            ("--block_attention_layer_start=-1",),
            "attention layer range -1..5 (half open) goes past the model's 6 layers: 0..5",
        ),
        (("--base_model", "gone"), "gone: no such file or directory"),
        (("--base_model", "."), ".: no weights here: no .safetensors, .bin, .pt, .pth or .gguf"),
        (("--device", "nope"), "device 'nope' cannot be used: "),
        (("--device", "meta"), "device 'meta' cannot be used: "),
        (("--test_after_train", "--eval_device", "cuda:99"), "device 'cuda:99' cannot be used: "),
        (
            (*TAYLOR, "--calibration", "gone.txt"),
            "gone.txt: no such file, and no data set (known: ",
        ),
        ((*TAYLOR, "--calibration", "tiny"), "tiny: is no ordinary file"),
        (
            (*TAYLOR, "--calibration", "tiny/model.safetensors"),
            "tiny/model.safetensors: is not UTF-8 text (byte ",
        ),
        ((*TAYLOR, "--num_examples", "1000000"), "embedded: "),
        (("--test_before_train", "--max_seq_len", "1000000"), "the text has "),
    ],
)
def test_what_the_model_or_machine_cannot_give_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], cause: str
) -> None:
    assert refused(here, capsys, *SOUND, *options).startswith(cause)


@pytest.mark.parametrize("measure", ["l2", "taylor"])
def test_tensors_that_do_not_fit_each_other_are_found_before_anything_is_measured(
    here: Path, capsys: pytest.CaptureFixture[str], measure: str
) -> None:
    edit_weights(here / "tiny", {"model.layers.2.input_layernorm.weight": torch.ones(25)})
    capsys.readouterr()
    assert call(*SOUND, "--pruner_type", measure) == 2
    assert capsys.readouterr().err == (
        "错误: tiny/model.safetensors: tensor 'model.layers.2.input_layernorm.weight' has 25 "
        "hidden entries, config.json says 24\n"
    )
    assert not (here / "prune_log").exists()


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "../a", "/tmp/a", "名" * 67], ids=repr
)
def test_a_name_that_is_no_folder_under_prune_log_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    # Of 67 × 3 bytes in UTF-8 the file system's 255 leave no room for a temporary name.
    line = refused(here, capsys, *SOUND, "--save_ckpt_log_name", name)
    assert line == f"--save_ckpt_log_name {name!r} is not a folder name"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--pruner_type", "l3"), "--pruner_type"),
        (("--taylor", "second"), "--taylor"),
        (("--grouping_strategy", "median"), "--grouping_strategy"),
        (("--pruning_ratio", "a half"), "--pruning_ratio"),
        (("--iterative_steps", "0"), "--iterative_steps"),
        (("--num_examples", "0"), "--num_examples"),
        (("--calibration_seq_len", "1"), "--calibration_seq_len"),
        (("--max_seq_len", "1"), "--max_seq_len"),
        (("--temperature", "-1"), "--temperature"),
        (("--temperature", "nan"), "--temperature': nan is no finite number"),
        (("--top_p", "nan"), "--top_p': nan is no finite number"),
        (("--top_p", "0"), "--top_p"),
        (("--top_p", "1.5"), "--top_p"),
        (("--seed", "-1"), "--seed"),
        (("--lang", "de"), "--lang"),
        (("--block_wize",), "--block_wize"),
        (("more",), "more"),
        (("--save_ckpt_log_name",), "--save_ckpt_log_name"),
    ],
)
def test_a_wrong_option_is_named(
    here: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], named: str
) -> None:
    assert named in refused(here, capsys, *SOUND, *options)


def test_a_model_must_be_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--base_model" in refused(here, capsys, *RANGES)


# --- as another process -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            ("--lang", "en", "--base_model", "gone"),
            "error: gone: no such file or directory\n",
        ),
        (
            ("--layer", "3"),
            "错误: --layer belongs to --layer_wise\n",
        ),
        (("--pruning_ratio", "1.5"), "错误: pruning ratio 1.5 is not in [0, 1)\n"),
    ],
)
def test_the_script_ends_so_too(here: Path, options: tuple[str, ...], line: str) -> None:
    done = run_script("llama3.py", *SOUND, *options, cwd=here)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line)
    assert [path.name for path in here.iterdir()] == ["tiny"]
