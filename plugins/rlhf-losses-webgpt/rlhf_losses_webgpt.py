"""Dataset converter for WebGPT comparisons: two answers to one question, written with a browser."""

from collections.abc import Mapping
from typing import Any

from rlhf_losses import DatasetConverter, InvalidFeedbackError, hookimpl


class WebgptComparisons(DatasetConverter):
    """WebGPT comparisons as `Pairs`: the answer with the positive score is chosen; two scores of 0 are a tie."""

    columns = (("question", "answer_0", "score_0", "answer_1", "score_1"),)
    source = "https://huggingface.co/datasets/openai/webgpt_comparisons"

    def convert(self, row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        scores = [row["score_0"], row["score_1"]]
        if None in scores or sum(scores) != 0:
            raise InvalidFeedbackError(
                f"The scores are {scores[0]} and {scores[1]}, but they must be opposite numbers. Fix or drop the row."
            )
        chosen = int(scores[1] > 0)
        return [
            {
                "prompt": [{"role": "user", "content": row["question"]["full_text"]}],
                "chosen": [{"role": "assistant", "content": row[f"answer_{chosen}"]}],
                "rejected": [{"role": "assistant", "content": row[f"answer_{1 - chosen}"]}],
                "preference": 1.0 if any(scores) else 0.5,
            }
        ]


@hookimpl
def provide_dataset_converters() -> list[type[DatasetConverter]]:
    """Return the converter of this plugin."""
    return [WebgptComparisons]
