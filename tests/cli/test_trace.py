"""`prunescope trace` as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from prunescope.cli.trace import subcommand
from prunescope.report.messages import Language
from tests.support.commands import called
from tests.support.scripts import environment
from tests.support.sparse import LlamaShape, llama_shapes, write_safetensors
from tests.support.traces import cut, head_rows, original, state_of, with_state
from tests.support.web import FolderHandler, serve

GOLDEN = Path(__file__).parent / "golden"
ATTENTION, MLP = "model.layers.1.self_attn.", "model.layers.1.mlp."
FAULTS = ("sound", "mispaired", "broken")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model, and cuts of it whose kept units are written down here."""
    folder = tmp_path_factory.mktemp("trace")
    original(folder / "original", num_hidden_layers=3)
    for name in FAULTS:
        state = state_of(folder / "original")
        heads, kv_heads = ([0, 1, 2, 4, 5, 7], [1, 3]) if name == "mispaired" else ([2, 3], [1])
        for projection, axis, rows in (
            ("q_proj", 0, head_rows(heads)),
            ("o_proj", 1, head_rows(heads)),
            ("k_proj", 0, head_rows(kv_heads)),
            ("v_proj", 0, head_rows(kv_heads)),
        ):
            cut(state, f"{ATTENTION}{projection}.weight", axis, rows)
        for projection in ("gate_proj", "up_proj"):
            cut(state, f"{MLP}{projection}.weight", 0, range(10, 80))
        columns = range(11, 81) if name == "broken" else range(10, 80)
        cut(state, f"{MLP}down_proj.weight", 1, columns)
        if name == "broken":
            # Layer 0 is gone, layer 2 is half as large.
            state = {n: t for n, t in state.items() if "layers.0." not in n}
            state = {
                n.replace("layers.1.", "layers.0.").replace("layers.2.", "layers.1."): (
                    t / 2 if "layers.2.mlp.up" in n else t
                )
                for n, t in state.items()
            }
        with_state(folder / "original", folder / name, state)
    return folder


def call(
    capsys: pytest.CaptureFixture[str], *arguments: str, language: Language = "en"
) -> tuple[int, str, str]:
    return called(subcommand, capsys, *arguments, language=language)


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in errors are then as a user types them."""
    monkeypatch.chdir(folder)


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("more", [(), ("--all",)], ids=["short", "all"])
def test_the_table_is_the_golden_one(
    capsys: pytest.CaptureFixture[str], name: str, language: str, more: tuple[str, ...]
) -> None:
    code, out, err = call(capsys, "original", name, *more, language=language)
    assert (code, err) == (0 if name == "sound" else 1, "")
    if more:
        # The short report is part of it.
        assert "model.layers.1.mlp.up_proj.weight" in out
        assert "10-79" in out
        return
    assert out == (GOLDEN / f"trace_{name}.{language}.txt").read_text("utf-8")


def test_json_has_every_unit_and_every_check(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "original", "mispaired", "--json")
    found = json.loads(out)
    assert code == 1
    assert (found["schema"], found["ok"], found["head_dim"]) == ("prunescope.trace/1", False, 8)
    assert [layer["ok"] for layer in found["layers"]] == [True, False, True]
    layer = found["layers"][1]
    spaces = {space["space"]: space for space in layer["spaces"]}
    assert spaces["heads"]["kept"] == [0, 1, 2, 4, 5, 7]
    assert spaces["kv_heads"]["kept"] == [1, 3]
    assert spaces["channels"]["kept"] == list(range(10, 80))
    assert all(space["ok"] and space["in_order"] for space in spaces.values())
    assert layer["pairing"]["heads"][0] == {"position": 0, "head": 0, "trained": 0, "met": 1}
    assert not layer["pairing"]["ok"]
    tensors = [t for space in spaces.values() for t in space["tensors"]] + layer["others"]
    assert len(tensors) == 9
    assert all(t["identical"] and t["drift"] == 0 for t in tensors)


def test_json_has_no_word_for_infinity(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    state = state_of(folder / "original")
    state["model.norm.weight"][3] = float("nan")
    with_state(folder / "original", tmp_path / "nan", state)
    code, out, _ = call(capsys, "original", str(tmp_path / "nan"), "--json")
    others = json.loads(out)["outside_layers"]["others"]
    assert code == 1
    assert [(t["identical"], t["drift"]) for t in others] == [(False, None)]


def test_nan_is_named_and_fails(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    state = state_of(folder / "sound")
    state[f"{MLP}up_proj.weight"][2, 3] = float("nan")
    with_state(folder / "sound", tmp_path / "nan", state)
    code, out, _ = call(capsys, "original", str(tmp_path / "nan"))
    assert code == 1
    assert f"❌ layer 1: {MLP}up_proj.weight holds NaN or infinity" in out
    assert out.endswith("❌ Layers that fail a check: 1\n")


def test_an_unrelated_model_is_called_so_in_two_lines(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    original(tmp_path / "other", seed=1, num_hidden_layers=3)
    code, out, _ = call(capsys, "original", str(tmp_path / "other"))
    assert code == 1
    assert out.count("❌") == 2
    assert "This model was not pruned from that original" in out


@pytest.mark.parametrize(
    ("before", "after", "cause"),
    [
        ("sound", "original", "not pruned from it (are the two swapped?)"),
        ("original", "nowhere", "nowhere"),
        ("original", "other.safetensors", "hidden size 8, in the original 64: no tensor tells"),
        ("original", "wide.safetensors", "hidden size 80, in the original 64: not pruned from it"),
    ],
)
def test_what_does_not_belong_together_ends_in_one_line(
    capsys: pytest.CaptureFixture[str], folder: Path, before: str, after: str, cause: str
) -> None:
    for name, hidden in (("other", 8), ("wide", 80)):
        shape = LlamaShape(3, hidden, 12, 4, 2, 2, 10, tied=False)
        write_safetensors(folder / f"{name}.safetensors", llama_shapes(shape))
    code, out, err = call(capsys, before, after)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert cause in err


def test_a_file_cut_off_after_its_header(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    data = (folder / "sound" / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(data[:-100])
    code, out, err = call(capsys, "original", str(tmp_path / "model.safetensors"))
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_remote_weights_have_to_be_downloaded(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    with serve(FolderHandler, folder / "sound") as site:
        code, out, err = call(capsys, "original", f"{site.url}/model.safetensors")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "is remote: download the model to read its weights" in err


def test_without_numpy_one_line_says_what_to_install(folder: Path) -> None:
    script = (
        "import sys; sys.modules['numpy'] = None\n"
        "from prunescope.cli.main import main\n"
        "sys.argv = ['prunescope', 'trace', 'original', 'sound']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=environment(), capture_output=True,
        encoding="utf-8", check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: numpy is not installed: run  pip install 'prunescope[weights]'\n"
    )


def test_tracing_imports_no_torch_and_help_has_an_example(folder: Path) -> None:
    script = (
        "import sys; from prunescope.cli.main import main\n"
        "try: main()\n"
        "finally: print({'torch', 'transformers', 'gguf', 'safetensors'} & set(sys.modules))"
    )
    for arguments, expected in ((("original", "sound"), "✅"), (("--help",), "Example:")):
        done = subprocess.run(
            [sys.executable, "-c", script, "trace", *arguments], cwd=folder, env=environment(),
            capture_output=True, encoding="utf-8", check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert expected in done.stdout
        assert done.stdout.endswith("set()\n")
