"""Solutions and their steps get the labels of the documented format, and no label where nobody judged."""

import pytest
from datasets import Dataset
from known_formats import (
    ASSISTANT,
    BIG_BENCH_MISTAKE,
    HELPSTEER,
    MATH_INSTRUCT,
    OPEN_R1,
    PRM_BENCH,
    PROCESS_BENCH,
    USER,
    message,
)

from rlhf_losses.converters import BigBenchMistake, HelpsteerRatings, Native, PrmBench, ProcessBench, Solutions
from rlhf_losses.data.conversion import convert_dataset
from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError
from rlhf_losses.feedback import Steps
from rlhf_losses.files.columns import rename_columns
from rlhf_losses.hooks import converter_registry


def test_process_bench_steps_after_the_first_wrong_one_are_left_out():
    assert ProcessBench().convert(PROCESS_BENCH) == [
        {
            "prompt": "What is 2 + 2 + 1?\n\n",
            "completions": ["2 + 2 is 4.", "4 + 1 is 6."],
            "labels": [True, False],
        }
    ]


def test_process_bench_minus_1_means_that_all_steps_are_right():
    (solution,) = ProcessBench().convert(PROCESS_BENCH | {"label": -1})
    assert solution["completions"] == PROCESS_BENCH["steps"]
    assert Steps.from_row(solution).values.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("label", [3, -2, 0.5, True])
def test_process_bench_refuses_labels_that_are_no_step(label):
    with pytest.raises(InvalidFeedbackError, match=r"Fix or drop the row"):
        ProcessBench().convert(PROCESS_BENCH | {"label": label})


def test_process_bench_null_labels_have_no_feedback():
    assert ProcessBench().convert(PROCESS_BENCH | {"label": None}) == []
    converted = convert_dataset(Dataset.from_list([PROCESS_BENCH | {"label": None}, PROCESS_BENCH]))
    assert converted["labels"][:] == [[True, False]]


def test_prm_bench_labels_every_step_of_the_modified_solution():
    assert PrmBench().convert(PRM_BENCH) == [
        {
            "prompt": "What is 2 + 2 + 3?\n\n",
            "completions": PRM_BENCH["modified_process"],
            "labels": [True, False, True, False],
        }
    ]


def test_prm_bench_without_wrong_steps_is_right():
    (solution,) = PrmBench().convert(PRM_BENCH | {"error_steps": [], "classification": "multi_solutions"})
    assert solution["labels"] == [True] * 4


@pytest.mark.parametrize("numbers", [None, [5], [2, 5], [0]])
def test_prm_bench_numbers_beyond_the_steps_are_no_feedback(numbers):
    assert PrmBench().convert(PRM_BENCH | {"error_steps": numbers}) == []


@pytest.mark.parametrize("index", [None, float("nan")])
def test_big_bench_mistake_null_means_that_all_steps_are_right(index):
    (solution,) = BigBenchMistake().convert(BIG_BENCH_MISTAKE | {"mistake_index": index})
    assert (solution["completions"], solution["labels"]) == (BIG_BENCH_MISTAKE["steps"], [True, True])


@pytest.mark.parametrize("index", [0, 0.0])
def test_big_bench_mistake_counts_from_0(index):
    (solution,) = BigBenchMistake().convert(BIG_BENCH_MISTAKE | {"mistake_index": index})
    assert solution == {"prompt": "Sort: pear apple\n\n", "completions": ["p comes first."], "labels": [False]}


@pytest.mark.parametrize(
    ("converter", "row", "change", "missing"),
    [
        (ProcessBench(), PROCESS_BENCH, {"problem": None}, "problem"),
        (ProcessBench(), PROCESS_BENCH, {"steps": [], "label": -1}, "solution"),
        (PrmBench(), PRM_BENCH, {"modified_process": ["1. a", None], "error_steps": []}, "text of a step"),
    ],
)
def test_missing_texts_are_refused(converter, row, change, missing):
    with pytest.raises(InvalidFeedbackError, match=rf"The {missing} is missing.*Fix or drop the row"):
        converter.convert(row | change)


def test_each_generation_has_its_own_verdict():
    prompt = [message(USER, "What is 2 + 2?")]
    assert Solutions().convert(OPEN_R1) == [
        {"prompt": prompt, "completion": [message(ASSISTANT, "<think>2 and 2</think>4")], "label": True},
        {"prompt": prompt, "completion": [message(ASSISTANT, "<think>3 and 2</think>5")], "label": False},
    ]


@pytest.mark.parametrize(
    ("verified", "judged", "labels"),
    [
        ([False, False], [True, False], [True, False]),
        ([None, True], [True, None], [True, True]),
        ([False, None], [None, None], [False]),
        (None, [False, True], [False, True]),
        (None, None, []),
    ],
)
def test_a_second_verdict_completes_the_first_one(verified, judged, labels):
    rows = Solutions().convert(OPEN_R1 | {"correctness_math_verify": verified, "correctness_llama": judged})
    assert [row["label"] for row in rows] == labels


def test_a_generated_solution_is_judged_and_not_the_reference():
    (judged,) = Solutions().convert(MATH_INSTRUCT | {"solution": "2 + 2 = 4"})
    assert (judged["completion"], judged["label"]) == ([message(ASSISTANT, "2 + 2 = 5")], False)
    with pytest.raises(InvalidFeedbackError, match="text of the assistant is null"):
        Solutions().convert(MATH_INSTRUCT | {"solution": "2 + 2 = 4", "generated_solution": None})


GENERATED = ["completion", "output", "generation", "model_solution", "response", "generated_solution"]


@pytest.mark.parametrize("generated", GENERATED)
@pytest.mark.parametrize("reference", ["solution", "answer", "expected_answer"])
def test_the_reference_beside_a_generated_text_is_not_judged(generated, reference):
    row = {"problem": "2 + 2?", reference: "4", generated: "5", "is_correct": False}
    (judged,) = convert_dataset(Dataset.from_list([row]))
    assert (judged["completion"], judged["label"]) == ([message(ASSISTANT, "5")], False)


@pytest.mark.parametrize(
    ("columns", "first", "second"),
    [
        ({"solution": "4", "attempt": "5"}, "solution", "attempt"),
        ({"attempt": "5", "answer": "4"}, "answer", "attempt"),
        ({"solution": "4", "answer": "5"}, "solution", "answer"),
        ({"response": "4", "generation": "5"}, "generation", "response"),
    ],
)
def test_a_verdict_that_can_be_on_two_texts_is_refused(columns, first, second):
    data = Dataset.from_list([{"problem": "2 + 2?", **columns, "is_correct": False}])
    with pytest.raises(
        FeedbackMismatchError, match=rf"Row 0 .*'{first}' and '{second}' beside .*'is_correct'"
    ) as error:
        convert_dataset(data)
    assert f"rename_columns(dataset, {{'completion': '{first}'}})" in str(error.value)
    (judged,) = convert_dataset(rename_columns(data, {"completion": first}))
    assert judged["completion"] == [message(ASSISTANT, columns[first])]


def test_lists_of_two_kinds_are_ambiguous_as_well():
    with pytest.raises(FeedbackMismatchError, match=r"'solutions' and 'attempts'.*'completions': 'solutions'"):
        Solutions().convert({"problem": "?", "solutions": ["4"], "attempts": ["5"], "is_correct": [False]})


def test_an_instruction_with_an_input_is_no_whole_problem():
    row = {"instruction": "Add.", "input": "2 + 2", "output": "4", "is_correct": True}
    with pytest.raises(FeedbackMismatchError, match="'instruction' and 'input'"):
        Solutions().convert(row)
    assert Solutions().convert(row | {"input": ""})[0]["prompt"] == [message(USER, "Add.")]


@pytest.mark.parametrize(
    "more", [{"id": "a1", "source": "gsm8k", "problem_type": "sum"}, {"answer": 4}, {"tags": None}]
)
def test_columns_that_describe_a_row_are_no_answers(more):
    (judged,) = Solutions().convert({"problem": "2 + 2?", "solution": "4", "is_correct": True} | more)
    assert judged["completion"] == [message(ASSISTANT, "4")]


@pytest.mark.parametrize(
    ("problem", "answer"),
    [("prompt", "completion"), ("question", "answer"), ("query", "output"), ("input", "output")],
)
@pytest.mark.parametrize("verdict", ["is_correct", "correct", "correctness"])
def test_verdicts_are_recognised_beside_problems_and_answers(problem, answer, verdict):
    (row,) = convert_dataset(Dataset.from_list([{problem: "2 + 2?", answer: "5", verdict: False}]))
    expected = {"prompt": [message(USER, "2 + 2?")], "completion": [message(ASSISTANT, "5")], "label": False}
    assert row == expected
    data = Dataset.from_list([{problem: "2 + 2?", f"{answer}s": ["5", "4"], verdict: [False, True]}])
    assert convert_dataset(data)[:] == {
        "prompt": [expected["prompt"]] * 2,
        "completion": [[message(ASSISTANT, "5")], [message(ASSISTANT, "4")]],
        "label": [False, True],
        "source_row": [0, 0],
        "source_item": [0, 1],
    }


def test_an_answer_in_messages_has_one_verdict():
    row = {"prompt": [message(USER, "2 + 2?")], "completion": [message(ASSISTANT, "5")], "is_correct": False}
    (judged,) = convert_dataset(Dataset.from_list([row]))
    assert judged == {"prompt": row["prompt"], "completion": row["completion"], "label": False}


def test_ratings_of_the_correctness_are_no_verdicts():
    assert type(converter_registry().detect(HELPSTEER | {"correctness": 1})) is HelpsteerRatings
    assert type(converter_registry().detect({"prompt": "?", "response": "4", "correctness": 3})) is Native


@pytest.mark.parametrize("problem", ["problem", "question"])
@pytest.mark.parametrize("answer", ["solution", "response", "generated_solution"])
@pytest.mark.parametrize(
    ("verdict", "label"), [(True, True), (0, False), (1.0, True), ("False", False), ("correct", True)]
)
def test_one_solution_per_row_has_a_verdict_in_any_spelling(problem, answer, verdict, label):
    data = Dataset.from_list([{problem: "2 + 2?", answer: "4", "is_correct": verdict}])
    (row,) = convert_dataset(data)
    assert (row["prompt"], row["completion"]) == ([message(USER, "2 + 2?")], [message(ASSISTANT, "4")])
    assert row["label"] is label


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"is_correct": "perhaps"}, "'perhaps', but it must be true or false"),
        ({"is_correct": 0.5}, "0.5, but it must be true or false"),
        ({"generated_solution": ["4", "5"], "is_correct": [True]}, "2 solutions and 1 verdicts"),
    ],
)
def test_verdicts_that_fit_no_solution_are_refused(change, reason):
    with pytest.raises(InvalidFeedbackError, match=reason):
        Solutions().convert(MATH_INSTRUCT | change)


def test_a_null_verdict_is_no_feedback():
    assert Solutions().convert(MATH_INSTRUCT | {"is_correct": None}) == []


def test_right_steps_without_text_are_left_out_with_their_labels():
    row = PRM_BENCH | {"modified_process": ["1. a", "", "3. c", " \n"], "error_steps": [3]}
    (solution,) = PrmBench().convert(row)
    assert (solution["completions"], solution["labels"]) == (["1. a", "3. c"], [True, False])


@pytest.mark.parametrize(
    ("row", "change", "step"),
    [
        (PROCESS_BENCH, {"steps": ["a", "", "b"], "label": 1}, 1),
        (PROCESS_BENCH, {"steps": ["a", "b", " \n"], "label": 2}, 2),
        (BIG_BENCH_MISTAKE, {"steps": ["a", "b", "\n"], "mistake_index": 2}, 2),
        (PRM_BENCH, {"modified_process": ["a", "b", "", "d"], "error_steps": [2, 3]}, 2),
    ],
)
def test_a_wrong_step_without_text_is_refused(row, change, step):
    """Without the step, the solution would be right, or wrong at another step only."""
    with pytest.raises(InvalidFeedbackError, match=rf"Row 1 of data, .*: Step {step}, counted from 0, is wrong"):
        convert_dataset(Dataset.from_list([row, row | change]))
