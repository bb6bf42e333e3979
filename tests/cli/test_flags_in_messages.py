"""Messages name a flag only if the running command has it."""

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import rlhf_losses
from rlhf_losses.cli.main import COMMANDS

PACKAGE = Path(rlhf_losses.__file__).parent
CLI = sorted((PACKAGE / "cli").glob("*.py"))
PRINTED_COMMANDS = PACKAGE / "messages" / "printed_commands.py"
LIBRARY = sorted(file for file in PACKAGE.rglob("*.py") if file not in (*CLI, PRINTED_COMMANDS))
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z_-]*[a-z](?![\w-])")
COMMAND = re.compile(r"(?:rlhf-losses|rlhf_losses) (\w+)|(accelerate launch|pip install|python \w+\.py)")
EARLIER_NAMES = ("OLD_FLAGS", "OLD_VALUES")


@cache
def flags_of(command: str) -> frozenset[str]:
    """Return the flags of a command."""
    module = importlib.import_module(f"rlhf_losses.cli.{COMMANDS[command][0]}")
    return frozenset({*module.build_parser().flags(), "--help-all", "--no_use_peft"})


def texts(tree: ast.AST) -> Iterator[str]:
    """Return all strings but docstrings, with `{}` for inserted values."""
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    inner |= {id(part) for call in printed_commands(tree) for part in ast.walk(call)}
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (inner | statements):
            yield node.value


def printed_commands(tree: ast.AST) -> Iterator[ast.Call]:
    """Return the calls that make a command line for a message."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "printed_command":
            yield node


def foreign_flags(text: str, running: frozenset[str]) -> list[str]:
    """Return the flags in a message that its reader does not have.

    Args:
        text: the message.
        running: flags of the running command. After a complete command in the message, the flags are those of it.
    """
    wrong = []
    for flag in FLAG.finditer(text):
        commands = list(COMMAND.finditer(text, 0, flag.start()))
        name, other = commands[-1].groups() if commands else (None, None)
        known = flags_of(name) if name in COMMANDS else running
        if not other and flag[0] not in known:
            wrong.append(flag[0])
    return wrong


@pytest.mark.parametrize("file", LIBRARY, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_messages_of_the_library_name_no_flags(file):
    found = {text: foreign_flags(text, frozenset()) for text in texts(ast.parse(file.read_text(encoding="utf-8")))}
    assert not [text for text, flags in found.items() if flags]


def test_settings_in_messages_are_flags_of_a_command():
    all_flags = frozenset().union(*map(flags_of, COMMANDS))
    names = {
        call.args[0].value
        for file in LIBRARY
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in ("setting", "has_flag")
        and isinstance(call.args[0], ast.Constant)
    }
    assert names
    assert {f"--{name}" for name in names} <= all_flags


Definition = tuple[str, str]
"""Module of the command line, and a name at its top level."""


@cache
def definitions() -> dict[Definition, ast.stmt]:
    """Return all functions, classes and constants of the command line."""
    found: dict[Definition, ast.stmt] = {}
    for file in CLI:
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found[file.stem, node.name] = node
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found |= {(file.stem, target.id): node for target in targets if isinstance(target, ast.Name)}
    return found


@cache
def imported(module: str) -> dict[str, Definition]:
    """Return the names that a module imports from other modules of the command line; of a module, the name is empty."""
    names: dict[str, Definition] = {}
    for node in ast.walk(ast.parse((PACKAGE / "cli" / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "rlhf_losses.cli":
            names |= {alias.name: (alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rlhf_losses.cli."):
            names |= {alias.name: ((node.module or "").rpartition(".")[2], alias.name) for alias in node.names}
    return names


def used_by(definition: Definition) -> set[Definition]:
    """Return the definitions whose names occur in a definition."""
    module, names = definition[0], imported(definition[0])
    used = set()
    for node in ast.walk(definitions()[definition]):
        if isinstance(node, ast.Name):
            used.add(names.get(node.id, (module, node.id)))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            used.add((names[node.value.id][0], node.attr))
    return {one for one in used if one in definitions() and one[1] not in EARLIER_NAMES}


def reachable(command: str) -> set[Definition]:
    """Return the definitions that a command can use."""
    found: set[Definition] = set()
    queue = [(COMMANDS[command][0], "run")]
    while queue:
        one = queue.pop()
        if one not in found:
            found.add(one)
            queue += used_by(one)
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_messages_of_a_command_name_only_its_flags(command):
    used = reachable(command)
    assert len(used) > 3
    wrong = {
        f"{module}.{name}": flags
        for module, name in used
        for text in texts(definitions()[module, name])
        if (flags := foreign_flags(text, flags_of(command)))
    }
    assert not wrong


def test_commands_in_messages_have_quotes_and_plugin_files_and_their_own_flags():
    trees = {file: ast.parse(file.read_text(encoding="utf-8")) for file in (*CLI, *LIBRARY)}
    unquoted = [
        text
        for file, tree in trees.items()
        for text in texts(tree)
        if file.parent.name != "migrate" and re.search(rf"rlhf-losses (?:{'|'.join(COMMANDS)}) [^.,'`]*{{}}", text)
    ]
    assert unquoted == []
    calls = [call for tree in trees.values() for call in printed_commands(tree)]
    named = [call for call in calls if isinstance(call.args[0], ast.Constant)]
    assert len(named) >= 5
    for call in named:
        command, *words = [word.value for word in call.args if isinstance(word, ast.Constant)]
        assert {word for word in words if word.startswith("--")} <= flags_of(command)


def test_a_flag_of_another_command_is_found():
    assert foreign_flags("Set --chat_template_path FILE.", flags_of("score")) == ["--chat_template_path"]
    assert not foreign_flags("Set --chat_template_path FILE.", flags_of("train"))
    assert not foreign_flags("Run rlhf-losses train --loss hinge.", flags_of("score"))
