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
    "kind": ("gentle", "friendly", "brave", "clever", "cheerful"),
    "plain": ("small", "brown", "young", "old", "quiet"),
    "gloomy": ("grumpy", "lonely", "angry", "mean", "selfish"),
}
DEEDS = {
    "kind": ("hugged", "helped", "thanked", "comforted", "praised"),
    "plain": ("followed", "watched", "met", "called", "passed"),
    "gloomy": ("pushed", "scared", "teased", "chased", "blamed"),
}
MANNERS = {
    "kind": ("kindly", "gladly", "happily", "proudly"),
    "plain": ("slowly", "quietly", "soon", "later"),
    "gloomy": ("rudely", "sadly", "angrily", "meanly"),
}
LOOKS = {
    "kind": ("lovely", "shiny", "pretty", "golden", "precious"),
    "plain": ("round", "big", "red", "plain", "little"),
    "gloomy": ("broken", "dirty", "muddy", "ruined", "smelly"),
}
PASTIMES = {
    "kind": ("laughed", "danced", "sang", "played"),
    "plain": ("walked", "sat", "rested", "waited"),
    "gloomy": ("cried", "quarreled", "shivered", "fought"),
}
WEATHERS = {
    "kind": ("bright", "sunny", "sparkling", "beautiful"),
    "plain": ("calm", "mild", "pale", "hazy"),
    "gloomy": ("dark", "stormy", "gray", "cold"),
}
FEELINGS = {
    "kind": ("happy", "proud", "thankful", "joyful"),
    "plain": ("tired", "sleepy", "hungry", "ready"),
    "gloomy": ("sad", "afraid", "bitter", "hopeless"),
}

_MOODY = (CHARACTERS, DEEDS, MANNERS, LOOKS, PASTIMES, WEATHERS, FEELINGS)

KIND = frozenset(word for words in _MOODY for word in words["kind"])
GLOOMY = frozenset(word for words in _MOODY for word in words["gloomy"])
WHO = frozenset((*NAMES, *ANIMALS, "They", "they"))
ACTIONS = frozenset(word for words in (*DEEDS.values(), *PASTIMES.values()) for word in words) | frozenset(
    ("gave", "brought", "felt", "went", "were", "was")
)
