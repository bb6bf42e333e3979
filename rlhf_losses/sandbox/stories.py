"""A grammar of short stories: an opening sentence, two events and an ending."""

from collections.abc import Mapping, Sequence
from random import Random

from rlhf_losses.sandbox import vocabulary as words

SENTIMENTS = {"positive": 0.4, "neutral": 0.2, "negative": 0.4}
"""Probability of each sentiment of a story."""
COHERENCE = 0.9
"""Probability that a sentence has the sentiment of its story; other sentences draw their own sentiment."""

OPENINGS = (
    "Once upon a time, {name} lived with a {animal} near the {place}.",
    "Once upon a time, {name} met a {animal} at the {place}.",
    "Once there was a {animal} near the {place}, and {name} knew it well.",
    "Once, in the morning, {name} and the {animal} went to the {place}.",
)
EVENTS = (
    "The {character} {animal} {deed} {name}.",
    "{name} {deed} the {character} {animal}.",
    "{name} {manner} gave the {animal} a {look} {thing}.",
    "Then the {animal} {manner} brought a {look} {thing}.",
    "They {pastime} under the {weather} {sky}.",
    "It was a {weather} day, and they {pastime}.",
)
ENDINGS = (
    "In the end, the {animal} and {name} were {feeling} and {feeling_too}.",
    "{name} felt {feeling} and {manner} went home.",
    "They {pastime} and were {feeling}.",
)
_SLOTS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "character": words.CHARACTERS,
    "deed": words.DEEDS,
    "manner": words.MANNERS,
    "look": words.LOOKS,
    "pastime": words.PASTIMES,
    "weather": words.WEATHERS,
    "feeling": words.FEELINGS,
}


def vocabulary() -> list[str]:
    """Return all words and punctuation marks of the stories, sorted."""
    templates = [*OPENINGS, *EVENTS, *ENDINGS]
    tokens = {token for text in templates for token in text.replace(".", " .").replace(",", " ,").split()}
    fixed = {token for token in tokens if "{" not in token}
    fillers = {*words.NAMES, *words.ANIMALS, *words.PLACES, *words.THINGS, *words.SKIES}
    by_sentiment = {word for slot in _SLOTS.values() for choices in slot.values() for word in choices}
    return sorted(fixed | fillers | by_sentiment)


class StoryGenerator:
    """Generates random openings and stories; equal seeds give equal stories.

    Args:
        seed: seed of the random generator.
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def story(self) -> str:
        """Return an opening and its continuation."""
        opening, name, animal = self.opening()
        return opening + self.continuation(name, animal)

    def opening(self) -> tuple[str, str, str]:
        """Return an opening sentence, and the name and the animal in it."""
        name, animal, place = map(self._random.choice, (words.NAMES, words.ANIMALS, words.PLACES))
        return self._random.choice(OPENINGS).format(name=name, animal=animal, place=place), name, animal

    def continuation(self, name: str, animal: str) -> str:
        """Return two different events and an ending; each sentence starts with a space.

        Args:
            name: name in the opening.
            animal: animal in the opening.
        """
        sentiment = self._draw_sentiment()
        templates = (*self._random.sample(EVENTS, k=2), self._random.choice(ENDINGS))
        return "".join(
            " " + self._fill(template, name, animal, self._sentence_sentiment(sentiment)) for template in templates
        )

    def _fill(self, template: str, name: str, animal: str, sentiment: str) -> str:
        slots = {slot: self._random.choice(choices[sentiment]) for slot, choices in _SLOTS.items()}
        other_feelings = [word for word in words.FEELINGS[sentiment] if word != slots["feeling"]]
        feeling_too = self._random.choice(other_feelings)
        thing, sky = self._random.choice(words.THINGS), self._random.choice(words.SKIES)
        return template.format(name=name, animal=animal, thing=thing, sky=sky, feeling_too=feeling_too, **slots)

    def _sentence_sentiment(self, of_story: str) -> str:
        return of_story if self._random.random() < COHERENCE else self._draw_sentiment()

    def _draw_sentiment(self) -> str:
        return self._random.choices(list(SENTIMENTS), list(SENTIMENTS.values()))[0]
