"""What would loading these pickles import and call? Read, never run.

Every pickle of a file counts: each `*.pkl` of a zip archive, the five of torch's format before
1.6, those that follow one another in a bare pickle file, and in a torch.distributed checkpoint
those of all pieces that its `.metadata` lists: tensors, optimizer state and other objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from prunescope.analysis.tabular import Tabular
from prunescope.checkpoint import distributed_metadata, pickle_machine
from prunescope.checkpoint.folder import METADATA, PIECES_SUFFIX
from prunescope.checkpoint.pickle_machine import Pickled
from prunescope.checkpoint.pickle_places import PICKLE, pickles_in
from prunescope.checkpoint.pickle_risks import Risk, risk_of
from prunescope.checkpoint.pickle_values import Global
from prunescope.checkpoint.pickled_pieces import PickledPieces, is_list
from prunescope.checkpoint.places import locate
from prunescope.checkpoint.storage import File
from prunescope.errors import CheckpointError

# What torch, transformers and DCP (`.metadata`) leave in a folder, and plain pickles.
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", METADATA, PIECES_SUFFIX)
SUFFIXES = (*_PICKLED, ".safetensors", ".gguf")
# Of all files of a folder together; a whole pickled model names some hundreds.
MAX_FINDINGS = 100_000
# What holds pieces of a torch.distributed checkpoint.
PIECES = "torch distributed"


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
        format: a name of `prunescope.checkpoint.formats`, `pickle`, `torch distributed`, or None
            where it is open.
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

    def columns(self) -> Sequence[str]:
        """Those of a row: files without pickles have none, and a table all the same."""
        return ("path", "module", "name", "risk", "named", "called")


def scan(path: str | Path) -> Scan:
    """Scan a file, or each file of a folder that may hold pickles, in the order of their names.

    Raises:
        CheckpointError: there is no such path, or nothing in the folder to scan.
    """
    folder, name = locate(path)
    if name is not None:
        pieces = PickledPieces(folder) if name.endswith(PIECES_SUFFIX) else None
        return Scan((_scanned(folder.named(name), name, pieces),))
    names = {n for n in folder.names() if n.endswith(SUFFIXES)}
    if not names:
        raise CheckpointError(folder, f"nothing here to scan: no {', '.join(SUFFIXES)}")
    pieces = PickledPieces(folder)
    scans, findings = [], 0
    # A list of pieces may name any file.
    for file_name in sorted(names.union(pieces.places)):
        scans.append(_named(file_name, pieces))
        findings += len(scans[-1].findings)
        if findings > MAX_FINDINGS:
            cause = f"its files name over {MAX_FINDINGS} globals: scan them one by one"
            raise CheckpointError(folder, cause)
    return Scan(tuple(scans))


def _named(name: str, pieces: PickledPieces) -> FileScan:
    try:
        file = pieces.folder.file(name)
    except CheckpointError as err:
        return FileScan(err.path, None, error=err.cause)
    return _scanned(file, name, pieces)


def _scanned(file: File, name: str, pieces: PickledPieces | None) -> FileScan:
    try:
        if pieces is not None and name.endswith(PIECES_SUFFIX):
            return _merged(file, PIECES, chain(_whole(file), pieces.pickles(file, name)))
        kind, pickles = pickles_in(
            file, distributed_metadata.MAX_OPCODES if is_list(name) else None
        )
        if pieces is not None and name in pieces.places:
            pickles = chain(pickles, pieces.pickles(file, name))
        found = _merged(file, kind, pickles)
    except CheckpointError as err:
        return FileScan(str(file), None, error=err.cause)
    if pieces is not None and is_list(name) and kind == PICKLE and found.error is None:
        # What cannot be followed here may lead others to files that were not scanned.
        return replace(found, error=pieces.problem)
    return found


def _whole(file: File) -> Iterator[tuple[str, Pickled]]:
    """What who takes a file of pieces for one archive would load; most are none."""
    with suppress(CheckpointError):
        yield from pickles_in(file)[1]


def _merged(file: File, kind: str | None, pickles: Iterator[tuple[str, Pickled]]) -> FileScan:
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
