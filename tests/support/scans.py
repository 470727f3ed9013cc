"""Scanning bytes as if they were a file of a model."""

from __future__ import annotations

from pathlib import Path

from prunescope.analysis.scan import FileScan, scan


def scanned(folder: Path, content: bytes, name: str = "pytorch_model.bin") -> FileScan:
    path = folder / name
    path.write_bytes(content)
    (found,) = scan(path).files
    assert found.path == str(path)
    return found


def dangerous(found: FileScan) -> set[str]:
    return {str(f.found) for f in found.of("dangerous")}
