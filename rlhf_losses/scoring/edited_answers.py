"""Scores of answers in reverse order, and of edited answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rlhf_losses.checks.argument_checks import require_positive
from rlhf_losses.data.rows import FeedbackTypes, tokenized_pair
from rlhf_losses.data.tokenization import Encoded
from rlhf_losses.evaluation.edit_effects import EditedScores, EditEffects, edit_effects
from rlhf_losses.evaluation.intervals import FloatVector
from rlhf_losses.evaluation.items import compared_pairs
from rlhf_losses.evaluation.scored_data import ScoredData
from rlhf_losses.evaluation.text_edits import EDITS
from rlhf_losses.feedback.base import Answer, Messages
from rlhf_losses.scoring.scorable_rows import ScorableRow, answers_in_row, length_of
from rlhf_losses.scoring.scorer import Scorer


def score_edits(
    scorer: Scorer, rows: Sequence[ScorableRow], feedback_types: FeedbackTypes, data: ScoredData, edited_rows: int
) -> EditEffects | None:
    """Return the effects of edits, and of the order of the answers, on the scores of whole answers.

    Args:
        scorer: the reward model.
        rows: the rows of the dataset.
        feedback_types: feedback types to use.
        data: the scored dataset.
        edited_rows: number of rows, which are spread evenly over the dataset.

    Returns:
        The effects, or None if the rows have no whole answers as texts.
    """
    require_positive(edited_rows, "edited_rows")
    count = min(edited_rows, len(rows))
    chosen = np.unique(np.linspace(0, len(rows) - 1, count).round().astype(int)).tolist()
    starts = np.searchsorted(data.texts.row, np.arange(len(rows)))
    whole = [one for index in chosen for one in _whole_answers(rows[index], feedback_types, int(starts[index]))]
    if not whole:
        return None
    positions = [one.position for one in whole]
    new_index = np.full(len(data.scores), -1)
    new_index[positions] = np.arange(len(positions))
    pairs = compared_pairs(data)
    better, worse = (
        (np.array([], dtype=int),) * 2 if pairs is None else (new_index[pairs.better], new_index[pairs.worse])
    )
    compared = (better >= 0) & (worse >= 0)
    edited = {name: _score_edited(scorer, whole, edit) for name, edit in EDITS.items()}
    return edit_effects(
        EditedScores(
            scores=data.values.numpy()[positions],
            reversed_scores=np.array(scorer.score_texts([one.text for one in whole[::-1]])[::-1]),
            edited={name: scores for name, (scores, _) in edited.items()},
            same_tokens={name: same for name, (_, same) in edited.items()},
            better=better[compared],
            worse=worse[compared],
            clusters=data.clusters[positions],
            rows=len(chosen),
        )
    )


@dataclass(frozen=True)
class _WholeAnswer:
    """An answer with one score.

    Attributes:
        answer: the answer.
        text: its tokens.
        position: position of its score.
    """

    answer: Answer
    text: Encoded
    position: int


def _whole_answers(row: ScorableRow, feedback_types: FeedbackTypes, start: int) -> list[_WholeAnswer]:
    """Return the answers of a row that have one score and a prompt that was not truncated."""
    if tokenized_pair(row.row):
        return []
    found, position = [], start
    for (answer, stepwise), (text, _) in zip(answers_in_row(row.row, feedback_types), row.texts, strict=True):
        if not stepwise and not text.removed:
            found.append(_WholeAnswer(answer, text, position))
        position += len(answer.parts) if stepwise else 1
    return found


def _score_edited(
    scorer: Scorer, answers: Sequence[_WholeAnswer], edit: Callable[[str], str]
) -> tuple[FloatVector, int]:
    """Return the scores of edited answers, and the number of those with the same tokens.

    A score is NaN where the edit changes nothing, or no token, or the text is too long.
    """
    edited = [_edited(one.answer, edit) for one in answers]
    changed = [index for index, one in enumerate(answers) if edited[index] != one.answer]
    texts = _encoded(scorer, [edited[index] for index in changed])
    new = {index: text for index, text in zip(changed, texts, strict=True) if text.ids != answers[index].text.ids}
    scores = np.full(len(answers), np.nan)
    fitting = {index: text for index, text in new.items() if _fits(scorer, text)}
    scores[list(fitting)] = scorer.score_texts(list(fitting.values()))
    return scores, len(changed) - len(new)


def _edited(answer: Answer, edit: Callable[[str], str]) -> Answer:
    """Return an answer with an edited text; of messages, the text of the last one."""
    (part,) = answer.parts
    if isinstance(part, str):
        return replace(answer, parts=(edit(part),))
    *before, last = part
    content = last.get("content")
    messages: Messages = [*before, {**last, "content": edit(content) if isinstance(content, str) else content}]
    return replace(answer, parts=(messages,))


def _encoded(scorer: Scorer, answers: Sequence[Answer]) -> list[Encoded]:
    encoder = scorer.encoder
    return [texts[0] for texts in encoder.encode_rows([encoder.split_steps(answer)] for answer in answers)]


def _fits(scorer: Scorer, text: Encoded) -> bool:
    return not scorer.encoder.length_limit.exceeded_by(length_of(scorer, text))
