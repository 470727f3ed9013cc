"""How much memory is there, and how much did a piece of work take at its peak?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prunescope.extras import require

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", "prune")

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_MACHINE = Path("/proc/meminfo")


@dataclass(slots=True)
class Peak:
    """Bytes that a piece of work held at most beyond what was held before; None where unknown."""

    extra: int | None = None


@contextmanager
def peak_memory(device: str) -> Iterator[Peak]:
    """Measure the block: what torch allocated on a device where it counts that, else what it
    added to the process's resident set.

    Linux forgets a process's peak when told to (`man 5 proc_pid_clear_refs`); elsewhere there is
    no peak of a part of its life.
    """
    peak = Peak()
    of_device = torch.get_device_module(device)
    if hasattr(of_device, "max_memory_allocated"):
        of_device.reset_peak_memory_stats(device)
        before = of_device.memory_allocated(device)
        yield peak
        peak.extra = of_device.max_memory_allocated(device) - before
        return
    try:
        _RESET.write_text("5", encoding="ascii")
    except OSError:
        yield peak
        return
    resident = _kilobytes(_STATUS, "VmRSS")
    yield peak
    highest = _kilobytes(_STATUS, "VmHWM")
    if resident is not None and highest is not None:
        peak.extra = max(0, highest - resident) << 10


def free_memory(device: str) -> int | None:
    """Bytes that can still be had on `device`; None where the system does not say."""
    of_device = torch.get_device_module(device)
    if hasattr(of_device, "mem_get_info"):
        # What torch keeps of an earlier model for reuse would count as taken.
        of_device.empty_cache()
        return int(of_device.mem_get_info(device)[0])
    free = _kilobytes(_MACHINE, "MemAvailable")
    return None if free is None else free << 10


def _kilobytes(file: Path, name: str) -> int | None:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", file.read_text("ascii"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None
