"""Rows in which a text may be missing are found and named."""

import pytest

from rlhf_losses.data.text_problems import find_text_problems
from rlhf_losses.feedback import Labels, Pairs

ROW = {"prompt": "A story with Tom.", "chosen": " The dog helped.", "rejected": " No."}
USER, ANSWER, BLANK = ({"role": role, "content": text}
                       for role, text in (("user", "Hi"), ("assistant", "Yes"), ("assistant", " ")))  # fmt: skip


def found(*rows):
    return find_text_problems(rows, [Pairs])


def test_each_problem_is_counted_once_in_a_row_with_its_number():
    joined = ROW | {"chosen": "The dog helped.", "rejected": "No."}
    problems = found(ROW, joined, ROW | {"chosen": " ", "rejected": ""}, ROW | {"prompt": " "}, ROW | {"prompt": None})
    assert problems.rows == 5
    assert (problems.joined, problems.example) == ((1,), "ry with Tom.The dog help")
    assert (problems.empty_answers, problems.missing_prompts) == ((2,), (3, 4))
    assert "2 of 5 rows have no prompt, but other rows have one: rows 3, 4." in problems.sentences()["Missing prompts"]


def test_html_entities_are_named():
    changes = {"chosen": " He said &quot;no&quot;."}, {"prompt": "Tom &#39;n Ann "}, {"rejected": "A&B; C &co."}
    problems = found(ROW, *(ROW | change for change in changes))
    assert problems.with_entities == (1, 2)
    assert "2 of 4 rows have HTML entities" in problems.sentences()["HTML entities"]


def test_rows_without_feedback_are_not_counted():
    assert find_text_problems([ROW], [Labels]).rows == 0
    assert found(ROW, dict.fromkeys(ROW)).rows == 1


def test_numbers_are_those_of_the_original_rows():
    assert found(ROW, ROW | {"prompt": "", "source_row": 7}).missing_prompts == (7,)


@pytest.mark.parametrize(
    "rows",
    [
        [ROW | {"prompt": None}] * 2,
        [{"chosen": "Hi", "rejected": "No"}] * 2,
        [ROW, {"prompt": None, "chosen": [USER, ANSWER], "rejected": [USER, ANSWER]}],
        [{"chosen_ids": [1, 2], "rejected_ids": [1, 3]}] * 2,
    ],
)
def test_whole_texts_and_conversations_need_no_prompt(rows):
    assert found(*rows).sentences() == {}


def test_conversations_can_have_problems_too():
    problems = found(
        {"prompt": [USER], "chosen": [ANSWER], "rejected": [BLANK]},
        {"prompt": [], "chosen": [ANSWER], "rejected": [ANSWER]},
    )
    assert (problems.empty_answers, problems.missing_prompts) == ((0,), (1,))
