"""What do scripts get of an evaluation? Every figure unrounded, every run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from prunescope.evaluation.run import Asked, Evaluation
from prunescope.report.json_output import dump


def evaluations_json(found: Sequence[Evaluation], asked: Asked, device: str) -> str:
    """One model, or the original and the pruned one, in this order.

    Bytes, seconds and tokens; what was not asked for is null. A perplexity that is no finite
    number is a string, as JSON has none such: `inf`, `nan`.
    """
    sliding = asked.sliding
    return dump(
        {
            "schema": "prunescope.eval/1",
            "device": device,
            "text": asked.documents
            and {
                "source": asked.documents.name,
                "window": sliding.length,
                "stride": sliding.stride,
                "max_tokens": sliding.most,
                "bos": sliding.has_bos,
            },
            "models": [_model(one, asked) for one in found],
        }
    )


def _model(one: Evaluation, asked: Asked) -> dict[str, Any]:
    measured, speed = one.perplexity, one.speed
    return {
        "path": one.path,
        "parameters": one.parameters,
        "perplexity": measured
        and {
            "value": measured.value if math.isfinite(measured.value) else str(measured.value),
            "tokens_scored": measured.scored,
            "windows": measured.windows,
            "seconds": measured.seconds,
            "tokens_per_second": measured.tokens_per_second,
            "streamed": one.is_streamed,
        },
        "tasks": [
            {"task": s.task, "metric": s.metric, "value": s.value, "stderr": s.error}
            for s in one.scores
        ],
        "speed": speed
        and {
            "batch": speed.load.batch,
            "context": speed.load.context,
            "new_tokens": speed.load.new_tokens,
            "prefill_tokens_per_second": speed.prefill,
            "decode_tokens_per_second": speed.decode,
            "seconds_to_first_token": speed.first,
            "weight_bytes": speed.weights,
            "peak_bytes": speed.memory,
        },
        "roofline": one.roofline
        and {
            "device": asked.peaks and asked.peaks.title,
            "prefill_tokens_per_second": one.roofline.prefill,
            "decode_tokens_per_second": one.roofline.decode,
        },
        "generations": [
            {"prompt": prompt, "text": text}
            for prompt, text in zip(asked.prompts, one.texts, strict=True)
        ],
    }
