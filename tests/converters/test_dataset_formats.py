"""Each converter turns a row of its dataset into the documented feedback."""

import pytest
from known_formats import (
    ARENA_TABLE,
    ASSISTANT,
    BINARIZED,
    EXAMPLES,
    HELPSTEER,
    HELPSTEER2_PREFERENCE,
    HELPSTEER3,
    HH,
    MT_BENCH,
    NATIVE,
    SHEPHERD,
    TREE,
    ULTRAFEEDBACK,
    USER,
    message,
    prm,
    step,
    tree_message,
)

from rlhf_losses.converters import (
    ArenaTable,
    ArenaVotes,
    ComparedAnswers,
    Helpsteer2Preference,
    Helpsteer3Preference,
    HelpsteerRatings,
    HhRlhf,
    JudgeBench,
    LlmBar,
    MathShepherd,
    Native,
    Nectar,
    OpenAssistant,
    PpeBestOfK,
    PpePreference,
    Prm800k,
    PrmBench,
    ProcessBench,
    Shp,
    Solutions,
    StackExchangePreferences,
    TokenizedPairs,
    Ultrafeedback,
    UltrafeedbackBinarized,
)
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import Mixed


def convert(converter, *rows):
    return [converted for row in converter.gather(rows) for converted in converter.convert(row)]


def test_hh_rlhf_is_split_at_the_last_common_assistant_turn():
    (pair,) = convert(HhRlhf(), HH)
    assert pair == {
        "prompt": "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Why?\n\nAssistant:",
        "chosen": " Because.",
        "rejected": " No idea.",
    }


@pytest.mark.parametrize("side", ["chosen", "rejected"])
def test_hh_rlhf_keeps_every_character_of_a_transcript(side):
    earlier = {"chosen": HH["chosen"], "rejected": "\n\nHuman: Hi\n\nAssistant: Go away."}
    for row in (HH, earlier, {"chosen": HH["chosen"], "rejected": HH["chosen"]}):
        (pair,) = convert(HhRlhf(), row)
        assert pair["prompt"] + pair[side] == row[side]
        assert pair[side]


def test_hh_rlhf_refuses_transcripts_without_a_shared_turn():
    with pytest.raises(InvalidFeedbackError, match=r"no common beginning.*Drop the row"):
        convert(HhRlhf(), {"chosen": HH["chosen"], "rejected": "\n\nHuman: Bye\n\nAssistant: Bye"})


def test_ultrafeedback_rating_is_the_mean_of_the_rated_aspects():
    (rated,) = convert(Ultrafeedback(), ULTRAFEEDBACK)
    assert rated["prompt"] == [message(USER, "Name a colour.")]
    assert rated["completions"] == [[message(ASSISTANT, "Red.")], [message(ASSISTANT, "A car.")]]
    assert rated["ratings"] == [(4 + 5 + 3) / 3, (1 + 2) / 2]


def test_ultrafeedback_without_answers_has_no_feedback():
    assert convert(Ultrafeedback(), ULTRAFEEDBACK | {"completions": []}) == []


def test_ultrafeedback_refuses_an_answer_without_any_rating():
    answer = {"annotations": {"honesty": {"Rating": "N/A"}, "helpfulness": None}, "response": "Red."}
    with pytest.raises(InvalidFeedbackError, match=r"N/A.*none of which is a rating.*drop the row"):
        convert(Ultrafeedback(), ULTRAFEEDBACK | {"completions": [answer]})


@pytest.mark.parametrize("names", [("score_chosen", "score_rejected"), ("chosen-rating", "rejected-rating")])
def test_binarized_ultrafeedback_has_two_ratings_and_one_prompt(names):
    row = {name: value for name, value in BINARIZED.items() if not name.startswith("score")}
    (rated,) = convert(UltrafeedbackBinarized(), row | dict(zip(names, (8.5, 3.0), strict=True)))
    assert rated == {
        "prompt": [message(USER, "Name a colour.")],
        "completions": [[message(ASSISTANT, "Red.")], [message(ASSISTANT, "A car.")]],
        "ratings": [8.5, 3.0],
    }


def test_equal_ratings_become_a_tied_pair():
    (rated,) = convert(UltrafeedbackBinarized(), BINARIZED | {"score_rejected": 8.5})
    (ratings,) = Mixed.from_row(rated).parts
    assert ratings.to_rankings().to_pairs().preference.tolist() == [0.5]


def test_binarized_ultrafeedback_refuses_a_missing_rating():
    with pytest.raises(InvalidFeedbackError, match=r"None and 3\.0.*needs both.*Complete the row"):
        convert(UltrafeedbackBinarized(), BINARIZED | {"score_chosen": None})


def test_helpsteer_rating_is_the_helpfulness_and_all_attributes_are_kept():
    (rated,) = convert(HelpsteerRatings(), HELPSTEER)
    assert rated["prompt"] == [message(USER, "c#")]
    assert rated["completion"] == [message(ASSISTANT, "A language.")]
    assert (rated["rating"], rated["attributes"]["verbosity"]) == (3, 1)


def test_helpsteer_disagreements_become_one_row_per_annotator():
    lists = {name: [value, value - 1] for name, value in HELPSTEER.items() if isinstance(value, int)}
    rows = convert(HelpsteerRatings(), HELPSTEER | lists)
    assert [row["rating"] for row in rows] == [3, 2]
    assert [row["attributes"]["correctness"] for row in rows] == [4, 3]
    assert [row["annotator"] for row in rows] == [0, 1]


def test_helpsteer2_positive_strength_prefers_the_second_response():
    (pair,) = convert(Helpsteer2Preference(), HELPSTEER2_PREFERENCE)
    assert pair["prompt"] == [message(USER, "Hi"), message(ASSISTANT, "Hello!"), message(USER, "Why?")]
    assert pair["chosen"] == [message(ASSISTANT, "Because.")]
    assert pair["margin"] == 2.0
    assert (pair["preference"], pair["tie"]) == ((1 + 1 + 0.5) / 3, 1 / 3)


def test_helpsteer3_negative_strength_prefers_the_first_response():
    (pair,) = convert(Helpsteer3Preference(), HELPSTEER3)
    assert pair["prompt"] == [message(USER, "Why?")]
    assert pair["chosen"] == [message(ASSISTANT, "Because.")]
    assert (pair["margin"], pair["preference"], pair["tie"]) == (1.0, 0.5, 0.0)


def test_a_strength_of_zero_is_a_tie():
    (pair,) = convert(Helpsteer3Preference(), HELPSTEER3 | {"overall_preference": 0, "individual_preference": None})
    assert (pair["margin"], pair["preference"], pair["tie"]) == (0.0, 0.5, 1.0)


@pytest.mark.parametrize("strength", [4, -4])
def test_a_strength_outside_the_scale_is_refused(strength):
    with pytest.raises(InvalidFeedbackError, match=rf"'overall_preference' is {strength}, .* -3 .* to 3 .*Fix or drop"):
        convert(Helpsteer3Preference(), HELPSTEER3 | {"overall_preference": strength})


def test_prm800k_steps_with_negative_rating_are_wrong():
    (solution,) = convert(Prm800k(), prm(step(("2 + 2", 0)), step((" = 5", -1), chosen=None), reason="found_error"))
    assert solution == {
        "prompt": "What is 2 + 2?\n\n",
        "completions": ["2 + 2", " = 5"],
        "labels": [True, False],
    }


def test_prm800k_alternatives_follow_the_steps_before_them():
    solution, other = convert(Prm800k(), prm(step(("a", 1)), step(("c", -1), ("b", 1), chosen=1)))
    assert solution["completions"] == ["a", "b"]
    assert solution["labels"] == [True, True]
    assert other == {
        "prompt": "What is 2 + 2?\n\na\n",
        "completions": ["c"],
        "labels": [False],
    }


@pytest.mark.parametrize("human", ["b", {"text": "b", "rating": 1}])
def test_prm800k_steps_written_by_a_labeller_are_right(human):
    solution, other = convert(Prm800k(), prm(step(("a", 1)), step(("c", -1), chosen=None, human=human)))
    assert (solution["completions"], solution["labels"]) == (["a", "b"], [True, True])
    assert other["labels"] == [False]


def test_prm800k_steps_without_rating_become_part_of_the_prompt():
    before, after = convert(Prm800k(), prm(step(("a", 1)), step(("b", None)), step(("c", -1))))
    assert (before["completions"], before["labels"]) == (["a"], [True])
    assert (after["prompt"], after["completions"], after["labels"]) == ("What is 2 + 2?\n\na\nb\n", ["c"], [False])


def test_prm800k_solutions_without_labels_have_no_feedback():
    assert convert(Prm800k(), prm(reason="bad_problem")) == []
    assert convert(Prm800k(), prm(step(chosen=None), reason="give_up")) == []


def test_math_shepherd_labels_replace_the_step_markers():
    assert convert(MathShepherd(), SHEPHERD) == [
        {
            "prompt": "Ann has 2 + 2 pears. How many? ",
            "completions": ["Step 1: She has 2 + 2.", "Step 2: That is 5. The answer is: 5"],
            "labels": [True, False],
        }
    ]


def test_math_shepherd_ignores_a_marker_within_the_problem():
    text = "Round to ки the nearest. Step 1: 5 ки\nStep 2: 6 ки"
    (answer,) = convert(MathShepherd(), {"input": text, "label": "Round to + the nearest. Step 1: 5 -\nStep 2: 6 +"})
    assert answer["prompt"] == "Round to  the nearest. "
    assert answer["labels"] == [False, True]


def test_math_shepherd_splits_after_the_question_without_step_names():
    (answer,) = convert(MathShepherd(), {"input": "How many? Four. ки", "label": "How many? Four. +"})
    assert (answer["prompt"], answer["completions"]) == ("How many? ", ["Four."])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"input": "Step 1: a ки", "label": "Step 1: a ?"}, "has '[?]' at the end of part 1"),
        ({"input": "Step 1: a ки", "label": "Step 1: b +"}, "at the end of part 1"),
        ({"input": "Step 1: a", "label": "Step 1: a"}, "no marker"),
        ({"input": "Four. ки", "label": "Four. +"}, "neither 'Step 1:' nor a question mark"),
    ],
)
def test_math_shepherd_refuses_rows_that_cannot_be_split(row, message):
    with pytest.raises(InvalidFeedbackError, match=message):
        convert(MathShepherd(), row)


def test_open_assistant_ranks_the_answers_to_one_message():
    assert convert(OpenAssistant(), *TREE) == [
        {
            "prompt": [message(USER, "ask")],
            "completions": [[message(ASSISTANT, "good")], [message(ASSISTANT, "bad")]],
            "ranks": [0, 1],
        }
    ]


def test_open_assistant_prompts_start_at_the_root_message():
    second = [tree_message("other", "more", "assistant", rank=1)]
    *_, deeper = convert(OpenAssistant(), *TREE, *second)
    assert deeper["prompt"] == [message(USER, "ask"), message(ASSISTANT, "good"), message(USER, "more")]


def test_open_assistant_needs_whole_trees():
    with pytest.raises(InvalidFeedbackError, match=r"message ask is an ancestor.*Pass whole conversation trees"):
        convert(OpenAssistant(), *TREE[1:])


def test_mt_bench_conversations_end_with_the_answer_of_the_turn():
    (vote,) = convert(ArenaVotes(), MT_BENCH)
    assert vote == {
        "prompt": [message(USER, "Hi")],
        "completions": [[message(ASSISTANT, "a1")], [message(ASSISTANT, "b1")]],
        "votes": [0, 1],
        "ties": 0,
    }
    (later,) = convert(ArenaVotes(), MT_BENCH | {"turn": 2})
    assert [len(answer) for answer in later["completions"]] == [3, 3]


@pytest.mark.parametrize(
    ("winner", "votes", "ties"),
    [("model_a", [1, 0], 0), ("model_b", [0, 1], 0), ("tie", [0, 0], 1), ("tie (bothbad)", [0, 0], 1)],
)
def test_arena_votes_accept_every_spelling_of_a_tie(winner, votes, ties):
    (vote,) = convert(ArenaVotes(), MT_BENCH | {"winner": winner})
    assert (vote["votes"], vote["ties"]) == (votes, ties)


@pytest.mark.parametrize(
    ("change", "message"), [({"winner": "both"}, "winner is 'both'"), ({"turn": 3}, "turn is 3, but .* 2 answers")]
)
def test_arena_votes_refuse_invalid_values(change, message):
    with pytest.raises(InvalidFeedbackError, match=message):
        convert(ArenaVotes(), MT_BENCH | change)


def test_arena_tables_accept_turns_as_json():
    (vote,) = convert(ArenaTable(), ARENA_TABLE)
    assert vote == {
        "prompt": [message(USER, "Hi"), message(ASSISTANT, "Hello"), message(USER, "Why?")],
        "completions": [[message(ASSISTANT, "Because")], [message(ASSISTANT, "")]],
        "votes": [0, 0],
        "ties": 1,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [({"winner_model_a": 1}, "exactly one of them must be 1"), ({"prompt": '"Hi"'}, "which is not a list")],
)
def test_arena_tables_refuse_invalid_values(change, message):
    with pytest.raises(InvalidFeedbackError, match=message):
        convert(ArenaTable(), ARENA_TABLE | change)


@pytest.mark.parametrize(
    "row",
    [
        {"chosen_input_ids": [1, 2], "rejected_input_ids": [1, 3], "margin": 0.5},
        {
            "input_ids_chosen": [0, 1, 2],
            "attention_mask_chosen": [0, 1, 1],
            "input_ids_rejected": [1, 3, 0],
            "attention_mask_rejected": [1, 1, 0],
            "margin": 0.5,
        },
    ],
)
def test_tokenized_pairs_of_earlier_trl_versions_lose_their_padding(row):
    assert convert(TokenizedPairs(), row) == [{"chosen_ids": [1, 2], "rejected_ids": [1, 3], "margin": 0.5}]


@pytest.mark.parametrize("row", NATIVE)
def test_dataset_types_of_trl_are_unchanged(row):
    assert convert(Native(), row) == [row]


WITHOUT_FEEDBACK = {
    ArenaVotes: {"winner": None},
    ArenaTable: {"winner_model_a": None, "winner_model_b": None, "winner_tie": None},
    ComparedAnswers: {"winner": " "},
    Helpsteer2Preference: {"preference_strength": None},
    Helpsteer3Preference: {"overall_preference": None},
    JudgeBench: {"label": None},
    LlmBar: {"label": None},
    OpenAssistant: {"rank": None},
    PpeBestOfK: {"scores": None},
    PpePreference: {"winner": None},
    PrmBench: {"error_steps": None},
    ProcessBench: {"label": None},
    Shp: {"labels": None},
    Solutions: {"correctness_math_verify": None, "correctness_llama": None},
}
"""For each converter with optional feedback, the columns of a row without any."""


@pytest.mark.parametrize("converter", WITHOUT_FEEDBACK, ids=lambda converter: converter.name())
def test_rows_without_feedback_have_the_texts_of_those_with_feedback(converter):
    judged = TREE if converter is OpenAssistant else [EXAMPLES[converter]]
    without = [row | WITHOUT_FEEDBACK[converter] for row in judged]
    assert convert(converter(), *without) == []
    texts, expected = texts_of(converter(), *without), texts_of(converter(), *judged)
    assert texts == expected
    first = convert(converter(), *judged)[0]
    assert first["prompt"] in [one["prompt"] for one in texts]
    for name in {"chosen", "rejected", "completion", "completions"} & set(first):
        answers = first[name] if name == "completions" else [first[name]]
        assert all(repr(answer)[1:-1] in repr(texts) for answer in answers)


@pytest.mark.parametrize(("converter", "name"), [(Nectar, "rank"), (StackExchangePreferences, "pm_score")])
def test_answers_without_ranks_are_texts(converter, name):
    row = EXAMPLES[converter]
    unranked = row | {"answers": [answer | {name: None} for answer in row["answers"]]}
    assert convert(converter(), unranked) == []
    (texts,), (ranked,) = texts_of(converter(), unranked), convert(converter(), row)
    assert texts == {"prompt": ranked["prompt"], "completions": ranked["completions"]}


def texts_of(converter, *rows):
    return [texts for row in converter.gather(rows) for texts in converter.texts(row)]
