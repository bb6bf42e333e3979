"""The texts of a row: null answers, shared prompts, and arguments of the chat template."""

import pytest

from rlhf_losses.data.answers import completion_answers, row_answers
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import Answer, Labels, Pairs, Rankings, Ratings, Steps, StepwiseRankings, Votes


def say(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


HI, YES, NO, WHY, SO = (
    say(role, content)
    for role, content in [
        ("user", "hi"), ("assistant", "yes"), ("assistant", "no"), ("user", "why?"), ("assistant", "so"),
    ]
)  # fmt: skip


@pytest.mark.parametrize(
    ("feedback_type", "row"),
    [
        (Rankings, {"completions": ["A cat.", None, "A dog."], "ranks": [1, 2, 3]}),
        (Votes, {"completions": ["A cat.", None], "votes": [1, 2]}),
        (Ratings, {"completions": [None, "A cat."], "ratings": [1, 2]}),
        (Steps, {"completions": ["A cat.", None], "labels": [1, 0]}),
        (StepwiseRankings, {"chosen_steps": ["A cat.", None], "rejected_steps": ["A dog."]}),
        (StepwiseRankings, {"completion_steps": [["A cat."], [None]], "ranks": [1, 2]}),
        (StepwiseRankings, {"completion_steps": [["A cat."], None], "ranks": [1, 2]}),
        (Pairs, {"chosen": [], "rejected": [NO]}),
        (Pairs, {"chosen": [HI, {"role": "assistant", "content": None}], "rejected": [HI, NO]}),
    ],
)
def test_a_null_answer_is_refused(feedback_type, row):
    with pytest.raises(InvalidFeedbackError, match=r"null|without messages|None, which is not a list"):
        row_answers({"prompt": "An animal: ", **row}, feedback_type)


@pytest.mark.parametrize("value", [HI, b"text", {"text": "a"}, [1, 2], [["a"]], object()])
@pytest.mark.parametrize("column", ["prompt", "completion"])
def test_a_value_that_is_neither_text_nor_messages_is_refused(column, value):
    row = {"prompt": "p", "completion": "c", "label": True, column: value}
    with pytest.raises(InvalidFeedbackError, match=r"neither a text nor a list of messages|has no role"):
        row_answers(row, Labels)


@pytest.mark.parametrize("value", [True, 4, 0.5])
def test_numbers_in_json_are_texts(value):
    assert row_answers({"completion": value, "label": True}, Labels)[0].parts == (value,)


@pytest.mark.parametrize(
    ("feedback_type", "row"),
    [
        (Rankings, {"completions": "abc", "ranks": [1, 2, 3]}),
        (Votes, {"completions": "ab", "votes": [1, 2]}),
        (Steps, {"completions": "ab", "labels": [1, 0]}),
        (StepwiseRankings, {"chosen_steps": "ab", "rejected_steps": ["c"]}),
    ],
)
def test_a_text_is_not_a_list_of_characters(feedback_type, row):
    with pytest.raises(InvalidFeedbackError, match="which is not a list"):
        row_answers(row, feedback_type)


@pytest.mark.parametrize(
    ("chosen", "rejected", "shared"),
    [
        ([HI, YES], [HI, NO], 1),
        ([HI, YES, WHY, SO], [HI, YES, WHY, NO], 3),
        ([HI, YES, WHY, SO], [HI, NO, WHY, SO], 1),
        ([HI, YES], [HI, YES, WHY, SO], 1),
        ([HI, YES], [HI, YES], 1),
        ([YES], [NO], 0),
    ],
)
def test_the_prompt_of_conversations_is_what_all_answers_share(chosen, rejected, shared):
    first, second = row_answers({"chosen": chosen, "rejected": rejected}, Pairs)
    assert (first.prompt or [], first.parts) == (chosen[:shared], (chosen[shared:],))
    assert (second.prompt or [], second.parts) == (rejected[:shared], (rejected[shared:],))


def test_lists_of_conversations_share_their_prompt_too():
    answers = row_answers({"completions": [[HI, YES], [HI, NO], [HI, SO]], "ranks": [1, 2, 3]}, Rankings)
    assert [answer.prompt for answer in answers] == [[HI]] * 3


def test_the_prompt_of_one_conversation_is_everything_before_its_last_message():
    assert row_answers({"completion": [HI, YES, WHY, SO], "label": True}, Labels)[0].prompt == [HI, YES, WHY]
    assert completion_answers([None], [[HI, YES]]) == [Answer([HI], ([YES],))]


@pytest.mark.parametrize("answer", ["a text", [HI, YES]])
def test_a_prompt_that_is_given_stays(answer):
    assert row_answers({"prompt": "p", "completion": answer, "label": True}, Labels)[0] == Answer("p", (answer,))


def test_texts_without_a_prompt_stay_whole():
    assert row_answers({"chosen": "ab", "rejected": "ac"}, Pairs) == [Answer(None, ("ab",)), Answer(None, ("ac",))]


def test_every_answer_of_a_row_has_the_arguments_of_the_template():
    row = {"prompt": [HI], "chosen": [YES], "rejected": [NO], "system": "Be kind.", "chat_template_kwargs": {"x": 1}}
    assert {(str(answer.template), answer.system) for answer in row_answers(row, Pairs)} == {("{'x': 1}", "Be kind.")}


def test_columns_of_reward_functions_belong_to_their_completion():
    columns = {"tools": [[{"name": "search"}], None], "log_metric": print, "answer": ["4", "5"]}
    first, second = completion_answers([[HI], [HI]], [[YES], [NO]], columns)
    assert (first.template, second.template) == ({"tools": [{"name": "search"}]}, {})
