"""AttentionOptions policy, reference and critic read prompts with completions: padded as TRL makes them, or in one row.

In a row there is no padding, what texts have in common at their beginning is computed once, the last feed-forward
network runs at the tokens that are asked for, and the head of the language model before the completions' tokens only.
Numbers and gradients are the same, see `rlhf_losses.layouts`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from accelerate.utils import send_to_device
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from rlhf_losses.layouts import Layout, LayoutName, PaddedLayout, choose_layout
from rlhf_losses.models.scores import skip_unscored_tokens
from rlhf_losses.ppo.formulas import PerToken
from rlhf_losses.ppo.position_ids import Sequences, positions, takes_positions

States = Float[Tensor, "completion token+1 hidden"]
"""What a transformer knows before each token of a completion, and after the last one."""

AT_ONCE = 256
"""Places whose distributions over the vocabulary are held in float32 at a time."""


class Row(NamedTuple):
    """Texts in one row: the arguments of a forward pass, and where the states of each completion stand in it."""

    model_inputs: dict[str, Any]
    states: Int[Tensor, "completion token+1"]


def choose_row(model: Any, backbone: PreTrainedModel, padding: int, wanted: LayoutName) -> Layout | None:
    """Return the layout in which `model` reads rows, prepared in it, or None where it stays padded.

    Args:
        model: a language model, bare or wrapped by PEFT, or a transformer without a head.
        backbone: the transformer in it.
        padding: number of a token to fill up with in the trial.
        wanted: as in `choose_layout`.
    """
    padded = PaddedLayout(padding)
    with _named_states(backbone):
        layout = choose_layout(model, padded, wanted)
    return None if layout is padded else layout


@contextmanager
def _named_states(backbone: nn.Module) -> Iterator[None]:
    """Show the states of a transformer to the trial of a layout, as the input of a head that does nothing."""
    head = nn.Identity()
    backbone.add_module("score", head)

    def show(_module: nn.Module, _inputs: Any, outputs: Any) -> None:
        head(outputs.last_hidden_state)

    hook = backbone.register_forward_hook(show)
    try:
        yield
    finally:
        hook.remove()
        del backbone.score


def in_a_row(layout: Layout, input_ids: Sequences, attention_mask: Sequences, length: int) -> Row:
    """Lay out texts that are padded on both sides, and find the states around each of their last `length` tokens.

    The state before token t is read at token t - 1. At padding behind a completion stands the state at its end.

    >>> from rlhf_losses.layouts import PackedLayout
    >>> ids, mask = torch.tensor([[0, 5, 6, 7], [5, 8, 9, 0]]), torch.tensor([[0, 1, 1, 1], [1, 1, 1, 0]])
    >>> row = in_a_row(PackedLayout(), ids, mask, length=2)
    >>> row.model_inputs["input_ids"]
    tensor([[5, 6, 7, 5, 8, 9]])
    >>> row.states
    tensor([[0, 1, 2],
            [4, 5, 5]])
    """
    kept = attention_mask.bool()
    texts = [ids[here].tolist() for ids, here in zip(input_ids.cpu(), kept.cpu(), strict=True)]
    before = kept[:, :-length].sum(1, keepdim=True) - 1
    last = kept.sum(1, keepdim=True) - 1
    wanted = torch.minimum(before + torch.arange(length + 1, device=before.device), last).clamp(min=0)
    owners = [number for number in range(len(texts)) for _ in range(length + 1)]
    laid_out = layout.lay_out(texts, owners, wanted.flatten().tolist())
    states = laid_out["score_at"].view(wanted.shape)
    moved: tuple[dict[str, Any], Tensor] = send_to_device((laid_out["model_inputs"], states), input_ids.device)
    return Row(*moved)


def read_states(
    backbone: PreTrainedModel, layout: Layout | None, input_ids: Sequences, attention_mask: Sequences, length: int
) -> States:
    """Return the states of a transformer around each of the last `length` tokens, in a row or padded."""
    if layout is None:
        placed = {"position_ids": positions(attention_mask)} if takes_positions(backbone) else {}
        outputs = backbone(input_ids=input_ids, attention_mask=attention_mask, use_cache=False, **placed)
        return states_of(outputs.last_hidden_state, length)
    row = in_a_row(layout, input_ids, attention_mask, length)
    with skip_unscored_tokens(backbone, row.states.flatten()):
        outputs = backbone(**row.model_inputs, use_cache=False)
    return states_of(outputs.last_hidden_state, length, row)


def states_of(hidden: Float[Tensor, "line token hidden"], length: int, row: Row | None = None) -> States:
    """Return the states of completions among all hidden states of a pass, which was padded or over a row."""
    return hidden[:, -length - 1 :] if row is None else hidden[0][row.states]


def read_log_probabilities(
    model: Any, layout: Layout, input_ids: Sequences, attention_mask: Sequences, length: int, temperature: float
) -> tuple[PerToken, PerToken]:
    r"""Return the log-probability of each of the last `length` tokens, and the entropy of what could stand there.

    .. math:: \log \pi(a_t \mid s_t), \qquad -\sum_a \pi(a \mid s_t) \log \pi(a \mid s_t)

    with the logits divided by the temperature, in float32. At padding both are 0.
    """
    row = in_a_row(layout, input_ids, attention_mask, length)
    written = attention_mask[:, -length:].bool()
    before = torch.where(written, row.states[:, :-1], row.states[:, :1])
    places, which = before.unique(return_inverse=True)
    with skip_unscored_tokens(model, row.states.flatten()):
        logits = model(**row.model_inputs, logits_to_keep=places, use_cache=False).logits[0]
    totals, entropies = zip(*(_distribution(part, temperature) for part in logits.split(AT_ONCE)), strict=True)
    chosen = logits[which, input_ids[:, -length:]].float() / temperature
    return (
        torch.where(written, chosen - torch.cat(totals)[which], 0.0),
        torch.where(written, torch.cat(entropies)[which], 0.0),
    )


def _distribution(logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return the log of the sum of exponentials at each place, and the entropy; nothing is kept for the gradient."""

    def describe(logits: Tensor) -> tuple[Tensor, Tensor]:
        scaled = logits.float() / temperature
        total = scaled.logsumexp(-1)
        return total, total - (scaled.softmax(-1) * scaled).sum(-1)

    described: tuple[Tensor, Tensor] = checkpoint(describe, logits, use_reentrant=False, preserve_rng_state=False)
    return described
