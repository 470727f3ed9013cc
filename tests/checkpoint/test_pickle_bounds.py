"""Interpreting a hostile pickle of 64 MiB takes less than 512 MiB, whatever it is made of."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import torch

from prunescope.checkpoint import distributed_metadata, open_checkpoint
from prunescope.checkpoint.pickle_machine import MAX_MEMO, MAX_PICKLE
from tests.support.measured import measured

WIDE = "😀".encode() + b"a" * 9
# What comes first, and what is repeated until the file is full.
UNITS = {
    "empty lists": (b"", b"]"),
    "dicts of one": (b"", b"}NNs"),
    "instances": (b"", b"(i\n\n"),
    "persistent ids": (b"", b"P\n"),
    "long integers": (b"", b"\x8a\xff" + b"z" * 255),
    "strings": (b"", b"\x8c\x02ab"),
    "wide strings": (b"", b"\x8c\x0d" + WIDE),
    "memo": (b"", b"}\x94"),
    "a far memo entry": (b"N", b"r" + struct.pack("<I", MAX_MEMO - 1)),
}
SCRIPT = """
import sys
from prunescope.checkpoint.pickle_machine import examine
head, unit = bytes.fromhex(sys.argv[1]), bytes.fromhex(sys.argv[2])
data = head + unit * ((int(sys.argv[3]) - len(head) - 1) // len(unit)) + b"."
outcome = examine(data).error
"""


@pytest.mark.parametrize("case", UNITS)
def test_memory_stays_below_512_mib(case: str) -> None:
    head, unit = UNITS[case]

    found = measured(SCRIPT, head.hex(), unit.hex(), MAX_PICKLE)

    assert found.peak < 512
    # What fits into the bounds is few and large.
    assert "over" in found.outcome or len(unit) > 200, found.outcome


def test_a_distinct_global_each_time_is_bounded() -> None:
    from prunescope.checkpoint.pickle_machine import examine

    names = b"".join(b"cm%d\nx\n" % n for n in range(20_000))
    assert str(examine(names + b".").error) == "over 10000 different globals"


def test_twenty_thousand_tensors_in_one_file_are_fine(tmp_path: Path) -> None:
    state = {f"model.layers.{n}.mlp.experts.weight": torch.zeros(1) for n in range(20_000)}
    for zipped in (True, False):
        path = tmp_path / f"{zipped}.bin"
        torch.save(state, path, _use_new_zipfile_serialization=zipped)
        assert open_checkpoint(path).parameters == 20_000


def test_a_list_of_pieces_may_be_longer_and_stays_below_512_mib_too() -> None:
    # Of all opcodes the one that made most of the memory that is summed up.
    limit = f"opcodes={distributed_metadata.MAX_OPCODES}"

    found = measured(
        SCRIPT.replace("examine(data)", f"examine(data, {limit})"),
        b"N".hex(),
        b"\x85".hex(),
        MAX_PICKLE,
    )

    assert found.peak < 512
    assert found.seconds < 10
    assert found.outcome == "objects of over 384 MiB together"


def test_pickles_of_objects_that_hold_themselves_do_not_pile_up() -> None:
    script = """
import sys
from prunescope.checkpoint.pickle_machine import examine
data = b"]\\x94(" + b"]" * 300_000 + b"eh\\x00a."
outcome = {examine(data).error for _ in range(12)}
"""
    found = measured(script)

    # One takes 20 MiB.
    assert found.peak < 130
    assert found.outcome == "{None}"
