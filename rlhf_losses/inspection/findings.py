"""All findings about a dataset in one dictionary, which is the JSON of `rlhf-losses inspect`."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from rlhf_losses.data import RowReader, check_dataset
from rlhf_losses.data.dataset import AnyDataset, column_names, group_ratings
from rlhf_losses.errors import FeedbackMismatchError
from rlhf_losses.feedback import Feedback, feedback_types_in_columns
from rlhf_losses.feedback.base import Row
from rlhf_losses.hooks import LossRegistry
from rlhf_losses.inspection.agreement_ceiling import agreement_of_two, ceiling
from rlhf_losses.inspection.annotations import AnnotatedTexts, read
from rlhf_losses.inspection.comparisons import BAR, comparisons, merged
from rlhf_losses.inspection.compatible_losses import compatible_losses
from rlhf_losses.inspection.length_statistics import longer_preferred, spread
from rlhf_losses.losses import AccumulatedPairs, ScoreDecay
from rlhf_losses.losses.indifference import is_regularizer

Findings = dict[str, Any]


def inspect(
    dataset: AnyDataset, losses: LossRegistry, tokenizer: PreTrainedTokenizerBase | None = None, name: str = "data"
) -> Findings:
    """Count what a dataset holds; with a tokenizer, lengths in tokens too.

    Raises:
        FeedbackMismatchError: the columns hold no feedback that is known.
        InvalidFeedbackError: a row has values that cannot be; the message names it.
    """
    check_dataset(dataset, ScoreDecay(), name)
    kinds = feedback_types_in_columns(column_names(dataset))
    said = read(dataset, kinds)
    by_prompt = _by_prompt(dataset, said, kinds)
    compared = by_prompt if isinstance(by_prompt, AnnotatedTexts) else said
    feedback = by_prompt.feedback if isinstance(by_prompt, AnnotatedTexts) else by_prompt
    reading, refusing = compatible_losses(said.feedback, feedback, kinds, losses)
    regularizers = [loss for loss in reading if is_regularizer(losses[loss]())]
    return {
        "rows": len(said.row_keys),
        "columns": column_names(dataset),
        "prompts": len(np.unique(said.prompt[~np.isnan(said.prompt_length)])),
        "duplicate_rows": len(said.row_keys) - len(set(said.row_keys)),
        "feedback": {
            type(kind).__name__: _counted(said, kind) | _compared(compared, rated)
            for kind, rated in zip(said.feedback.kinds, compared.feedback.kinds, strict=True)
            if len(kind)
        },
        "characters": _characters(said),
        "tokens": {} if tokenizer is None else _tokens(dataset, kinds, tokenizer),
        "losses": [loss for loss in reading if loss not in regularizers],
        "regularizers": regularizers,
        "losses_that_refuse": refusing,
    }


def _by_prompt(
    dataset: AnyDataset, said: AnnotatedTexts, kinds: tuple[type[Feedback], ...]
) -> AnnotatedTexts | FeedbackMismatchError:
    """Return the data as losses that compare answers read them, or why they cannot."""
    try:
        grouped = group_ratings(dataset, AccumulatedPairs(), "the data")
    except FeedbackMismatchError as error:
        return error
    return said if grouped is dataset else read(grouped, kinds)


def _counted(said: AnnotatedTexts, kind: Feedback) -> Findings:
    return {"rows": len(np.unique(said.row[kind.item_positions.numpy()])), "items": len(kind)}


def _compared(said: AnnotatedTexts, kind: Feedback) -> Findings:
    compared = comparisons(kind)
    if compared is None or not len(compared):
        return {}
    texts = merged(said, compared)
    several = texts.annotations > 1
    best, best_by_majority = ceiling(texts), ceiling(merged(said, compared.by_majority()))
    labels = bool((compared.second == BAR).all())
    counted = {"comparisons": len(compared), "ties": int((compared.vote_difference == 0).sum())}
    found: Findings = {"good": int(compared.wins.sum())} if labels else counted
    if not labels:
        found["equal_answers"] = int((said.text[compared.first] == said.text[compared.second]).sum())
        found["longer_preferred"] = longer_preferred(said, compared)
    return found | {
        "annotated_several_times": int(several.sum()),
        "contradictory": int(texts.contradicted.sum()),
        "agreement_of_two_annotators": _known(agreement_of_two(texts)),
        "agreement_ceiling": None if best is None else best.share,
        "accuracy_ceiling": None if best_by_majority is None else best_by_majority.share,
        "ceilings_exact": all(one is None or one.exact for one in (best, best_by_majority)),
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _characters(said: AnnotatedTexts) -> Findings:
    one_a_row = np.unique(said.row, return_index=True)[1]
    found = {
        "prompt": spread(said.prompt_length[one_a_row]),
        "answer": spread(said.answer_length[said.ends_answer]),
        "step": spread(said.step_length),
    }
    return {what: lengths for what, lengths in found.items() if lengths}


def _tokens(rows: Iterable[Row], kinds: tuple[type[Feedback], ...], tokenizer: PreTrainedTokenizerBase) -> Findings:
    """Return the lengths of whole texts as a model reads them, each once a row."""
    reader = RowReader(tokenizer, kinds)
    return {"text": spread([len(ids) for row in rows for ids in reader.encode(row)["text_ids"]])}
