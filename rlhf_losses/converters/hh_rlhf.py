"""Anthropic HH-RLHF: pairs of transcripts."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.common_prefix import common_prefix_length
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Row
from rlhf_losses.messages.setting_names import setting

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"


class HhRlhf(DatasetConverter):
    """HH-RLHF transcripts as `Pairs`.

    The prompt is the common beginning of both transcripts, up to the last marker of an assistant turn. The rest of
    each transcript is the answer. In a few rows the transcripts differ before the last turn; their answers contain
    the following turns. The text of prompt plus answer equals the transcript exactly.
    """

    columns = (("chosen", "rejected"),)
    source = "https://huggingface.co/datasets/Anthropic/hh-rlhf"

    def matches(self, row: Row) -> bool:
        texts = [row.get("chosen"), row.get("rejected")]
        return row.get("prompt") is None and all(
            isinstance(text, str) and text.lstrip().startswith(HUMAN.strip()) and ASSISTANT in text for text in texts
        )

    def convert(self, row: Row) -> list[Row]:
        chosen, rejected = row["chosen"], row["rejected"]
        last_turn = chosen.rfind(ASSISTANT, 0, common_prefix_length(chosen, rejected))
        if last_turn < 0:
            raise InvalidFeedbackError(
                "The transcripts have no common beginning that ends with an assistant turn, so the prompt cannot be "
                "separated from the answers. Drop the row, or use the transcripts as whole texts with "
                f"{setting('converter', 'native')}."
            )
        end = last_turn + len(ASSISTANT)
        return [{**row, "prompt": chosen[:end], "chosen": chosen[end:], "rejected": rejected[end:]}]
