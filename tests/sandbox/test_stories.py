"""The grammar tells the stories that the rest of the sandbox relies on."""

from rlhf_losses.sandbox import gold
from rlhf_losses.sandbox.stories import Storyteller, vocabulary


def told(seed: int, count: int) -> list[tuple[str, str]]:
    """Return openings and continuations."""
    teller = Storyteller(seed)
    openings = [teller.opening() for _ in range(count)]
    return [(opening, teller.continuation(name, animal)) for opening, name, animal in openings]


def test_the_same_seed_tells_the_same_stories():
    assert told(seed=3, count=5) == told(seed=3, count=5) != told(seed=4, count=5)


def test_every_told_sentence_is_a_sentence_to_gold():
    sentences = [one for _, story in told(seed=0, count=300) for one in gold.split_sentences(story)]
    malformed = [one for one in sentences if gold.sentence_gold(one.strip()) == -1 and not gloomy(one)]
    assert malformed == []


def gloomy(sentence: str) -> bool:
    """Return whether a sentence has gloomy words, which may make it worth −1."""
    return any(word.strip(".,") in gold.GLOOMY for word in sentence.split())


def test_stories_have_three_sentences_and_one_ending():
    for _, story in told(seed=0, count=100):
        assert len(gold.split_sentences(story)) == 3


def test_stories_are_about_the_characters_of_their_opening():
    for opening, story in told(seed=1, count=100):
        words = {word.strip(".,") for word in story.split()}
        strangers = words & (gold.WHO - {"They", "they"}) - {word.strip(".,") for word in opening.split()}
        assert not strangers


def test_no_word_is_outside_the_vocabulary():
    known = set(vocabulary())
    for opening, story in told(seed=2, count=300):
        assert {word.strip(".,") for word in (opening + story).split()} <= known
