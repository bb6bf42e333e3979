"""`TranslatedSetting`: what a setting of TRL is called in this package, or why it has no place here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from rlhf_losses.errors import InvalidSettingError, did_you_mean


class Kind(Enum):
    """What becomes of a setting."""

    SAME = "same name and meaning"
    RENAMED = "another name"
    COUNTED = "computed from several settings"
    TRAINER = "an argument of the trainer, the tokenizer or the model"
    SCRIPT = "read by scripts only"
    REFUSED = "refused"


@dataclass(frozen=True)
class TranslatedSetting:
    """A setting of TRL and what it is here.

    Attributes:
        name: its name in TRL.
        kind: what becomes of it.
        here: names of the settings of this package.
        note: what differs; of a refused setting why, and what to do: two sentences.
        default: its default value in TRL.
    """

    name: str
    kind: Kind
    here: tuple[str, ...] = ()
    note: str = ""
    default: Any = None

    def refusal(self, value: Any) -> InvalidSettingError:
        """Return the error for a value of a refused setting."""
        return InvalidSettingError(f"{self.name}={value!r} has no place here. {self.note}")


def refuse_settings(settings: Mapping[str, Any], table: Iterable[TranslatedSetting]) -> None:
    """Raise `InvalidSettingError` for the first refused setting with another value than its default.

    Args:
        settings: values by name in TRL.
        table: all settings.
    """
    for one in table:
        if one.kind is Kind.REFUSED and (value := settings.get(one.name, one.default)) != one.default:
            raise one.refusal(value)


def refuse_names(settings: Mapping[str, Any], table: Iterable[TranslatedSetting], accepted: Iterable[str]) -> None:
    """Raise `InvalidSettingError` for the first setting that a configuration does not have.

    Args:
        settings: values by name in TRL.
        table: all settings that are known.
        accepted: names of the settings of the configuration.
    """
    accepted, known = set(accepted), {one.name: one for one in table}
    for name in settings.keys() - accepted:
        if name in known:
            raise known[name].refusal(settings[name])
        raise InvalidSettingError(
            f"{name}={settings[name]!r} is no setting of TRL's trainer.{did_you_mean(name, accepted)} Correct the "
            "name, or omit it."
        )
