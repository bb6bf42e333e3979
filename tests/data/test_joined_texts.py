"""Prompts and answers that meet without white space are found."""

import pytest

from rlhf_losses.data.joined_texts import meets_without_space
from rlhf_losses.feedback import Answer


@pytest.mark.parametrize(
    ("prompt", "answer", "expected"),
    [
        ("with Tom.", "The dog", True),
        ("2 + 2 =", "4", True),
        ("Это кот.", "Да", True),
        ("with Tom. ", "The dog", False),
        ("with Tom.", "\nThe dog", False),
        ("Wer ist da", "?", False),
        ("你好吗？", "很好。", False),
        ("", "The dog", False),
        (None, "The dog", False),
        ("with Tom.", "", False),
        ([{"role": "user", "content": "with Tom."}], [{"role": "assistant", "content": "The dog"}], False),
    ],
)
def test_two_words_meet_without_white_space(prompt, answer, expected):
    assert meets_without_space(Answer(prompt, (answer,))) is expected
