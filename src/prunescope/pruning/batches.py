"""How much is computed at once? As many windows as fit a fixed room, whatever the machine.

The room does not follow the memory that happens to be free: batches decide the order of sums, and
the same run must give the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from prunescope.extras import require
from prunescope.interop.layer_by_layer import Call
from prunescope.interop.layered import LayeredNetwork

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require("torch", "prune")

# Bytes of what autograd keeps of one layer, of what it keeps of the last layers together, and of
# logits with what is computed from them.
_ROOM = {"cpu": 256 << 20}
_HELD_ROOM = {"cpu": 160 << 20}
_ROOM_ON_ACCELERATORS = 2 << 30
_LOGITS_ROOM = {"cpu": 128 << 20}
# float32 logits, their softmax and gradient, and what they were computed as.
_BYTES_A_LOGIT = 16


def bytes_kept(network: LayeredNetwork, hidden: Tensor, calls: Sequence[Call]) -> int:
    """The memory that the first layer keeps for its backward pass, of one window.

    Args:
        hidden: [1, length, hidden], what enters it.
        calls: with what.
    """
    with network.present({0}):
        known = {p.untyped_storage().data_ptr() for p in network.layers[0].parameters()}
        kept: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in known:
                kept[storage.data_ptr()] = storage.nbytes()
            # Itself, an output of the graph would hold the graph, which would hold it for ever.
            return tensor.detach()

        saved = torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
        with torch.enable_grad(), saved:
            network.run(0, hidden.detach().requires_grad_(True), calls[0])
    return max(1, sum(kept.values()))


def windows_at_once(window: int, device: str) -> int:
    """How many windows go through a layer together, if each keeps `window` bytes."""
    return max(1, _room(_ROOM, device) // window)


def layers_held(network: LayeredNetwork, all_windows: int) -> int:
    """How many of the last layers need not be computed again: there is room for what they keep.

    Args:
        all_windows: bytes that a layer keeps of all windows.
    """
    if not all_windows:
        return 0
    # Weights that are no copies cost nothing.
    copies = 0 if network.is_mapped else network.bytes_of(0)
    return _room(_HELD_ROOM, network.device) // (all_windows + copies)


def loss_pieces(ids: Tensor, vocabulary: int, device: str) -> Iterator[tuple[slice, slice]]:
    """Cut [windows, length] into pieces whose logits fit, whole windows where one fits."""
    windows, length = ids.shape
    tokens = max(1, _room(_LOGITS_ROOM, device) // (vocabulary * _BYTES_A_LOGIT))
    width = min(length, tokens)
    height = max(1, tokens // length)
    for row in range(0, windows, height):
        for column in range(0, length, width):
            yield slice(row, row + height), slice(column, column + width)


def _room(rooms: dict[str, int], device: str) -> int:
    return rooms.get(torch.device(device).type, _ROOM_ON_ACCELERATORS)
