"""The text of a loss, read by a whitelist over Python's own grammar; nothing is evaluated.

Allowed: a name, a call with keyword options, `+`, a number `*`, and brackets.
"""

import ast
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from rlhf_losses.errors import InvalidLossError, RlhfLossesError, UnknownNameError, did_you_mean
from rlhf_losses.losses.base import Loss

_LONGEST = 2_000
_NOT_READ = (SyntaxError, RecursionError, MemoryError, OverflowError)


def parse(text: str, losses: Mapping[str, type[Loss]]) -> Loss:
    """Return the loss that `text` names, with names looked up in `losses`.

    >>> from rlhf_losses.losses import BradleyTerry, Centering
    >>> print(parse("2 * (bradley_terry + 0.5*centering)", {"bradley_terry": BradleyTerry, "centering": Centering}))
    2 * bradley_terry + centering
    """
    if len(text) > _LONGEST:
        raise InvalidLossError(f"A loss of {len(text)} characters arrived. Write at most {_LONGEST}.")
    try:
        return _loss(ast.parse(text.strip(), mode="eval").body, losses)
    except _NOT_READ:
        raise InvalidLossError(
            f'Cannot read "{text}" as a loss. Write sums of losses with number weights and keyword options, '
            "like 'bradley_terry(label_smoothing=0.1) + 0.01 * centering'."
        ) from None


def parse_call(text: str, kinds: Mapping[str, type[Any]]) -> Any:
    """Return what `text`, a name or a call with keyword options, makes of one of the dataclasses in `kinds`.

    >>> from rlhf_losses.losses import Hinge
    >>> parse_call("hinge(margin=2.0)", {"hinge": Hinge}).margin
    2.0
    """
    try:
        return _call(ast.parse(text.strip(), mode="eval").body, kinds)
    except _NOT_READ:
        raise InvalidLossError(
            f'Cannot read "{text[:_LONGEST]}". Write a name with keyword options in brackets, '
            f"like '{next(iter(kinds), 'hinge')}(...)'."
        ) from None


def _loss(node: ast.expr, losses: Mapping[str, type[Loss]]) -> Loss:
    match node:
        case ast.BinOp(left, ast.Add(), right):
            return _loss(left, losses) + _loss(right, losses)
        case ast.BinOp(left, ast.Mult(), right) if _is_number(left):
            return _number(left) * _loss(right, losses)
        case ast.BinOp(left, ast.Mult(), right) if _is_number(right):
            return _number(right) * _loss(left, losses)
    return _call(node, losses)


def _call(node: ast.expr, kinds: Mapping[str, type[Any]]) -> Any:
    match node:
        case ast.Name(name):
            return _make(_look_up(name, kinds), {})
        case ast.Call(ast.Name(name), [], keywords):
            kind = _look_up(name, kinds)
            options = {_keyword(k): _value(k, kind, kinds) for k in keywords}
            if len(options) == len(keywords):
                return _make(kind, options)
    raise SyntaxError


def _look_up(name: str, kinds: Mapping[str, type[Any]]) -> type[Any]:
    if name not in kinds:
        raise UnknownNameError(
            f"No loss is called '{name}'.{did_you_mean(name, kinds)} Run `rlhf-losses list` to see all of them."
        )
    return kinds[name]


def _make(kind: type[Any], options: dict[str, Any]) -> Any:
    known = [f.name for f in fields(kind)]
    for option in options:
        if option not in known:
            has = f"It has {', '.join(known)}." if known else "It has no options."
            raise UnknownNameError(f"{kind.name()} has no option '{option}'.{did_you_mean(option, known)} {has}")
    try:
        return kind(**options)
    except (TypeError, ValueError) as error:
        if isinstance(error, RlhfLossesError):
            raise
        raise InvalidLossError(
            f"{kind.name()} refuses its options: {error}. Run `rlhf-losses describe {kind.name()}` to see them."
        ) from error


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _is_number(node.operand)
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _number(node: ast.expr) -> float:
    return -_number(node.operand) if isinstance(node, ast.UnaryOp) else float(node.value)  # type: ignore[attr-defined]


def _value(keyword: ast.keyword, kind: type[Any], kinds: Mapping[str, type[Any]]) -> Any:
    """Return the value of an option: a number, a word, or a loss where the option is one by default."""
    is_loss = any(f.name == keyword.arg and isinstance(f.default, Loss) for f in fields(kind))
    return _loss(keyword.value, kinds) if is_loss else _constant(keyword.value)


def _constant(node: ast.expr) -> Any:
    if _is_number(node):
        return ast.literal_eval(node)
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | str | None):
        return node.value
    raise SyntaxError


def _keyword(keyword: ast.keyword) -> str:
    if keyword.arg is None:
        raise SyntaxError
    return keyword.arg
