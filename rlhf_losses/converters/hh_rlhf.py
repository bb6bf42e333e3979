"""hh-rlhf: two transcripts of a dialogue, told apart by who speaks."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Row

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"


class HhRlhf(DatasetConverter):
    """Pairs of transcripts: the prompt is what both share up to a turn of the assistant, the rest is the answer.

    A few transcripts part before the last turn; their answers then hold the turns that follow. The whole text of
    prompt and answer stays what it was, to the character.
    """

    columns = (("chosen", "rejected"),)
    source = "https://huggingface.co/datasets/Anthropic/hh-rlhf"

    def recognises(self, row: Row) -> bool:
        texts = [row.get("chosen"), row.get("rejected")]
        return row.get("prompt") is None and all(
            isinstance(text, str) and text.lstrip().startswith(HUMAN.strip()) and ASSISTANT in text for text in texts
        )

    def read(self, row: Row) -> list[Row]:
        chosen, rejected = row["chosen"], row["rejected"]
        differs = (i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b)
        turn = chosen.rfind(ASSISTANT, 0, next(differs, min(len(chosen), len(rejected))))
        if turn < 0:
            raise InvalidFeedbackError(
                "The transcripts share no beginning that ends in a turn of the assistant, so that the prompt cannot be "
                "told from the answers. Drop the row, or read whole texts: --converter native"
            )
        end = turn + len(ASSISTANT)
        return [{**row, "prompt": chosen[:end], "chosen": chosen[end:], "rejected": rejected[end:]}]
