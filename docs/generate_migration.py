"""Generate the tables of settings in the guides for users of other systems.

python docs/generate_migration.py [--check]
"""

import argparse
import re
import sys
from collections.abc import Iterator
from os.path import relpath
from pathlib import Path

from rlhf_losses.migrate import SYSTEMS
from rlhf_losses.migrate.rules import Joint, Rule, System, Unavailable, Written

HOW_TO = Path(__file__).resolve().parent / "how-to"
PAGES = ("move-from-openrlhf.md", "move-from-llama-factory.md")
ROOT = HOW_TO.parents[1]
PATH = re.compile(r"(?P<file>docs/[\w/-]+\.md|examples/\w+(?:/\w[\w.-]*\w)*)(?P<anchor>#[\w-]+)?")
"""A path in a text of a table, as `rlhf_losses.messages.documentation.with_addresses` finds it in a message."""

MARKER = re.compile(r"(<!-- settings of ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def files() -> dict[Path, str]:
    """Return the content of every page, with its tables."""
    return {HOW_TO / name: with_tables((HOW_TO / name).read_text(encoding="utf-8")) for name in PAGES}


def with_tables(page: str) -> str:
    """Return a page with the tables between its markers."""
    return MARKER.sub(lambda match: f"{match[1]}\n{with_links(tables(SYSTEMS[match[2]]))}\n{match[3]}", page)


def with_links(text: str) -> str:
    """Return a text with links in place of the paths of pages and examples, as messages have their addresses.

    Args:
        text: a text of a page in `how-to`.
    """
    return PATH.sub(
        lambda path: f"[{title(path['file'])}]({relpath(ROOT / path['file'], HOW_TO)}{path['anchor'] or ''})", text
    )


def title(file: str) -> str:
    """Return the title of a page, or the path of an example as code.

    Args:
        file: its path in the repository.
    """
    if not file.endswith(".md"):
        return f"`{file}`"
    return (ROOT / file).read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def tables(system: System) -> str:
    """Return the table of the settings that are written, and of those without a counterpart."""
    written = [
        f"| {names(found)} | {arguments(rule)} | {default(found, system)} | {note(rule, found)} |"
        for rule, found in grouped(system)
        if isinstance(rule, Written | Joint)
    ]
    fixed = [f"| | `{one.name}` | `{value(one.value)}` | {one.reason} |" for one in system.constants]
    missing = [
        f"| {names(found)} | {rule.reason} | {rule.action} |"
        for rule, found in grouped(system)
        if isinstance(rule, Unavailable)
    ]
    head = "| setting | here | written out | note |\n|---|---|---|---|"
    other = "| without a counterpart | why | what to do |\n|---|---|---|"
    return "\n".join([head, *written, *fixed, "", other, *missing, ""])


def grouped(system: System) -> Iterator[tuple[Rule, list[str]]]:
    """Yield rules with the settings that have them; those that keep their name are one group."""
    groups: dict[object, tuple[Rule, list[str]]] = {}
    for name, rule in system.rules.items():
        if isinstance(rule, Unavailable):
            key: object = rule
        elif isinstance(rule, Written | Joint):
            is_same = rule.names == (name,) and not rule.note and name not in system.defaults
            key = "same" if is_same else (rule.names, rule.note, system.defaults.get(name, name) is name)
            key = (name, key) if name in system.defaults else key
        else:
            continue
        groups.setdefault(repr(key), (rule, []))[1].append(name)
    yield from groups.values()


def names(found: list[str]) -> str:
    """Return settings as code."""
    return ", ".join(f"`{name}`" for name in found)


def arguments(rule: Written | Joint) -> str:
    """Return the arguments that a rule writes as code."""
    return ", ".join(f"`{name}`" for name in rule.names) or "nothing"


def default(found: list[str], system: System) -> str:
    """Return the default of a setting that is written out if the run does not set it."""
    return f"`{value(system.defaults[found[0]])}`" if found[0] in system.defaults else ""


def note(rule: Written | Joint, found: list[str]) -> str:
    """Return what differs."""
    if rule.names == (found[0],) and len(found) > 1 and not rule.note:
        return "the same names"
    return rule.note.replace("|", "\\|")


def value(one: object) -> str:
    """Return a value as YAML has it."""
    return {True: "true", False: "false"}.get(one, str(one)) if isinstance(one, bool) else str(one)


def main() -> int:
    """Write the pages, or compare them with `--check`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if a page differs")
    check = parser.parse_args().check
    changed = [path for path, text in files().items() if path.read_text(encoding="utf-8") != text]
    for path in changed:
        if not check:
            path.write_text(files()[path], encoding="utf-8")
        print(f"{path.name} {'differs' if check else 'written'}")
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
