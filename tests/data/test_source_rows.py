"""Messages and files name the row of the original dataset, also after a converter that drops or multiplies rows."""

import pytest
from datasets import Dataset, IterableDataset
from known_formats import TREE, prm, step

from rlhf_losses import bradley_terry, centering
from rlhf_losses.cli.ppo import select_prompts
from rlhf_losses.data import LengthLimit, RowEncoder, check_dataset, convert_dataset, prepare
from rlhf_losses.data.rating_groups import group_ratings
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import Pairs
from rlhf_losses.hooks import loss_registry
from rlhf_losses.inspection import inspect_dataset
from rlhf_losses.inspection.annotated_examples import annotated_examples
from rlhf_losses.ppo.prompts import prompt_rows
from rlhf_losses.sandbox.tiny_models import build_tokenizer

NO_LIMIT = LengthLimit(None, "")


def judged(winner, better="4", worse="5"):
    return {"prompt": "2 + 2 = ", "response_a": better, "response_b": worse, "winner": winner}


UNJUDGED = judged(None)
KEPT = [1, 3, 5]
ROWS = [UNJUDGED, judged("a"), UNJUDGED, judged("b"), UNJUDGED, judged("a", better="6")]


def test_errors_name_the_original_row():
    rows = [*ROWS, UNJUDGED, judged("a", worse=None)]
    converted = convert_dataset(Dataset.from_list(rows))
    with pytest.raises(InvalidFeedbackError, match=r"Row 7 of data: .* row 7 is row 9 of a sheet"):
        check_dataset(converted, bradley_terry)
    report = inspect_dataset(converted, loss_registry())
    assert ([one.rows for one in report.invalid], report.valid_rows()) == ([(7,)], [0, 1, 2])
    assert "source_row" not in report.columns
    (contradiction,) = annotated_examples(converted, 5, report.valid_rows()).contradictions
    assert (contradiction.rows, contradiction.opposite_rows) == ((1,), (3,))


@pytest.mark.parametrize("streamed", [False, True])
def test_tokenized_rows_have_the_number_of_the_original_row(streamed):
    data = IterableDataset.from_generator(lambda: iter(ROWS)) if streamed else Dataset.from_list(ROWS)
    prepared = prepare(
        convert_dataset(data), RowEncoder(build_tokenizer(["2", "4"]), (Pairs,)), NO_LIMIT, loss=bradley_terry
    )
    assert [row["row_number"] for row in prepared] == KEPT


def test_rows_of_several_items_and_of_groups_have_the_number_of_their_original_row():
    steps = convert_dataset(Dataset.from_list([prm(step(("a", 1), ("b", -1)))] * 2))
    assert (steps["source_row"][:], steps["source_item"][:]) == ([0, 0, 1, 1], [0, 1, 0, 1])
    (group,) = convert_dataset(Dataset.from_list(TREE), with_source=True)
    assert TREE[group["source_row"]]["message_id"] == "good"
    ratings = {"prompt": ["p", "q", "q"], "completion": ["a", "b", "c"], "rating": [1.0, 2.0, 3.0]}
    (group,) = group_ratings(Dataset.from_dict(ratings), bradley_terry + centering).rows
    assert group["source_row"] == 1


def test_prompts_of_a_policy_have_the_number_of_the_original_row():
    prompts = select_prompts(convert_dataset(Dataset.from_list(ROWS)))
    assert [row["source_row"] for row in prompt_rows([prompts])] == KEPT
    assert [row["source_row"] for row in prompt_rows([prompts.select_columns("prompt")])] == [0, 1, 2]


def test_prompts_of_rows_without_feedback_are_read_too():
    prompts = select_prompts(convert_dataset(Dataset.from_list(ROWS), texts_only=True))
    assert [row["source_row"] for row in prompt_rows([prompts])] == [0, 1, 2, 3, 4, 5]
    hi = [{"role": "user", "content": "Hi"}]
    sides = {side: [*hi, {"role": "assistant", "content": side}] for side in ("response_a", "response_b")}
    (row,) = select_prompts(convert_dataset(Dataset.from_list([{**sides, "winner": None}]), texts_only=True))
    assert row["prompt"] == hi


def test_rows_that_correspond_need_no_number():
    pairs = convert_dataset(Dataset.from_list([judged("a"), judged("b")]))
    assert "source_row" not in pairs.column_names
