"""HelpSteer: answers with human ratings of five attributes."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import parse_turn_markers, single_message
from rlhf_losses.feedback.base import Row

ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")


class HelpsteerRatings(DatasetConverter):
    """HelpSteer ratings as `Ratings` of the helpfulness, from 0 to 4, and as `Attributes` of all five attributes.

    If the attributes are lists with the ratings of several annotators (the folder `disagreements` of HelpSteer2),
    each annotator becomes one row, with the position in the list as `annotator`. Markers in the prompt separate earlier
    turns of the conversation.
    """

    columns = (("prompt", "response", *ATTRIBUTES),)
    source = "https://huggingface.co/datasets/nvidia/HelpSteer2"

    def convert(self, row: Row) -> list[Row]:
        ratings = {name: row[name] if isinstance(row[name], list) else [row[name]] for name in ATTRIBUTES}
        texts = {
            "prompt": parse_turn_markers(row["prompt"]),
            "completion": single_message("assistant", row["response"]),
        }
        by_annotator = [dict(zip(ATTRIBUTES, values, strict=True)) for values in zip(*ratings.values(), strict=True)]
        rows = [{**texts, "rating": rated["helpfulness"], "attributes": rated} for rated in by_annotator]
        if isinstance(row["helpfulness"], list):
            return [one | {"annotator": number} for number, one in enumerate(rows)]
        return [*rows]
