"""How is a model scored that does not fit into memory? Forward and backward, one layer at a time.

The forward pass keeps what enters each layer (the boundary activations). The backward pass brings
the layers back in reverse, computes each again with its gradients, scores its weights from them and
passes the gradient of its input on (checkpointing, Chen et al., arXiv 1604.06174, with the weights
streamed too). Loss and scores are those of an ordinary backward pass over the whole network.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prunescope.extras import require
from prunescope.interop.layer_by_layer import Call
from prunescope.interop.layered import ENTRY, EXIT, LayeredNetwork, Present
from prunescope.pruning.batches import bytes_kept, layers_held, windows_at_once
from prunescope.pruning.features import Watch, embedding_rows, feature_rows
from prunescope.pruning.gradients import SECOND_ORDER, Gradients
from prunescope.pruning.importance import turned
from prunescope.pruning.loss import loss_of
from prunescope.pruning.plan import Importance, TaylorForm
from prunescope.pruning.processes import ALONE, Processes
from prunescope.pruning.resumed import Outline, check_boundary, check_entries, check_scores
from prunescope.pruning.shelf import Shelf

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require("torch", "prune")

Axes = Mapping[str, Collection[int]]
Tick = Callable[[], None]
_LOSS, _TURNED = "loss", "turned"


@dataclass
class Pass:
    """One pass over the calibration windows.

    Attributes:
        network: the model.
        importance, form: `taylor` in one of its forms, `wanda` or `flap`.
        axes: stored tensor → its axes to score.
        windows: [windows, length], this process's share, on the CPU.
        examples: windows of all processes.
        shelf: where boundary activations, their gradients and finished scores are kept.
        tick: called after each of `steps`.
    """

    network: LayeredNetwork
    importance: Importance
    form: TaylorForm
    axes: Axes
    windows: Tensor
    examples: int
    shelf: Shelf = field(default_factory=Shelf)
    processes: Processes = ALONE
    tick: Tick = lambda: None

    def __post_init__(self) -> None:
        self._depth = len(self.network.layers)
        self._stages: dict[int, set[str]] = {}
        for name in self.axes:
            self._stages.setdefault(self.network.stage(name), set()).add(name)
        self._batches: list[Tensor] = []
        self._calls: list[list[Call]] = []
        self._outlines: list[Outline] = []
        # Of the last layers the graphs, as long as there is room: they are not computed again.
        self._holding = 0
        self._held: dict[int, _Held] = {}
        if self.importance != "taylor":
            self.network.compute_experts_one_by_one()

    @property
    def _last(self) -> int:
        """The stage at which the backward pass ends: the lowest of which scores are wanted."""
        if self.importance != "taylor":
            return self._depth
        return min((stage for stage in self._stages if stage != EXIT), default=self._depth)

    @property
    def steps(self) -> int:
        """How often `tick` is called: once a layer and direction, and for what is around them."""
        return self._depth + 1 + self._depth - self._last

    def run(self) -> tuple[dict[tuple[str, int], Tensor], float, dict[int, float]]:
        """Go through the network and back, on from where the shelf's entries end.

        Returns:
            The scores of each wanted axis (float32, on the CPU); the mean loss in nats per token;
            and of each layer, by its place, the block influence.
        """
        self._enter()
        names = self.shelf.names()
        done = self.processes.least(self._done(names))
        check_entries(self.shelf, names, done, self._depth, self._last)
        for step in range(self.steps):
            if step >= done:
                if step < self._depth:
                    self._forward(step)
                elif step == self._depth:
                    self._exit()
                elif (number := 2 * self._depth - step) >= 0:
                    self._backward(number)
                else:
                    self._leave()
            self.tick()
        return self._collected()

    def _done(self, names: set[str]) -> int:
        """Steps whose entries are among `names`."""
        numbers: dict[str, list[int]] = {"input": [0], "gradient": []}
        for name in names:
            kind, _, number = name.partition("-")
            numbers.setdefault(kind, []).append(int(number))
        if numbers["gradient"]:
            return 2 * self._depth + 1 - min(numbers["gradient"])
        return max(numbers["input"])

    def _enter(self) -> None:
        """Cut the windows into batches, and note what each layer is called with."""
        network = self.network
        with network.present({ENTRY}), torch.no_grad():
            first = self.windows[:1].to(network.device)
            size = 1
            if len(first) and (self.form not in SECOND_ORDER or self.importance != "taylor"):
                window = bytes_kept(network, *network.enter(first))
                size = windows_at_once(window, network.device)
                if self.importance == "taylor":
                    self._holding = layers_held(network, window * len(self.windows))
            self._batches = list(torch.split(self.windows, size)) if len(self.windows) else []
            entered = []
            # Batches of one shape have the same masks and positions: of long windows, gigabytes.
            known: dict[torch.Size, list[Call]] = {}
            for ids in self._batches:
                hidden, calls = network.enter(ids.to(network.device))
                entered.append(hidden)
                self._calls.append(known.setdefault(ids.shape, calls))
                self._outlines.append((hidden.shape, hidden.dtype))
        if "input-0" not in self.shelf.names():
            self._put("input-0", entered)

    def _forward(self, number: int) -> None:
        network, entering = self.network, self._get(f"input-{number}")
        wanted = self._stages.get(number, set())
        is_taylor = self.importance == "taylor"
        is_held = is_taylor and number >= max(self._depth - self._holding, self._last)
        watched = () if is_taylor else wanted
        leaving: list[Tensor] = []
        change = torch.zeros(2, dtype=torch.float64)
        learned = wanted if is_held else ()
        with network.present({number}, learned) as present, torch.set_grad_enabled(is_held):
            held = _Held(present)
            watch = Watch(network, present, watched)
            with watch if watched else nullcontext():
                for kept, calls in zip(entering, self._calls, strict=True):
                    hidden = kept.detach().to(network.device)
                    hidden.requires_grad_(is_held and number > self._last)
                    output = network.run(number, hidden, calls[number])
                    change[0] += turned(hidden.detach(), output.detach())
                    change[1] += hidden.shape[:-1].numel()
                    leaving.append(output.detach().cpu())
                    if is_held:
                        held.sides.append((hidden, output))
            if is_held:
                self._held[number] = held
            found = self._of_features(watch, present)
            found[_TURNED] = self.processes.summed(change)
        self.shelf.put(f"forward-{number}", found)
        self._put(f"input-{number + 1}", leaving)
        if self.importance != "taylor":
            self.shelf.drop(f"input-{number - 1}")

    def _exit(self) -> None:
        """The loss, the scores of what is behind the last layer, and the gradient before it."""
        network, wanted = self.network, set(self._stages.get(EXIT, ()))
        is_taylor = self.importance == "taylor"
        loss = torch.zeros((), dtype=torch.float64)
        gradients = []
        with network.present({EXIT}, wanted if is_taylor else ()) as present:
            gathered = Gradients(self.form, present, wanted, self.examples)
            if network.is_tied and not is_taylor:
                wanted |= self._stages.get(ENTRY, set())
            watched = () if is_taylor else wanted
            watch = Watch(network, present, watched)
            leaving = self._get(f"input-{self._depth}")
            with watch if watched else nullcontext():
                for hidden, ids in zip(leaving, self._batches, strict=True):
                    gradient, part = loss_of(network, hidden, ids, self._predicted(ids), is_taylor)
                    gathered.batch_is_done()
                    gradients.append(gradient)
                    loss += part
            found = self._of_features(watch, present)
            if is_taylor:
                for (name, axis), row in gathered.rows(self.axes, self.processes).items():
                    found[_key(name, axis)] = row
        if not is_taylor:
            self._add_embedding(found)
        found[_LOSS] = self.processes.summed(loss)
        self.shelf.put(f"exit-{self._depth}", found)
        self._put(f"gradient-{self._depth}", gradients if is_taylor else [])

    def _of_features(self, watch: Watch, present: Present) -> dict[str, Tensor]:
        """The scores of the weights whose inputs were watched."""
        found: dict[str, Tensor] = {}
        for name, moments in watch.moments.items():
            summed, weight = moments.summed(self.processes), present.weight(name)
            found |= _keys(name, feature_rows(self.importance, weight, summed, self.axes[name]))
        return found

    def _add_embedding(self, found: dict[str, Tensor]) -> None:
        """Add what the embedding's scores are as such to what they are as the output head."""
        with self.network.present({ENTRY}) as present:
            for name in sorted(self._stages.get(ENTRY, ())):
                weight = present.weight(name)
                counts = torch.bincount(self.windows.flatten(), minlength=len(weight)).double()
                counts = self.processes.summed(counts)
                rows = embedding_rows(self.importance, weight, counts, self.axes[name])
                for key, row in _keys(name, rows).items():
                    found[key] = found[key] + row if key in found else row

    def _predicted(self, ids: Tensor) -> int:
        """Tokens that all windows of all processes predict."""
        return self.examples * (ids.shape[1] - 1)

    def _backward(self, number: int) -> None:
        network, wanted = self.network, self._stages.get(number, set())
        passed: list[Tensor] = []
        held = self._held.pop(number, None)
        gradients = self._get(f"gradient-{number + 1}")
        entering = [] if held else self._get(f"input-{number}")
        # What is held has its weights already.
        stages = () if held else (number,)
        with network.present(stages, wanted if not held else ()) as here:
            present = held.present if held else here
            gathered = Gradients(self.form, present, wanted, self.examples)
            for at, gradient in enumerate(gradients):
                if held:
                    entered, output = held.sides.pop(0)
                else:
                    entered = entering[at].detach().to(network.device)
                    entered.requires_grad_(number > self._last)
                    output = network.run(number, entered, self._calls[at][number])
                torch.autograd.backward(output, gradient.to(network.device))
                del output
                gathered.batch_is_done()
                passed.append(torch.empty(0) if entered.grad is None else entered.grad.cpu())
            rows = gathered.rows(self.axes, self.processes)
        self.shelf.put(f"backward-{number}", {_key(*k): row for k, row in rows.items()})
        self._put(f"gradient-{number}", passed)
        # Another process may still be one step behind, and may have to do that step again.
        self.shelf.drop(f"gradient-{number + 2}")
        if not (network.is_tied and number + 1 == self._depth):
            self.shelf.drop(f"input-{number + 1}")

    def _leave(self) -> None:
        """The scores of the embedding; where it is the output head too, of both gradients."""
        network, wanted = self.network, self._stages[ENTRY]
        stages = {ENTRY, EXIT} if network.is_tied else {ENTRY}
        leaving = self._get(f"input-{self._depth}") if network.is_tied else []
        with network.present(stages, wanted) as present:
            gathered = Gradients(self.form, present, wanted, self.examples)
            for at, (ids, gradient) in enumerate(
                zip(self._batches, self._get("gradient-0"), strict=True)
            ):
                entered, _ = network.enter(ids.to(network.device))
                torch.autograd.backward(entered, gradient.to(network.device))
                if network.is_tied:
                    loss_of(network, leaving[at], ids, self._predicted(ids), True)
                gathered.batch_is_done()
            rows = gathered.rows(self.axes, self.processes)
        self.shelf.put("entry-0", {_key(*k): row for k, row in rows.items()})

    def _collected(self) -> tuple[dict[tuple[str, int], Tensor], float, dict[int, float]]:
        found: dict[str, Tensor] = {}
        for entry in self.shelf.names():
            if entry.partition("-")[0] not in ("input", "gradient"):
                for key, tensor in self.shelf.get(entry).items():
                    found[f"{entry} {key}" if key in (_LOSS, _TURNED) else key] = tensor
        loss = f"exit-{self._depth} {_LOSS}"
        turned_by = {f"forward-{n} {_TURNED}": n for n in range(self._depth)}
        rows = {_key(name, axis): (name, axis) for name, axes in self.axes.items() for axis in axes}
        tensors = self.network.tensors
        shapes: dict[str, tuple[int, ...]] = {loss: (), **dict.fromkeys(turned_by, (2,))}
        shapes |= {key: (tensors[name].shape[axis],) for key, (name, axis) in rows.items()}
        # FLAP has no score of some axes.
        needed = shapes.keys() - (rows if self.importance == "flap" else ())
        check_scores(self.shelf, found, shapes, needed)
        influence = {n: (found[key][0] / found[key][1]).item() for key, n in turned_by.items()}
        scores = {place: found[key] for key, place in rows.items() if key in found}
        return scores, found[loss].item(), influence

    def _put(self, name: str, tensors: Sequence[Tensor]) -> None:
        self.shelf.put(name, {str(at): tensor for at, tensor in enumerate(tensors)})

    def _get(self, name: str) -> list[Tensor]:
        held = self.shelf.get(name)
        check_boundary(self.shelf, name, held, self._outlines)
        return [held[str(at)] for at in range(len(held))]


@dataclass
class _Held:
    """A layer whose graph is still there: its weights, and what entered and left it by batch."""

    present: Present
    sides: list[tuple[Tensor, Tensor]] = field(default_factory=list)


def _key(name: str, axis: int) -> str:
    return f"{axis} {name}"


def _keys(name: str, rows: Mapping[int, Tensor]) -> dict[str, Tensor]:
    return {_key(name, axis): row for axis, row in rows.items()}


def share(windows: Iterable[Sequence[int]], processes: Processes) -> Tensor:
    """[windows, length]: those of this process; every n-th of them, or none."""
    chosen = torch.tensor(list(windows), dtype=torch.int64)
    return chosen[processes.rank :: processes.count]
