"""What is made small? The text's surprise and, with a teacher, the distance from its guesses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunescope.extras import require

if TYPE_CHECKING:
    import torch
else:
    torch = require("torch", "prune")


def text_loss(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy, in nats, of each token but a block's first.

    Args:
        logits: [blocks, tokens, vocabulary], of any floating type.
        ids: [blocks, tokens].
    """
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten()
    )


def teacher_loss(logits: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """T² · KL(teacher ‖ student), both softened by T, in nats, averaged over the tokens.

    T² keeps the gradient's size whatever T is: Hinton, Vinyals and Dean, 2015, section 2
    (https://arxiv.org/abs/1503.02531).

    Args:
        logits, teacher: [blocks, tokens, vocabulary]; a block's last token predicts nothing.
    """
    ours, theirs = (
        torch.log_softmax(each[:, :-1].flatten(0, 1).float() / temperature, -1)
        for each in (logits, teacher)
    )
    distance = torch.nn.functional.kl_div(ours, theirs, reduction="batchmean", log_target=True)
    return distance * temperature**2
