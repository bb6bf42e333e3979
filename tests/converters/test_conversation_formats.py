"""Datasets of conversations and of answers to prompts become the documented feedback, with every turn of the prompt."""

import math

import pytest
from datasets import Dataset
from known_formats import (
    ASSISTANT,
    CAPYBARA,
    CAPYBARA_LABELS,
    JUDGE_BENCH,
    NECTAR,
    REWARD_BENCH,
    REWARD_BENCH2,
    RM_BENCH,
    SHP,
    SKYWORK,
    STACK_EXCHANGE,
    STACK_EXCHANGE_PAIRED,
    TULU,
    ULTRA_INTERACT,
    USER,
    message,
)

from rlhf_losses.converters import (
    CapybaraLabels,
    ComparedAnswers,
    Helpsteer3Preference,
    HelpsteerRatings,
    JudgeBench,
    Nectar,
    RewardBench,
    RewardBench2,
    RmBench,
    Shp,
    SkyworkPreferences,
    StackExchangePaired,
    StackExchangePreferences,
    TuluPreferences,
    UltrafeedbackBinarized,
    UltraInteract,
)
from rlhf_losses.data.answers import row_answers
from rlhf_losses.data.conversion import convert_dataset
from rlhf_losses.data.rendering import render
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import Labels, Pairs, Rankings, Ratings
from rlhf_losses.sandbox.tiny_models import build_tokenizer

TURNS = [message(USER, "Name a colour."), message(ASSISTANT, "Red."), message(USER, "Another?")]
COLOUR = [message(USER, "Name a colour.")]
RED, CAR = [message(ASSISTANT, "Red.")], [message(ASSISTANT, "A car.")]


def test_skywork_prompts_are_the_common_beginning():
    assert SkyworkPreferences().convert(SKYWORK) == [
        {"prompt": TURNS, "chosen": [message(ASSISTANT, "Blue.")], "rejected": CAR, "source": "magpie_ultra"}
    ]


@pytest.mark.parametrize("prompt", ["Name a colour.", " Name a colour.\n", COLOUR])
def test_tulu_prompts_are_not_read_twice(prompt):
    assert TuluPreferences().matches(TULU | {"prompt": prompt})
    (pair,) = TuluPreferences().convert(TULU | {"prompt": prompt})
    assert (pair["prompt"], pair["chosen"], pair["rejected"]) == (COLOUR, RED, CAR)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Name a colour.", "chosen": RED, "rejected": CAR},
        {"prompt": COLOUR, "chosen": RED, "rejected": CAR},
        {"prompt": COLOUR, "chosen": RED + TURNS, "rejected": CAR + TURNS},
    ],
)
def test_a_prompt_that_the_answers_do_not_repeat_is_kept(row):
    data = Dataset.from_list([row])
    assert convert_dataset(data) is data


def test_tulu_refuses_a_row_with_another_prompt():
    rows = [TULU, TULU | {"prompt": "Name a car."}]
    with pytest.raises(
        InvalidFeedbackError, match=r"Row 1 of .*'Name a car\.', which the conversations do not contain"
    ):
        convert_dataset(Dataset.from_list(rows))


def test_tulu_keeps_the_tools_of_a_row():
    (pair,) = TuluPreferences().convert(TULU | {"tools": [{"name": "paint"}]})
    assert pair["tools"] == [{"name": "paint"}]


def test_capybara_has_ratings_and_several_turns():
    (rated,) = UltrafeedbackBinarized().convert(CAPYBARA)
    assert rated == {"prompt": TURNS, "completions": [[message(ASSISTANT, "Blue.")], CAR], "ratings": [5, 2]}
    assert isinstance(Ratings.from_row(rated), Ratings)


def test_capybara_labels_are_of_the_last_message():
    (labelled,) = CapybaraLabels().convert(CAPYBARA_LABELS)
    assert (labelled["prompt"], labelled["completion"]) == (TURNS, [message(ASSISTANT, "Blue.")])
    assert Labels.from_row(labelled).labels.tolist() == [1.0]
    assert Ratings.from_row(labelled).ratings.tolist() == [5.0]


def test_ultra_interact_turns_become_messages():
    assert UltraInteract().convert(ULTRA_INTERACT) == [
        {
            "prompt": [
                message(USER, "What is 2 + 2?"),
                message(ASSISTANT, "print(2 * 3)"),
                message(USER, "6 is wrong."),
            ],
            "chosen": [message(ASSISTANT, "print(2 + 2)")],
            "rejected": [message(ASSISTANT, "print(2 - 2)")],
        }
    ]


def test_ultra_interact_refuses_unknown_roles():
    with pytest.raises(InvalidFeedbackError, match="from 'moderator', but the known roles are system, human"):
        UltraInteract().convert(ULTRA_INTERACT | {"trajectory": [{"from": "moderator", "value": "Hi"}]})


def test_reward_bench_texts_become_messages():
    assert RewardBench().convert(REWARD_BENCH) == [
        {"prompt": COLOUR, "chosen": RED, "rejected": CAR, "subset": "alpacaeval-easy"}
    ]


def test_reward_bench_2_ranks_right_answers_before_wrong_ones():
    (ranked,) = RewardBench2().convert(REWARD_BENCH2)
    assert ranked["completions"][:2] == [RED, CAR]
    assert (ranked["ranks"], ranked["subset"]) == ([1, 2, 2, 2], "Factuality")


def test_reward_bench_2_ties_are_ties():
    ties = {"chosen": ["Red.", "Blue."], "rejected": ["Cat."], "num_correct": 2, "subset": "Ties"}
    (ranked,) = RewardBench2().convert(REWARD_BENCH2 | ties)
    assert Rankings.from_row(ranked).to_pairs().preference.tolist() == [0.5, 1.0, 1.0]


@pytest.mark.parametrize("converter", [RmBench(), RewardBench2()])
@pytest.mark.parametrize("side", ["chosen", "rejected"])
def test_lists_without_one_side_have_no_feedback(converter, side):
    for nothing in (None, []):
        assert converter.convert(REWARD_BENCH2 | {side: nothing}) == []


def test_rm_bench_pairs_each_chosen_answer_with_each_rejected_one():
    pairs = RmBench().convert(RM_BENCH)
    texts = [(pair["chosen"][0]["content"], pair["rejected"][0]["content"]) for pair in pairs]
    assert texts == [(a, b) for a in RM_BENCH["chosen"] for b in RM_BENCH["rejected"]]
    assert {pair["domain"] for pair in pairs} == {"chat"}
    assert all(pair["prompt"] == COLOUR for pair in pairs)


@pytest.mark.parametrize(
    ("label", "chosen", "preference"),
    [("A>B", "It is 5.", 1.0), ("B>A", "It is 4.", 1.0), ("B > A", "It is 4.", 1.0), ("A=B", "It is 5.", 0.5)],
)
def test_judge_bench_labels_select_the_better_response(label, chosen, preference):
    (pair,) = JudgeBench().convert(JUDGE_BENCH | {"label": label})
    assert pair["prompt"] == [message(USER, "What is 2 + 2?")]
    assert (pair["chosen"], pair["preference"]) == ([message(ASSISTANT, chosen)], preference)
    assert Pairs.from_row(pair).tie.tolist() == [float(preference == 0.5)]


@pytest.mark.parametrize(
    ("winner", "chosen", "preference"),
    [
        *[
            (winner, "one", 1.0)
            for winner in ("a", " A ", "1", 1, 1.0, "model_a", "Answer 1", "response-a", "left", "L")
        ],
        *[(winner, "two", 1.0) for winner in ("b", "B", 2, "reply_b", "second", "r", "right answer", "B is better")],
        *[(winner, "one", 0.5) for winner in ("tie", "Tie (both bad)", "equal", "neither")],
    ],
)
def test_the_winner_of_two_answers_is_chosen(winner, chosen, preference):
    row = {"prompt": "p", "response_a": "one", "response_b": "two", "winner": winner, "margin": 2, "agent": "x"}
    (pair,) = ComparedAnswers().convert(row)
    other = {"one": "two", "two": "one"}[chosen]
    assert pair == {"prompt": "p", "chosen": chosen, "rejected": other, "preference": preference, "margin": 2}


@pytest.mark.parametrize("winner", [None, "", "  ", math.nan, "SKIP", "n/a"])
def test_two_answers_without_a_winner_have_no_feedback(winner):
    assert ComparedAnswers().convert({"response_a": "one", "response_b": "two", "winner": winner}) == []


@pytest.mark.parametrize("winner", [0, "0", 3, "c", "alpha", "banana", True, "one"])
def test_a_winner_that_names_no_answer_is_refused(winner):
    with pytest.raises(InvalidFeedbackError, match=r"names neither response_a nor response_b\. Write a, b"):
        ComparedAnswers().convert({"response_a": "one", "response_b": "two", "winner": winner})


def test_judge_bench_null_labels_have_no_feedback():
    assert JudgeBench().convert(JUDGE_BENCH | {"label": None}) == []


def test_nectar_prompts_become_messages_and_ranks_have_ties():
    (ranked,) = Nectar().convert(NECTAR)
    assert ranked["prompt"] == [message(USER, "Hi"), message(ASSISTANT, "Hello!"), message(USER, "Why?")]
    assert ranked["completions"][0] == [message(ASSISTANT, "Because.")]
    assert Rankings.from_row(ranked).ranks.tolist() == [1, 2, 2]


def test_stack_exchange_answers_are_ranked_by_score():
    (ranked,) = StackExchangePreferences().convert(STACK_EXCHANGE)
    assert ranked["prompt"] == [message(USER, "<p>Why?</p>")]
    assert Rankings.from_row(ranked).ranks.tolist() == [2, 1, 3]


@pytest.mark.parametrize(
    ("converter", "row", "score"),
    [(Nectar(), NECTAR, "rank"), (StackExchangePreferences(), STACK_EXCHANGE, "pm_score")],
)
def test_answers_without_a_score_are_dropped(converter, row, score):
    first, *others = row["answers"]
    (ranked,) = converter.convert(row | {"answers": [first | {score: None}, *others]})
    assert len(ranked["completions"]) == len(others)
    assert converter.convert(row | {"answers": [first]}) == []
    assert converter.convert(row | {"answers": None}) == []


def test_paired_stack_exchange_prefers_the_first_response():
    assert StackExchangePaired().convert(STACK_EXCHANGE_PAIRED) == [
        {
            "prompt": [message(USER, "Why?")],
            "chosen": [message(ASSISTANT, "Because.")],
            "rejected": [message(ASSISTANT, "No.")],
        }
    ]


@pytest.mark.parametrize(
    ("label", "chosen", "rejected"), [(1, "Crush it.", "Shake it."), (0, "Shake it.", "Crush it.")]
)
def test_shp_label_1_prefers_comment_a(label, chosen, rejected):
    (pair,) = Shp().convert(SHP | {"labels": label})
    assert pair["prompt"] == [message(USER, "How do I peel garlic?")]
    assert (pair["chosen"], pair["rejected"]) == ([message(ASSISTANT, chosen)], [message(ASSISTANT, rejected)])


def test_shp_refuses_other_labels_and_drops_null_ones():
    assert Shp().convert(SHP | {"labels": None}) == []
    with pytest.raises(InvalidFeedbackError, match=r"labels is 2, .*must be 1 .*Fix or drop"):
        Shp().convert(SHP | {"labels": 2})


@pytest.mark.parametrize(
    ("row", "column"),
    [
        (REWARD_BENCH, "rejected"),
        (JUDGE_BENCH, "response_A"),
        (STACK_EXCHANGE_PAIRED, "response_k"),
        (SHP, "human_ref_B"),
        (ULTRA_INTERACT, "chosen"),
        (RM_BENCH, "prompt"),
    ],
)
def test_a_null_text_is_refused_with_its_row(row, column):
    with pytest.raises(InvalidFeedbackError, match=r"Row 1 of data, .*: The text of the \w+ is null.*drop the row"):
        convert_dataset(Dataset.from_list([row, row | {column: None}]))


def test_a_null_answer_is_not_an_empty_answer():
    rated = {"prompt": "Hi", "response": None} | dict.fromkeys(HelpsteerRatings.columns[0][2:], 1)
    with pytest.raises(InvalidFeedbackError, match="text of the assistant is null"):
        HelpsteerRatings().convert(rated)


CALL = {"type": "function", "function": {"name": "paint", "arguments": {"colour": "red", "size": None}}}
KEPT_CALL = {"type": "function", "function": {"name": "paint", "arguments": {"colour": "red"}}}


def test_other_fields_of_messages_are_kept_unless_they_are_null():
    asked = message(USER, "Paint.") | {"tool_calls": None, "name": "Ann"}
    called = message(ASSISTANT, None) | {"tool_calls": [CALL], "name": None}
    result = message("tool", "Done.") | {"tool_calls": None, "name": "paint"}
    row = {
        "chosen": [asked, called, result, message(ASSISTANT, "It is red.")],
        "rejected": [asked, called, result, message(ASSISTANT, "No.")],
        "score_chosen": 2.0,
        "score_rejected": 1.0,
    }
    (rated,) = UltrafeedbackBinarized().convert(row)
    assert rated["prompt"] == [
        {"role": USER, "content": "Paint.", "name": "Ann"},
        {"role": ASSISTANT, "tool_calls": [KEPT_CALL]},
        {"role": "tool", "content": "Done.", "name": "paint"},
    ]


def test_helpsteer3_contexts_keep_their_fields():
    row = {
        "context": [message(USER, "Hi") | {"name": "Ann"}],
        "response1": "a",
        "response2": "b",
        "overall_preference": 1,
        "individual_preference": [],
    }
    (pair,) = Helpsteer3Preference().convert(row)
    assert pair["prompt"] == [{"role": USER, "content": "Hi", "name": "Ann"}]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": COLOUR, "chosen": RED, "rejected": CAR},
        {"chosen": COLOUR + RED, "rejected": COLOUR + CAR},
        {"chosen": COLOUR + RED, "rejected": COLOUR + CAR, "source": "wildchat"},
        {"prompt": COLOUR, "chosen": COLOUR + RED, "rejected": COLOUR + CAR},
        {"prompt": "Name a colour.", "chosen": COLOUR + RED, "rejected": COLOUR + CAR},
        {"prompt": "Name a colour.", "chosen": RED, "rejected": CAR},
    ],
    ids=["explicit", "implicit", "skywork", "repeated messages", "repeated text", "text"],
)
def test_every_form_of_a_pair_is_read_as_the_same_texts(row):
    converted = convert_dataset(Dataset.from_list([row]))[0]
    tokenizer = build_tokenizer(["Name", "a", "colour", "Red", "A", "car"])
    tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    rendered = [render(answer, tokenizer) for answer in row_answers(converted, Pairs)]
    prompt = "<user>Name a colour."
    assert [one.text for one in rendered] == [f"{prompt}<assistant>Red.", f"{prompt}<assistant>A car."]
    assert {one.prompt_end for one in rendered} == {len(prompt)}
