"""`prunescope verify` and `analyze_pruning.py --verify` as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from tests.support.scripts import environment, run_script
from tests.support.sparse import LlamaShape, llama_shapes, write_model
from tests.support.tiny import tiny_tokenizer
from tests.support.verify import pruned_pair, spoilt

GOLDEN = Path(__file__).parent / "golden"
# Four query heads of two rows share two KV heads: 2648 parameters. A layer loses 2·8 of each of q,
# k, v and o, and 3·8 of each of gate, up and down: three layers 408, a share of 0.15408.
SMALL = LlamaShape(5, 8, 12, 4, 2, 2, 10, tied=False)


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "prunescope", "verify", *arguments],
        cwd=cwd, env=environment(), capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`original`, `pruned` by llama3.py, `broken` of that; and `small` with `mispaired`."""
    folder = tmp_path_factory.mktemp("verify")
    pruned_pair(folder)
    down = "model.layers.2.mlp.down_proj.weight"
    spoilt(folder / "pruned", folder / "broken", lambda state: {down: None})
    write_model(folder / "small", SMALL, llama_shapes(SMALL))
    # As many rows of k as of q: one query head and one KV head fewer.
    cut = llama_shapes(SMALL, range(1, 4), q_rows=2, kv_rows=2, channels=3)
    write_model(folder / "mispaired", SMALL, cut)
    tiny_tokenizer().save_pretrained(folder / "mispaired")
    return folder


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_tables_are_the_golden_ones(folder: Path, language: str) -> None:
    wanted = ("--layers", "1:4", "--expect-sparsity", "0.127", "--tolerance", "0.001")
    done = run("small", "mispaired", *wanted, "--lang", language, cwd=folder)
    assert done.stderr == ""
    assert done.returncode == 1
    assert done.stdout == (GOLDEN / f"verify.{language}.txt").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("original", "pruned"), 0),
        (("original", "pruned", "--weights", "--quiet"), 0),
        (("original", "pruned", "--layers", "1:3", "--expect-ratio", "0.5"), 0),
        (("pruned",), 0),
        (("original", "pruned", "--layers", "0:3"), 1),
        (("original", "broken"), 1),
        (("broken",), 1),
        (("original", "none"), 2),
        (("original", "pruned", "pruned"), 2),
        ((), 2),
        (("pruned", "--layers", "1:3"), 2),
        (("original", "pruned", "--layers", "3"), 2),
        (("original", "pruned", "--layers", "1:9"), 2),
        (("original", "pruned", "--layers", "-1:3"), 2),
        (("original", "pruned", "--expect-sparsity", "1.5"), 2),
        (("original", "pruned", "--junit", "no/such/folder.xml"), 2),
    ],
)
def test_the_exit_code_says_the_verdict(
    folder: Path, arguments: tuple[str, ...], code: int
) -> None:
    done = run(*arguments, cwd=folder)
    assert done.returncode == code
    assert done.stderr.count("\n") == (code == 2)
    assert bool(done.stdout) == (code != 2)


def test_json_has_every_check_with_its_findings(folder: Path) -> None:
    done = run("original", "broken", "--json", "--lang", "zh", cwd=folder)
    found = json.loads(done.stdout)
    assert {key: found[key] for key in ("schema", "original", "pruned", "family")} == {
        "schema": "prunescope.verify/1",
        "original": "original",
        "pruned": "broken",
        "family": "llama",
    }
    # 240 columns of 24 are gone from what was recorded.
    assert found["failed"] == ["record", "tensors"]
    assert next(check for check in found["checks"] if check["name"] == "tensors") == {
        "group": "coherence",
        "name": "tensors",
        "verdict": "fail",
        "source": None,
        "findings": [
            {
                "verdict": "fail",
                "code": "missing",
                "layers": [2],
                "values": {"tensor": "mlp.down_proj.weight"},
                "text": "mlp.down_proj.weight is missing",
            }
        ],
    }


def test_junit_does_not_replace_weights(folder: Path) -> None:
    weights = next((folder / "pruned").glob("*.bin"))
    before = weights.read_bytes()
    done = run("original", "pruned", "--junit", f"pruned/{weights.name}", cwd=folder)
    assert (done.returncode, weights.read_bytes()) == (2, before)
    assert done.stderr.endswith(f"{weights.name}: has weights of pruned: name another file\n")


def test_junit_has_a_case_for_each_check(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    run("original", "broken", "--junit", str(path), cwd=folder)
    suite = Xml.parse(path).getroot()[0]
    cases = suite.findall("testcase")
    counts = [suite.get(key) for key in ("tests", "failures", "errors", "skipped")]
    assert counts == [str(len(cases)), "2", "0", "2"]
    failures = {c.get("name"): c.find("failure") for c in cases if c.find("failure") is not None}
    assert list(failures) == ["record", "tensors"]
    message = failures["tensors"].get("message")
    assert message == "FAIL: [2] mlp.down_proj.weight is missing"
    assert [c.get("name") for c in cases if c.find("skipped") is not None] == ["finite", "zeros"]


def test_a_name_from_a_stranger_cannot_steer_the_terminal(tmp_path: Path) -> None:
    shapes = llama_shapes(SMALL) | {"evil\x1b[2J\x00": (1,)}
    write_model(tmp_path / "m", SMALL, shapes)
    done = run("m", "--junit", "x.xml", cwd=tmp_path)
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    assert "evil\\x1b[2J\\x00" in done.stdout
    assert "evil\\x1b" in (tmp_path / "x.xml").read_text("utf-8")
    Xml.parse(tmp_path / "x.xml")


@pytest.mark.parametrize(("pruned", "code"), [("pruned", 0), ("mispaired", 1)])
def test_the_analysis_verifies_too(folder: Path, pruned: str, code: int) -> None:
    original = "original" if pruned == "pruned" else "small"
    models = (f"--original_model={original}", f"--pruned_model={pruned}", "--output=x.csv")
    done = run_script("analyze_pruning.py", *models, "--verify", cwd=folder)
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout.index("详细模块分析") < done.stdout.index("剪枝验证")
    assert run_script("analyze_pruning.py", *models, cwd=folder).returncode == 0
    done = run_script("analyze_pruning.py", *models, "--verify", "--json", cwd=folder)
    assert done.returncode == code
    found = json.loads(done.stdout)
    assert found["schema"] == "prunescope.analysis/1"
    assert found["verification"]["schema"] == "prunescope.verify/1"
    assert bool(found["verification"]["failed"]) is bool(code)


def test_headers_are_read_without_anything_heavy(folder: Path) -> None:
    script = (
        "import sys; from prunescope.cli.main import main\n"
        "sys.argv = ['prunescope', 'verify', 'original', 'pruned']\n"
        "try: main()\n"
        "finally: print({'torch', 'numpy', 'transformers', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder, env=environment(), capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.stdout.endswith("set()\n")


def test_help_has_an_example(tmp_path: Path) -> None:
    for language, word in (("zh", "示例:"), ("en", "Example:")):
        done = run("--help", "--lang", language, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"{word} prunescope verify " in " ".join(done.stdout.split())


def test_a_hundred_thousand_tensors_too_many_are_counted(tmp_path: Path) -> None:
    more = {f"extra.{number}": (1,) for number in range(100_000)}
    write_model(tmp_path / "m", SMALL, llama_shapes(SMALL) | more)
    done = run("m", "--lang", "en", cwd=tmp_path)
    assert done.returncode == 1
    assert "… and 99,980 more" in done.stdout
    assert done.stdout.count("\n") < 80
