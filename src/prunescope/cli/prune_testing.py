"""`--test_before_train`, `--test_after_train`: text and perplexity of a network, on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from prunescope.report.messages import Messages

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from prunescope.architecture import Model
    from prunescope.report.console import Screen


def tester(
    say: Messages, screen: Screen, model: Model, options: dict[str, Any]
) -> Callable[[str, PreTrainedModel], None]:
    """What tests a network; made first, so that what it lacks is not found after an hour."""
    from prunescope.data import embedded_text
    from prunescope.evaluation.generation import PROMPTS, generate
    from prunescope.evaluation.perplexity import cut_windows, perplexity
    from prunescope.interop.companions import home
    from prunescope.interop.tokenizer import load_tokenizer, token_ids
    from prunescope.report.progress import progress
    from prunescope.report.prune import print_test

    length = options["max_seq_len"]
    windows = cut_windows(token_ids(model, embedded_text("evaluation")), length)
    tokenizer = load_tokenizer(home(model))
    sampling = options["temperature"], options["top_p"], options["seed"]

    def test(title: str, network: PreTrainedModel) -> None:
        texts = generate(network, tokenizer, PROMPTS, length, *sampling)
        with progress(say("measuring_perplexity"), len(windows), options["quiet"]) as tick:
            measured = perplexity(network, windows, tick)
        print_test(title, texts, measured, screen, say)

    return test
