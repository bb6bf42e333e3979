"""The generated stories have the structure that the gold reward requires."""

from rlhf_losses.sandbox.gold_reward import gold_sentence_reward, split_sentences
from rlhf_losses.sandbox.stories import StoryGenerator, vocabulary
from rlhf_losses.sandbox.vocabulary import NEGATIVE_WORDS, SUBJECTS


def stories(seed: int, count: int) -> list[tuple[str, str]]:
    """Return openings and continuations."""
    generator = StoryGenerator(seed)
    openings = [generator.opening() for _ in range(count)]
    return [(opening, generator.continuation(name, animal)) for opening, name, animal in openings]


def test_equal_seeds_give_equal_stories():
    assert stories(seed=3, count=5) == stories(seed=3, count=5) != stories(seed=4, count=5)


def test_every_sentence_is_complete():
    sentences = [one for _, story in stories(seed=0, count=300) for one in split_sentences(story)]
    malformed = [one for one in sentences if gold_sentence_reward(one.strip()) == -1 and not is_negative(one)]
    assert malformed == []


def is_negative(sentence: str) -> bool:
    """Return whether a sentence has negative words, which also give the reward −1."""
    return any(word.strip(".,") in NEGATIVE_WORDS for word in sentence.split())


def test_stories_have_three_sentences_and_one_ending():
    for _, story in stories(seed=0, count=100):
        assert len(split_sentences(story)) == 3


def test_stories_have_the_characters_of_their_opening():
    for opening, story in stories(seed=1, count=100):
        words = {word.strip(".,") for word in story.split()}
        other_characters = words & (SUBJECTS - {"They", "they"}) - {word.strip(".,") for word in opening.split()}
        assert not other_characters


def test_every_word_is_in_the_vocabulary():
    known = set(vocabulary())
    for opening, story in stories(seed=2, count=300):
        assert {word.strip(".,") for word in (opening + story).split()} <= known
