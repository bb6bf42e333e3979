"""RewardBench 2: one or several right answers and several wrong ones to one prompt."""

from rlhf_losses.converters.answer_lists import answers_of, has_answer_lists
from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import as_messages
from rlhf_losses.feedback.base import Row


class RewardBench2(DatasetConverter):
    """RewardBench 2 as `Rankings`: right answers have rank 1, wrong ones rank 2.

    In the subset `Ties` several answers are right; they are ties. A row without right or without wrong answers has no
    feedback. The column `subset` is kept.
    """

    columns = (("prompt", "chosen", "rejected", "num_correct"), ("prompt", "chosen", "rejected", "total_completions"))
    source = "https://huggingface.co/datasets/allenai/reward-bench-2"

    def matches(self, row: Row) -> bool:
        return super().matches(row) and has_answer_lists(row)

    def convert(self, row: Row) -> list[Row]:
        chosen, rejected = answers_of(row)
        if not chosen or not rejected:
            return []
        return [
            {
                "prompt": as_messages("user", row["prompt"]),
                "completions": chosen + rejected,
                "ranks": [1] * len(chosen) + [2] * len(rejected),
                **{name: row[name] for name in ("subset",) if name in row},
            }
        ]

    def texts(self, row: Row) -> list[Row]:
        chosen, rejected = answers_of(row)
        return [{"prompt": as_messages("user", row["prompt"]), "completions": chosen + rejected}]
