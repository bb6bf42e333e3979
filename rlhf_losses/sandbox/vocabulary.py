"""Vocabulary of the stories, with the sentiment of each word: positive, neutral or negative."""

NAMES = ("Mia", "Tom", "Lily", "Ben", "Anna", "Sam", "Nora", "Leo")
ANIMALS = ("fox", "rabbit", "deer", "bear", "mouse", "duck", "dog", "cat", "hen", "pony", "goat", "frog")
PLACES = (
    "river",
    "forest",
    "garden",
    "farm",
    "village",
    "hill",
    "market",
    "lake",
    "mill",
    "meadow",
    "school",
    "bridge",
)
THINGS = ("apple", "basket", "cake", "flower", "hat", "kite", "lamp", "pie", "scarf", "shell", "drum", "blanket")
SKIES = ("sky", "moon", "clouds", "trees", "stars")

CHARACTERS = {
    "positive": ("gentle", "friendly", "cheerful"),
    "neutral": ("small", "brown", "young"),
    "negative": ("grumpy", "lonely", "angry"),
}
DEEDS = {
    "positive": ("hugged", "helped", "thanked"),
    "neutral": ("followed", "watched", "met"),
    "negative": ("pushed", "scared", "teased"),
}
MANNERS = {
    "positive": ("kindly", "gladly", "happily"),
    "neutral": ("slowly", "quietly", "soon"),
    "negative": ("rudely", "sadly", "angrily"),
}
LOOKS = {
    "positive": ("lovely", "shiny", "golden"),
    "neutral": ("round", "big", "little"),
    "negative": ("broken", "dirty", "ruined"),
}
PASTIMES = {
    "positive": ("laughed", "danced", "sang"),
    "neutral": ("walked", "sat", "rested"),
    "negative": ("cried", "quarreled", "fought"),
}
WEATHERS = {
    "positive": ("bright", "sunny", "beautiful"),
    "neutral": ("calm", "mild", "pale"),
    "negative": ("dark", "stormy", "cold"),
}
FEELINGS = {
    "positive": ("happy", "proud", "thankful"),
    "neutral": ("tired", "sleepy", "hungry"),
    "negative": ("sad", "afraid", "bitter"),
}

_WORDS_BY_SENTIMENT = (CHARACTERS, DEEDS, MANNERS, LOOKS, PASTIMES, WEATHERS, FEELINGS)

POSITIVE_WORDS = frozenset(word for words in _WORDS_BY_SENTIMENT for word in words["positive"])
NEGATIVE_WORDS = frozenset(word for words in _WORDS_BY_SENTIMENT for word in words["negative"])
SUBJECTS = frozenset((*NAMES, *ANIMALS, "They", "they"))
VERBS = frozenset(word for words in (*DEEDS.values(), *PASTIMES.values()) for word in words) | frozenset(
    ("gave", "brought", "felt", "went", "were", "was")
)
