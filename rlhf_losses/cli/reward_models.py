"""The reward models of `rlhf-losses ppo`: one or several, standardised, placed, combined, perhaps on one base."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlhf_losses.cli import training_runs
from rlhf_losses.cli.dataset_loading import load_rows
from rlhf_losses.errors import FeedbackMismatchError
from rlhf_losses.ppo import Ensemble, StepMeanRewards, StepRewards
from rlhf_losses.scoring.ensemble import NOTATION
from rlhf_losses.scoring import Scorer, fit_reference

EXAMPLE = "runs/reward-model"


PAID_AT: dict[str, Callable[[Any], Any]] = {
    "end": lambda scorer: scorer,
    "steps": StepRewards,
    "step_mean": StepMeanRewards,
}
"""What makes a reward function of a scorer or an ensemble, by where it pays."""


@dataclass
class RewardFunctionArguments:
    """Which reward models score, and how their scores become rewards."""

    reward_model_name_or_path: list[str] | None = field(
        default=None,
        metadata={
            "help": "Folder or hub id of the reward model that scores completions; of several, each has its weight in "
            "--reward_weights, or --ensemble makes them one.",
            "aliases": ["--reward_model"],
        },
    )
    ensemble: str | None = field(
        default=None, metadata={"help": f"AttentionOptions several reward models are made one: {NOTATION}."}
    )
    reward_at: str = field(
        default="end",
        metadata={
            "help": "Where scores are paid: at the end of a completion, or, by a reward model of steps or an ensemble "
            "of such, each step's at its own end, in full (steps) or as its share of their mean (step_mean).",
            "choices": list(PAID_AT),
        },
    )
    reference_samples: str | None = field(
        default=None,
        metadata={
            "help": "Rows with prompt and completion (or chosen) that every reward model is fitted to, so that their "
            "scores have mean 0 and variance 1; what is found is stored in its folder. With it, --score_normalization "
            "is reference."
        },
    )
    share_base: bool = field(
        default=False,
        metadata={
            "help": "Whether the reward model is an adapter of the policy's base, so that all four roles hold one copy "
            "of the weights; --reward_model is then a checkpoint of rlhf-losses train."
        },
    )

    @property
    def names(self) -> list[str]:
        """Return the names of the reward models, of which there must be one."""
        names = self.reward_model_name_or_path or [training_runs.require(None, "--reward_model", EXAMPLE)]
        return [names] if isinstance(names, str) else names  # a file of --config may have one without a list


def reward_functions(told: RewardFunctionArguments, load: Callable[[str], Scorer]) -> list[Any]:
    """Return the reward functions that the arguments ask for; `load` loads a reward model by its name."""
    scorers = [load(name) for name in told.names]
    if told.reference_samples:
        for scorer, name in zip(scorers, told.names, strict=True):
            fit_reference(scorer, *reference_samples(told.reference_samples), name if Path(name).is_dir() else None)
    paid = PAID_AT[told.reward_at]
    if told.ensemble is None:
        return [paid(scorer) for scorer in scorers]
    return [paid(Ensemble(scorers, told.ensemble))]


def reference_samples(name: str) -> tuple[Sequence[Any], Sequence[Any]]:
    """Return prompts and completions of the rows of `--reference_samples`."""
    rows = load_rows(name)
    columns = rows.column_names or []
    answer = next((column for column in ("completion", "chosen") if column in columns), None)
    if "prompt" not in columns or answer is None:
        raise FeedbackMismatchError(
            f"The rows of --reference_samples have the columns {', '.join(columns)}, but samples are a prompt with a "
            "completion. Rename the columns to prompt and completion."
        )
    return list(rows["prompt"]), list(rows[answer])
