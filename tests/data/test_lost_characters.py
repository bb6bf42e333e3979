"""Texts whose tokens lose characters are counted, and the lost characters are named."""

import string

from rlhf_losses.data.lost_characters import LostCharacters, lost_characters
from rlhf_losses.feedback import Pairs
from rlhf_losses.scoring.tokenizer_checks import check_characters


def test_unknown_characters_are_lost_and_known_ones_are_not(character_tokenizer):
    vocabulary = set(character_tokenizer.get_vocab())
    assert {"a", "b"} <= vocabulary
    assert "ü" not in vocabulary
    found = LostCharacters.of(["ab  a", "aüb üü", "ab"], character_tokenizer)
    assert (found.texts, found.changed, found.characters, found.example) == (3, 1, ("ü",), ("aüb", "a b"))
    assert found.is_notable
    assert "loses characters of 1 of 3 texts, most often 'ü' ('aüb' becomes 'a b')" in found.describe()
    assert not LostCharacters.of(["ab"] * 19 + ["ü"], character_tokenizer).is_notable


def test_texts_are_prompts_and_answers_in_texts_and_conversations(character_tokenizer):
    prompt, *answers = ([{"role": role, "content": text}] for role, text in (("user", "ü"), *[("assistant", "a")] * 2))
    conversation = {"prompt": prompt, "chosen": answers[0], "rejected": answers[1]}
    texts = {"prompt": "ä", "chosen": "b", "rejected": "ß"}
    found = lost_characters([conversation, texts], (Pairs,), character_tokenizer)
    assert (found.texts, found.changed, set(found.characters)) == (5, 3, {"ü", "ä", "ß"})


def test_doctor_notes_the_characters_that_a_tokenizer_loses(character_tokenizer):
    check = check_characters(character_tokenizer)
    known = sum(one in character_tokenizer.get_vocab() for one in string.punctuation + string.digits)
    assert check.state == "noted"
    assert f"loses {len(string.punctuation + string.digits) - known + 18} of 60" in check.found
