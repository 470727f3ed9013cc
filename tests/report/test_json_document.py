"""docs/JSON.md names every field of every command's JSON, and no other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from prunescope.evaluation.harness import TaskScore
from prunescope.recovery.blocks import Blocks
from prunescope.recovery.plan import RecoveryPlan
from prunescope.recovery.run import Recovery
from prunescope.report.eval_json import evaluations_json
from prunescope.report.recover import recovery_json
from tests.cli.test_eval import ASKED, FOUND
from tests.support.adapters import lora_config, save_adapter
from tests.support.commands import prunescope
from tests.support.pruning import described
from tests.support.scripts import ROOT, run_script
from tests.support.sparse import LlamaShape, llama_shapes, write_model
from tests.support.verify import pruned_pair

SMALL = LlamaShape(4, 8, 12, 4, 2, 2, 10, tied=False)
TEXT = (ROOT / "docs" / "JSON.md").read_text("utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An original, a pruned model, an adapter, and a model with faults of every kind."""
    folder = tmp_path_factory.mktemp("json")
    pruned_pair(folder)
    save_adapter(folder / "adapter", lora_config())
    return folder


def section(command: str) -> str:
    """What stands under the command's heading."""
    start = TEXT.index(f"\n## `{command}`\n")
    end = TEXT.find("\n## ", start + 1)
    return TEXT[start : end if end > 0 else None]


def documented(command: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", section(command), re.MULTILINE)


def paths(value: Any, free: set[str], path: str = "") -> Iterator[str]:
    """Every field; of a list those of its elements; of what is in `free` not the keys."""
    if path:
        yield path
    if isinstance(value, dict) and path not in free:
        for key, inner in value.items():
            yield from paths(inner, free, f"{path}.{key}".removeprefix("."))
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, dict):
                yield from (p for p in paths(inner, free, f"{path}[]") if p != f"{path}[]")


def check(command: str, outputs: list[str], schema: str) -> None:
    names = documented(command)
    assert len(set(names)) == len(names)
    free = {name.removesuffix("{}") for name in names if name.endswith("{}")}
    found: set[str] = set()
    for text in outputs:
        value = json.loads(text)
        assert value["schema"] == schema
        assert f"`{schema}`" in section(command)
        found |= set(paths(value, free))
    assert found == {name.removesuffix("{}") for name in names}


def printed(folder: Path, *arguments: str) -> str:
    done = prunescope(*arguments, "--json", cwd=folder)
    assert done.stderr == ""
    return done.stdout


def test_analysis(folder: Path) -> None:
    # Layer 3 loses more channels than layers 1 and 2: an outlier.
    uneven = llama_shapes(SMALL, range(1, 3), channels=3)
    more = llama_shapes(SMALL, range(3, 4), channels=6)
    write_model(folder / "a", SMALL, llama_shapes(SMALL))
    write_model(folder / "b", SMALL, uneven | {n: s for n, s in more.items() if "layers.3." in n})
    text = printed(folder, "analyze", "a", "b")
    script = run_script(
        "analyze_pruning.py", "--original_model=a", "--pruned_model=b", "--json", cwd=folder
    )
    assert json.loads(script.stdout) == json.loads(text)
    check("analyze", [text], "prunescope.analysis/1")
    verified = json.loads(printed(folder, "analyze", "a", "b", "--verify"))
    # The rest is what `verify` prints.
    assert verified.pop("verification") == json.loads(printed(folder, "verify", "a", "b"))
    assert verified == json.loads(text)


def test_size(folder: Path) -> None:
    check(
        "size",
        [printed(folder, "size", "original", "pruned"), printed(folder, "size", "adapter")],
        "prunescope.size/1",
    )


def test_verification(folder: Path) -> None:
    wrong = ("original", "pruned", "--layers", "0:1")
    check(
        "verify",
        [printed(folder, "verify", *wrong), printed(folder, "verify", "pruned")],
        "prunescope.verify/1",
    )


def test_scan(folder: Path) -> None:
    torch.save({"w": torch.ones(2)}, folder / "w.bin")
    check("scan", [printed(folder, "scan", "w.bin")], "prunescope.scan/1")


def test_sparsity(folder: Path) -> None:
    check(
        "sparsity",
        [printed(folder, "sparsity", "pruned"), printed(folder, "sparsity", "pruned", "--values")],
        "prunescope.sparsity/1",
    )


def test_cost(folder: Path) -> None:
    check(
        "cost",
        [
            printed(folder, "cost", "pruned"),
            printed(folder, "cost", "original", "pruned", "--device", "l4"),
        ],
        "prunescope.cost/1",
    )


def test_trace(folder: Path) -> None:
    check("trace", [printed(folder, "trace", "original", "pruned")], "prunescope.trace/1")


def test_evaluation() -> None:
    # What measuring gives is held to its figures elsewhere; here to be described.
    scored = replace(FOUND[0], scores=(TaskScore("arc_easy", "acc", 0.5, 0.01),))
    check("eval", [evaluations_json([scored, FOUND[1]], ASKED, "cpu")], "prunescope.eval/1")


def test_recovery(folder: Path) -> None:
    pruned, original = described(folder / "pruned"), described(folder / "original")
    done = Recovery(
        RecoveryPlan(), Blocks("embedded", ((1, 2),), "00"), ("q_proj",), 2, 64, 3.0, 2.0
    )
    text = recovery_json(done, pruned, original, Path("recovered"))
    check("recover", [text], "prunescope.recovery/1")


def test_every_command_with_json_is_described() -> None:
    from prunescope.cli.main import COMMANDS, group
    from prunescope.report.messages import Messages

    root = group(Messages("en"))
    having = set()
    for name in COMMANDS:
        command = root.get_command(None, name)  # type: ignore[arg-type]
        if command and any("--json" in parameter.opts for parameter in command.params):
            having.add(name)
    assert set(re.findall(r"^## `(\w[\w-]*)`$", TEXT, re.MULTILINE)) == having
