"""RM-Bench: three right and three wrong answers, each in three styles."""

from rlhf_losses.converters.answer_lists import answers_of, has_answer_lists
from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import as_messages
from rlhf_losses.converters.reward_bench2 import RewardBench2
from rlhf_losses.feedback.base import Row


class RmBench(DatasetConverter):
    """RM-Bench as `Pairs`: each chosen answer with each rejected one, nine pairs for three styles.

    The chosen answers are not compared with each other, and neither are the rejected ones. A row without chosen or
    without rejected answers has no feedback. The columns `domain` and `subset` are kept.
    """

    columns = (("prompt", "chosen", "rejected"),)
    source = "https://huggingface.co/datasets/THU-KEG/RM-Bench"

    def matches(self, row: Row) -> bool:
        return super().matches(row) and has_answer_lists(row) and not RewardBench2().matches(row)

    def convert(self, row: Row) -> list[Row]:
        prompt = as_messages("user", row["prompt"])
        kept = {name: row[name] for name in ("domain", "subset") if name in row}
        all_chosen, all_rejected = answers_of(row)
        return [
            {"prompt": prompt, "chosen": chosen, "rejected": rejected, **kept}
            for chosen in all_chosen
            for rejected in all_rejected
        ]
