"""Math-Shepherd: a problem and its solution in one text, with a mark behind each step."""

import re

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Row

MARK = "ки"
SIGNS = {"+": True, "-": False}
_FIRST_STEP = re.compile(r"(?=[Ss]tep 1:)")
_QUESTION = re.compile(r"(?<=\?)\s")


class MathShepherd(DatasetConverter):
    """Steps with automatic labels: `input` marks where they end, and `label` has `+` or `-` in the places of the marks.

    The prompt ends before the words `Step 1:`, or, where a solution lacks them, after the first question mark. A mark
    inside the problem, which a few rows have, is about no step and is left out.
    """

    columns = (("input", "label", "task"),)
    source = "https://huggingface.co/datasets/peiyi9979/Math-Shepherd"

    def recognises(self, row: Row) -> bool:
        return super().recognises(row) and MARK in str(row["input"]) and isinstance(row["label"], str)

    def read(self, row: Row) -> list[Row]:
        *parts, _ = row["input"].split(MARK)
        labels = _signs(parts, row["label"])
        begins = next((i for i, part in enumerate(parts) if _FIRST_STEP.search(part)), 0)
        prompt, first = _apart(parts[begins])
        steps = [text.strip() for text in [first, *parts[begins + 1 :]]]
        return [{"prompt": "".join(parts[:begins]) + prompt, "completions": steps, "labels": labels[begins:]}]


def _signs(parts: list[str], labelled: str) -> list[bool]:
    """Return whether each part is right, from the text in which signs stand where the marks were."""
    signs, at = [], 0
    for number, part in enumerate(parts, 1):
        at += len(part)
        sign = labelled[at : at + 1]
        if sign not in SIGNS or labelled[at - len(part) : at] != part:
            raise InvalidFeedbackError(
                f"The column label has {sign!r} where part {number} of the column input ends, and neither + nor -. "
                "Mend the row or drop it; the two texts differ in the signs alone."
            )
        signs.append(SIGNS[sign])
        at += 1
    if not signs:
        raise InvalidFeedbackError(
            f"The column input has no mark '{MARK}', so it has no steps. Mend the row or drop it."
        )
    return signs


def _apart(text: str) -> tuple[str, str]:
    """Return the problem, with the space that ends it, and the first step."""
    for end in (_FIRST_STEP, _QUESTION):
        found = end.search(text)
        if found and text[found.end() :].strip():
            return text[: found.end()], text[found.end() :]
    raise InvalidFeedbackError(
        f"The text {text!r:.80} has neither 'Step 1:' nor a question mark, so that the problem cannot be told from the "
        "first step. Write 'Step 1:' before it, or drop the row."
    )
