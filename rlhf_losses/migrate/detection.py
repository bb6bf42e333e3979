"""Finds the run that a file describes: its system, and its settings."""

from collections.abc import Sequence
from pathlib import Path

from rlhf_losses.errors import InvalidSettingError, did_you_mean
from rlhf_losses.files.yaml_mappings import read_settings_text, read_yaml_mapping
from rlhf_losses.messages.documentation import documentation
from rlhf_losses.messages.setting_names import setting
from rlhf_losses.migrate.found_settings import Source
from rlhf_losses.migrate.python_settings import read_python
from rlhf_losses.migrate.shell_settings import read_shell
from rlhf_losses.migrate.systems import SYSTEMS
from rlhf_losses.migrate.yaml_settings import settings_of_mapping, systems_of_yaml

KIND = "a Python script, a shell script or a YAML file with settings of another system"
PYTHON, YAML = (".py",), (".yaml", ".yml", ".json")
WINDOWS = (".bat", ".cmd", ".ps1")


def read_run(path: Path, system: str | None = None) -> Source:
    """Return the run that a file describes.

    Args:
        path: a Python script, a shell script, or a YAML or JSON file.
        system: the system, or the system and its command, as in `SYSTEMS`; by default it is found.

    Raises:
        InvalidSettingError: the file cannot be read, or describes no run or several, or the system is unknown.
    """
    wanted = _wanted(system)
    text = read_settings_text(path, KIND)
    if not text.strip() or "\0" in text:
        what = "is empty" if not text.strip() else "is no text"
        raise InvalidSettingError(f"'{path}' {what}, so it has no settings. Give {KIND}.")
    sources, others = _read(path, text, wanted)
    fitting = [source for source in sources if source.key in wanted]
    if len(fitting) != 1:
        raise InvalidSettingError(_problem(path, fitting, sources, others, system))
    return fitting[0]


def _wanted(system: str | None) -> Sequence[str]:
    """Return the keys of the systems that `--from` allows."""
    if system is None:
        return list(SYSTEMS)
    keys = [key for key in SYSTEMS if key == system or key.rsplit("-", 1)[0] == system]
    if not keys:
        families = sorted({key.rsplit("-", 1)[0] for key in SYSTEMS})
        raise InvalidSettingError(
            f"'{system}' is no system whose settings are known.{did_you_mean(system, [*families, *SYSTEMS])} Choose "
            f"one of: {', '.join(families)}, or one with its command: {', '.join(SYSTEMS)}."
        )
    return keys


def _read(path: Path, text: str, wanted: Sequence[str]) -> tuple[list[Source], list[str]]:
    """Return the runs in a file, and what else was found."""
    if path.suffix == ".ipynb":
        raise InvalidSettingError(f"'{path}' is a notebook, which is not read. Export it as a script.")
    if path.suffix in WINDOWS:
        raise InvalidSettingError(
            f"'{path}' is a script for Windows, which is not read. Write its command into a shell script, with a "
            "backslash at the end of continued lines."
        )
    if path.suffix in PYTHON:
        return read_python(text, str(path))
    if path.suffix in YAML:
        return _read_yaml(path, text, wanted)
    sources, others = read_shell(text, path.parent)
    if not sources and not others and len(wanted) == 1:  # a script with another name, whose system is stated
        sources, others = read_shell(text, path.parent, wanted[0])
    if sources or others or path.suffix in (".sh", ".bash") or text.startswith("#!"):
        return sources, others
    return _read_yaml(path, text, wanted)


def _read_yaml(path: Path, text: str, wanted: Sequence[str]) -> tuple[list[Source], list[str]]:
    settings = read_yaml_mapping(text, f"'{path}'", "learning_rate: 1e-5")
    found = tuple(settings_of_mapping(settings))
    keys, others = systems_of_yaml(settings)
    if not keys and len(wanted) == 1:  # the system is stated with its command
        keys = list(wanted)
    return [Source(key, found, where=path.name) for key in keys], others


def _problem(
    path: Path, fitting: Sequence[Source], sources: Sequence[Source], others: Sequence[str], system: str | None
) -> str:
    """Return what is wrong with a file of no run or several."""
    if len(fitting) > 1:
        listed = ", ".join(f"{SYSTEMS[one.key].name}: {one.where}" for one in fitting)
        keys = sorted({one.key for one in fitting})
        choices = " or ".join(_from(key) for key in keys)
        remedy = f"Choose one with {choices}" if len(keys) > 1 else "Keep one in the file"
        return (
            f"'{path}' may describe {len(fitting)} runs ({listed}), and a YAML file has those of one. {remedy}, "
            "or put them into files of their own."
        )
    if sources:
        listed = ", ".join(f"{SYSTEMS[one.key].name}: {one.where}" for one in sources)
        return (
            f"'{path}' describes a run of another system than {_from(str(system))} ({listed}). Choose "
            f"{_from(sources[0].key)}."
        )
    if others:
        return (
            f"'{path}' has {', '.join(others[:3])}, and nothing that trains a reward model, or a policy with PPO. Give "
            "the file of such a run; for other trainers of TRL, a Scorer is a reward function: "
            f"{documentation('how-to/grpo.md')}."
        )
    names = ", ".join(dict.fromkeys(one.name for one in SYSTEMS.values()))
    return (
        f"'{path}' has no training command, trainer or settings that are known. The systems are: {names}. Give the "
        f"script or YAML file of such a run, and name its system and command: {_from('trl-ppo')}."
    )


def _from(key: str) -> str:
    """Return the argument that chooses a system."""
    return setting("from", key, python=f"system={key!r}")
