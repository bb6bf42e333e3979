"""HelpSteer: answers with five attributes, rated by people."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import marked_turns, said_by
from rlhf_losses.feedback.base import Row

ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")


class HelpsteerRatings(DatasetConverter):
    """Ratings: `helpfulness`, from 0 to 4; all five also as attributes, for `multi_attribute`.

    Where each attribute lists what several annotators said (the folder `disagreements`), every annotator's rating
    becomes a row. Earlier turns of a conversation are told by their marks.
    """

    columns = (("prompt", "response", *ATTRIBUTES),)
    source = "https://huggingface.co/datasets/nvidia/HelpSteer2"

    def read(self, row: Row) -> list[Row]:
        said = {name: row[name] if isinstance(row[name], list) else [row[name]] for name in ATTRIBUTES}
        texts = {"prompt": marked_turns(row["prompt"]), "completion": said_by("assistant", row["response"])}
        each = [dict(zip(ATTRIBUTES, values, strict=True)) for values in zip(*said.values(), strict=True)]
        return [{**texts, "rating": one["helpfulness"], "attributes": one} for one in each]
