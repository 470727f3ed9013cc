"""What does each weight see? Moments of the features that reach it, over the calibration tokens.

A linear layer sees its input. What multiplies a feature by its own weight (a norm) is scored by
what it gives, |w_j|·‖x_j‖. A bias sees a constant one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from prunescope.extras import require
from prunescope.interop.layered import LayeredNetwork, Present
from prunescope.pruning.importance import fluctuation, magnitude, wanda
from prunescope.pruning.plan import Importance
from prunescope.pruning.processes import Processes

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.overrides import TorchFunctionMode
else:
    torch = require("torch", "prune")
    nn = torch.nn
    TorchFunctionMode = torch.overrides.TorchFunctionMode

_linear = torch.nn.functional.linear


@dataclass
class Moments:
    """Sums over tokens, in float64: how many there were, Σ x and Σ x², each [features].

    Attributes:
        kind: what x is: the `input` of a matrix, the `constant` 1 of a bias (one feature), or the
            `output` of what scales its features.
    """

    count: Tensor
    total: Tensor
    squares: Tensor
    kind: Literal["input", "constant", "output"] = "input"

    @staticmethod
    def none(weight: Tensor, owner: nn.Module) -> Moments:
        """Those of no token, for the parameter `weight` of `owner`."""
        count = torch.zeros((), dtype=torch.float64)
        zeros = torch.zeros(weight.shape[-1], dtype=torch.float64)
        if weight.dim() > 1:
            return Moments(count, zeros, zeros.clone())
        if isinstance(owner, nn.Linear):
            return Moments(count, zeros[:1], zeros[:1].clone(), "constant")
        return Moments(count, zeros, zeros.clone(), "output")

    def add(self, values: Tensor) -> None:
        """Count in `values`, [..., features]."""
        flat = values.detach().reshape(-1, values.shape[-1])
        # Other devices, as Metal, may have no float64.
        flat = (flat if flat.device.type in ("cpu", "cuda") else flat.cpu()).double()
        self.count += len(flat)
        self.total += flat.sum(0).cpu()
        self.squares += flat.square().sum(0).cpu()

    def summed(self, processes: Processes) -> Moments:
        """Those of all processes' tokens."""
        count, total, squares = map(processes.summed, (self.count, self.total, self.squares))
        return Moments(count, total, squares, self.kind)

    @property
    def norms(self) -> Tensor:
        """‖x_j‖₂ of each feature."""
        return self.squares.sqrt()

    @property
    def variance(self) -> Tensor:
        """The sample variance of each feature; 0 for a single token."""
        spread = self.squares - self.total.square() / self.count.clamp(min=1)
        return spread.clamp(min=0) / (self.count - 1).clamp(min=1)


class Watch(TorchFunctionMode):
    """While it is entered, gathers the moments of what reaches the wanted weights of a stage.

    It watches calls of torch's `linear` by the weight's address, since experts are computed from
    slices of one parameter and not by modules.
    """

    def __init__(self, network: LayeredNetwork, present: Present, wanted: Collection[str]) -> None:
        super().__init__()
        self.moments: dict[str, Moments] = {}
        self._by_address: dict[int, list[str]] = defaultdict(list)
        self._hooks = ExitStack()
        for name in sorted(wanted):
            owner = network.owner(name)
            self.moments[name] = Moments.none(present.weight(name), owner)
            if self.moments[name].kind == "output":
                handle = owner.register_forward_hook(self._gives(name))
                self._hooks.callback(handle.remove)
            else:
                self._by_address[_address(network, present, name)].append(name)

    def __exit__(self, *error: Any) -> None:
        self._hooks.close()
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def _gives(self, name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, given: Any, output: Tensor) -> None:  # noqa: ARG001
            self.moments[name].add(output)

        return hook

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Note the input of `linear`, and do what was asked for."""
        if func is _linear:
            given = [*args, *(kwargs.values() if kwargs else ())]
            values, *parameters = given
            for parameter in parameters:
                if parameter is not None:
                    for name in self._by_address.get(parameter.data_ptr(), ()):
                        ones = values.new_ones(*values.shape[:-1], 1)
                        self.moments[name].add(values if parameter.dim() > 1 else ones)
        return func(*args, **kwargs or {})


def _address(network: LayeredNetwork, present: Present, name: str) -> int:
    """Where the matrix begins that `name` is computed with: a stack's expert, or itself."""
    index = network.places[name].index
    weight = present.weight(name)
    start: int = weight.data_ptr()
    if not index:
        return start
    rows = index[1]
    assert isinstance(rows, slice)
    skipped: int = rows.start * weight.shape[1] * weight.element_size()
    return start - skipped


def feature_rows(
    importance: Importance, weight: Tensor, moments: Moments, axes: Collection[int]
) -> dict[int, Tensor]:
    """Wanda's or FLAP's score along each of `axes`, by axis, as far as the measure has one.

    Wanda scores every axis: of a matrix Σ |w|·‖x‖ over the other axis, of a bias |b|·√tokens, of a
    norm ‖y‖. FLAP scores input columns only: what a unit of heads or channels gives is the input
    of the output and down projections (FLAP, §3.2), and there alone it is weighed.

    Args:
        weight: [out, in], [out] of a bias or [hidden] of a norm.
        moments: of the input features; of a bias one feature, of a norm what it gives.
    """
    if importance == "flap":
        if moments.kind != "input" or 1 not in axes:
            return {}
        return {1: fluctuation(weight, moments.variance.to(torch.float32).to(weight.device))}
    norms = moments.norms.to(torch.float32).to(weight.device)
    if moments.kind == "input":
        return {axis: wanda(weight, norms, axis) for axis in axes}
    scores = norms if moments.kind == "output" else magnitude(weight, 0, 1) * norms
    return dict.fromkeys(axes, scores)


def embedding_rows(
    importance: Importance, weight: Tensor, counts: Tensor, axes: Collection[int]
) -> dict[int, Tensor]:
    """Wanda's score of the embedding, whose input is one-hot: token v has the norm √count_v.

    FLAP has none: the embedding has no input feature in the space that it gives.

    Args:
        weight: [vocabulary, hidden].
        counts: [vocabulary], how often each token occurs in the calibration windows.
    """
    if importance == "flap":
        return {}
    norms = counts.sqrt().to(torch.float32).to(weight.device)
    # Its input is its first axis: as a linear layer it would be stored the other way round.
    return {axis: wanda(weight.T, norms, 1 - axis) for axis in axes}
