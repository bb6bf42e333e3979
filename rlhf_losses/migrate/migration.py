"""Applies the table of a system to the settings of a run."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from rlhf_losses.errors import InvalidSettingError, did_you_mean, shown
from rlhf_losses.migrate.found_settings import Found, Source, Unread, typed
from rlhf_losses.migrate.rules import Arguments, Decision, Joint, Rule, System, Unavailable, Unneeded, Values, Written

SIMILARITY = 0.8
"""Smallest similarity of an unknown setting and the one that the report suggests."""

VALUE_ERRORS = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)
"""Errors of a value of a wrong type."""

SECRETS = ("hub_token", "auth_token", "access_token", "api_key", "wandb.key", "secret", "password")
"""Ends of the names of settings whose values the report does not show."""

TEXTS = frozenset(
    (
        *(
            "model_name_or_path",
            "model_revision",
            "attn_implementation",
            "chat_template_path",
            "eos_token",
            "pad_token",
        ),
        *("dataset_name", "dataset_config", "dataset_train_split", "dataset_test_split", "eval_dataset", "critic"),
        *("output_dir", "run_name", "project", "hub_model_id", "hub_revision", "metric_for_best_model", "optim_args"),
    )
)
"""Arguments that are texts, also if they look like a number."""

REQUIRED = {
    "train": ("model_name_or_path", "dataset_name", "loss", "output_dir"),
    "ppo": ("model_name_or_path", "reward_model_name_or_path", "dataset_name", "output_dir"),
}
"""Arguments that a command needs."""


@dataclass(frozen=True)
class Argument:
    """An argument of this package.

    Attributes:
        value: its value.
        origin: the settings or the default that it comes from.
        is_default: whether no setting of the file determines it.
    """

    value: Any
    origin: str
    is_default: bool = False


@dataclass(frozen=True)
class Outcome:
    """What becomes of a setting that is not written as it is.

    Attributes:
        setting: its name.
        value: its value, as the report shows it.
        place: where the file has it.
        text: what the report says.
    """

    setting: str
    value: str
    place: str
    text: str


@dataclass
class Migration:
    """The arguments that replace the settings of a run, and what becomes of each setting.

    Attributes:
        system: the other system.
        source: the run.
        arguments: arguments of `rlhf-losses train` or `rlhf-losses ppo`, by name.
        written: settings that are written, possibly under another name.
        unavailable: settings without a counterpart.
        unknown: settings that the table does not have.
        unread: settings whose value is not in the file.
        unneeded: settings that do not change the result here.
    """

    system: System
    source: Source
    arguments: dict[str, Argument] = field(default_factory=dict)
    written: list[Outcome] = field(default_factory=list)
    unavailable: list[Outcome] = field(default_factory=list)
    unknown: list[Outcome] = field(default_factory=list)
    unread: list[Outcome] = field(default_factory=list)
    unneeded: list[Outcome] = field(default_factory=list)

    def missing(self) -> list[str]:
        """Return the arguments that the command needs, and that the settings do not give."""
        return [
            name
            for name in REQUIRED[self.system.command]
            if name not in self.arguments and not (name == "dataset_name" and "datasets" in self.arguments)
        ]

    def refuse(self, name: str, problem: str) -> None:
        """Remove an argument that the command does not accept, and list it.

        Args:
            name: the argument.
            problem: what the command says.
        """
        argument = self.arguments.pop(name)
        text = f"{name}: {shown(argument.value)} is not accepted: {problem}"
        self.unavailable.append(Outcome(argument.origin, "", "", text))


def migrate(system: System, source: Source) -> Migration:
    """Return what becomes of the settings of a run.

    Args:
        system: the other system.
        source: the run.
    """
    return _Migrator(system, source).run()


class _Migrator:
    def __init__(self, system: System, source: Source) -> None:
        self.system, self.result = system, Migration(system, source)
        self.values: dict[str, Any] = {}
        self.joint: dict[str, Found] = {}
        self.without_value: set[str] = set()

    def run(self) -> Migration:
        for found in self._last_of_each_name():
            self._apply(found)
        self._decide()
        self._add_defaults()
        self._drop_unused_defaults()
        return self.result

    def _last_of_each_name(self) -> Iterator[Found]:
        """Yield the settings; of several with the same name the last counts, and the others are listed."""
        canonical = [self._canonical(one) for one in self.result.source.settings]
        last = {one.name: index for index, one in enumerate(canonical)}
        for index, one in enumerate(canonical):
            if one.name and last[one.name] != index:
                later = canonical[last[one.name]]
                self._list(
                    self.result.unneeded,
                    one,
                    f"{later.place or 'a later line'} sets it again, and the last value counts",
                )
            else:
                yield one

    def _canonical(self, found: Found) -> Found:
        """Return a setting under the name that the table has; `--no_x` is `x` with the value false."""
        name = self.system.aliases.get(found.name, found.name)
        positive = name.removeprefix("no_")
        positive = self.system.aliases.get(positive, positive)
        if (
            name not in self.system.rules
            and name.startswith("no_")
            and positive in self.system.rules
            and found.value is True
        ):
            return Found(positive, False, found.place, found.name)
        return Found(name, found.value, found.place, found.name)

    def _apply(self, found: Found) -> None:
        rule = self.system.rules.get(found.name)
        if isinstance(rule, Unneeded | Unavailable):
            self._write(found, rule)
        elif isinstance(found.value, Unread):
            self.without_value.add(found.name)
            names = rule.names if isinstance(rule, Written | Joint) else ()
            add = f"; set {' and '.join(f'--{name}' for name in names)}" if names else ""
            self._list(self.result.unread, found, f"{found.value.reason}{add}")
        elif rule is None:
            self._list(self.result.unknown, found, self._about_unknown(found.name))
        elif isinstance(rule, Joint):
            self.values[found.name] = typed(found.value)
            self.joint[found.name] = Found(found.name, typed(found.value), found.place, found.spelling)
        else:
            self.values[found.name] = typed(found.value)
            self._write(found, rule)

    def _about_unknown(self, name: str) -> str:
        if not name:
            return "it belongs to no setting"
        nearest = did_you_mean(name, self.system.rules, SIMILARITY).strip()
        return f"no setting of {self.system.name} ({self.system.versions}) has this name. {nearest}".strip()

    def _write(self, found: Found, rule: Written | Unavailable | Unneeded) -> None:
        value = typed(found.value)
        outcome = converted(rule, value) if isinstance(rule, Written) else rule
        if isinstance(outcome, Unneeded):
            self._list(self.result.unneeded, found, outcome.reason)
        elif isinstance(outcome, Unavailable):
            self._list_unavailable(found, value, outcome)
        elif isinstance(rule, Written):
            self._set(found.shown_name, found.value, outcome)
            becomes = ", ".join(f"{name}: {shown(one)}" for name, one in outcome.items())
            note = f" ({rule.note})" if rule.note else ""
            self._list(self.result.written, found, becomes + note)

    def _list_unavailable(self, found: Found, value: Any, outcome: Unavailable) -> None:
        if any(value == one and type(value) is type(one) for one in outcome.unused):
            self._list(self.result.unneeded, found, "it is not used with this value")
        elif any(one.name == outcome.same_as and typed(one.value) == value for one in self.result.source.settings):
            self._list(self.result.unneeded, found, f"it is the same as {outcome.same_as}")
        else:
            self._list(self.result.unavailable, found, f"{outcome.reason}. {outcome.action}", outcome.secret)

    def _set(self, origin: str, given: Any, arguments: Arguments) -> None:
        for name, value in arguments.items():
            text = given if isinstance(given, str) and value == typed(given) else value
            is_text = name in TEXTS and text is not None and not isinstance(text, list | dict)
            written = Argument(str(text) if is_text else value, origin)
            earlier = self.result.arguments.get(name)
            if earlier is not None and earlier.value != written.value:
                self.result.refuse(name, f"{origin} sets it too, and the last value counts")
            self.result.arguments[name] = written

    def _decide(self) -> None:
        """Add the arguments that follow from several settings, and list the settings that they follow from."""
        decisions = self._decisions()
        unread = self.without_value & self.system.rules.keys()
        used: dict[str, list[str]] = {}
        for decision in decisions:
            if unread & set(decision.sources):
                continue
            is_default = not set(decision.sources) & self.values.keys()
            spelled = [self.joint[name].shown_name if name in self.joint else name for name in decision.sources]
            origin = ", ".join(spelled) or f"default of {self.system.name}"
            origin = f"default of {origin}" if is_default and decision.sources else origin
            if not (is_default and decision.name in self.result.arguments):
                reason = f": {decision.reason}" if decision.reason else ""
                self.result.arguments[decision.name] = Argument(decision.value, origin + reason, is_default)
            for name in decision.sources:
                used.setdefault(name, []).append(f"{decision.name}: {shown(decision.value)}")
        for name, found in self.joint.items():
            if name in used:
                self._list(self.result.written, found, ", ".join(used[name]))
            else:
                self._list(self.result.unneeded, found, "it changes nothing together with the other settings")

    def _decisions(self) -> list[Decision]:
        """Return what follows from several settings; a setting whose value does not allow it is listed instead."""
        while True:
            try:
                return self._decisions_without()
            except VALUE_ERRORS as error:
                found = self.joint.pop(self._culprit())
                del self.values[found.name]
                self.without_value.add(found.name)
                problem = unexpected(found.value, sorted(names_of([self.system.rules[found.name]])))
                if isinstance(error, InvalidSettingError):
                    problem = replace(problem, reason=str(error).rstrip("."))
                self._list_unavailable(found, found.value, problem)

    def _decisions_without(self, *names: str) -> list[Decision]:
        given = {name: value for name, value in self.values.items() if name not in names}
        unread = dict.fromkeys(self.without_value & self.system.rules.keys())
        return list(self.system.joint(Values(given | unread, self.system.defaults, self.result.source.processes)))

    def _culprit(self) -> str:
        """Return a setting without which there are decisions, or else the first whose value is no number."""
        for name in self.joint:
            with suppress(*VALUE_ERRORS):
                self._decisions_without(name)
                return name
        return next(name for name, one in self.joint.items() if not isinstance(one.value, int | float))

    def _add_defaults(self) -> None:
        given = self.joint.keys() | {one.name for one in map(self._canonical, self.result.source.settings)}
        for name, value in self.system.defaults.items():
            rule = self.system.rules.get(name)
            if name in given or not isinstance(rule, Written):
                continue
            outcome = converted(rule, value)
            if isinstance(outcome, Mapping):
                self._add(outcome, f"default of {name}")
        for constant in self.system.constants:
            self._add({constant.name: constant.value}, constant.reason)

    def _add(self, arguments: Arguments, origin: str) -> None:
        for name, value in arguments.items():
            self.result.arguments.setdefault(name, Argument(value, origin, is_default=True))

    def _drop_unused_defaults(self) -> None:
        """Remove defaults of adapters from a run without adapters, and those of 4-bit weights from other runs."""
        arguments = self.result.arguments
        values = {name: one.value for name, one in arguments.items()}
        unused = [
            *([] if values.get("use_peft") is not False else [name for name in values if name.startswith("lora_")]),
            *([] if values.get("load_in_4bit") else [name for name in values if "bnb_" in name]),
        ]
        for name in unused:
            if arguments[name].is_default:
                del arguments[name]

    def _list(self, outcomes: list[Outcome], found: Found, text: str, secret: bool = False) -> None:
        hidden = secret or found.name.endswith(SECRETS)
        value = found.value.text if isinstance(found.value, Unread) else shown(found.value)
        value = "(not shown)" if hidden and not isinstance(found.value, bool | None) else value
        outcomes.append(Outcome(found.shown_name, value, found.place, text))


def converted(rule: Written, value: Any) -> Arguments | Unavailable | Unneeded:
    """Return the arguments for a value, or why there are none; a value of a wrong type has none.

    Args:
        rule: the rule of the setting.
        value: its value.
    """
    try:
        return rule.convert(value)
    except VALUE_ERRORS:
        return unexpected(value, rule.names)


def unexpected(value: Any, names: Iterable[str]) -> Unavailable:
    """Return what is said about a value of a wrong type.

    Args:
        value: the value.
        names: the arguments that it would be written to.
    """
    return Unavailable(f"a value like {shown(value)} is not expected", f"Set {', '.join(names)} by hand", ())


def rule_texts(rule: Rule) -> tuple[str, str]:
    """Return the arguments and the explanation of a rule, for tables.

    Args:
        rule: the rule.
    """
    if isinstance(rule, Written | Joint):
        return ", ".join(rule.names), rule.note
    if isinstance(rule, Unavailable):
        return "", f"{rule.reason}. {rule.action}"
    return "", rule.reason


def names_of(rules: Iterable[Rule]) -> set[str]:
    """Return the arguments that rules write.

    Args:
        rules: the rules.
    """
    return {name for rule in rules if isinstance(rule, Written | Joint) for name in rule.names}
