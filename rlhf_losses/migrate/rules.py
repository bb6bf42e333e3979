"""What becomes of a setting of another system: the types of the tables in `rlhf_losses.migrate.systems`."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Arguments = Mapping[str, Any]
"""Arguments of a command of this package, with their values."""

Command = Literal["train", "ppo"]


@dataclass(frozen=True)
class Unavailable:
    """A setting without a counterpart.

    Attributes:
        reason: why there is none.
        action: what to do instead.
        unused: values with which the other system does not use it.
        secret: whether its value must not be shown.
        same_as: another setting; with its value, this one is not needed.
    """

    reason: str
    action: str
    unused: tuple[Any, ...] = (None, False, "")
    secret: bool = False
    same_as: str = ""


@dataclass(frozen=True)
class Unneeded:
    """A setting that does not change the result here.

    Attributes:
        reason: why it is not needed.
    """

    reason: str


@dataclass(frozen=True)
class Written:
    """A setting that is written as one argument or several.

    Attributes:
        names: the arguments.
        convert: returns them for a value of the setting, or why there are none.
        note: what differs.
    """

    names: tuple[str, ...]
    convert: Callable[[Any], Arguments | Unavailable | Unneeded]
    note: str = ""


@dataclass(frozen=True)
class Joint:
    """A setting that is written together with others, by `System.joint`.

    Attributes:
        names: the arguments that depend on it.
        note: how.
    """

    names: tuple[str, ...]
    note: str


Rule = Written | Joint | Unavailable | Unneeded
Rules = Mapping[str, Rule]


@dataclass(frozen=True)
class Decision:
    """An argument that follows from several settings.

    Attributes:
        name: the argument.
        value: its value.
        sources: the settings that it follows from.
        reason: how.
    """

    name: str
    value: Any
    sources: tuple[str, ...]
    reason: str = ""


@dataclass(frozen=True)
class Constant:
    """An argument whose value is the same in every run of the other system, which has no setting for it.

    Attributes:
        name: the argument.
        value: its value.
        reason: what the other system does.
    """

    name: str
    value: Any
    reason: str


@dataclass(frozen=True)
class Values:
    """The settings of a run of another system, with its defaults.

    Attributes:
        given: the settings that the run sets.
        defaults: the defaults of the system.
        processes: number of processes that its launcher starts, or None if it is not known.
    """

    given: Mapping[str, Any]
    defaults: Mapping[str, Any]
    processes: int | None = None

    def __getitem__(self, name: str) -> Any:
        value = self.given.get(name)
        return self.defaults.get(name) if value is None else value

    def sources(self, *names: str) -> tuple[str, ...]:
        """Return those of some settings that the run sets, or the first of them if it sets none."""
        return tuple(name for name in names if name in self.given) or names[:1]


def no_decisions(values: Values) -> Iterable[Decision]:
    """Return nothing, for systems without settings that are written together."""
    return ()


@dataclass(frozen=True)
class System:
    """One command of another system.

    Attributes:
        key: its name for `--from`.
        name: its name in texts, with the command.
        versions: the versions whose settings are in the table.
        command: the command of this package that replaces it.
        rules: what becomes of each setting.
        defaults: defaults of the system that are written out, because they differ from those of this package.
        constants: arguments that the system fixes.
        joint: decides arguments that depend on several settings.
        aliases: other names of settings, of earlier versions or short flags.
        steps: what to do besides changing the settings.
    """

    key: str
    name: str
    versions: str
    command: Command
    rules: Rules
    defaults: Mapping[str, Any]
    constants: tuple[Constant, ...] = ()
    joint: Callable[[Values], Iterable[Decision]] = no_decisions
    aliases: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[str, ...] = ()


def to(name: str, convert: Callable[[Any], Any] = lambda value: value, note: str = "") -> Written:
    """Return the rule of a setting that is written as one argument.

    Args:
        name: the argument.
        convert: returns its value for a value of the setting.
        note: what differs.

    Examples:
        >>> to("max_length").convert(512)
        {'max_length': 512}
    """

    def as_argument(value: Any) -> Arguments | Unavailable | Unneeded:
        converted = convert(value)
        return converted if isinstance(converted, Unavailable | Unneeded) else {name: converted}

    return Written((name,) if name else (), as_argument, note)


def to_several(*names: str, note: str = "") -> Written:
    """Return the rule of a setting whose value several arguments get.

    Args:
        names: the arguments.
        note: what differs.

    Examples:
        >>> to_several("lam", "value_lam").convert(0.95)
        {'lam': 0.95, 'value_lam': 0.95}
    """
    return Written(names, lambda value: dict.fromkeys(names, value), note)


def choice(name: str, values: Mapping[Any, Any], otherwise: Unavailable, note: str = "") -> Written:
    """Return the rule of a setting with certain values.

    Args:
        name: the argument; empty if no value is written.
        values: its value for each value of the setting; `Unneeded` and `Unavailable` write nothing.
        otherwise: what is said about other values.
        note: what differs.

    Examples:
        >>> choice("use_peft", {"lora": True, "full": False}, Unavailable("", "")).convert("full")
        {'use_peft': False}
    """
    return to(name, lambda value: values.get(value, otherwise) if _hashable(value) else otherwise, note)


def _hashable(value: Any) -> bool:
    return not isinstance(value, list | dict)


def same(names: str) -> dict[str, Rule]:
    """Return the rules of settings that are arguments of the same name.

    Args:
        names: the settings, with spaces in between.

    Examples:
        >>> list(same("seed weight_decay"))
        ['seed', 'weight_decay']
    """
    return {name: to(name) for name in names.split()}


def each(rule: Rule, names: str) -> dict[str, Rule]:
    """Return the same rule for several settings.

    Args:
        rule: the rule.
        names: the settings, with spaces in between.
    """
    return dict.fromkeys(names.split(), rule)
