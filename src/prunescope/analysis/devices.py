"""What can a device do at best? `devices.json`: figures of its data sheet, with their source.

`gb_per_second` is memory bandwidth in 10^9 bytes; `tflops` is dense matrix arithmetic on 16-bit
floats with 32-bit sums, in 10^12 operations a second (data sheets of NVIDIA's often print twice
that, for 2:4 sparse weights; Apple prints one figure, that of 32-bit floats); `gib` is memory,
whose gigabytes are of 2^30 bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_TABLE = Path(__file__).with_name("devices.json")


@dataclass(frozen=True, slots=True)
class Device:
    """A device's peaks.

    Attributes:
        title: its name in full; None where the user gave all figures.
        bandwidth: bytes a second, from memory.
        flops: floating-point operations a second.
        memory: bytes; None where nobody said.
        source: where the figures are published; None where the user gave them.
    """

    title: str | None
    bandwidth: float
    flops: float
    memory: int | None
    source: str | None


@cache
def devices() -> dict[str, Device]:
    """Those of the table, by the name that options give them."""
    return {
        name: Device(
            entry["title"],
            entry["gb_per_second"] * 1e9,
            entry["tflops"] * 1e12,
            entry["gib"] << 30,
            entry["source"],
        )
        for name, entry in json.loads(_TABLE.read_text("utf-8")).items()
    }
