"""A shard index that is malformed, or too large for any model, is refused before it is followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunescope.checkpoint import open_checkpoint
from prunescope.errors import CheckpointError
from tests.checkpoint.test_folder import put, put_index

DEEP = "[" * 100_000 + "]" * 100_000
INDEX = "model.safetensors.index.json"


def refuse(named: Path, cause: str) -> None:
    with pytest.raises(CheckpointError, match=cause) as caught:
        open_checkpoint(named)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (f'{{"weight_map": {DEEP}}}', "nested too deeply"),
        ('{"weight_map": {"w": 1' + "0" * 5000 + "}}", "is not JSON"),
        ('{"weight_map": {"w": 100000000000000000000}}', "names a file that is not a string"),
        ('{"weight_map": {"w": "a", "w": "b"}}', "has the key 'w' twice"),
        ('{"weight_map": {1: "a"}}', "is not JSON"),
        ('{"weight_map": {"w": "a"}, "weight_map": {"w": "b"}}', "has the key 'weight_map' twice"),
        ('["weight_map"]', "is not a JSON object"),
        ('{"weight_map": {"w": NaN}}', "has NaN"),
        ("", "is not JSON"),
        ('{"weight_map": {"w": "' + "a/" * 20 + 'x"}}', "over 16 folders deep"),
        (f'{{"weight_map": {{"w": "{INDEX}"}}}}', "is JSON, not weights"),
        ('{"weight_map": {"w": "con\\u0000.safetensors"}}', "leads out of the folder"),
        ('{"weight_map": {"\\udfff": "a"}}', "cannot be UTF-8"),
    ],
    ids=[
        *("deep", "a long number", "a number", "a tensor twice", "a number as a key"),
        *("two maps", "a list", "NaN", "nothing", "deep folders", "itself", "NUL", "surrogate"),
    ],
)
def test_an_index_that_is_malformed_is_refused(tmp_path: Path, content: str, cause: str) -> None:
    (tmp_path / INDEX).write_text(content)

    refuse(tmp_path, cause)
    refuse(tmp_path / INDEX, cause)


def test_an_index_of_a_hundred_thousand_entries_is_read(tmp_path: Path) -> None:
    names = [f"model.layers.{n}.mlp.weight" for n in range(100_000)]
    put(tmp_path / "a.safetensors", names[0])
    put_index(tmp_path / INDEX, dict.fromkeys(names, "a.safetensors"))

    # Every entry is compared with what the shard holds.
    refuse(tmp_path, rf"tensor '{names[1]}' is not in shard a\.safetensors")


def test_more_shards_than_any_model_has_are_refused(
    tmp_path: Path,
) -> None:
    put_index(tmp_path / INDEX, {f"w{n}": f"{n}.safetensors" for n in range(5001)})

    refuse(tmp_path, "5001 weight files: over 5000")
