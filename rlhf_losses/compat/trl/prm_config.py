"""`PRMConfig` with the settings of TRL 1.13's."""

from dataclasses import dataclass, field, fields
from typing import Any, Self

from rlhf_losses.checks.setting_types import Range, require_ranges
from rlhf_losses.compat.trl.prm_settings import PRM_SETTINGS
from rlhf_losses.compat.trl.removed_settings import REMOVED_SETTINGS
from rlhf_losses.compat.trl.translated_setting import refuse_names
from rlhf_losses.training import RewardConfig


@dataclass
class PRMConfig(RewardConfig):
    """Settings of `PRMTrainer`: those of `rlhf_losses.RewardConfig`, with the defaults of TRL 1.13, and two more.

    Args:
        loss: a loss of steps.
        learning_rate: peak learning rate.
        max_completion_length: largest number of tokens of the steps together; further steps are cut.
        train_on_last_step_only: use the label of the last step only; evaluation uses all.

    Raises:
        InvalidSettingError: a setting is refused or out of range.
    """

    loss: str = field(default="step_cross_entropy", metadata={"help": "Loss of steps, like 'pqm'."})
    learning_rate: float | None = field(default=1e-5, metadata={"help": "Peak learning rate."})
    max_completion_length: int | None = field(
        default=None, metadata={"help": "Largest number of tokens of the steps together; further steps are cut."}
    )
    train_on_last_step_only: bool = field(default=False, metadata={"help": "Use the label of the last step only."})

    def __new__(cls, *_: Any, **settings: Any) -> Self:
        """Refuse settings that have no place here before Python refuses their names."""
        refuse_names(settings, (*PRM_SETTINGS, *REMOVED_SETTINGS), (one.name for one in fields(cls)))
        return object.__new__(cls)

    def __post_init__(self) -> None:
        require_ranges(self, {"max_completion_length": Range(1, "A step has at least one token.")})
        super().__post_init__()
