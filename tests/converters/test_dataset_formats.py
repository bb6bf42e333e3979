"""Each layout, in a row as its dataset has it, becomes the feedback that people gave."""

import pytest
from known_formats import (
    ARENA_TABLE,
    ASSISTANT,
    BINARIZED,
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
    says,
    step,
)

from rlhf_losses.converters import (
    ArenaTable,
    ArenaVotes,
    Helpsteer2Preference,
    Helpsteer3Preference,
    HelpsteerRatings,
    HhRlhf,
    MathShepherd,
    Native,
    OpenAssistant,
    Prm800k,
    TokenizedPairs,
    Ultrafeedback,
    UltrafeedbackBinarized,
)
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import Mixed


def read(converter, *rows):
    return [found for row in converter.gather(rows) for found in converter.read(row)]


def test_hh_rlhf_is_split_where_the_transcripts_part():
    (pair,) = read(HhRlhf(), HH)
    assert pair == {
        "prompt": "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Why?\n\nAssistant:",
        "chosen": " Because.",
        "rejected": " No idea.",
    }


@pytest.mark.parametrize("side", ["chosen", "rejected"])
def test_hh_rlhf_keeps_every_character_of_a_transcript(side):
    earlier = {"chosen": HH["chosen"], "rejected": "\n\nHuman: Hi\n\nAssistant: Go away."}
    for row in (HH, earlier, {"chosen": HH["chosen"], "rejected": HH["chosen"]}):
        (pair,) = read(HhRlhf(), row)
        assert pair["prompt"] + pair[side] == row[side]
        assert pair[side]


def test_hh_rlhf_refuses_transcripts_without_a_shared_turn():
    with pytest.raises(InvalidFeedbackError, match="share no beginning"):
        read(HhRlhf(), {"chosen": HH["chosen"], "rejected": "\n\nHuman: Bye\n\nAssistant: Bye"})


def test_ultrafeedback_is_the_mean_of_the_aspects_that_were_rated():
    (rated,) = read(Ultrafeedback(), ULTRAFEEDBACK)
    assert rated["prompt"] == [says(USER, "Name a colour.")]
    assert rated["completions"] == [[says(ASSISTANT, "Red.")], [says(ASSISTANT, "A car.")]]
    assert rated["ratings"] == [(4 + 5 + 3) / 3, (1 + 2) / 2]


def test_ultrafeedback_without_answers_says_nothing():
    assert read(Ultrafeedback(), ULTRAFEEDBACK | {"completions": []}) == []


def test_ultrafeedback_refuses_an_answer_without_any_rating():
    answer = {"annotations": {"honesty": {"Rating": "N/A"}, "helpfulness": None}, "response": "Red."}
    with pytest.raises(InvalidFeedbackError, match="none of which is a rating"):
        read(Ultrafeedback(), ULTRAFEEDBACK | {"completions": [answer]})


@pytest.mark.parametrize("names", [("score_chosen", "score_rejected"), ("chosen-rating", "rejected-rating")])
def test_binarized_ultrafeedback_has_two_ratings_and_no_prompt_twice(names):
    row = {name: value for name, value in BINARIZED.items() if not name.startswith("score")}
    (rated,) = read(UltrafeedbackBinarized(), row | dict(zip(names, (8.5, 3.0), strict=True)))
    assert rated == {
        "prompt": [says(USER, "Name a colour.")],
        "completions": [[says(ASSISTANT, "Red.")], [says(ASSISTANT, "A car.")]],
        "ratings": [8.5, 3.0],
    }


def test_equal_ratings_are_a_tie_to_losses_of_pairs():
    (rated,) = read(UltrafeedbackBinarized(), BINARIZED | {"score_rejected": 8.5})
    (kind,) = Mixed.from_row(rated).kinds
    assert kind.to_rankings().to_pairs().preference.tolist() == [0.5]


def test_binarized_ultrafeedback_refuses_a_missing_rating():
    with pytest.raises(InvalidFeedbackError, match=r"None and 3\.0"):
        read(UltrafeedbackBinarized(), BINARIZED | {"score_chosen": None})


def test_helpsteer_is_rated_by_its_helpfulness_and_keeps_the_other_attributes():
    (rated,) = read(HelpsteerRatings(), HELPSTEER)
    assert rated["prompt"] == [says(USER, "c#")]
    assert rated["completion"] == [says(ASSISTANT, "A language.")]
    assert (rated["rating"], rated["attributes"]["verbosity"]) == (3, 1)


def test_helpsteer_disagreements_are_one_rating_an_annotator():
    lists = {name: [value, value - 1] for name, value in HELPSTEER.items() if isinstance(value, int)}
    rows = read(HelpsteerRatings(), HELPSTEER | lists)
    assert [row["rating"] for row in rows] == [3, 2]
    assert [row["attributes"]["correctness"] for row in rows] == [4, 3]


def test_helpsteer2_preferences_above_zero_are_for_the_second_response():
    (pair,) = read(Helpsteer2Preference(), HELPSTEER2_PREFERENCE)
    assert pair["prompt"] == [says(USER, "Hi"), says(ASSISTANT, "Hello!"), says(USER, "Why?")]
    assert pair["chosen"] == [says(ASSISTANT, "Because.")]
    assert pair["margin"] == 2.0
    assert (pair["preference"], pair["tie"]) == ((1 + 1 + 0.5) / 3, 1 / 3)


def test_helpsteer3_preferences_below_zero_are_for_the_first_response():
    (pair,) = read(Helpsteer3Preference(), HELPSTEER3)
    assert pair["prompt"] == [says(USER, "Why?")]
    assert pair["chosen"] == [says(ASSISTANT, "Because.")]
    assert (pair["margin"], pair["preference"], pair["tie"]) == (1.0, 0.5, 0.0)


def test_a_strength_of_zero_is_a_tie():
    (pair,) = read(Helpsteer3Preference(), HELPSTEER3 | {"overall_preference": 0, "individual_preference": None})
    assert (pair["margin"], pair["preference"], pair["tie"]) == (0.0, 0.5, 1.0)


@pytest.mark.parametrize("strength", [4, -4, None])
def test_a_strength_off_the_scale_is_refused(strength):
    with pytest.raises(InvalidFeedbackError, match="outside -3 to 3"):
        read(Helpsteer3Preference(), HELPSTEER3 | {"overall_preference": strength})


def test_prm800k_steps_are_wrong_where_they_are_rated_below_zero():
    (solution,) = read(Prm800k(), prm(step(("2 + 2", 0)), step((" = 5", -1), chosen=None), reason="found_error"))
    assert solution == {
        "prompt": "What is 2 + 2?\n\n",
        "completions": ["2 + 2", " = 5"],
        "labels": [True, False],
    }


def test_prm800k_alternatives_come_below_the_steps_before_them():
    solution, other = read(Prm800k(), prm(step(("a", 1)), step(("c", -1), ("b", 1), chosen=1)))
    assert solution["completions"] == ["a", "b"]
    assert solution["labels"] == [True, True]
    assert other == {"prompt": "What is 2 + 2?\n\na\n", "completions": ["c"], "labels": [False]}


@pytest.mark.parametrize("human", ["b", {"text": "b", "rating": 1}])
def test_prm800k_steps_that_a_labeller_wrote_are_right(human):
    solution, other = read(Prm800k(), prm(step(("a", 1)), step(("c", -1), chosen=None, human=human)))
    assert (solution["completions"], solution["labels"]) == (["a", "b"], [True, True])
    assert other["labels"] == [False]


def test_prm800k_steps_without_a_rating_become_part_of_the_prompt():
    before, after = read(Prm800k(), prm(step(("a", 1)), step(("b", None)), step(("c", -1))))
    assert (before["completions"], before["labels"]) == (["a"], [True])
    assert after == {"prompt": "What is 2 + 2?\n\na\nb\n", "completions": ["c"], "labels": [False]}


def test_prm800k_solutions_without_a_label_say_nothing():
    assert read(Prm800k(), prm(reason="bad_problem")) == []
    assert read(Prm800k(), prm(step(chosen=None), reason="give_up")) == []


def test_math_shepherd_reads_signs_in_the_places_of_the_marks():
    assert read(MathShepherd(), SHEPHERD) == [
        {
            "prompt": "Ann has 2 + 2 pears. AttentionOptions many? ",
            "completions": ["Step 1: She has 2 + 2.", "Step 2: That is 5. The answer is: 5"],
            "labels": [True, False],
        }
    ]


def test_math_shepherd_leaves_out_a_mark_inside_the_problem():
    told = "Round to ки the nearest. Step 1: 5 ки\nStep 2: 6 ки"
    (answer,) = read(MathShepherd(), {"input": told, "label": "Round to + the nearest. Step 1: 5 -\nStep 2: 6 +"})
    assert answer["prompt"] == "Round to  the nearest. "
    assert answer["labels"] == [False, True]


def test_math_shepherd_finds_the_question_where_no_step_is_named():
    (answer,) = read(
        MathShepherd(), {"input": "AttentionOptions many? Four. ки", "label": "AttentionOptions many? Four. +"}
    )
    assert (answer["prompt"], answer["completions"]) == ("AttentionOptions many? ", ["Four."])


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"input": "Step 1: a ки", "label": "Step 1: a ?"}, "has '[?]' where part 1"),
        ({"input": "Step 1: a ки", "label": "Step 1: b +"}, "where part 1"),
        ({"input": "Step 1: a", "label": "Step 1: a"}, "no mark"),
        ({"input": "Four. ки", "label": "Four. +"}, "neither 'Step 1:' nor a question mark"),
    ],
)
def test_math_shepherd_refuses_what_it_cannot_tell_apart(row, told):
    with pytest.raises(InvalidFeedbackError, match=told):
        read(MathShepherd(), row)


def test_open_assistant_ranks_the_answers_to_one_message():
    assert read(OpenAssistant(), *TREE) == [
        {
            "prompt": [says(USER, "ask")],
            "completions": [[says(ASSISTANT, "good")], [says(ASSISTANT, "bad")]],
            "ranks": [0, 1],
        }
    ]


def test_open_assistant_prompts_begin_with_the_first_message():
    second = [message("other", "more", "assistant", rank=1)]
    *_, deeper = read(OpenAssistant(), *TREE, *second)
    assert deeper["prompt"] == [says(USER, "ask"), says(ASSISTANT, "good"), says(USER, "more")]


def test_open_assistant_needs_whole_trees():
    with pytest.raises(InvalidFeedbackError, match="The message ask is an ancestor"):
        read(OpenAssistant(), *TREE[1:])


def test_mt_bench_conversations_end_with_the_answer_that_was_judged():
    (vote,) = read(ArenaVotes(), MT_BENCH)
    assert vote == {
        "prompt": [says(USER, "Hi")],
        "completions": [[says(ASSISTANT, "a1")], [says(ASSISTANT, "b1")]],
        "votes": [0, 1],
        "ties": 0,
    }
    (later,) = read(ArenaVotes(), MT_BENCH | {"turn": 2})
    assert [len(answer) for answer in later["completions"]] == [3, 3]


@pytest.mark.parametrize(
    ("winner", "votes", "ties"),
    [("model_a", [1, 0], 0), ("model_b", [0, 1], 0), ("tie", [0, 0], 1), ("tie (bothbad)", [0, 0], 1)],
)
def test_arena_votes_count_every_word_for_a_tie(winner, votes, ties):
    (vote,) = read(ArenaVotes(), MT_BENCH | {"winner": winner})
    assert (vote["votes"], vote["ties"]) == (votes, ties)


@pytest.mark.parametrize(
    ("change", "told"), [({"winner": "both"}, "winner is 'both'"), ({"turn": 3}, "turn is 3, but .* 2 answers")]
)
def test_arena_votes_refuse_what_cannot_be(change, told):
    with pytest.raises(InvalidFeedbackError, match=told):
        read(ArenaVotes(), MT_BENCH | change)


def test_arena_tables_hold_turns_as_json():
    (vote,) = read(ArenaTable(), ARENA_TABLE)
    assert vote == {
        "prompt": [says(USER, "Hi"), says(ASSISTANT, "Hello"), says(USER, "Why?")],
        "completions": [[says(ASSISTANT, "Because")], [says(ASSISTANT, "")]],
        "votes": [0, 0],
        "ties": 1,
    }


@pytest.mark.parametrize(
    ("change", "told"), [({"winner_model_a": 1}, "one alone should be 1"), ({"prompt": '"Hi"'}, "which is no list")]
)
def test_arena_tables_refuse_what_cannot_be(change, told):
    with pytest.raises(InvalidFeedbackError, match=told):
        read(ArenaTable(), ARENA_TABLE | change)


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
def test_earlier_names_of_tokenized_pairs_are_read_without_padding(row):
    assert read(TokenizedPairs(), row) == [{"chosen_ids": [1, 2], "rejected_ids": [1, 3], "margin": 0.5}]


@pytest.mark.parametrize("row", NATIVE)
def test_the_types_of_trl_are_read_as_they_are(row):
    assert read(Native(), row) == [row]
