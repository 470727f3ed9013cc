"""An option that would be ignored is refused in one line, before any model is opened."""

from __future__ import annotations

import pytest

from prunescope.cli.main import group
from prunescope.cli.prune import script
from tests.support.commands import called

PRUNE = ("prune", "--base_model=gone")
TESTS = "--test_before_train or --test_after_train"
CALIBRATED = "--pruner_type taylor, wanda or flap"


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("analyze gone gone --plot-width=single", "--plot-width belongs to --plot"),
        ("convert gone out --gguf_type=f16", "--gguf_type belongs to --format gguf"),
        ("convert gone out --format=bin --tokenizer_pre=x", "--tokenizer_pre belongs to --format"),
        ("convert gone out --format=gguf --max_shard_size=5GB", "--max_shard_size belongs to --fo"),
        ("convert gone out --format=bin --max_shard_size=5GB", "--max_shard_size belongs to --fo"),
        ("verify gone --tolerance=0.1", "--tolerance belongs to --expect-sparsity or --expect-"),
        ("eval gone --context=8", "--context belongs to --speed"),
        ("eval gone --repeats=5", "--repeats belongs to --speed"),
        ("eval gone --generate --batch=2", "--batch belongs to --speed or --tasks"),
        ("eval gone --tasks=x --new-tokens=2", "--new-tokens belongs to --speed or --generate"),
        *(
            (f"eval gone --speed --no-perplexity {option}", f"{option.split('=')[0]} belongs to p")
            for option in ("--text=x", "--window=8", "--stride=8", "--max-tokens=8", "--bos",
                           "--stream", "--no-stream")
        ),
        ("eval gone --window=8 --stride=9", "--stride 9 is longer than --window 8: "),
        (
            "recover gone --output=out --batch-size=2 --micro-batch-size=4",
            "a batch of 2 is no whole number of micro batches of 4",
        ),
    ],
)  # fmt: skip
def test_it_is_refused(capsys: pytest.CaptureFixture[str], line: str, cause: str) -> None:
    code, out, err = called(group, capsys, *line.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {cause}")


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("--pruner_type=l2 --taylor=param_first", "--taylor belongs to --pruner_type taylor"),
        ("--pruner_type=random --grouping_strategy=sum", "--grouping_strategy belongs to a --prun"),
        ("--layer_wise --pruner_type=taylor", "--pruner_type belongs to --block_wise or --chan"),
        ("--layer_wise --num_examples=9", "--num_examples belongs to --depth_by influence"),
        ("--layer_wise --scores=x", "--scores belongs to --depth_by influence"),
        *(
            (f"--pruner_type=l1 {option}", f"{option.split('=')[0]} belongs to {CALIBRATED}")
            for option in ("--num_examples=9", "--calibration=x", "--calibration_seq_len=9",
                           "--dtype=float32", "--resume")
        ),
        ("--scores=x --calibration=y", "--calibration belongs to scores that are measured"),
        ("--pruner_type=l2 --seed=1", "--seed belongs to a calibrated or random --pruner_type"),
        ("--layer_wise --seed=1", "--seed belongs to --depth_by influence, --test"),
        # Which have the scores, or take none: no --pruner_type would make use of it.
        ("--scores=x --seed=1", f"--seed belongs to {TESTS}"),
        ("--plan=x.json --seed=1", f"--seed belongs to {TESTS}"),
        ("--max_seq_len=9", f"--max_seq_len belongs to --search, {TESTS}"),
        ("--eval_device=cpu", f"--eval_device belongs to --search, {TESTS}"),
        ("--target_params=1 --search --top_p=1", f"--top_p belongs to {TESTS}"),
        ("--temperature=0", f"--temperature belongs to {TESTS}"),
        ("--save_format=hf", "--save_format belongs to --save_model"),
        ("--uniform", "--uniform belongs to --save_model"),
        ("--save_ckpt_log_name=x", "--save_ckpt_log_name belongs to --save_model"),
    ],
)  # fmt: skip
def test_the_pruner_refuses_it(capsys: pytest.CaptureFixture[str], line: str, cause: str) -> None:
    code, out, err = called(group, capsys, *PRUNE, *line.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {cause}")


@pytest.mark.parametrize(
    "line",
    [
        "--num_examples=9 --seed=1 --resume --save_ckpt_log_name=x",
        "--layer_wise --depth_by=influence --num_examples=9 --save_scores=x",
        "--pruner_type=l2 --test_after_train --seed=1 --max_seq_len=9 --top_p=1 --eval_device=cpu",
        "--pruner_type=random --seed=1",
        "--plan=x.json --test_after_train --seed=1",
        "--scores=x --grouping_strategy=max --taylor=vectorize",
    ],
)
def test_what_has_an_effect_goes_on_to_the_model(
    capsys: pytest.CaptureFixture[str], line: str
) -> None:
    code, _, err = called(group, capsys, *PRUNE, *line.split())
    assert (code, err) == (2, "error: gone: no such file or directory\n")


IDLE = ("--taylor=vectorize", "--num_examples=3", "--temperature=0.5", "--top_p=0.9", "--seed=1")


@pytest.mark.usefixtures("here")
def test_the_script_takes_llm_pruners_options_with_any_measure_and_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = ("--base_model=tiny", "--device=cpu", *IDLE)
    code, out, err = called(script, capsys, *line)
    assert (code, [entry.split(" belongs ")[0] for entry in err.splitlines()]) == (
        0, [f"warning: {option.split('=')[0]}" for option in IDLE]
    )  # fmt: skip
    assert called(script, capsys, *line, "--quiet") == (0, out, "")


@pytest.mark.usefixtures("here")
def test_of_two_reasons_the_one_that_leaves_nothing_to_add_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # `llama3.py` scores by l2: with taylor it would still be ignored.
    line = ("--base_model=tiny", "--layer_wise", "--layer=1", "--taylor=vectorize", "--device=cpu")
    code, _, err = called(script, capsys, *line)
    assert (code, err) == (0, "warning: --taylor belongs to --block_wise or --channel_wise\n")


def test_the_script_refuses_what_llm_pruner_has_not(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = called(script, capsys, "--base_model=gone", "--seed=1", "--dtype=float32")
    assert (code, out) == (2, "")
    assert err == f"error: --dtype belongs to {CALIBRATED}\n"
