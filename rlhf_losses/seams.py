"""Every name of TRL and transformers that we override or call without a promise that it stays.

A test resolves each one on the installed versions, so an upstream change fails there first.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Seam:
    """A dotted upstream name and what we do with it."""

    name: str
    why: str


SEAMS: tuple[Seam, ...] = (
    Seam("trl.RewardTrainer.compute_loss", "prices scores with any loss"),
    Seam("trl.RewardTrainer._prepare_dataset", "reads every kind of feedback"),
    Seam("trl.RewardTrainer._set_signature_columns_if_needed", "keeps the columns that a batch is made of"),
    Seam("trl.RewardTrainer.log", "hands over exact means to TRL's metrics"),
    Seam("transformers.Trainer.loss_is_scaled_for_ga", "says that the loss is a mean over the whole optimizer step"),
    Seam("transformers.Trainer._get_num_items_in_batch", "counts the items of an optimizer step, term by term"),
    Seam("transformers.Trainer.evaluation_loop", "replaces the mean of batch means by the mean"),
    Seam("transformers.Trainer.prediction_step", "gives one row of scores a data row"),
    Seam("transformers.Trainer._save", "writes reward_model.json beside the weights"),
)
