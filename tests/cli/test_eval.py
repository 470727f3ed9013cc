"""`prunescope eval` as a user runs it, and how its figures read.

The golden tables' ratios, by hand: 30/20 = 1.5; 800/1000 = 0.8; rates of 100 tokens in 0.5, 0.25
and 1 s are 200, 400 and 100, of 10 written ones in 1, 2 and 4 s are 10, 5 and 2.5.
"""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest

from prunescope.analysis.devices import devices
from prunescope.analysis.evaluation_file import read_evaluations
from prunescope.data.sources import Documents
from prunescope.evaluation.run import Asked, Evaluation, Roofline, Sliding
from prunescope.evaluation.sliding import TextPerplexity
from prunescope.evaluation.speed import Load, Speed
from prunescope.report.console import Screen
from prunescope.report.eval_json import evaluations_json
from prunescope.report.evaluation import print_evaluations
from prunescope.report.messages import LANGUAGES, Language, Messages
from tests.support.commands import prunescope
from tests.support.pruning import described, plan, prune_tiny
from tests.support.tiny import tiny_folder

GOLDEN = Path(__file__).parent / "golden"
LOAD = Load(1, 100, 11, 3)
ASKED = Asked(
    Documents("embedded", ("…",), "\n\n"), Sliding(1024, 512), None, ("Water",), 11, None, 1, LOAD,
    devices()["l4"],
)  # fmt: skip
FOUND = [
    Evaluation(
        "a", 1000, TextPerplexity(20.0, 2000, 4, 10.0), False, ("Water is wet",), (),
        Speed(LOAD, (0.5, 0.25, 1.0), (1.0, 2.0, 4.0), 2 << 30, 1 << 30), Roofline(4000.0, 300.0),
    ),
    Evaluation(
        "b", 800, TextPerplexity(30.0, 2000, 4, 8.0), True, ("Water is\n\x1b[2J",), (),
        Speed(LOAD, (0.25, 0.25, 0.5), (1.0, 1.0, 2.0), 1 << 30, None), Roofline(5000.0, 360.0),
    ),
]  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_tables_are_the_golden_ones(language: Language) -> None:
    stream = StringIO()
    print_evaluations(FOUND, ASKED, "cpu", Screen(stream), Messages(language))
    assert stream.getvalue() == (GOLDEN / f"eval.{language}.txt").read_text("utf-8")


def test_json_has_every_run() -> None:
    found = json.loads(evaluations_json(FOUND, ASKED, "cpu"))
    assert (found["schema"], found["device"]) == ("prunescope.eval/1", "cpu")
    assert found["text"]["source"] == "embedded"
    a, b = found["models"]
    assert (a["perplexity"]["value"], a["perplexity"]["tokens_per_second"]) == (20.0, 200.0)
    assert (a["perplexity"]["streamed"], b["perplexity"]["streamed"]) == (False, True)
    assert a["speed"]["prefill_tokens_per_second"] == [200.0, 400.0, 100.0]
    assert (a["speed"]["peak_bytes"], b["speed"]["peak_bytes"]) == (3 << 30, None)
    assert b["roofline"]["decode_tokens_per_second"] == 360.0
    assert b["generations"] == [{"prompt": "Water", "text": "Water is\n\x1b[2J"}]


def test_the_report_reads_what_the_command_writes(tmp_path: Path) -> None:
    (tmp_path / "eval.json").write_text(evaluations_json(FOUND, ASKED, "cpu"), "utf-8")
    a, b = read_evaluations(tmp_path / "eval.json")
    assert (a.path, a.perplexity, a.text, a.device) == ("a", 20.0, "embedded", "cpu")
    # Of 200, 400, 100 and of 10, 5, 2.5.
    assert (a.prefill, a.decode, a.peak_bytes, b.peak_bytes) == (200.0, 5.0, 3 << 30, None)


def test_a_perplexity_that_is_no_number_is_a_string() -> None:
    lost = Evaluation("a", 1, TextPerplexity(float("inf"), 1, 1, 1.0), texts=("",))
    (model,) = json.loads(evaluations_json([lost], ASKED, "cpu"))["models"]
    assert model["perplexity"]["value"] == "inf"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("eval")
    prune_tiny(described(tiny_folder(folder / "m")), plan()).save(folder / "out")
    (folder / "empty.txt").touch()
    return folder


def test_an_original_and_a_pruned_model_side_by_side(folder: Path) -> None:
    done = prunescope(
        "eval", "out", "--original=m", "--max-tokens=600", "--stride=256", "--speed",
        "--context=20", "--new-tokens=4", "--repeats=2", "--prompt=Water boils", "--json",
        "--device=cpu", cwd=folder,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    # A tiny model has 256 positions.
    assert (found["text"]["window"], found["text"]["stride"]) == (256, 256)
    original, pruned = found["models"]
    assert (original["path"], pruned["path"]) == ("m", "out")
    assert original["perplexity"]["tokens_scored"] == 597
    assert original["perplexity"]["value"] != pruned["perplexity"]["value"]
    for model in found["models"]:
        assert len(model["speed"]["decode_tokens_per_second"]) == 2
        assert model["generations"][0]["text"].startswith("Water boils")


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("m", "--text=empty.txt"), "empty.txt: has no text"),
        (("m", "--text=none.txt"), "none.txt: no such file, and no data set"),
        (("m", "--bos"), "m: its tokenizer has no begin-of-text"),
        (("m", "--no-perplexity"), "--no-perplexity leaves nothing"),
        (("m", "--limit=3"), "--limit belongs to --tasks"),
        (("m", "--device-name=h200"), "--device-name belongs to --speed"),
        # The byte 0xff, as Python hands it on.
        (("m", "--prompt=a\udcff"), r"--prompt 'a\udcff' is not UTF-8 text"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_ends_in_one_line(
    folder: Path, arguments: tuple[str, ...], cause: str
) -> None:
    done = prunescope("eval", *arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {cause}")
    assert done.stderr.count("\n") == 1


def test_help_has_an_example(tmp_path: Path) -> None:
    for command in ("eval", "recover"):
        for language, word in (("zh", "示例:"), ("en", "Example:")):
            done = prunescope(command, "--help", "--lang", language, cwd=tmp_path)
            assert (done.returncode, done.stderr) == (0, "")
            assert f"{word} prunescope {command} " in " ".join(done.stdout.split())
