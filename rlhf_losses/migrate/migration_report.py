"""The report about a migration, and the YAML file."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import yaml

from rlhf_losses.messages.documentation import with_addresses
from rlhf_losses.migrate.migration import REQUIRED, Argument, Migration, Outcome

RUN = {"train": "rlhf-losses train --config FILE", "ppo": "rlhf-losses ppo --config FILE"}

SHORT_FLAGS = {"model_name_or_path": "model", "dataset_name": "dataset", "reward_model_name_or_path": "reward_model"}
"""Short names of arguments."""


def report_lines(migration: Migration, problems: Sequence[str] = ()) -> list[str]:
    """Return the lines of the report.

    Args:
        migration: what becomes of each setting.
        problems: what the command says about the arguments together.
    """
    system, source = migration.system, migration.source
    defaults = [
        Outcome(name, "", "", f"{_yaml(argument.value)}: {argument.origin}")
        for name, argument in migration.arguments.items()
        if argument.is_default
    ]
    sections = (
        ("Written", migration.written),
        (f"Written, so that the run is that of {system.name}", defaults),
        ("Without a counterpart", migration.unavailable),
        ("Unknown", migration.unknown),
        ("Not in the file", migration.unread),
        ("Not needed", migration.unneeded),
    )
    lines = [_printable(f"{system.name}, {source.where} -> rlhf-losses {system.command}")]
    for title, outcomes in sections:
        if outcomes:
            lines += ["", f"{title} ({len(outcomes)})", *(f"  {_described(one)}" for one in outcomes)]
    lines += ["", "To do", *(f"  - {_printable(one)}" for one in _to_do(migration, problems))]
    return lines


def _described(one: Outcome) -> str:
    place = f" ({one.place})" if one.place else ""
    value = f" {one.value}" if one.value else ""
    return _printable(f"{one.setting or 'word'}{value}{place}: {one.text}".replace(" : ", ": "))


def _to_do(migration: Migration, problems: Iterable[str]) -> Iterator[str]:
    missing = [SHORT_FLAGS.get(name, name) for name in migration.missing()]
    if missing:
        yield f"Add {' and '.join(f'--{name}' for name in missing)}, which the command needs."
    undecided = {
        "have no counterpart": migration.unavailable,
        "are unknown": migration.unknown,
        "are not in the file": migration.unread,
    }
    kinds = [kind for kind, settings in undecided.items() if settings]
    if kinds:
        yield f"Decide whether the run needs the settings above that {' or '.join(kinds)}."
    yield from problems
    yield from migration.source.notes
    yield from migration.system.steps
    flags = "".join(f" --{name} {name.upper()}" for name in missing)
    yield f"Run: {RUN[migration.system.command]}{flags}"


def yaml_text(migration: Migration) -> str:
    """Return the arguments as YAML, each with a comment that says where it comes from.

    Args:
        migration: the arguments.
    """
    first = [name for name in REQUIRED[migration.system.command] if name in migration.arguments]
    names = [*first, *(name for name in migration.arguments if name not in first)]
    return "".join(_yaml_line(name, migration.arguments[name]) for name in names)


def _yaml_line(name: str, argument: Argument) -> str:
    comment = "" if argument.origin == name else f"  # {_printable(argument.origin)}"
    return f"{name}: {_yaml(argument.value)}{comment}\n"


def document(migration: Migration, problems: Sequence[str] = ()) -> str:
    """Return the YAML file, with the report as comments at the beginning.

    Args:
        migration: what becomes of each setting.
        problems: what the command says about the arguments together.
    """
    comments = [f"# {line}".rstrip() for line in report_lines(migration, problems)]
    return "\n".join([*comments, "", yaml_text(migration)])


def _yaml(value: Any) -> str:
    """Return a value as YAML in one line."""
    quotes = '"' if isinstance(value, str) and "\n" in value else None
    text: str = yaml.safe_dump(value, default_flow_style=True, default_style=quotes, width=10**9, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _printable(text: str) -> str:
    """Return a text in one line, in which characters that a YAML comment cannot have are escaped, with addresses."""
    text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return with_addresses(text)
