"""Does any file make a reader fail otherwise than by CheckpointError? Coverage-guided fuzzing.

make fuzz                          each reader for 10 minutes
make fuzz TARGETS=GGUF SECONDS=60  one reader for one minute

Needs atheris (https://github.com/google/atheris). Each target starts from files that the format's
own writer made. A crash leaves its input in `fuzz/crashes/`; runs are recorded in `fuzz/README.md`.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]
CRASHES = ROOT / "fuzz" / "crashes"
# What a reader may use for one hostile file, and how long it may take.
MEMORY_MIB, SECONDS = 512, 10


def targets() -> dict[str, Callable[[], Callable[[bytes], None]]]:
    """Name → what imports a reader and returns what gives it one input."""
    from prunescope.checkpoint.formats import FORMATS

    def reader(module: str) -> Callable[[], Callable[[bytes], None]]:
        return lambda: _reader(module, "read")

    found = {known.name.replace(" ", "-"): reader(known.module) for known in FORMATS}
    return found | {
        "pickle": _pickle,
        "scan": _scan,
        "index": _index,
        "distributed": lambda: _reader(
            "prunescope.checkpoint.distributed_metadata", "read_metadata"
        ),
    }


def _reader(module: str, function: str) -> Callable[[bytes], None]:
    from fuzz.memory import MemoryFile
    from prunescope.errors import CheckpointError

    read = getattr(import_module(module), function)

    def run(data: bytes) -> None:
        try:
            read(MemoryFile(data))
        except CheckpointError as err:
            _one_line(str(err))

    return run


def _pickle() -> Callable[[bytes], None]:
    from prunescope.checkpoint.pickle_machine import interpret
    from prunescope.checkpoint.pickle_values import PickleError

    def run(data: bytes) -> None:
        try:
            interpret(data)
        except PickleError as err:
            _one_line(str(err))

    return run


def _scan() -> Callable[[bytes], None]:
    from fuzz.memory import MemoryFile
    from prunescope.checkpoint.pickle_places import pickles_in
    from prunescope.checkpoint.pickle_risks import risk_of
    from prunescope.errors import CheckpointError

    def run(data: bytes) -> None:
        try:
            for _, found in pickles_in(MemoryFile(data))[1]:
                for name in found.uses:
                    assert risk_of(name) in ("dangerous", "code", "safe")
        except CheckpointError as err:
            _one_line(str(err))

    return run


def _index() -> Callable[[bytes], None]:
    from fuzz.memory import MemoryFolder
    from prunescope.checkpoint.folder import read_index
    from prunescope.errors import CheckpointError

    name = "model.safetensors.index.json"

    def run(data: bytes) -> None:
        try:
            read_index(MemoryFolder({name: data}), name)
        except CheckpointError as err:
            _one_line(str(err))

    return run


def _one_line(text: str) -> None:
    assert "\n" not in text, text


def fuzz(name: str, corpus: Path, seconds: int) -> None:
    """Run one target in this process; libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=["prunescope"]):
        run = targets()[name]()

    def one(data: bytes) -> None:
        # Of the processor: an input is not slow because the machine is busy.
        start, before = time.process_time(), _peak()
        run(data)
        assert time.process_time() - start < SECONDS
        assert _peak() - before < MEMORY_MIB

    CRASHES.mkdir(exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        "-max_len=16384",
        "-rss_limit_mb=2048",
        f"-artifact_prefix={CRASHES}/{name}-",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], str(corpus), *options], one)
    atheris.Fuzz()


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    if len(sys.argv) == 4 and sys.argv[1] == "--one":
        with tempfile.TemporaryDirectory() as corpus:
            from fuzz.seeds import write_seeds

            write_seeds(sys.argv[2], Path(corpus))
            fuzz(sys.argv[2], Path(corpus), int(sys.argv[3]))
        return
    seconds, names = sys.argv[1], sys.argv[2:] or list(targets())
    failed = []
    for name in names:
        command = [sys.executable, __file__, "--one", name, seconds]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        stats = [line for line in done.stderr.splitlines() if line.startswith("stat::")]
        print(name, "crashed" if done.returncode else "no crash", *stats, sep="\n  ", flush=True)
        if done.returncode:
            failed.append(name)
            print(done.stderr[-3000:], file=sys.stderr)
    raise SystemExit(f"crashes in {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
