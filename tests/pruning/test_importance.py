"""Each formula against its definition: one loop over the elements, in Python's floats."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from prunescope.pruning import importance
from prunescope.pruning.gradients import Gradients
from prunescope.pruning.importance import (
    combine,
    fluctuation,
    magnitude,
    taylor,
    turned,
    unit_scores,
    wanda,
)
from prunescope.pruning.plan import TaylorForm
from prunescope.pruning.processes import ALONE

small = st.floats(-4, 4, width=32)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Tensor, Tensor, int]:
    """A weight, its gradient, and the axis to score: a matrix's or a vector's."""
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=2))
    elements = st.lists(small, min_size=math.prod(shape), max_size=math.prod(shape))
    weight, gradient = (torch.tensor(draw(elements)).view(shape) for _ in range(2))
    return weight, gradient, draw(st.integers(0, len(shape) - 1))


def by_hand(
    weight: Tensor, gradient: Tensor, axis: int, each: Callable[[float, float], float]
) -> list[float]:
    """Σ each(w, g) over the elements that have the same index along `axis`."""
    sums = [0.0] * weight.shape[axis]
    for place in torch.cartesian_prod(*map(torch.arange, weight.shape)).view(-1, weight.dim()):
        index = tuple(place.tolist())
        sums[index[axis]] += each(weight[index].item(), gradient[index].item())
    return sums


def close(actual: Tensor, expected: list[float]) -> bool:
    assert actual.dtype == torch.float32
    return torch.allclose(actual.double(), torch.tensor(expected).double(), rtol=1e-5, atol=1e-5)


@given(pairs())
def test_l1_is_the_sum_of_absolute_values(pair: tuple[Tensor, Tensor, int]) -> None:
    weight, gradient, axis = pair
    expected = by_hand(weight, gradient, axis, lambda w, g: abs(w))
    assert close(magnitude(weight, axis, 1), expected)


@given(pairs())
def test_l2_is_the_sum_of_squares(pair: tuple[Tensor, Tensor, int]) -> None:
    weight, gradient, axis = pair
    expected = by_hand(weight, gradient, axis, lambda w, g: w * w)
    assert close(magnitude(weight, axis, 2), expected)


@given(pairs())
def test_param_first_sums_absolute_products(pair: tuple[Tensor, Tensor, int]) -> None:
    weight, gradient, axis = pair
    expected = by_hand(weight, gradient, axis, lambda w, g: abs(w * g))
    assert close(taylor(weight, gradient, axis, "param_first"), expected)


@given(pairs())
def test_vectorize_sums_products_before_the_absolute_value(
    pair: tuple[Tensor, Tensor, int],
) -> None:
    weight, gradient, axis = pair
    expected = [abs(s) for s in by_hand(weight, gradient, axis, lambda w, g: w * g)]
    assert close(taylor(weight, gradient, axis, "vectorize"), expected)


def test_the_two_taylor_forms_differ_where_products_cancel() -> None:
    weight, gradient = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]])
    # Products 3 and −2: together 5 in absolute value, 1 as a vector.
    assert taylor(weight, gradient, 0, "param_first").tolist() == [5]
    assert taylor(weight, gradient, 0, "vectorize").tolist() == [1]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sums_are_taken_in_float32_whatever_the_weights_are(dtype: torch.dtype) -> None:
    # bfloat16 cannot count to 4096 by ones, and float16 ends at 65504, below 512².
    ones = torch.ones(1, 4096, dtype=dtype)
    assert magnitude(ones, 0, 1).tolist() == [4096]
    big = torch.full((1, 2), 512.0, dtype=dtype)
    assert magnitude(big, 0, 2).tolist() == [2 * 512**2]
    assert taylor(big, big, 0, "param_first").tolist() == [2 * 512**2]


def test_a_unit_has_the_sum_of_its_consecutive_rows() -> None:
    assert unit_scores(torch.tensor([1.0, 2, 3, 4, 5, 6]), 2).tolist() == [3, 7, 11]
    assert unit_scores(torch.tensor([1.0, 2, 3]), 1).tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("grouping", "expected"),
    [
        ("sum", [7, 11]),  # 1 + 4 + 2, 5 + 3 + 3
        ("mean", [7 / 3, 11 / 3]),
        ("max", [4, 5]),
        ("prod", [8, 45]),
        ("first", [1, 5]),
    ],
)
def test_members_are_combined_unit_by_unit(grouping: str, expected: list[float]) -> None:
    members = [torch.tensor([1.0, 5]), torch.tensor([4.0, 3]), torch.tensor([2.0, 3])]
    assert combine(members, grouping).tolist() == pytest.approx(expected)


@given(
    st.integers(1, 4).flatmap(
        lambda n: st.lists(st.lists(small, min_size=n, max_size=n), min_size=1, max_size=4)
    )
)
def test_groupings_follow_their_definitions(rows: list[list[float]]) -> None:
    members = [torch.tensor(row) for row in rows]
    columns = list(zip(*rows, strict=True))
    definitions = {
        "sum": [math.fsum(c) for c in columns],
        "mean": [math.fsum(c) / len(c) for c in columns],
        "max": [max(c) for c in columns],
        "prod": [math.prod(c) for c in columns],
        "first": [c[0] for c in columns],
    }
    for grouping, expected in definitions.items():
        assert close(combine(members, grouping).float(), expected)


@given(pairs(), st.data())
def test_second_order_forms_follow_their_definitions(
    pair: tuple[Tensor, Tensor, int], data: st.DataObject
) -> None:
    weight, gradient, axis = pair
    elements = st.lists(small, min_size=weight.numel(), max_size=weight.numel())
    squares = torch.tensor(data.draw(elements)).view(weight.shape).square()
    # The element's own h is found by position: `by_hand` walks two tensors at a time.
    curved = by_hand(weight, squares, axis, lambda w, h: abs(w * h * w))
    assert close(taylor(weight, gradient, axis, "param_second", squares), curved)
    exact = weight.double() * gradient.double() - 0.5 * weight.double().square() * squares.double()
    others = [a for a in range(weight.dim()) if a != axis]
    mixed = exact.abs().sum(others) if others else exact.abs()
    assert close(taylor(weight, gradient, axis, "param_mix", squares), mixed.tolist())


def test_wanda_weighs_each_element_by_the_norm_of_its_input() -> None:
    weight, norms = torch.tensor([[1.0, -2.0], [3.0, 4.0]]), torch.tensor([10.0, 1.0])
    # 1·10 + 2·1, 3·10 + 4·1; down the columns (1 + 3)·10, (2 + 4)·1.
    assert wanda(weight, norms, 0).tolist() == [12, 34]
    assert wanda(weight, norms, 1).tolist() == [40, 6]


def test_flap_weighs_the_fluctuation_of_an_input_by_its_columns_squares() -> None:
    weight, variance = torch.tensor([[1.0, -2.0], [3.0, 4.0]]), torch.tensor([0.5, 2.0])
    assert fluctuation(weight, variance).tolist() == [5, 40]


def test_a_layer_that_turns_nothing_has_no_influence() -> None:
    x = torch.tensor([[[1.0, 0], [0, 2]]])
    assert turned(x, 3 * x).item() == pytest.approx(0, abs=1e-6)
    # A right angle, and the opposite direction: 1 + 2.
    assert turned(x, torch.tensor([[[0.0, 5], [0, -1]]])).item() == pytest.approx(3)


def test_sums_over_blocks_of_rows_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    whole = [magnitude(weight, axis, 1) for axis in (0, 1)]
    monkeypatch.setattr(importance, "_ELEMENTS", 6)
    for axis in (0, 1):
        assert torch.allclose(magnitude(weight, axis, 1), whole[axis])


@pytest.mark.parametrize("form", ["param_second", "param_mix"])
def test_gradients_of_examples_are_summed_a_piece_at_a_time(
    monkeypatch: pytest.MonkeyPatch, form: TaylorForm
) -> None:
    """What passes through in float32 is never as large as the tensor; the sums alone are."""
    monkeypatch.setattr(importance, "_ELEMENTS", 12)
    weight, *grads = torch.randn(3, 10, 6, generator=torch.Generator().manual_seed(0)).bfloat16()
    present = SimpleNamespace(
        weight=lambda _: weight, gradient=lambda _: grads[0], forget=lambda: grads.pop(0)
    )
    squares = 2 * sum(g.float().square() for g in grads)
    expected = taylor(weight, grads[0].float() + grads[1].float(), 1, form, squares)
    seen: list[tuple[str, int]] = []

    class Watching(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            output = func(*args, **kwargs or {})
            if output.dtype == torch.float32:
                seen.append((str(func), output.numel()))
            return output

    with Watching():
        gathered = Gradients(form, present, ["w"], 2)
        gathered.batch_is_done()
        gathered.batch_is_done()
        grads.append(weight)
        rows = gathered.rows({"w": {1}}, ALONE)
    torch.testing.assert_close(rows["w", 1], expected)
    whole = {func for func, numel in seen if numel == weight.numel()}
    assert whole == {"aten.zeros_like.default"}
