"""What lies in a folder, to be compared with what lay in it before."""

from __future__ import annotations

from pathlib import Path


def tree(folder: Path) -> dict[str, str | None]:
    """Every file's text, and None for each folder."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_text("utf-8")
        for path in sorted(folder.rglob("*"))
    }


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
