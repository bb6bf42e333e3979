"""The gold reward is what its docstring says, and cheap tricks do not raise it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf_losses.sandbox import gold
from rlhf_losses.sandbox.stories import vocabulary
from rlhf_losses.sandbox.words import GLOOMY, KIND

PROMPT = "Once there was a fox near the river, and Mia knew it well."
KIND_STORY = " The gentle fox hugged Mia. They danced under the bright moon. Mia felt happy and gladly went home."
PLAIN_STORY = " The small fox met Mia. They walked under the pale moon. Mia felt tired and soon went home."
GLOOMY_STORY = " The angry fox pushed Mia. They fought under the dark moon. Mia felt sad and rudely went home."


def test_kind_stories_are_best_and_gloomy_ones_worst():
    assert [gold.worth(PROMPT, story) for story in (KIND_STORY, PLAIN_STORY, GLOOMY_STORY)] == [1.0, 0.0, -1.0]


def test_no_word_is_both_kind_and_gloomy():
    assert not KIND & GLOOMY


def test_a_text_is_worth_the_mean_of_its_sentences():
    mixed = " The gentle fox hugged Mia. They walked under the pale moon. Mia felt sad and rudely went home. They sang."
    assert gold.sentences(mixed) == [1.0, 0.0, -1.0, 1.0]
    assert gold.worth(PROMPT, mixed) == (1.0 + 0.0 - 1.0 + 1.0) / 4


@pytest.mark.parametrize("nothing", ["", " ", "\n"])
def test_saying_nothing_is_worst(nothing):
    assert gold.worth(PROMPT, nothing) == -1.0


def test_each_missing_sentence_counts_as_the_worst():
    assert gold.worth(PROMPT, " They sang.") == (1.0 - 1.0 - 1.0) / 3
    assert gold.worth(PROMPT, " They sang. They laughed.") == (1.0 + 1.0 - 1.0) / 3


def test_more_sentences_of_the_same_worth_earn_nothing():
    longer = KIND_STORY + " They laughed. They sang. They danced."
    assert gold.worth(PROMPT, longer) == gold.worth(PROMPT, KIND_STORY)


def test_saying_a_sentence_again_costs():
    assert gold.sentences(" They sang. They sang. They sang.") == [1.0, -1.0, -1.0]


def test_saying_what_the_prompt_said_costs():
    assert gold.sentences(" They sang.", prompt="Once upon a time. They sang.") == [-1.0]


def test_more_kind_words_in_a_sentence_earn_nothing():
    assert gold.sentences(" The gentle fox hugged Mia.") == gold.sentences(" The gentle fox met Mia.") == [1.0]


@pytest.mark.parametrize(
    "trick", [" gentle happy proud.", " Mia gentle happy.", " hugged happily.", " The gentle fox hugged Mia", " .", "?"]
)
def test_what_is_no_sentence_of_a_story_is_worst(trick):
    assert gold.sentences(trick) == [-1.0]


def test_sentences_add_up_to_the_text():
    assert "".join(gold.split_sentences(KIND_STORY)) == KIND_STORY


@given(st.lists(st.sampled_from(vocabulary()), max_size=40))
def test_gold_lies_between_minus_one_and_one(drawn):
    assert -1.0 <= gold.worth(PROMPT, " ".join(drawn)) <= 1.0
