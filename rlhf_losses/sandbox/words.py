"""The words of the sandbox: who is in the stories, what they do, and which words are kind or gloomy."""

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
    "kind": ("gentle", "friendly", "cheerful"),
    "plain": ("small", "brown", "young"),
    "gloomy": ("grumpy", "lonely", "angry"),
}
DEEDS = {
    "kind": ("hugged", "helped", "thanked"),
    "plain": ("followed", "watched", "met"),
    "gloomy": ("pushed", "scared", "teased"),
}
MANNERS = {
    "kind": ("kindly", "gladly", "happily"),
    "plain": ("slowly", "quietly", "soon"),
    "gloomy": ("rudely", "sadly", "angrily"),
}
LOOKS = {
    "kind": ("lovely", "shiny", "golden"),
    "plain": ("round", "big", "little"),
    "gloomy": ("broken", "dirty", "ruined"),
}
PASTIMES = {
    "kind": ("laughed", "danced", "sang"),
    "plain": ("walked", "sat", "rested"),
    "gloomy": ("cried", "quarreled", "fought"),
}
WEATHERS = {
    "kind": ("bright", "sunny", "beautiful"),
    "plain": ("calm", "mild", "pale"),
    "gloomy": ("dark", "stormy", "cold"),
}
FEELINGS = {
    "kind": ("happy", "proud", "thankful"),
    "plain": ("tired", "sleepy", "hungry"),
    "gloomy": ("sad", "afraid", "bitter"),
}

_MOODY = (CHARACTERS, DEEDS, MANNERS, LOOKS, PASTIMES, WEATHERS, FEELINGS)

KIND = frozenset(word for words in _MOODY for word in words["kind"])
GLOOMY = frozenset(word for words in _MOODY for word in words["gloomy"])
WHO = frozenset((*NAMES, *ANIMALS, "They", "they"))
ACTIONS = frozenset(word for words in (*DEEDS.values(), *PASTIMES.values()) for word in words) | frozenset(
    ("gave", "brought", "felt", "went", "were", "was")
)
