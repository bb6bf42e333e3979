"""Held-out results, length bias and a picture for the model card of a finished run."""

from dataclasses import replace
from pathlib import Path

from datasets import Dataset
from transformers import AutoTokenizer

from rlhf_losses.cards.card_picture import results_with_picture
from rlhf_losses.checks.optional_packages import require_packages
from rlhf_losses.data.conversion import Conversion
from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError, MissingPackageError
from rlhf_losses.evaluation.result import Evaluation
from rlhf_losses.scoring.evaluation import evaluate
from rlhf_losses.scoring.metadata import RewardModelMetadata
from rlhf_losses.scoring.scorer import Scorer
from rlhf_losses.training.trainer import RewardTrainer

MOST_ROWS = 1_000
"""Largest number of held-out rows that are scored for a card."""


def complete_card(trainer: RewardTrainer, held_out: Conversion | None, folder: Path) -> Evaluation | None:
    """Score held-out rows with the trained model, and write the card again with the results.

    Nothing changes without held-out rows in memory, without the packages of the extra `report`, and if the weights are
    distributed over processes.

    Args:
        trainer: the trainer, after `save_merged`.
        held_out: held-out rows after conversion, or None.
        folder: folder of the saved model.

    Returns:
        The evaluation, if all held-out rows are part of it.
    """
    if held_out is None or not isinstance(held_out.rows, Dataset):
        return None
    if not trainer.is_world_process_zero() or trainer._sharded:
        return None
    rows = held_out.rows.select(range(min(len(held_out.rows), MOST_ROWS)))
    try:
        require_packages(["scipy"], "held-out results on a card")
        found = evaluate(_scorer(trainer, folder), rows)
    except (MissingPackageError, FeedbackMismatchError, InvalidFeedbackError):  # the log has results, too
        return None
    is_whole, name = len(rows) == len(held_out.rows), Path(trainer.provenance.eval_dataset or "held-out data").name
    if is_whole:
        found = replace(found, dropped=found.dropped.with_unconverted(held_out.dropped))
    else:
        name += f" (the first {len(rows)} rows{' with feedback' if held_out.dropped else ''})"
    trainer.held_out = (results_with_picture(name, found, folder),)
    trainer.create_model_card()
    return found if is_whole else None


def _scorer(trainer: RewardTrainer, folder: Path) -> Scorer:
    """Return a scorer on the weights of the trainer, with the files of the saved model."""
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trainer.args.trust_remote_code)
    return Scorer(trainer._unwrapped_model, tokenizer, RewardModelMetadata.load(folder))
