"""Parser of the string form of losses. It accepts a part of Python's grammar and evaluates nothing.

The accepted parts are names, calls with keyword options, `+`, multiplication by a number, and parentheses.
"""

import ast
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from rlhf_losses.checks.argument_checks import require_instance
from rlhf_losses.errors import InvalidLossError, RlhfLossesError, UnknownNameError, did_you_mean
from rlhf_losses.losses.base import AnyLoss, Loss, LossExpression, NamedObjective
from rlhf_losses.losses.options import Expression
from rlhf_losses.messages.printed_commands import printed_command

_MAX_LENGTH = 2_000
_SYNTAX_ERRORS = (SyntaxError, RecursionError, MemoryError, OverflowError)
"""Errors of expressions that are not valid, too deep, or have numbers that are too large."""

E = TypeVar("E", bound=Expression)
LossClasses = Mapping[str, "type[Loss[Any]] | type[NamedObjective]"]
Classes = Mapping[str, type[Any]]


def parse(text: str, losses: LossClasses) -> AnyLoss:
    """Return the loss or the objective that a string describes.

    Args:
        text: for example `"bradley_terry(label_smoothing=0.1) + 0.01 * centering"`.
        losses: classes of losses and named objectives by name.

    Raises:
        InvalidLossError: the string is not a sum of losses, or an option is out of range.
        UnknownNameError: a loss or an option is unknown.

    Examples:
        >>> from rlhf_losses.losses import BradleyTerry, Centering
        >>> print(parse("2 * (bradley_terry + 0.5*centering)", {"bradley_terry": BradleyTerry, "centering": Centering}))
        2 * bradley_terry + centering
    """
    try:
        return _loss(syntax_tree(text, InvalidLossError), losses)
    except _SYNTAX_ERRORS:
        raise InvalidLossError(
            f"'{text}' is not a valid loss. Write a sum of losses with numbers as weights and keyword options, for "
            "example 'bradley_terry(label_smoothing=0.1) + 0.01 * centering'."
        ) from None


def parse_call(text: str, classes: Mapping[str, type[E]]) -> E:
    """Return the instance that a string describes: a name with or without keyword options.

    Args:
        text: for example `"hinge(margin=2.0)"`.
        classes: classes by name.

    Raises:
        InvalidLossError: the string is not a name with keyword options, or an option is out of range.
        UnknownNameError: the name or an option is unknown.

    Examples:
        >>> from rlhf_losses.losses import Hinge
        >>> parse_call("hinge(margin=2.0)", {"hinge": Hinge}).margin
        2.0
    """
    try:
        found: E = _call(syntax_tree(text, InvalidLossError), classes)
        return found
    except _SYNTAX_ERRORS:
        raise InvalidLossError(
            f"'{text}' is not a name with options. Write a name and keyword options in parentheses, for "
            f"example '{next(iter(classes), 'hinge')}(...)'."
        ) from None


def syntax_tree(text: str, error: type[RlhfLossesError]) -> ast.expr:
    """Return the expression in a string. Nothing is evaluated.

    Args:
        text: an expression in Python's syntax.
        error: error for a string that is too long or not valid Unicode.

    Raises:
        InvalidArgumentError: not a string.
        SyntaxError: the string is not an expression.
    """
    remedy = "Pass a string such as 'bradley_terry'; an object needs no parsing."
    require_instance(text, str, "text", "a string", remedy)
    if len(text) > _MAX_LENGTH:
        raise error(
            f"The expression {text!r:.40}… has {len(text)} characters, but the limit is {_MAX_LENGTH}. Shorten it."
        )
    try:
        return ast.parse(text.strip(), mode="eval").body
    except UnicodeEncodeError:
        raise error(
            f"The expression {text!a:.200} contains bytes that are not valid UTF-8. Write it in UTF-8."
        ) from None
    except (ValueError, RecursionError, MemoryError) as problem:  # null bytes, and expressions that are too deep
        raise SyntaxError(str(problem)) from None


def _loss(node: ast.expr, losses: Classes) -> AnyLoss:
    match node:
        case ast.BinOp(left, ast.Add(), right):
            return _loss(left, losses) + _loss(right, losses)
        case ast.BinOp(left, ast.Mult(), right) if _is_number(left):
            return _loss(right, losses) * _number(left)
        case ast.BinOp(left, ast.Mult(), right) if _is_number(right):
            return _loss(left, losses) * _number(right)
    found: AnyLoss = _call(node, losses)
    return found


def _call(node: ast.expr, classes: Classes) -> Any:
    match node:
        case ast.Name(name):
            return _construct(_look_up(name, classes), {})
        case ast.Call(ast.Name(name), [], keywords):
            found = _look_up(name, classes)
            options = {_keyword(k): _value(k, found, classes) for k in keywords}
            if len(options) == len(keywords):
                return _construct(found, options)
    raise SyntaxError


def _look_up(name: str, classes: Classes) -> type[Any]:
    if name not in classes:
        raise UnknownNameError(
            f"Unknown loss '{name}'.{did_you_mean(name, classes)} Run '{printed_command('list')}' to see all losses."
        )
    return classes[name]


def _construct(found: type[Any], options: dict[str, Any]) -> Any:
    known = [f.name for f in fields(found)]
    for option in options:
        if option not in known:
            available = f"Its options are {', '.join(known)}." if known else "It has no options; write the name alone."
            raise UnknownNameError(f"{found.name()} has no option '{option}'.{did_you_mean(option, known)} {available}")
    try:
        return found(**options)
    except (TypeError, ValueError) as error:
        if isinstance(error, RlhfLossesError):
            raise
        options_of = printed_command("describe", found.name())
        raise InvalidLossError(
            f"{found.name()} received invalid options: {error}. Run '{options_of}' to see its options."
        ) from error


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _number(node: ast.expr) -> float:
    return float(ast.literal_eval(node))


def _value(keyword: ast.keyword, found: type[Any], classes: Classes) -> Any:
    """Return the value of an option: a constant, or a loss if the default is a loss."""
    is_loss = any(f.name == keyword.arg and isinstance(f.default, LossExpression) for f in fields(found))
    return _loss(keyword.value, classes) if is_loss else _constant(keyword.value)


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
