"""Finds training commands of other systems in a shell script, and reads their flags."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.migrate.found_settings import Found, Source, Unread
from rlhf_losses.migrate.shell_words import ShellCommand, Value, Word, shell_commands
from rlhf_losses.migrate.yaml_settings import read_mapping, settings_of_mapping

PROCESSES = ("nproc_per_node", "num_processes", "num_gpus", "np", "n")
MACHINES = ("nnodes", "num_nodes", "num_machines")
LAUNCHERS = ("accelerate", "torchrun", "deepspeed", "mpirun", "srun", "ray", "torch.distributed.run")
ARGUMENTS_OF_THE_SCRIPT = ("$@", "$*")
CONFIG_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class Program:
    """A training command of another system.

    Attributes:
        pattern: the words that start it, joined by spaces.
        key: the system and its command, or a function of its settings that returns it; None for one that trains
            neither reward models nor policies with PPO.
        yaml: whether its first argument may be a file of settings.
    """

    pattern: re.Pattern[str]
    key: str | Callable[[dict[str, object]], str | None] | None
    yaml: bool = False


def _swift(settings: dict[str, object]) -> str | None:
    return {"rm": "ms-swift-rm", "ppo": "ms-swift-ppo"}.get(str(settings.get("rlhf_type", "dpo")))


def _factory(settings: dict[str, object]) -> str | None:
    return {"rm": "llama-factory-rm", "ppo": "llama-factory-ppo"}.get(str(settings.get("stage", "sft")))


def _axolotl(settings: dict[str, object]) -> str | None:
    if settings.get("reward_model"):
        return "axolotl-rm"
    return "axolotl-prm" if settings.get("process_reward_model") else None


PROGRAMS = (
    Program(re.compile(r"openrlhf\.cli\.train_rm|(\S*/)?train_rm\.py"), "openrlhf-rm"),
    Program(re.compile(r"openrlhf\.cli\.train_ppo(_ray)?|(\S*/)?train_ppo(_ray)?\.py"), "openrlhf-ppo"),
    Program(re.compile(r"openrlhf\.cli\.\w+"), None),
    Program(re.compile(r"(\S*/)?swift rlhf|(\S*/)?swift/cli/rlhf\.py|swift\.cli\.rlhf"), _swift, yaml=True),
    Program(
        re.compile(r"(\S*/)?(llamafactory-cli|lmf) train|llamafactory\.launcher|(\S*/)?src/train(_bash)?\.py"),
        _factory,
        yaml=True,
    ),
    Program(re.compile(r"(\S*/)?axolotl train|axolotl\.cli\.train"), _axolotl, yaml=True),
    Program(
        re.compile(r"(\S*/)?trl reward|trl\.scripts\.reward|(\S*/)?(trl/scripts/reward|reward_modeling)\.py"),
        "trl-reward",
        yaml=True,
    ),
    Program(re.compile(r"(\S*/)?(trl ppo|ppo(_tldr)?\.py)"), "trl-ppo", yaml=True),
    Program(re.compile(r"(\S*/)?(trl prm|prm\.py)"), "trl-prm", yaml=True),
    Program(re.compile(r"(\S*/)?(trl|swift|llamafactory-cli|axolotl) (?!env|--)[a-z-]+"), None),
)  # fmt: skip
"""Training commands; the first pattern that fits counts."""

OTHER_SCRIPT = re.compile(r"\S+\.py")
"""A script whose system is stated."""


def read_shell(text: str, folder: Path, stated: str | None = None) -> tuple[list[Source], list[str]]:
    """Return the training commands of a script, and a description of commands of these systems that are none.

    Args:
        text: the script.
        folder: folder of the script, for files of settings that it names.
        stated: the system and command of Python scripts with other names.

    Raises:
        InvalidSettingError: a file with the settings of a command is missing.
    """
    programs = PROGRAMS if stated is None else (*PROGRAMS, Program(OTHER_SCRIPT, stated, yaml=True))
    sources, others = [], []
    for command in _all_commands(text):
        match = _program(command, programs)
        if match is None:
            continue
        program, start, end = match
        settings, notes = _settings(command.words[end:], folder, program.yaml)
        known = {one.name: one.value for one in settings}
        key = program.key(known) if callable(program.key) else program.key
        name = " ".join(word.text for word in command.words[start:end])
        if key is None:
            _require_settings(name, settings)
            others.append(f"{name} (line {command.words[start].line})")
            continue
        notes += [*_launcher_notes(command, start, key), *_broken(command)]
        sources.append(
            Source(
                key,
                tuple(settings),
                _processes(command, start),
                tuple(notes),
                f"{name} (line {command.words[start].line})",
            )
        )
    return sources, others


def _all_commands(text: str) -> Iterator[ShellCommand]:
    """Yield the commands of a script, and those in a text after `bash -c`."""
    for command in shell_commands(text):
        yield command
        for flag, word in pairwise(command.words):
            if flag.text == "-c" and isinstance(word.value, str):
                yield from (_moved(one, word.line - 1) for one in _all_commands(word.value))


def _moved(command: ShellCommand, lines: int) -> ShellCommand:
    return replace(command, words=tuple(Word(word.value, word.line + lines) for word in command.words))


def _require_settings(name: str, settings: Iterable[Found]) -> None:
    """Raise `InvalidSettingError` if the settings of a command are in a file that is not there."""
    for one in settings:
        if one.name in ("", "config") and isinstance(one.value, Unread):
            raise InvalidSettingError(
                f"The settings of '{name}' ({one.place}) are in {one.value.text}: {one.value.reason}, so it is unknown "
                "what the command trains. Give that file in place of the script."
            )


def _program(command: ShellCommand, programs: Sequence[Program]) -> tuple[Program, int, int] | None:
    """Return the training command, and the indices of its first word and of its first argument."""
    texts = [word.text for word in command.words]
    for index, text in enumerate(texts):
        if text.startswith("-") or (index and texts[index - 1].lstrip("-") in ("config_file", "hostfile")):
            continue
        pair = " ".join(texts[index : index + 2])
        for program in programs:
            if program.pattern.fullmatch(text):
                return program, index, index + 1
            if index + 1 < len(texts) and program.pattern.fullmatch(pair):
                return program, index, index + 2
    return None


def _settings(words: Sequence[Word], folder: Path, yaml: bool) -> tuple[list[Found], list[str]]:
    """Return the settings of the words after a program; those of a file of settings come first."""
    found = list(read_flags(words))
    notes: list[str] = []
    files = [one for one in found if yaml and _is_file_of_settings(one)]
    from_files: list[Found] = []
    for one in files[:1]:
        found.remove(one)
        path = folder / str(one.value)
        if isinstance(one.value, Unread) or not path.is_file():
            from_files.append(
                Found(one.name, Unread(str(one.value), "there is no such file beside the script"), one.place)
            )
        else:
            from_files += list(settings_of_mapping(read_mapping(path), path.name))
            notes.append(f"The settings of '{one.value}' are included.")
    return from_files + found, notes


def _is_file_of_settings(one: Found) -> bool:
    return one.name in ("", "config") and isinstance(one.value, str) and one.value.endswith(CONFIG_SUFFIXES)


def read_flags(words: Iterable[Word]) -> Iterator[Found]:
    """Yield the settings of the words after a program.

    Args:
        words: `--name value`, `--name=value`, `--name` and `name=value`. A word that belongs to none has no name.
    """
    name, place, values = "", "", list[Value]()

    def finished() -> Iterator[Found]:
        if name:
            yield Found(name, _value(values), place)

    for word in words:
        flag = re.fullmatch(r"--?([A-Za-z][\w.\-]*)(?:=(.*))?", word.text, re.S)
        assigned = re.fullmatch(r"\+*([A-Za-z_][\w.]*)=(.*)", word.text, re.S)
        if flag or (assigned and (not name or values)):
            yield from finished()
            match = flag or assigned
            assert match
            place, values = f"line {word.line}", []
            name = match[1].replace("-", "_")
            if match[2] is not None:
                values = [Unread(match[2], word.value.reason) if isinstance(word.value, Unread) else match[2]]
        elif name and word.text not in ARGUMENTS_OF_THE_SCRIPT:
            values.append(word.value)
        else:
            yield Found("", word.value, f"line {word.line}")
    yield from finished()


def _value(values: Sequence[Value]) -> object:
    """Return the value of a flag: true without one, a list of several."""
    if not values:
        return True
    unread = next((one for one in values if isinstance(one, Unread)), None)
    if unread is not None:
        return Unread(" ".join(one.text if isinstance(one, Unread) else one for one in values), unread.reason)
    return values[0] if len(values) == 1 else list(values)


def _processes(command: ShellCommand, start: int) -> int | None:
    """Return the number of processes that a launcher starts, or None if it is not known."""
    found = {one.name: one.value for one in read_flags(command.words[:start]) if one.name}
    flags = {name: value[0] if isinstance(value, list) else value for name, value in found.items()}
    environment = dict(command.environment)
    devices = environment.get("CUDA_VISIBLE_DEVICES")
    counts = [flags[name] for name in PROCESSES if name in flags] + [environment.get("NPROC_PER_NODE")]
    machines = [flags[name] for name in MACHINES if name in flags] + [environment.get("NNODES")]
    count = next((int(one) for one in counts if isinstance(one, str) and one.isdigit()), None)
    if count is None and isinstance(devices, str) and devices:
        count = len(devices.split(","))
    machine_count = next((int(one) for one in machines if isinstance(one, str) and one.isdigit()), 1)
    is_total = "num_processes" in flags  # accelerate counts the processes of all machines
    return None if count is None else count * (1 if is_total else machine_count)


def _launcher_notes(command: ShellCommand, start: int, key: str) -> list[str]:
    words = [word.text for word in command.words[:start]]
    launcher = next((word for word in words if word.rsplit("/", 1)[-1] in LAUNCHERS), None)
    if launcher is None:
        return []
    refused = " rlhf-losses ppo refuses DeepSpeed and FSDP." if key.endswith("-ppo") else ""
    return [
        f"The script starts the processes with '{' '.join(words)}'. Start this package with torchrun or accelerate "
        f"launch, as docs/how-to/many-processes.md describes.{refused}"
    ]


def _broken(command: ShellCommand) -> list[str]:
    return [
        f"Line {line} begins with a flag, but the line before does not continue on it (a comment or a missing "
        "backslash), so the shell runs it as a command of its own. Its flags are included here."
        for line in command.continued_at
    ]
