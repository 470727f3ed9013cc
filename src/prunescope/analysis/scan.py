"""What would loading these pickles import and call? Read, never run.

Every pickle of a file counts: each `*.pkl` of a zip archive, the five of torch's format before
1.6, and those that follow one another in a bare pickle file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prunescope.analysis.tabular import Tabular
from prunescope.checkpoint import pickle_machine
from prunescope.checkpoint.formats import FORMATS, is_pickle, mistaken
from prunescope.checkpoint.pickle_machine import Pickled
from prunescope.checkpoint.pickle_places import in_archive, in_stream, is_none
from prunescope.checkpoint.pickle_risks import Risk, risk_of
from prunescope.checkpoint.pickle_stream import PickleStream
from prunescope.checkpoint.pickle_values import Global
from prunescope.checkpoint.places import locate
from prunescope.checkpoint.storage import File
from prunescope.errors import CheckpointError

# What torch, transformers and DCP (`.metadata`) leave in a folder, and plain pickles.
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".metadata")
SUFFIXES = (*_PICKLED, ".safetensors", ".gguf")
_HEAD = 512
# Of all files of a folder together; a whole pickled model names some hundreds.
MAX_FINDINGS = 100_000
PICKLE = "pickle"


@dataclass(frozen=True, slots=True)
class Finding:
    """A global that a file's pickles name.

    Attributes:
        found: its name.
        risk: the class that `prunescope.checkpoint.pickle_risks` puts it in.
        named: how often the pickles name it: loading imports it.
        called: how often they call it.
    """

    found: Global
    risk: Risk
    named: int
    called: int

    def record(self) -> dict[str, Any]:
        """What `--json` says of it."""
        return {
            "module": self.found.module,
            "name": self.found.name,
            "risk": self.risk,
            "named": self.named,
            "called": self.called,
        }


@dataclass(frozen=True, slots=True)
class FileScan:
    """One file's pickles.

    Attributes:
        path: the file.
        format: a name of `prunescope.checkpoint.formats`, `pickle`, or None where it is open.
        pickles: how many were found.
        findings: what they name, the dangerous first.
        error: why not all of them could be read to the end; None where they could.
    """

    path: str
    format: str | None
    pickles: int = 0
    findings: tuple[Finding, ...] = ()
    error: str | None = None

    def of(self, risk: Risk) -> tuple[Finding, ...]:
        """The findings of one class."""
        return tuple(f for f in self.findings if f.risk == risk)


@dataclass(frozen=True, slots=True)
class Scan(Tabular):
    """Every file that was scanned, by name."""

    files: tuple[FileScan, ...]

    @property
    def is_dangerous(self) -> bool:
        """Whether loading one of them could do anything at all."""
        return any(file.of("dangerous") for file in self.files)

    def rows(self) -> list[dict[str, Any]]:
        """One for each global that a file's pickles name."""
        return [{"path": file.path, **one.record()} for file in self.files for one in file.findings]


def scan(path: str | Path) -> Scan:
    """Scan a file, or each file of a folder that may hold pickles, in the order of their names.

    Raises:
        CheckpointError: there is no such path, or nothing in the folder to scan.
    """
    folder, name = locate(path)
    if name is not None:
        return Scan((_scanned(folder.named(name)),))
    names = [n for n in folder.names() if n.endswith(SUFFIXES)]
    if not names:
        raise CheckpointError(folder, f"nothing here to scan: no {', '.join(SUFFIXES)}")
    scans, findings = [], 0
    for file_name in names:
        scans.append(_scanned(folder.file(file_name)))
        findings += len(scans[-1].findings)
        if findings > MAX_FINDINGS:
            cause = f"its files name over {MAX_FINDINGS} globals: scan them one by one"
            raise CheckpointError(folder, cause)
    return Scan(tuple(scans))


def _scanned(file: File) -> FileScan:
    try:
        if not file.size:
            raise CheckpointError(file, "is an empty file")
        head = file.read(0, _HEAD)
        kind = next((f.name for f in FORMATS if f.matches(head, file.size)), None)
        if kind == "torch zip":
            return _merged(file, kind, in_archive(file))
        if kind == "torch legacy" or is_pickle(head):
            pickles = in_stream(PickleStream(file), is_legacy=kind == "torch legacy")
            return _merged(file, kind or PICKLE, pickles)
        if kind is not None:
            return FileScan(str(file), kind)
        cause = mistaken(head)
        if head.startswith(b"\x93NUMPY"):
            cause = "is a NumPy array, which may hold a pickle and is not scanned"
        if cause is not None:
            raise CheckpointError(file, cause)
        return _text_pickle(file)
    except CheckpointError as err:
        return FileScan(str(file), None, error=err.cause)


def _text_pickle(file: File) -> FileScan:
    """Protocols 0 and 1 have no first byte of their own: what does not parse is no pickle."""
    stream = PickleStream(file)
    first = stream.next()
    if is_none(first):
        return FileScan(str(file), None)
    return _merged(file, PICKLE, in_stream(stream, is_legacy=False, first=first))


def _merged(file: File, kind: str, pickles: Iterator[tuple[str, Pickled]]) -> FileScan:
    named: dict[Global, int] = {}
    called: dict[Global, int] = {}
    error: str | None = None
    count = 0
    try:
        for place, pickle in pickles:
            count += 1
            for found, use in pickle.uses.items():
                named[found] = named.get(found, 0) + use.named
                called[found] = called.get(found, 0) + use.called
            if len(named) > pickle_machine.MAX_GLOBALS:
                cause = f"over {pickle_machine.MAX_GLOBALS} different globals in its pickles"
                raise CheckpointError(file, cause)
            if pickle.error is not None:
                error = error or f"{place}{pickle.error}"
    except CheckpointError as err:
        # What was seen before counts.
        error = err.cause
    findings = [Finding(g, risk_of(g), named[g], called[g]) for g in named]
    findings.sort(key=lambda f: (("dangerous", "code", "safe").index(f.risk), str(f.found)))
    return FileScan(str(file), kind, count, tuple(findings), error)
