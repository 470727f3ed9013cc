"""How well are the calibration windows predicted, and how does that depend on the last layer?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunescope.extras import require
from prunescope.interop.layered import LayeredNetwork
from prunescope.pruning.batches import loss_pieces

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require("torch", "prune")


def loss_of(
    network: LayeredNetwork, hidden: Tensor, ids: Tensor, predicted: int, is_learned: bool
) -> tuple[Tensor, Tensor]:
    """The part of some windows in the mean cross entropy of all, and its gradient by `hidden`.

    What is computed at once is bounded: logits of 128256 tokens for all windows would take
    gigabytes.

    Args:
        network: its stage EXIT must be present.
        hidden: [windows, length, hidden], what leaves the last layer.
        ids: [windows, length] tokens; each but the first of a window is predicted.
        predicted: how many tokens are predicted in all windows, also in those of other calls.
        is_learned: whether gradients are wanted. Those of weights are added to what they have.

    Returns:
        [windows, length, hidden] on the network's device, zeros unless `is_learned`; and a float64
        number on the CPU, in nats.
    """
    gradient = torch.zeros_like(hidden, device=network.device)
    targets = torch.nn.functional.pad(ids[:, 1:], (0, 1), value=-100).to(network.device)
    loss = torch.zeros((), dtype=torch.float64)
    hidden = hidden.to(network.device)
    vocabulary = int(network.network.get_output_embeddings().weight.shape[0])
    for rows, columns in loss_pieces(ids, vocabulary, network.device):
        piece = hidden[rows, columns].detach().requires_grad_(is_learned)
        with torch.set_grad_enabled(is_learned):
            logits = network.leave(piece).float()
            part = torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), targets[rows, columns].flatten(), reduction="sum"
            )
            part = part / predicted
        if is_learned:
            torch.autograd.backward(part)
            assert piece.grad is not None
            gradient[rows, columns] = piece.grad
        loss += part.detach().cpu().double()
    return gradient, loss
