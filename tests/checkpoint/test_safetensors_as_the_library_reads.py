"""What the safetensors library accepts is accepted, and what it refuses is refused.

The cases are those of its own tests (https://github.com/huggingface/safetensors:
safetensors/src/tensor.rs, bindings/python/tests, attacks), written anew; each is given to the
library too. Where the two differ, it is on purpose, and listed here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize

from prunescope.checkpoint import open_checkpoint
from prunescope.checkpoint.weights import WeightMap
from prunescope.errors import CheckpointError
from tests.checkpoint.test_safetensors_hostile import entry, file_of, one

Tensors = dict[str, tuple[str, list[int], bytes]]
I32 = b'{"test":{"dtype":"I32","shape":%s,"data_offsets":%s}}'
ACCEPTED = {
    "a matrix": file_of(I32 % (b"[2,2]", b"[0,16]"), bytes(16)),
    "a scalar": file_of(I32 % (b"[]", b"[0,4]"), bytes(4)),
    "no elements": file_of(I32 % (b"[2,0]", b"[0, 0]")),
    "no elements in 2^63 - 1 columns": file_of(I32 % (b"[0,9223372036854775807]", b"[0,0]")),
    "no elements in 2^64 - 1 columns": file_of(I32 % (b"[0,18446744073709551615]", b"[0,0]")),
    "two in a byte": file_of({"attn.0": entry([1, 2], 0, 1, "F4")}, b"\x21"),
    "four in three bytes": file_of({"attn.0": entry([4], 0, 3, "F6_E2M3")}, b"abc"),
    "whitespace behind": file_of(I32 % (b"[]", b"[0,4]") + b"\r \t\n   ", bytes(4)),
    "whitespace before": file_of(b"\t\n" + I32 % (b"[]", b"[0,4]") + b"\r ", bytes(4)),
    "whitespace before, to a page": file_of(b" " * 4000 + I32 % (b"[]", b"[0,4]"), bytes(4)),
    "metadata": file_of({"__metadata__": {"framework": "pt"}, "t": entry([4], 0, 4)}, b"abcd"),
    "metadata that is null": file_of({"__metadata__": None, "t": entry([4], 0, 4)}, b"abcd"),
    "out of order": file_of({"b": entry([3], 1, 4), "a": entry([1], 0, 1)}, b"abcd"),
    "empty ones between": file_of(
        {"a": entry([1], 0, 1), "b": entry([0], 1, 1), "c": entry([1], 1, 2)}, b"xy"
    ),
    "fields that nobody knows": one(note={"x": [1.5e3, None, "\u5c42"]}),
    "escapes in a name": file_of(
        b'{"\\u5c42\\ud83d\\ude00\\n":%s}' % json.dumps(entry([1], 0, 1)).encode(), b"x"
    ),
}
REFUSED = {
    "an empty file": b"",
    "a length alone": b"<" + bytes(7),
    "a length beyond the file (attack 1)": (1000).to_bytes(8, "little") + ACCEPTED["a matrix"][8:],
    "a length of 2^64 - 2^40": b"<\x00\x00\x00\x00\xff\xff\xff" + ACCEPTED["a matrix"][8:],
    "a byte that is no UTF-8": file_of(b"\xff"),
    "a brace alone": file_of(b"{"),
    "half a byte": file_of({"attn.0": entry([1, 3], 0, 2, "F4")}, bytes(2)),
    "a byte too many": file_of({"attn.0": entry([1, 2], 0, 2, "F4")}, bytes(2)),
    "too few bytes": file_of(I32 % (b"[2,2]", b"[0, 4]"), bytes(4)),
    "a polyglot": ACCEPTED["a matrix"] + b"extra_bogus_data_for_polyglot_file",
    "two bytes missing": ACCEPTED["a matrix"][:-2],
    "2 times 2^64 - 2": file_of(I32 % (b"[2,18446744073709551614]", b"[0,16]"), bytes(16)),
    "2 times 2^63 - 1": file_of(I32 % (b"[2,9223372036854775807]", b"[0,16]"), bytes(16)),
    "no elements in 2^64 columns": file_of(I32 % (b"[0,18446744073709551616]", b"[0,0]")),
    "ten over each other (attacks 2 and 3)": file_of(
        {f"weight_{n}": entry([2, 2], 0, 16, "F32") for n in range(10)}, bytes(16)
    ),
    "half a surrogate pair": file_of(
        b'{"\\ud800":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"x"
    ),
    "half a surrogate pair in the metadata": file_of(
        b'{"__metadata__":{"a":"\\udc00"},"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        b"x",
    ),
    "a byte order mark": file_of(b"\xef\xbb\xbf{}"),
    "metadata twice": file_of(b'{"__metadata__":{"a":"b"},"__metadata__":{"a":"b"}}'),
    "a control character": file_of(b'{"a\x01":{}}'),
    "a vertical tab before": file_of(b"\x0b{}"),
}
# The library takes these, but no writer makes them; a tensor that shadows another, or a dimension
# that torch cannot have, would be described.
STRICTER = {
    "no tensor": (file_of({}), "holds no tensor"),
    "metadata alone": (file_of({"__metadata__": {"framework": "pt"}}), "holds no tensor"),
    "a tensor twice": (
        file_of(
            b'{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
            b'"w":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}',
            b"x",
        ),
        "has the key 'w' twice",
    ),
    "a note twice": (file_of(b'{"__metadata__":{"a":"b","a":"c"}}'), "has the key 'a' twice"),
    "fields without names": (file_of({"w": ["U8", [1], [0, 1]]}, b"x"), "lacks dtype"),
    "a dtype as an object": (one(dtype={"U8": None}), "unknown dtype"),
    "2^63 before a zero": (file_of({"w": entry([1 << 63, 0], 0, 0)}), "overflows 63 bits"),
    "a name of 100 KB": (file_of({"w" * 100_000: entry([1], 0, 1)}, b"x"), "a key of over 64 KiB"),
}
# The library's JSON parser stops at these, in places that mean nothing.
LOOSER = {
    "minus zero": file_of(b'{"w":{"dtype":"U8","shape":[1],"data_offsets":[-0,1]}}', b"x"),
    "an unknown field 200 deep": one(x=json.loads("[" * 200 + "]" * 200)),
}


def by_library(content: bytes) -> Tensors | None:
    try:
        found = deserialize(content)
    except SafetensorError:
        return None
    return {name: (t["dtype"], t["shape"], bytes(t["data"])) for name, t in found}


def by_us(path: Path, content: bytes) -> Tensors:
    path.write_bytes(content)
    tensors = open_checkpoint(path).tensors
    with WeightMap() as weights:
        return {n: (t.dtype, list(t.shape), bytes(weights.view(t))) for n, t in tensors.items()}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("safetensors") / "model.safetensors"


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_the_library_accepts_is_read_alike(path: Path, case: str) -> None:
    expected = by_library(ACCEPTED[case])
    assert expected
    assert by_us(path, ACCEPTED[case]) == expected


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_library_refuses_is_refused(path: Path, case: str) -> None:
    assert by_library(REFUSED[case]) is None
    with pytest.raises(CheckpointError):
        by_us(path, REFUSED[case])


@pytest.mark.parametrize("case", STRICTER)
def test_what_only_the_library_accepts_is_refused_with_its_cause(path: Path, case: str) -> None:
    content, cause = STRICTER[case]
    assert by_library(content) is not None
    with pytest.raises(CheckpointError, match=cause):
        by_us(path, content)


@pytest.mark.parametrize("case", LOOSER)
def test_what_only_the_library_stops_at_is_read(path: Path, case: str) -> None:
    assert by_library(LOOSER[case]) is None
    assert list(by_us(path, LOOSER[case])) == ["w"]


SOUND = (
    b'{"__metadata__":{"format":"pt"},"a":{"dtype":"U8","shape":[2,4],"data_offsets":[0,8]},'
    b'"b":{"dtype":"F16","shape":[2],"data_offsets":[8,12]}}'
)
TOKENS = re.findall(rb'"[^"]*"|[0-9]+|[{}\[\],:]', SOUND)
POOL = [
    *TOKENS,
    *b"0 1 2 8 12 -1 8.0 1e1 08 +8 0x8 true false null NaN Infinity -Infinity nan".split(),
    *b"9223372036854775808 18446744073709551615 18446744073709551616".split(),
    *b'"F4" "F6_E3M2" "BF16" "u8" "U\\u0038" "\\ud800" "\\x" "a\\u0000" ""'.split(),
    *b"[] {} [0,8] [8,12] [1,1,8] [8,0] [[8]] // '".split(),
    *(b" ", b"\n", b"\t", b"\x0b", b"\x00", b"\xc3\xa9", b"\xff", b"\xef\xbb\xbf", b""),
]
EDITS = st.lists(
    st.tuples(st.integers(0, len(TOKENS) - 1), st.sampled_from("=+-"), st.sampled_from(POOL)),
    min_size=1,
    max_size=3,
)
ON_PURPOSE = re.compile(
    r"has the key '.*' twice|holds no tensor|lacks dtype, shape or data_offsets"
    r"|unknown dtype \{|overflows 63 bits"
)


@settings(deadline=None, max_examples=800)
@given(edits=EDITS, data=st.sampled_from([12, 12, 12, 0, 8, 13]))
@example(edits=[(0, "+", b" ")], data=12)
def test_edited_headers_are_judged_as_the_library_judges_them(
    path: Path, edits: list[tuple[int, str, bytes]], data: int
) -> None:
    tokens = list(TOKENS)
    for at, way, token in edits:
        # Put in place of another, before it, or that taken out.
        tokens[at] = {"=": token, "+": token + tokens[at], "-": b""}[way]
    content = file_of(b"".join(tokens), bytes(range(data)))
    expected = by_library(content)
    try:
        found: Tensors | None = by_us(path, content)
    except CheckpointError as err:
        found = expected if ON_PURPOSE.search(err.cause) else None
    assert found == expected
