"""Random values for fuzzing: valid rows of every feedback type, odd values, and mutations of structures and bytes."""

import datetime
import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from decimal import Decimal
from random import Random
from typing import Any

import numpy as np
import torch

Row = dict[str, Any]

WORDS = ("fox", "dog", "2 + 2", " = 4", "sang", ".", "\n", "né", "日本", "😀", "\0", "</s>", "<|im_end|>", "'", '"')

USER_COLUMNS = (
    *("text_ids", "score_text", "score_position", "score_length", "feedback_to_score", "feedback_types", "length"),
    *("row_number", "removed", "prompt_weight", "prompt_share", "dataset_feedback_types", "images", "id", "source"),
    *("annotator", "input_ids", "labels_", "margin ", "", "metadata", "text", "messages"),
)
"""Columns of users; most have names that the preparation uses itself."""

TEMPLATE_KEYS = ("tokenize", "messages", "conversation", "add_generation_prompt", "tools", "chat_template", "thinking")


def text(rng: Random) -> str:
    """Return a short text."""
    return " ".join(rng.choices(WORDS, k=rng.randint(1, 6)))


def messages(rng: Random, last: str = "assistant") -> list[Row]:
    """Return a conversation."""
    roles = ["user", "assistant"] * rng.randint(0, 2) + ["user"]
    roles = [*roles, last] if last == "assistant" else roles
    return [{"role": role, "content": text(rng)} for role in roles]


def number(rng: Random) -> Any:
    """Return a number that is valid for most columns."""
    return rng.choice([0, 1, True, 0.5, 2, 3.25])


def odd_number(rng: Random) -> Any:
    """Return a number that is extreme, not finite, or of an unusual type."""
    return rng.choice(
        [
            *(math.nan, math.inf, -math.inf, 1e39, -1e308, 5e-324, 2**31, 2**63, -(2**64), 10**400, -1, -100, 2048),
            *("3", " 4.5 ", "nan", "1e999", "NaN", "½", "١", "1_000", b"5", Decimal("1.5"), 1 + 2j),
            *(np.float32(1.5), np.int64(3), np.float64("nan"), np.bool_(True), torch.tensor(2.0), np.array([1.0])),
        ]
    )


def odd_text(rng: Random) -> Any:
    """Return a text with unusual characters or an unusual length."""
    return rng.choice(
        [
            *("", " ", "\n", "\0", "\ud800", "a\udfff b", "\ufeff", "\u202e", "\ue000", "é" * 300, "x" * 5_000),
            *("[1, 2]", "{}", '{"role": "user"}', "null", "NaN", "{{ 1 / 0 }}", "{% raw %}", "<s>", "</s>" * 3),
            *("[" * 3_000, '{"a":' * 3_000, "1" * 5_000),
        ]
    )


def odd_message(rng: Random) -> Any:
    """Return a message with an unusual key or value."""
    message = {"role": "user", "content": text(rng)}
    key = rng.choice(["role", "content", "tool_calls", "name", "weight", "reasoning_content"])
    choices: list[Callable[[], Any]] = [
        lambda: {**message, key: odd_value(rng)},
        lambda: {**message, "content": [{"type": rng.choice(["text", "image", 3, None]), "text": odd_value(rng, 2)}]},
        lambda: {**message, "tool_calls": [{"function": odd_value(rng, 2)}, odd_value(rng, 2)]},
        lambda: {name: value for name, value in message.items() if name != key},
        lambda: {**message, 3: "key that is no text"},
        lambda: odd_value(rng, 2),
    ]
    return rng.choice(choices)()


def odd_value(rng: Random, depth: int = 0) -> Any:
    """Return any value, also of a type that no column accepts.

    Args:
        rng: source of random numbers.
        depth: number of containers around the value.
    """
    if rng.random() < 0.25:
        return odd_number(rng)
    if rng.random() < 0.25:
        return odd_text(rng)
    scalars = [None, True, False, 0, 1, b"bytes", bytearray(b"a"), datetime.date(2024, 1, 1), datetime.timedelta(1)]
    scalars += [datetime.datetime(2024, 1, 1), object(), range(3), print, np.array(3), np.array(["a"]), np.str_("a")]
    if depth > 3 or rng.random() < 0.3:
        return rng.choice(scalars)
    size = rng.randint(0, 3)
    containers: list[Callable[[], Any]] = [
        lambda: [odd_value(rng, depth + 1) for _ in range(size)],
        lambda: {rng.choice(["a", "role", "text", "content"]): odd_value(rng, depth + 1) for _ in range(size)},
        lambda: tuple(text(rng) for _ in range(size)),
        lambda: {text(rng) for _ in range(size)},
        lambda: [odd_message(rng) for _ in range(size)] if depth < 2 else [],
        lambda: messages(rng),
        lambda: [messages(rng)],
        lambda: [text(rng) for _ in range(size)],
        lambda: [number(rng) for _ in range(size)],
        lambda: {1: 2, None: 3},
        lambda: nested(rng.choice([10, 100, 3_000]), rng.random() < 0.5),
        lambda: np.arange(size),
        lambda: torch.ones(size, 2),
    ]
    return rng.choice(containers)()


def nested(depth: int, as_mapping: bool) -> Any:
    """Return lists or mappings in one another."""
    value: Any = "a"
    for _ in range(depth):
        value = {"a": value} if as_mapping else [value]
    return value


def row(rng: Random) -> Row:
    """Return a valid row of a random feedback type, as texts or conversations, with or without a prompt."""
    chat = rng.random() < 0.4
    count = rng.randint(2, 4)

    def answer() -> Any:
        return [{"role": "assistant", "content": text(rng)}] if chat else text(rng)

    def numbers() -> list[Any]:
        return [rng.randint(1, 4) for _ in range(count)]

    def steps() -> list[str]:
        return [text(rng) for _ in range(rng.randint(1, 3))]

    kinds: Sequence[Callable[[], Row]] = (
        lambda: {"chosen": answer(), "rejected": answer()},
        lambda: {"chosen": answer(), "rejected": answer(), rng.choice(["margin", "weight"]): number(rng)},
        lambda: {"chosen": answer(), "rejected": answer(), rng.choice(["preference", "tie"]): 0.5},
        lambda: {"chosen_ids": tokens(rng), "rejected_ids": tokens(rng)},
        lambda: {"completions": [answer() for _ in range(count)], "ranks": numbers()},
        lambda: {"completions": [answer() for _ in range(count)], "ratings": numbers()},
        lambda: {"completion": answer(), "rating": number(rng)},
        lambda: {"completion": answer(), "label": rng.random() < 0.5},
        lambda: {"completions": [text(rng) for _ in range(count)], "labels": [rng.random() < 0.5] * count},
        lambda: {"chosen_steps": steps(), "rejected_steps": steps()},
        lambda: {"completion_steps": [steps() for _ in range(count)], "ranks": numbers()},
        lambda: {"completions": [answer(), answer()], "votes": [1, 2], "ties": rng.choice([None, 0, 1])},
        lambda: {"completion": answer(), "attributes": {"helpful": number(rng), "brief": None}},
        lambda: {"completions": [answer() for _ in range(count)], "attributes": [{"good": number(rng)}] * count},
    )
    made = rng.choice(kinds)()
    if rng.random() < 0.7 and "chosen_ids" not in made:
        made["prompt"] = messages(rng, "user") if chat else text(rng)
    return made


def tokens(rng: Random) -> list[int]:
    """Return token ids of a text."""
    return [rng.randint(4, 200) for _ in range(rng.randint(1, 5))]


def mutated_row(rng: Random, original: Row) -> Row:
    """Return a row with one to three odd values, columns or lengths."""
    changed = deepcopy(original)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        column = rng.choice(list(changed) or ["prompt"])
        match rng.randrange(8):
            case 0 | 1:
                changed[column] = odd_value(rng)
            case 2 | 3:
                changed[column] = mutated_inside(rng, changed.get(column))
            case 4:
                changed[rng.choice(USER_COLUMNS)] = odd_value(rng)
            case 5:
                changed[rng.choice(["tools", "documents", "system", "chat_template_kwargs"])] = odd_value(rng)
            case 6:
                keys = rng.choices(TEMPLATE_KEYS, k=rng.randint(0, 2))
                changed["chat_template_kwargs"] = {key: odd_value(rng, 2) for key in keys}
            case 7:
                extra = row(rng)
                changed[rng.choice(list(extra))] = (
                    odd_value(rng) if rng.random() < 0.5 else rng.choice([*extra.values()])
                )
    return changed


def mutated_inside(rng: Random, value: Any) -> Any:
    """Return a value with one change at a random place inside."""
    if isinstance(value, list) and value and rng.random() < 0.9:
        index = rng.randrange(len(value))
        changes: list[Callable[[], list[Any]]] = [
            lambda: [*value[:index], mutated_inside(rng, value[index]), *value[index + 1 :]],
            lambda: [*value[:index], odd_value(rng, 2), *value[index + 1 :]],
            lambda: value[:index],
            lambda: [*value, odd_value(rng, 2)],
            lambda: [*value, value[index]],
        ]
        return rng.choice(changes)()
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        return {**value, key: mutated_inside(rng, value[key])} if rng.random() < 0.6 else odd_message(rng)
    return odd_value(rng, 1)


def mutated_bytes(rng: Random, content: bytes) -> bytes:
    """Return bytes with a few of them changed, removed, repeated or inserted."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        if not changed:
            break
        start = rng.randrange(len(changed))
        stop = min(len(changed), start + rng.choice([1, 1, 4, 100]))
        match rng.randrange(5):
            case 0:
                changed[start] ^= 1 << rng.randrange(8)
            case 1:
                del changed[start : rng.choice([stop, len(changed)])]
            case 2:
                changed[start:start] = changed[start:stop]
            case 3:
                changed[start:start] = rng.choice(
                    [b"\xff\xfe", b"\0", b'"', b",", b"\n", b"{", b"[", b"\\ud800", b"1e999"]
                )
            case 4:
                changed[start:stop] = rng.randbytes(stop - start)
    return bytes(changed)
