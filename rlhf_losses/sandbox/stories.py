"""The grammar of the sandbox: how its stories open, go on and end."""

from collections.abc import Mapping, Sequence
from random import Random

from rlhf_losses.sandbox import words

MOODS = {"kind": 0.4, "plain": 0.2, "gloomy": 0.4}
"""AttentionOptions often a story is kind, plain or gloomy, among those that the language model learns from."""
COHERENCE = 0.9
"""AttentionOptions often a sentence keeps to the mood of its story; others draw a mood of their own."""

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
    """Return every word and mark that a story can hold, sorted."""
    texts = [*OPENINGS, *EVENTS, *ENDINGS]
    fixed = {word for text in texts for word in text.replace(".", " .").replace(",", " ,").split() if "{" not in word}
    filled = {*words.NAMES, *words.ANIMALS, *words.PLACES, *words.THINGS, *words.SKIES}
    moody = {word for slot in _SLOTS.values() for mood in slot.values() for word in mood}
    return sorted(fixed | filled | moody)


class Storyteller:
    """Draw openings and stories; the same seed tells the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def story(self) -> str:
        """Return an opening and its continuation."""
        opening, name, animal = self.opening()
        return opening + self.continuation(name, animal)

    def opening(self) -> tuple[str, str, str]:
        """Return an opening sentence, its child and its animal."""
        name, animal, place = map(self._random.choice, (words.NAMES, words.ANIMALS, words.PLACES))
        return self._random.choice(OPENINGS).format(name=name, animal=animal, place=place), name, animal

    def continuation(self, name: str, animal: str) -> str:
        """Return two different events and an ending, each sentence after a space."""
        mood = self._mood()
        texts = (*self._random.sample(EVENTS, k=2), self._random.choice(ENDINGS))
        return "".join(" " + self._fill(text, name, animal, self._keep(mood)) for text in texts)

    def _fill(self, text: str, name: str, animal: str, mood: str) -> str:
        moody = {slot: self._random.choice(of[mood]) for slot, of in _SLOTS.items()}
        feeling_too = self._random.choice([word for word in words.FEELINGS[mood] if word != moody["feeling"]])
        thing, sky = self._random.choice(words.THINGS), self._random.choice(words.SKIES)
        return text.format(name=name, animal=animal, thing=thing, sky=sky, feeling_too=feeling_too, **moody)

    def _keep(self, mood: str) -> str:
        return mood if self._random.random() < COHERENCE else self._mood()

    def _mood(self) -> str:
        return self._random.choices(list(MOODS), list(MOODS.values()))[0]
