"""`prunescope report` as a user runs it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from prunescope.cli.report import MOST_PRUNED, subcommand
from prunescope.report.messages import Language, Messages
from tests.support.commands import called, prunescope
from tests.support.sparse import LlamaShape, llama_shapes, write_model, write_safetensors

SMALL = LlamaShape(4, 8, 12, 4, 2, 2, 10, tied=False)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an original and a pruned model; paths in errors are as a user types them."""
    write_model(tmp_path / "original", SMALL, llama_shapes(SMALL))
    write_model(tmp_path / "pruned", SMALL, llama_shapes(SMALL, range(1, 3), channels=3))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(
    capsys: pytest.CaptureFixture[str], *arguments: str, language: Language = "en"
) -> tuple[int, str, str]:
    return called(subcommand, capsys, *arguments, language=language)


def test_it_says_where_the_report_is(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    done = call(capsys, "original", "pruned")

    assert done == (0, "Report written to report.html\n", "")
    assert (here / "report.html").read_text("utf-8").startswith("<!doctype html>")


def test_the_installed_command_knows_it(here: Path) -> None:
    done = prunescope("report", "original", "pruned", "-o", "a.html", cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    assert (here / "a.html").exists()


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_language_chosen_is_seen_first(
    capsys: pytest.CaptureFixture[str], here: Path, language: str
) -> None:
    code, out, _ = call(capsys, "original", "pruned", f"--lang={language}", language=language)

    assert code == 0
    assert out == Messages(language)("report_written", path="report.html") + "\n"  # type: ignore[arg-type]
    assert f'<html lang="{language}">' in (here / "report.html").read_text("utf-8")


@pytest.mark.parametrize("language", ["zh", "en"])
def test_help_has_an_example_of_a_command(
    capsys: pytest.CaptureFixture[str], language: str
) -> None:
    code, out, _ = call(capsys, "--help", language=language)
    assert code == 0
    assert "prunescope report models/SmolLM2-135M-Instruct" in " ".join(out.split())


def test_the_command_in_the_report_can_be_typed_again(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    call(capsys, "original", "pruned", "-o", "a b.html", "--layers", "1:3", "--device", "l4")
    text = (here / "a b.html").read_text("utf-8")
    assert (
        "prunescope report original pruned --layers 1:3 --context 4096 --batch 1 --device l4 "
        "--output &#39;a b.html&#39;"
    ) in text


def test_a_model_of_which_checks_fail_is_reported_all_the_same(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    code, _, _ = call(capsys, "original", "pruned", "--layers", "0:4")
    assert code == 0
    assert "check(s) failed" in (here / "report.html").read_text("utf-8")


def test_the_plot_for_a_paper_is_drawn_beside_it(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    options = ("--plot", "a plot.svg", "--plot-width", "single")
    code, out, _ = call(capsys, "original", "pruned", *options)
    assert (code, out) == (0, "Report written to report.html\nPlot written to a plot.svg\n")
    # 3.3 inches of 72 points.
    assert 'width="237.6pt"' in (here / "a plot.svg").read_text("utf-8")
    page = (here / "report.html").read_text("utf-8")
    assert "--plot &#39;a plot.svg&#39; --plot-width single --output report.html" in page


BAD = {
    "a plot of two": (["original", "pruned", "x", "--plot", "a.png"], "draws one pruned model"),
    "a plot of words": (["original", "pruned", "--plot", "a.txt"], "a plot ends in .png"),
    "a plot nowhere": (
        ["original", "pruned", "--plot", "no/a.png"], "cannot be written (no such folder)"
    ),
    "no such model": (["original", "nowhere"], "nowhere: "),
    "no pruned model": (["original"], "Missing argument"),
    "twice": (["original", "pruned", "pruned"], "a model is named twice"),
    "the original as pruned": (["original", "original"], "a model is named twice"),
    "too many": (["original", *map(str, range(MOST_PRUNED + 1))], "at most 12 pruned models"),
    "no html": (["original", "pruned", "-o", "original/model.safetensors"], "ends in .html, .htm"),
    "no folder": (["original", "pruned", "-o", "no/a.html"], "cannot be written (no such folder)"),
    "swapped": (["pruned", "original"], "are the two swapped?"),
    "layers": (["original", "pruned", "--layers", "3"], "no half-open range"),
    "sparsity": (["original", "pruned", "--expect-sparsity", "2"], "is not in [0, 1)"),
    "no eval": (["original", "pruned", "--eval", "eval.json"], "eval.json: cannot be read"),
    "another json": (["original", "pruned", "--eval", "original/config.json"], "is no output of"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], here: Path, name: str
) -> None:
    arguments, cause = BAD[name]
    (here / "report.html").write_text("old")

    code, out, err = call(capsys, *arguments)

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert cause in err
    assert (here / "report.html").read_text() == "old"
    assert (here / "original" / "model.safetensors").stat().st_size > 1000


def test_an_older_report_outlives_a_failure_to_write(
    capsys: pytest.CaptureFixture[str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    (here / "report.html").write_text("old")
    monkeypatch.setattr(Path, "write_text", full)
    code, _, err = call(capsys, "original", "pruned")
    monkeypatch.undo()

    assert code == 2
    assert "report.html: cannot be written (No space left on device)" in err
    assert (here / "report.html").read_text() == "old"
    assert not list(here.glob(".*"))


def test_without_jinja_the_message_says_what_to_install(
    capsys: pytest.CaptureFixture[str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "prunescope.report.html.render", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)

    assert call(capsys, "original", "pruned") == (
        2, "", "error: jinja2 is not installed: run  pip install 'prunescope[report]'\n",
    )  # fmt: skip
    assert not (here / "report.html").exists()


def test_what_was_measured_stands_beside_what_was_counted(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    models = [
        {"path": "original", "perplexity": {"value": 18.834}},
        {"path": str(here / "pruned"), "perplexity": {"value": 81.5},
         "speed": {"decode_tokens_per_second": 22.25}},
    ]  # fmt: skip
    (here / "eval.json").write_text(json.dumps({"schema": "prunescope.eval/1", "models": models}))

    code, _, _ = call(capsys, "original", "pruned", "--eval", "eval.json")

    text = (here / "report.html").read_text("utf-8")
    assert code == 0
    assert '<dd class="figure">81.50</dd>' in text
    assert "was 18.83" in text
    assert '<dd class="figure">22.2</dd>' in text


def test_lone_files_will_do(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    (here / "files").mkdir()
    write_safetensors(here / "files" / "a.safetensors", llama_shapes(SMALL))
    write_safetensors(here / "files" / "b.safetensors", llama_shapes(SMALL, range(1), channels=3))

    code, _, err = call(capsys, "files/a.safetensors", "files/b.safetensors")
    assert (code, err) == (0, "")
