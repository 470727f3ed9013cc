"""Pieces make a whole only if each element lies in exactly one of them."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunescope.checkpoint.pieces import check_cover, joined
from prunescope.checkpoint.storage import LocalFile
from prunescope.checkpoint.types import TensorInfo
from prunescope.errors import CheckpointError

FILE = LocalFile(Path("pieces"))
Box = tuple[tuple[int, ...], tuple[int, ...]]


def fits(shape: tuple[int, ...], boxes: list[Box]) -> bool:
    try:
        check_cover("w", shape, boxes, FILE)
    except CheckpointError:
        return False
    return True


def painted(shape: tuple[int, ...], boxes: list[Box]) -> bool:
    """The same question, asked of each element."""
    counts = dict.fromkeys(product(*map(range, shape)), 0)
    for start, sizes in boxes:
        for place in product(*(range(a, a + n) for a, n in zip(start, sizes, strict=True))):
            if place not in counts:
                return False
            counts[place] += 1
    return all(count == 1 for count in counts.values())


def box(axes: int) -> st.SearchStrategy[Box]:
    ends = st.tuples(*[st.integers(0, 3)] * axes)
    return st.tuples(ends, st.tuples(*[st.integers(1, 3)] * axes))


@given(
    st.integers(0, 3).flatmap(
        lambda axes: st.tuples(
            st.tuples(*[st.integers(1, 4)] * axes), st.lists(box(axes), max_size=4)
        )
    )
)
def test_it_agrees_with_painting_every_element(case: tuple[tuple[int, ...], list[Box]]) -> None:
    shape, boxes = case
    assert fits(shape, boxes) == painted(shape, boxes)


@settings(deadline=None)
@given(st.data())
def test_any_way_of_cutting_a_whole_is_one(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(*[st.integers(1, 6)] * data.draw(st.integers(1, 4))))
    boxes: list[Box] = [((0,) * len(shape), shape)]
    for _ in range(data.draw(st.integers(0, 6))):
        start, sizes = boxes.pop(data.draw(st.integers(0, len(boxes) - 1)))
        axis = data.draw(st.integers(0, len(shape) - 1))
        cut = data.draw(st.integers(0, sizes[axis]))
        for begin, length in ((0, cut), (cut, sizes[axis] - cut)):
            if length:
                boxes.append(
                    (
                        tuple(a + begin * (i == axis) for i, a in enumerate(start)),
                        tuple(length if i == axis else n for i, n in enumerate(sizes)),
                    )
                )
    assert fits(shape, boxes)
    dropped = data.draw(st.integers(0, len(boxes) - 1))
    assert not fits(shape, boxes[:dropped] + boxes[dropped + 1 :])
    assert not fits(shape, [*boxes, boxes[dropped]])


def test_many_pieces_are_no_pairs_to_compare() -> None:
    count = 200_000
    assert fits((count, 8), [((row, 0), (1, 8)) for row in range(count)])


def test_a_split_along_more_axes_than_any_parallelism_has_is_refused() -> None:
    corners = list(product((0, 1), repeat=5))
    with pytest.raises(CheckpointError, match="split along 5 axes"):
        check_cover("w", (2,) * 5, [(corner, (1,) * 5) for corner in corners], FILE)


def test_one_full_piece_is_the_tensor() -> None:
    full = TensorInfo("w", (2, 3), "F32", FILE, 7, 24, record=5, start=(0, 0))

    whole = joined("w", (2, 3), "F32", [full])

    assert (whole.parts, whole.offset, whole.record, whole.nbytes) == ((), 7, 5, 24)


def test_bytes_of_a_tensor_in_pieces_are_theirs() -> None:
    pieces = [TensorInfo("w", (1, 3), "F32", FILE, 12 * n, 12, start=(n, 0)) for n in (1, 0)]

    whole = joined("w", (2, 3), "F32", pieces)

    assert (whole.nbytes, whole.parameters, whole.parts) == (24, 6, tuple(pieces))
