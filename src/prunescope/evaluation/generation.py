"""What does a model write? Sampled continuations of a few prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prunescope.errors import PrunescopeError, first_line
from prunescope.extras import require

if TYPE_CHECKING:
    import torch
    import transformers
else:
    torch = require("torch", "prune")

PROMPTS = (
    "The capital of France is",
    "Water boils when",
    "Once upon a time, in a village by the sea,",
)


def generate(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerBase,
    prompts: Sequence[str],
    max_length: int,
    temperature: float,
    top_p: float,
    seed: int,
) -> list[str]:
    """Each prompt with its continuation.

    Args:
        max_length: tokens of prompt and continuation together; at least one is generated.
        temperature: 0 takes the likeliest token each time.
        top_p: sample from the likeliest tokens that have this probability together.
        seed: of torch's generator, which is reset for each prompt.

    Raises:
        PrunescopeError: transformers cannot generate with this model or these settings.
    """
    texts = []
    sampling = {"do_sample": True, "temperature": temperature, "top_p": top_p}
    for prompt in prompts:
        encoded = tokenizer(prompt, return_tensors="pt").to(model.device)
        torch.manual_seed(seed)
        try:
            output = model.generate(
                input_ids=encoded.input_ids,
                attention_mask=encoded.attention_mask,
                max_new_tokens=max(1, max_length - encoded.input_ids.shape[1]),
                pad_token_id=model.generation_config.pad_token_id or tokenizer.eos_token_id,
                **(sampling if temperature > 0 else {"do_sample": False}),
            )
        except Exception as err:  # of many kinds: unfit settings, probabilities that are NaN
            raise PrunescopeError(f"the model cannot generate text: {first_line(err)}") from None
        texts.append(tokenizer.decode(output[0], skip_special_tokens=True))
    return texts
