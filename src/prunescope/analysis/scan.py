"""What would loading these pickles import and call? Read, never run.

Every pickle of a file counts: each `*.pkl` of a zip archive, the five of torch's format before
1.6, and those that follow one another in a bare pickle file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prunescope.checkpoint import pickle_machine
from prunescope.checkpoint.formats import FORMATS, is_pickle, mistaken
from prunescope.checkpoint.pickle_machine import MAX_PICKLE, Pickled, examine
from prunescope.checkpoint.pickle_risks import Risk, risk_of
from prunescope.checkpoint.pickle_stream import PickleStream
from prunescope.checkpoint.pickle_values import Bound, Global
from prunescope.checkpoint.places import locate
from prunescope.checkpoint.storage import File
from prunescope.checkpoint.zip_directory import read_directory, read_record
from prunescope.errors import CheckpointError

# What torch, transformers and DCP (`.metadata`) leave in a folder, and plain pickles.
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".metadata")
SUFFIXES = (*_PICKLED, ".safetensors", ".gguf")
_IN_ARCHIVES = (".pkl", ".pickle", ".debug_pkl")
_HEAD = 512
_LEGACY_PICKLES = 5
# TorchScript has one for each file of code.
MAX_PICKLES = 10_000
# Of all pickles of a file together: the length of a string that is passed over counts too.
MAX_BYTES = 4 * MAX_PICKLE
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


def scan(path: str | Path) -> tuple[FileScan, ...]:
    """Scan a file, or each file of a folder that may hold pickles, in the order of their names.

    Raises:
        CheckpointError: there is no such path, or nothing in the folder to scan.
    """
    folder, name = locate(path)
    if name is not None:
        return (_scanned(folder.named(name)),)
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
    return tuple(scans)


def _scanned(file: File) -> FileScan:
    try:
        if not file.size:
            raise CheckpointError(file, "is an empty file")
        head = file.read(0, _HEAD)
        kind = next((f.name for f in FORMATS if f.matches(head, file.size)), None)
        if kind == "torch zip":
            return _merged(file, kind, _in_archive(file))
        if kind == "torch legacy" or is_pickle(head):
            pickles = _in_stream(PickleStream(file), is_legacy=kind == "torch legacy")
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
    if _is_none(first):
        return FileScan(str(file), None)
    return _merged(file, PICKLE, _in_stream(stream, is_legacy=False, first=first))


def _is_none(found: Pickled) -> bool:
    """Whether there is no pickle: an unpickler would fail too, and before it imports anything."""
    return found.error is not None and not found.uses and not isinstance(found.error, Bound)


def _in_archive(file: File) -> Iterator[tuple[str, Pickled]]:
    left = pickle_machine.MAX_OPCODES
    records = [r for r in read_directory(file).values() if r.name.lower().endswith(_IN_ARCHIVES)]
    if len(records) > MAX_PICKLES or sum(r.size for r in records) > MAX_BYTES:
        raise CheckpointError(file, _over_bounds("in one archive"))
    for record in records:
        found = examine(read_record(file, record, MAX_PICKLE), 0, left)
        left -= found.opcodes
        yield f"{record.name}: ", found


def _in_stream(
    stream: PickleStream, is_legacy: bool, first: Pickled | None = None
) -> Iterator[tuple[str, Pickled]]:
    """The pickles of a file; `first` is the one that was read already."""
    size = stream.file.size
    for count in range(_LEGACY_PICKLES if is_legacy else MAX_PICKLES):
        start = 0 if count == 0 else stream.position
        if start >= size:
            return
        found = first if first is not None and count == 0 else stream.next()
        if count and not is_legacy and _is_none(found):
            # Whatever lies behind a pickle: its reader stops there.
            return
        yield f"the pickle at byte {start}: ", found
        if found.error:
            return
        if stream.position > MAX_BYTES:
            break
    if not is_legacy and stream.position < size:
        raise CheckpointError(stream.file, _over_bounds("one behind the other"))


def _over_bounds(where: str) -> str:
    return f"over {MAX_PICKLES} pickles or {MAX_BYTES >> 20} MiB of them {where}"


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
