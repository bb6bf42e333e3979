"""Which losses of the loss_registry can be trained on what a dataset holds."""

from rlhf_losses.errors import FeedbackMismatchError, RlhfLossesError
from rlhf_losses.feedback import IMPLICIT_TYPES, Feedback, Lengths, Mixed
from rlhf_losses.hooks import LossRegistry


def compatible_losses(
    said: Mixed, by_prompt: Mixed | FeedbackMismatchError, kinds: tuple[type[Feedback], ...], losses: LossRegistry
) -> tuple[list[str], dict[str, str]]:
    """Return the losses that read the data, those made for their kinds first, and why the others of them refuse.

    A loss that compares answers reads single ratings `by_prompt`, unless these compare nothing.
    """
    names = list(dict.fromkeys(entry.name for kind in kinds for entry in losses.for_feedback(kind)))
    reading, refusing = [], {}
    with_lengths = Mixed.concatenate([said, Lengths.concatenate([])])  # no text is tokenized yet
    for name in names:
        loss = losses[name]()
        feedback = with_lengths if loss.feedback_type in (*IMPLICIT_TYPES, *kinds) else by_prompt
        try:
            if isinstance(feedback, FeedbackMismatchError):
                raise feedback
            loss.check(feedback)
            reading.append(name)
        except RlhfLossesError as error:
            refusing[name] = str(error)
    return reading, refusing
