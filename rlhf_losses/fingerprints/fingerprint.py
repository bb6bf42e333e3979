"""`fingerprint.json`: what decides the result of the run that wrote a checkpoint."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.fingerprints.content import Content
from rlhf_losses.fingerprints.setting_effects import Effect, SettingEffects

FILE = "fingerprint.json"
SCHEMA = 1
"""Version of the format of the file."""

LONGEST = 120
"""Largest number of characters of a value in a message."""


@dataclass(frozen=True)
class Change:
    """Something that a run and a checkpoint do not have in common.

    Args:
        name: name of a setting, or of something else that decides the result.
        saved: its value in the checkpoint.
        now: its value in the run.

    Examples:
        >>> print(Change("learning_rate", 1e-4, 3e-4))
        learning_rate: 0.0001 in the checkpoint, 0.0003 now
    """

    name: str
    saved: Any
    now: Any

    def __str__(self) -> str:
        """Return the name and both values."""
        return f"{self.name}: {_show(self.saved)} in the checkpoint, {_show(self.now)} now"


@dataclass(frozen=True)
class RunFingerprint:
    """What decides the result of a run, apart from its devices and the state in its checkpoints.

    Args:
        settings: settings that change the result, by name; `peft_config.r` is a setting of the adapters.
        content: content of data, models and code, by name; None if it is unknown.
        versions: versions of the libraries.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    content: Mapping[str, Content | None] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """Return the names of everything that is compared."""
        return {*self.settings, *self.content}

    def save(self, folder: str | Path) -> None:
        """Write `fingerprint.json` into a checkpoint."""
        text = json.dumps({"schema": SCHEMA, **asdict(self)}, indent=2, ensure_ascii=False, sort_keys=True)
        Path(folder, FILE).write_text(f"{text}\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> "RunFingerprint | None":
        """Read `fingerprint.json` from a checkpoint.

        Returns:
            The fingerprint, or None if the checkpoint has none.

        Raises:
            UnsupportedModelError: the file is not valid, or was written by a newer version.
        """
        file = Path(folder, FILE)
        if not file.is_file():
            return None
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            schema = content.pop("schema")
            values = {name: one and Content(**one) for name, one in content.pop("content").items()}
            fingerprint = cls(content=values, **content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnsupportedModelError(
                f"'{file}' is not a valid fingerprint of a run ({error}), so the run cannot be compared with the "
                "checkpoint. Resume from another checkpoint, or delete the file to resume without a comparison."
            ) from error
        if schema != SCHEMA:
            raise UnsupportedModelError(
                f"'{file}' has schema {schema!r}, but this version of rlhf-losses supports schema {SCHEMA}. "
                "Resume with the version that wrote the checkpoint, or a newer one."
            )
        return fingerprint


def find_changes(
    saved: RunFingerprint,
    now: RunFingerprint,
    effects: SettingEffects,
    defaults: Mapping[str, Any],
    names: Iterable[str],
) -> list[Change]:
    """Return what changes the result of a run that resumes from a checkpoint.

    Args:
        saved: fingerprint of the checkpoint.
        now: fingerprint of the run.
        effects: effects of the settings.
        defaults: default values of settings, which a checkpoint of an earlier version may not have.
        names: names to compare.
    """
    changes = [length] if (length := changed_length(saved, now)) and not is_longer(length) else []
    for name in sorted(names):
        if name in now.content or name in saved.content:
            one, other = saved.content.get(name), now.content.get(name)
            if one is not None and other is not None and one != other:
                changes.append(Change(name, one, other))
        elif effects.effect(name) in (Effect.RESULT, Effect.ELSEWHERE):
            change = _changed_setting(name, saved.settings, now.settings, defaults)
            changes += [] if change is None else [change]
    return changes


def changed_length(saved: RunFingerprint, now: RunFingerprint) -> Change | None:
    """Return the change of the planned length of a run: its steps if their number is set, else its epochs."""
    lengths = [length for one in (saved, now) if (length := _length(one)) is not None]
    if len(lengths) < 2 or lengths[0] == lengths[1]:
        return None
    (old_name, old), (new_name, new) = lengths
    if old_name == new_name:
        return Change(new_name, old, new)
    return Change("max_steps", *(value if name == "max_steps" else f"{name}={value}" for name, value in lengths))


def is_longer(length: Change) -> bool:
    """Return whether a run has more steps or epochs than the checkpoint planned; steps and epochs are not compared."""
    return not isinstance(length.saved, str) and not isinstance(length.now, str) and 0 < length.saved < length.now


def _length(one: RunFingerprint) -> tuple[str, float] | None:
    steps, epochs = one.settings.get("max_steps"), one.settings.get("num_train_epochs")
    if steps is None or epochs is None:
        return None
    return ("max_steps", steps) if steps > 0 else ("num_train_epochs", epochs)


def _changed_setting(
    name: str, saved: Mapping[str, Any], now: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Change | None:
    """Return a changed setting. One that only one side has, of another version, counts if it is not the default."""
    if "." not in name and name not in now:
        return None  # the setting no longer exists
    old, new = saved.get(name, defaults.get(name)), now.get(name)
    missing = "." in name and not (name in saved and name in now)
    unknown = "." not in name and name not in saved and name not in defaults
    if old == new or unknown or (missing and not old and not new):
        return None
    return Change(name, old, new)


def _show(value: Any) -> str:
    text = str(value) if isinstance(value, Content) else repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
