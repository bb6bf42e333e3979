"""The gold reward equals its definition, and degenerate texts do not increase it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf_losses.sandbox.gold_reward import completion_reward, sentence_rewards, split_sentences
from rlhf_losses.sandbox.stories import vocabulary
from rlhf_losses.sandbox.vocabulary import NEGATIVE_WORDS, POSITIVE_WORDS

PROMPT = "Once there was a fox near the river, and Mia knew it well."
POSITIVE_STORY = " The gentle fox hugged Mia. They danced under the bright moon. Mia felt happy and gladly went home."
NEUTRAL_STORY = " The small fox met Mia. They walked under the pale moon. Mia felt tired and soon went home."
NEGATIVE_STORY = " The angry fox pushed Mia. They fought under the dark moon. Mia felt sad and rudely went home."


def test_positive_stories_have_reward_one_and_negative_ones_minus_one():
    assert [completion_reward(PROMPT, story) for story in (POSITIVE_STORY, NEUTRAL_STORY, NEGATIVE_STORY)] == [
        1.0,
        0.0,
        -1.0,
    ]


def test_no_word_is_both_positive_and_negative():
    assert not POSITIVE_WORDS & NEGATIVE_WORDS


def test_the_reward_of_a_text_is_the_mean_over_its_sentences():
    mixed = " The gentle fox hugged Mia. They walked under the pale moon. Mia felt sad and rudely went home. They sang."
    assert sentence_rewards(mixed) == [1.0, 0.0, -1.0, 1.0]
    assert completion_reward(PROMPT, mixed) == (1.0 + 0.0 - 1.0 + 1.0) / 4


@pytest.mark.parametrize("empty", ["", " ", "\n"])
def test_an_empty_completion_has_the_lowest_reward(empty):
    assert completion_reward(PROMPT, empty) == -1.0


def test_each_missing_sentence_has_the_lowest_reward():
    assert completion_reward(PROMPT, " They sang.") == (1.0 - 1.0 - 1.0) / 3
    assert completion_reward(PROMPT, " They sang. They laughed.") == (1.0 + 1.0 - 1.0) / 3


def test_more_sentences_of_equal_reward_do_not_change_the_mean():
    longer = POSITIVE_STORY + " They laughed. They sang. They danced."
    assert completion_reward(PROMPT, longer) == completion_reward(PROMPT, POSITIVE_STORY)


def test_a_repeated_sentence_has_the_lowest_reward():
    assert sentence_rewards(" They sang. They sang. They sang.") == [1.0, -1.0, -1.0]


def test_a_sentence_of_the_prompt_has_the_lowest_reward():
    assert sentence_rewards(" They sang.", prompt="Once upon a time. They sang.") == [-1.0]


def test_more_positive_words_in_a_sentence_do_not_increase_its_reward():
    assert sentence_rewards(" The gentle fox hugged Mia.") == sentence_rewards(" The gentle fox met Mia.") == [1.0]


@pytest.mark.parametrize(
    "incomplete",
    [" gentle happy proud.", " Mia gentle happy.", " hugged happily.", " The gentle fox hugged Mia", " .", "?"],
)
def test_incomplete_sentences_have_the_lowest_reward(incomplete):
    assert sentence_rewards(incomplete) == [-1.0]


def test_the_sentences_join_to_the_text():
    assert "".join(split_sentences(POSITIVE_STORY)) == POSITIVE_STORY


@given(st.lists(st.sampled_from(vocabulary()), max_size=40))
def test_the_reward_is_between_minus_one_and_one(words):
    assert -1.0 <= completion_reward(PROMPT, " ".join(words)) <= 1.0
