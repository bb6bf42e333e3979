"""The model card of a policy that was trained with PPO."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.constants import REPOCARD_NAME

from rlhf_losses.cards.card_template import render_template
from rlhf_losses.cards.origins import Origin, licence_sentence, origin_of_dataset
from rlhf_losses.messages.documentation import documentation

TAGS = ("ppo", "rlhf", "rlhf-losses", "trl")


@dataclass(frozen=True)
class RewardSource:
    """A reward function of a run.

    Attributes:
        name: its name in the log.
        weight: its weight in the sum of rewards.
        description: what it is: a reward model with its loss, or a function.
    """

    name: str
    weight: float
    description: str


@dataclass(frozen=True)
class PolicyCard:
    """Content of the card of a policy.

    Attributes:
        name: name of the model: its Hub id, or the name of its folder.
        base: the policy before PPO, or None for a model that was created in memory.
        architecture: class of the model.
        is_adapter: whether the folder has adapters without their base.
        is_checkpoint: whether the folder is a checkpoint of an unfinished run.
        trained: which weights were trained.
        rewards: the reward functions.
        prompts: the prompts, or None for a dataset in memory.
        prompt_count: number of prompts, or None for a stream.
        reads: what a prompt is: `"text"` or `"conversation"`.
        summary: sentences about the reward and the KL at the beginning and at the end of the run.
        settings: settings of the run by name.
        command: command that reproduces the run, or None.
        versions: versions of the libraries.
        tags: tags on the Hub.
    """

    name: str
    base: Origin | None
    architecture: str
    is_adapter: bool
    is_checkpoint: bool
    trained: str
    rewards: Sequence[RewardSource]
    prompts: Origin | None
    prompt_count: int | None
    reads: str
    summary: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    command: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = TAGS

    def completed(self, dataset_name: str | None, tags: tuple[str, ...]) -> "PolicyCard":
        """Return the card with the origin of the data, if a name is given, and further tags.

        Args:
            dataset_name: Hub id, file or folder of the data.
            tags: further tags.
        """
        prompts = self.prompts if dataset_name is None else origin_of_dataset(dataset_name)
        return replace(self, prompts=prompts, tags=(*self.tags, *tags))

    def data_of_card(self) -> ModelCardData:
        """Return the metadata of the Hub."""
        base, prompts = self.base, self.prompts
        return ModelCardData(
            base_model=None if base is None else base.hub_id,
            datasets=[prompts.hub_id] if prompts is not None and prompts.hub_id else None,
            library_name="peft" if self.is_adapter else "transformers",
            pipeline_tag="text-generation",
            license=None if base is None else base.licence,
            tags=list(dict.fromkeys(self.tags)),
        )

    def write(self, folder: Path) -> None:
        """Write `README.md` into the folder of the model, in place of an earlier one.

        Args:
            folder: the folder.
        """
        licence = licence_sentence(self.base, self.prompts)
        text = render_template("policy.md.jinja", card=self, documentation=documentation, licence=licence)
        ModelCard(f"---\n{self.data_of_card().to_yaml()}\n---\n\n{text}").save(folder / REPOCARD_NAME)
