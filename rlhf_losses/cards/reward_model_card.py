"""The model card of a reward model: `README.md` beside its weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.constants import REPOCARD_NAME

from rlhf_losses.cards.card_template import render_template
from rlhf_losses.cards.described_loss import DescribedTerm
from rlhf_losses.cards.held_out_table import HeldOutSet
from rlhf_losses.cards.origins import Origin, licence_sentence, origin_of_dataset
from rlhf_losses.messages.documentation import documentation

BEGINNING, END = "<!-- held-out results -->", "<!-- end of held-out results -->"
"""Comments around the part of a card that `add_results` replaces."""

TAGS = ("reward-model", "rlhf-losses", "trl")


@dataclass(frozen=True)
class RewardModelCard:
    """Content of the card of a reward model.

    Attributes:
        name: name of the model: its Hub id, or the name of its folder.
        terms: the loss.
        base: the model that was trained, or None for one that was created in memory.
        architecture: class of the model.
        is_adapter: whether the folder has adapters without their base.
        is_checkpoint: whether the folder is a checkpoint of an unfinished run.
        trained: which weights were trained.
        dataset: the training data, or None for data in memory.
        data: sentences about the rows of the training data.
        reads: what the model scores: `"text"` or `"conversation"`.
        scores_steps: whether it scores the steps of an answer.
        writes_bos: whether its chat template writes BOS, which verl removes.
        scale: sentences about the zero and the scale of the scores.
        held_out: held-out results.
        settings: settings of the training by name.
        command: command that reproduces the run, or None.
        versions: versions of the libraries.
        tags: tags on the Hub.
    """

    name: str
    terms: Sequence[DescribedTerm]
    base: Origin | None
    architecture: str
    is_adapter: bool
    is_checkpoint: bool
    trained: str
    dataset: Origin | None
    data: Sequence[str]
    reads: str
    scores_steps: bool
    writes_bos: bool
    scale: Sequence[str]
    held_out: Sequence[HeldOutSet] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    command: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = TAGS

    def completed(self, dataset_name: str | None, tags: tuple[str, ...]) -> "RewardModelCard":
        """Return the card with the origin of the data, if a name is given, and further tags.

        Args:
            dataset_name: Hub id, file or folder of the data.
            tags: further tags.
        """
        dataset = self.dataset if dataset_name is None else origin_of_dataset(dataset_name)
        return replace(self, dataset=dataset, tags=(*self.tags, *tags))

    def data_of_card(self) -> ModelCardData:
        """Return the metadata of the Hub."""
        base, dataset = self.base, self.dataset
        results = [one for held_out in self.held_out for one in held_out.eval_results()]
        return ModelCardData(
            model_name=self.name.rsplit("/", 1)[-1],
            base_model=base.hub_id if base is not None else None,
            base_model_relation="adapter" if self.is_adapter and base is not None and base.hub_id else None,
            datasets=[dataset.hub_id] if dataset is not None and dataset.hub_id else None,
            library_name="peft" if self.is_adapter else "transformers",
            pipeline_tag="text-classification",
            license=None if base is None else base.licence,
            tags=list(dict.fromkeys(self.tags)),
            eval_results=results or None,
        )

    def render(self) -> ModelCard:
        """Return the card."""
        text = render_template(
            "reward_model.md.jinja",
            card=self,
            documentation=documentation,
            results=render_results(self.held_out),
            licence=licence_sentence(self.base, self.dataset),
        )
        return ModelCard(f"---\n{self.data_of_card().to_yaml()}\n---\n\n{text}")

    def write(self, folder: Path) -> None:
        """Write `README.md` into the folder of the model, in place of an earlier one.

        Args:
            folder: the folder.
        """
        self.render().save(folder / REPOCARD_NAME)


def render_results(held_out: Sequence[HeldOutSet]) -> str:
    """Return the part of a card with held-out results.

    Args:
        held_out: the results.
    """
    text = render_template("held_out_results.md.jinja", held_out=held_out)
    return f"{BEGINNING}\n{text.strip()}\n{END}"


def add_results(folder: Path, result: HeldOutSet) -> None:
    """Put held-out results into the card of a saved model, in place of the ones there, in text and metadata.

    Args:
        folder: folder of the model with its `README.md`.
        result: the results.
    """
    file = folder / REPOCARD_NAME
    card = ModelCard(file.read_text(encoding="utf-8")) if file.is_file() else ModelCard("---\n{}\n---\n")
    before, _, rest = card.text.partition(BEGINNING)
    after = rest.partition(END)[2]
    given: Any = card.data
    data = ModelCardData(**{name: value for name, value in given.to_dict().items() if name != "model-index"})
    data.model_name, data.eval_results = folder.resolve().name, result.eval_results()
    text = f"{before.rstrip()}\n\n{render_results([result])}\n{after}"
    ModelCard(f"---\n{data.to_yaml()}\n---\n{text}").save(file)
