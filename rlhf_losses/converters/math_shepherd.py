"""Math-Shepherd: a problem and its solution in one text, with a marker after each step."""

import re

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Row

STEP_END = "ки"
LABELS = {"+": True, "-": False}
_FIRST_STEP = re.compile(r"(?=[Ss]tep 1:)")
_QUESTION = re.compile(r"(?<=\?)\s")


class MathShepherd(DatasetConverter):
    """Math-Shepherd solutions as `Steps` with automatic labels.

    The column `input` has a marker at the end of each step; the column `label` has `+` or `-` in place of the marker.
    The prompt ends before the words `Step 1:`, or after the first question mark if the solution does not have them.
    A few rows have a marker within the problem; it is ignored.
    """

    columns = (("input", "label", "task"),)
    source = "https://huggingface.co/datasets/peiyi9979/Math-Shepherd"

    def matches(self, row: Row) -> bool:
        return super().matches(row) and STEP_END in str(row["input"]) and isinstance(row["label"], str)

    def convert(self, row: Row) -> list[Row]:
        *parts, _ = row["input"].split(STEP_END)
        labels = _labels(parts, row["label"])
        start = next((i for i, part in enumerate(parts) if _FIRST_STEP.search(part)), 0)
        prompt, first = _split_problem(parts[start])
        steps = [text.strip() for text in [first, *parts[start + 1 :]]]
        return [{"prompt": "".join(parts[:start]) + prompt, "completions": steps, "labels": labels[start:]}]


def _labels(parts: list[str], labelled_text: str) -> list[bool]:
    """Return the label of each part, from the text that has labels in place of the markers."""
    labels, position = [], 0
    for number, part in enumerate(parts, 1):
        position += len(part)
        label = labelled_text[position : position + 1]
        if label not in LABELS or labelled_text[position - len(part) : position] != part:
            raise InvalidFeedbackError(
                f"The column label has {label!r} at the end of part {number} of the column input, where + or - is "
                "required. The two columns must be equal except for the labels. Fix or drop the row."
            )
        labels.append(LABELS[label])
        position += 1
    if not labels:
        raise InvalidFeedbackError(
            f"The column input has no marker '{STEP_END}', so it has no steps. Fix or drop the row."
        )
    return labels


def _split_problem(text: str) -> tuple[str, str]:
    """Return the problem, with the space at its end, and the first step."""
    for end in (_FIRST_STEP, _QUESTION):
        match = end.search(text)
        if match and text[match.end() :].strip():
            return text[: match.end()], text[match.end() :]
    raise InvalidFeedbackError(
        f"The text {text!r:.80} has neither 'Step 1:' nor a question mark, so the problem cannot be separated from "
        "the first step. Write 'Step 1:' before the first step, or drop the row."
    )
