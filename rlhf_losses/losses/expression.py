"""The text of a loss, read by a whitelist over Python's own grammar; nothing is evaluated.

Allowed: a name, a call with keyword options, `+`, a number `*`, and brackets.
"""

import ast
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from rlhf_losses.errors import RlhfLossesError, UnknownName, UnreadableLoss, did_you_mean
from rlhf_losses.losses.base import Loss

_LONGEST = 2_000


def parse(text: str, losses: Mapping[str, type[Loss]]) -> Loss:
    """Return the loss that `text` names, with names looked up in `losses`.

    >>> from rlhf_losses.losses import BradleyTerry, Centering
    >>> print(parse("2 * (bradley_terry + 0.5*centering)", {"bradley_terry": BradleyTerry, "centering": Centering}))
    2 * bradley_terry + centering
    """
    if len(text) > _LONGEST:
        raise UnreadableLoss(f"A loss of {len(text)} characters arrived. Write at most {_LONGEST}.")
    try:
        return _loss(ast.parse(text.strip(), mode="eval").body, text, losses)
    except (SyntaxError, RecursionError, MemoryError, OverflowError):
        raise _unreadable(text) from None


def _loss(node: ast.expr, text: str, losses: Mapping[str, type[Loss]]) -> Loss:
    match node:
        case ast.BinOp(left, ast.Add(), right):
            return _loss(left, text, losses) + _loss(right, text, losses)
        case ast.BinOp(left, ast.Mult(), right) if _is_number(left):
            return _number(left) * _loss(right, text, losses)
        case ast.BinOp(left, ast.Mult(), right) if _is_number(right):
            return _number(right) * _loss(left, text, losses)
        case ast.Name(name):
            return _make(_look_up(name, losses), {})
        case ast.Call(ast.Name(name), [], keywords):
            kind = _look_up(name, losses)
            options = {_keyword(k, text): _value(k, kind, text, losses) for k in keywords}
            if len(options) == len(keywords):
                return _make(kind, options)
    raise _unreadable(text)


def _look_up(name: str, losses: Mapping[str, type[Loss]]) -> type[Loss]:
    if name not in losses:
        raise UnknownName(
            f"No loss is called '{name}'.{did_you_mean(name, losses)} Run `rlhf-losses list` to see all of them."
        )
    return losses[name]


def _make(loss: type[Loss], options: dict[str, Any]) -> Loss:
    known = [f.name for f in fields(loss)]
    for option in options:
        if option not in known:
            has = f"It has {', '.join(known)}." if known else "It has no options."
            raise UnknownName(f"{loss.name()} has no option '{option}'.{did_you_mean(option, known)} {has}")
    try:
        return loss(**options)
    except (TypeError, ValueError) as error:
        if isinstance(error, RlhfLossesError):
            raise
        raise UnreadableLoss(
            f"{loss.name()} refuses its options: {error}. Run `rlhf-losses describe {loss.name()}` to see them."
        ) from error


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _is_number(node.operand)
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _number(node: ast.expr) -> float:
    return -_number(node.operand) if isinstance(node, ast.UnaryOp) else float(node.value)  # type: ignore[attr-defined]


def _value(keyword: ast.keyword, kind: type[Loss], text: str, losses: Mapping[str, type[Loss]]) -> Any:
    """Return the value of an option: a number, a word, or a loss where the option is one by default."""
    is_loss = any(f.name == keyword.arg and isinstance(f.default, Loss) for f in fields(kind))
    return _loss(keyword.value, text, losses) if is_loss else _constant(keyword.value, text)


def _constant(node: ast.expr, text: str) -> Any:
    if _is_number(node):
        return ast.literal_eval(node)
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | str | None):
        return node.value
    raise _unreadable(text)


def _keyword(keyword: ast.keyword, text: str) -> str:
    if keyword.arg is None:
        raise _unreadable(text)
    return keyword.arg


def _unreadable(text: str) -> UnreadableLoss:
    return UnreadableLoss(
        f'Cannot read "{text}" as a loss. Write sums of losses with number weights and keyword options, '
        "like 'bradley_terry(label_smoothing=0.1) + 0.01 * centering'."
    )
