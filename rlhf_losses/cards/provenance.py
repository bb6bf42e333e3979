"""What a trainer does not know about its run."""

from collections.abc import Sequence
from dataclasses import dataclass

from rlhf_losses.messages.printed_commands import printed_command

SECRETS = ("hub_token", "push_to_hub_token")
"""Arguments whose values are on no card."""


@dataclass(frozen=True)
class Provenance:
    """The names of the data of a run, and its command.

    Attributes:
        command: command line that reproduces the run, or None.
        dataset: file, folder or Hub id of the training data, or None for data in memory.
        converter: name of the converter of the data, or None.
        rows: number of rows before conversion, or None if it is unknown.
        without_feedback: number of them in which the converter found no feedback.
        eval_dataset: the same as `dataset` for the held-out data.
    """

    command: str | None = None
    dataset: str | None = None
    converter: str | None = None
    rows: int | None = None
    without_feedback: int = 0
    eval_dataset: str | None = None


def reproducing_command(arguments: Sequence[str]) -> str:
    """Return the command line of the running command without secrets.

    Args:
        arguments: its arguments, beginning with the name of the command.

    Examples:
        >>> reproducing_command(["train", "--dataset", "my pairs.jsonl", "--hub-token", "hf_1"])
        "rlhf-losses train --dataset 'my pairs.jsonl' --hub-token '***'"
    """
    shown, hides = [], False
    for one in arguments:
        name, separator, _ = one.partition("=")
        is_secret = name.startswith("--") and name[2:].replace("-", "_") in SECRETS
        shown.append("***" if hides else f"{name}=***" if is_secret and separator else one)
        hides = is_secret and not separator
    return printed_command(*shown)
