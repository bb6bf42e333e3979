"""The picture of held-out scores on a model card."""

import importlib.util
from pathlib import Path

from rlhf_losses.cards.held_out_table import HeldOutSet
from rlhf_losses.evaluation.output_folder import EvaluationFolder
from rlhf_losses.evaluation.result import Evaluation
from rlhf_losses.report.evaluation_charts import write_evaluation_picture

PICTURE = "held_out_scores.png"
"""File of the picture in the folder of the model. The Hub shows PNG files, and SVG files as text."""


def results_with_picture(name: str, evaluation: Evaluation, folder: Path) -> HeldOutSet:
    """Return held-out results for a card, with a picture in the folder of the model if matplotlib is installed.

    Args:
        name: name of the dataset.
        evaluation: the evaluation.
        folder: folder of the model.
    """
    drawn = False
    if importlib.util.find_spec("matplotlib") is not None:
        content = EvaluationFolder(folder, evaluation.to_dict(), evaluation.rows)
        drawn = write_evaluation_picture(content, folder / PICTURE)
    return HeldOutSet.of(name, evaluation, PICTURE if drawn else None)
