"""Forward passes over prompts with completions, for policy, reference and critic.

Sequences are padded, as TRL pads them, or packed into one row. A packed row has no padding, computes common prefixes
once, runs the last feed-forward network only at the requested tokens, and runs the language model head only before the
tokens of completions. Values and gradients are the same, see `rlhf_losses.layouts`.
"""

import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, NamedTuple

import torch
from accelerate.utils import extract_model_from_parallel, is_peft_model, send_to_device
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from rlhf_losses.layouts import Layout, LayoutName, PaddedLayout, choose_layout
from rlhf_losses.models.scores import skip_unscored_tokens
from rlhf_losses.ppo.formulas import PerToken
from rlhf_losses.ppo.rollout import SequenceIds

logger = logging.getLogger(__name__)

HiddenStates = Float[Tensor, "completion token+1 hidden"]
"""Hidden states before each token of a completion, and after the last one."""

LogProbs = tuple[PerToken, PerToken | None, Tensor | None]
"""Log-probabilities, entropies, and the load-balancing loss of experts, as TRL returns them."""

CHUNK = 256
"""Number of distributions over the vocabulary that are held in float32 at a time."""


class PackedSequences(NamedTuple):
    """Sequences in one row: arguments of a forward pass, and the index in the row of each hidden state."""

    model_inputs: dict[str, Any]
    state_index: Int[Tensor, "completion token+1"]


@dataclass
class Recording:
    """Results of the latest call of `SequenceForward.log_probs`.

    Attributes:
        logps: log-probabilities, without gradient.
        hidden_states: hidden states of the recorded transformer, with gradient; None if no transformer is recorded.
    """

    logps: PerToken | None = None
    hidden_states: HiddenStates | None = None
    _outputs: list[Float[Tensor, "batch token hidden"]] = field(default_factory=list, repr=False)


class SequenceForward:
    """Log-probabilities, entropies and hidden states of prompts with completions.

    Args:
        layout: layout of the sequences; None for padding.
        temperature: sampling temperature, by which logits are divided.
        autocast: returns the context manager in which the packed forward passes of a language model run.
    """

    def __init__(
        self,
        layout: Layout | None = None,
        temperature: float = 1.0,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.layout = layout
        self.temperature = temperature
        self.autocast = autocast
        self._recording: Recording | None = None

    def log_probs(
        self,
        model: Any,
        input_ids: SequenceIds,
        attention_mask: SequenceIds,
        num_tokens: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        *,
        padded: Callable[..., LogProbs],
        **options: Any,
    ) -> LogProbs:
        """Return log-probabilities, and entropies if requested, of the last `num_tokens` tokens.

        Args:
            model: language model, which may be wrapped by PEFT or for data parallelism.
            input_ids: prompts padded on the left, with completions padded on the right.
            attention_mask: 0 at padding.
            num_tokens: length of the longest completion.
            batch_size: number of sequences per forward pass; all by default.
            compute_entropy: return entropies.
            padded: TRL's forward pass over padded sequences, with the same arguments; called if there is no layout.
            options: other arguments of `padded`; not used in a layout.
        """
        if self.layout is None:
            with set_position_ids(backbone_of(extract_model_from_parallel(model))):
                result = padded(
                    model, input_ids, attention_mask, num_tokens,
                    batch_size=batch_size, compute_entropy=compute_entropy, **options,
                )  # fmt: skip
            self._record(result[0], num_tokens, repeat(None))
            return result
        size = batch_size or len(input_ids)
        chunks = list(zip(input_ids.split(size), attention_mask.split(size), strict=True))
        rows = [pack_sequences(self.layout, ids, mask, num_tokens) for ids, mask in chunks]
        with self.autocast():
            parts = [
                packed_log_probs(model, row, ids[:, -num_tokens:], mask[:, -num_tokens:].bool(), self.temperature)
                for row, (ids, mask) in zip(rows, chunks, strict=True)
            ]
        logps, entropies = (torch.cat(part) for part in zip(*parts, strict=True))
        self._record(logps, num_tokens, rows)
        return logps, entropies if compute_entropy else None, None

    def hidden_states(
        self, backbone: nn.Module, input_ids: SequenceIds, attention_mask: SequenceIds, num_tokens: int
    ) -> HiddenStates:
        """Return the last hidden states of a transformer around each of the last `num_tokens` tokens.

        Args:
            backbone: transformer without a head.
            input_ids: prompts padded on the left, with completions padded on the right.
            attention_mask: 0 at padding.
            num_tokens: length of the longest completion.
        """
        if self.layout is None:
            positions = {"position_ids": position_ids(attention_mask)} if accepts_position_ids(backbone) else {}
            outputs = backbone(input_ids=input_ids, attention_mask=attention_mask, use_cache=False, **positions)
            return select_states(outputs.last_hidden_state, num_tokens)
        row = pack_sequences(self.layout, input_ids, attention_mask, num_tokens)
        with skip_unscored_tokens(backbone, row.state_index.flatten()):
            outputs = backbone(**row.model_inputs, use_cache=False)
        return select_states(outputs.last_hidden_state, num_tokens, row)

    @contextmanager
    def record(self, backbone: nn.Module | None = None) -> Iterator[Recording]:
        """Record the results of `log_probs` while the context lasts.

        TRL's loss calls `log_probs` and returns the loss only.

        Args:
            backbone: transformer inside the language model whose hidden states are recorded too.
        """
        recording = Recording()

        def save_output(_module: nn.Module, _inputs: Any, outputs: Any) -> None:
            recording._outputs.append(outputs.last_hidden_state)

        hook = None if backbone is None else backbone.register_forward_hook(save_output)
        self._recording = recording
        try:
            yield recording
        finally:
            self._recording = None
            if hook is not None:
                hook.remove()

    def _record(self, logps: PerToken, num_tokens: int, rows: Iterable[PackedSequences | None]) -> None:
        if (recording := self._recording) is None:
            return
        recording.logps = logps.detach()
        states = [select_states(hidden, num_tokens, row) for hidden, row in zip(recording._outputs, rows, strict=False)]
        recording.hidden_states = torch.cat(states) if states else None
        recording._outputs.clear()


def pack_sequences(
    layout: Layout, input_ids: SequenceIds, attention_mask: SequenceIds, num_tokens: int
) -> PackedSequences:
    """Pack sequences that are padded on both sides, and locate the hidden states around their last tokens.

    The state before token t is the output at token t - 1. Positions of padding after a completion refer to its last
    state.

    Args:
        layout: layout with one row.
        input_ids: prompts padded on the left, with completions padded on the right.
        attention_mask: 0 at padding.
        num_tokens: length of the longest completion.

    Examples:
        >>> from rlhf_losses.layouts import PackedLayout
        >>> ids, mask = torch.tensor([[0, 5, 6, 7], [5, 8, 9, 0]]), torch.tensor([[0, 1, 1, 1], [1, 1, 1, 0]])
        >>> row = pack_sequences(PackedLayout(), ids, mask, num_tokens=2)
        >>> row.model_inputs["input_ids"]
        tensor([[5, 6, 7, 5, 8, 9]])
        >>> row.state_index
        tensor([[0, 1, 2],
                [4, 5, 5]])
    """
    kept = attention_mask.bool()
    texts = [ids[mask].tolist() for ids, mask in zip(input_ids.cpu(), kept.cpu(), strict=True)]
    before = kept[:, :-num_tokens].sum(1, keepdim=True) - 1
    last = kept.sum(1, keepdim=True) - 1
    positions = torch.minimum(before + torch.arange(num_tokens + 1, device=before.device), last).clamp(min=0)
    owners = [number for number in range(len(texts)) for _ in range(num_tokens + 1)]
    batch = layout.batch(texts, owners, positions.flatten().tolist())
    index = batch.score_index.view(positions.shape)
    moved: tuple[dict[str, Any], Tensor] = send_to_device((batch.model_inputs, index), input_ids.device)
    return PackedSequences(*moved)


def select_states(
    hidden: Float[Tensor, "batch token hidden"], num_tokens: int, row: PackedSequences | None = None
) -> HiddenStates:
    """Return the hidden states of completions from the output of a padded or packed forward pass."""
    return hidden[:, -num_tokens - 1 :] if row is None else hidden[0][row.state_index]


def packed_log_probs(
    model: Any,
    row: PackedSequences,
    completion_ids: Int[Tensor, "completion token"],
    mask: Tensor,
    temperature: float,
) -> tuple[PerToken, PerToken]:
    r"""Return log-probability and entropy of each token of packed completions.

    $$\log \pi(a_t \mid s_t), \qquad -\sum_a \pi(a \mid s_t) \log \pi(a \mid s_t)$$

    Args:
        model: language model, which may be wrapped by PEFT or for data parallelism.
        row: packed sequences.
        completion_ids: token ids of the completions, padded on the right.
        mask: True at tokens of completions; results are 0 elsewhere.
        temperature: sampling temperature, by which logits are divided.

    Returns:
        Log-probabilities and entropies in nats and float32.
    """
    before = torch.where(mask, row.state_index[:, :-1], row.state_index[:, :1])
    indices, inverse = before.unique(return_inverse=True)
    with skip_unscored_tokens(model, row.state_index.flatten()):
        logits = model(**row.model_inputs, logits_to_keep=indices, use_cache=False).logits[0]
    normalizers, entropies = zip(
        *(_normalizer_and_entropy(part, temperature) for part in logits.split(CHUNK)), strict=True
    )
    chosen = logits[inverse, completion_ids].float() / temperature
    return (
        torch.where(mask, chosen - torch.cat(normalizers)[inverse], 0.0),
        torch.where(mask, torch.cat(entropies)[inverse], 0.0),
    )


def _normalizer_and_entropy(logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return log-sum-exp and entropy of each distribution; activations are recomputed in the backward pass."""

    def compute(logits: Tensor) -> tuple[Tensor, Tensor]:
        scaled = logits.float() / temperature
        normalizer = scaled.logsumexp(-1)
        return normalizer, normalizer - (scaled.softmax(-1) * scaled).sum(-1)

    result: tuple[Tensor, Tensor] = checkpoint(compute, logits, use_reentrant=False, preserve_rng_state=False)
    return result


def position_ids(attention_mask: SequenceIds) -> SequenceIds:
    """Return the position of each token in its text, not counting padding.

    Examples:
        >>> position_ids(torch.tensor([[0, 1, 1], [1, 1, 0]]))
        tensor([[0, 0, 1],
                [0, 1, 1]])
    """
    return (attention_mask.cumsum(1) - 1).clamp(min=0)


def accepts_position_ids(backbone: nn.Module) -> bool:
    """Return whether the forward method of a transformer has the argument `position_ids`."""
    return "position_ids" in inspect.signature(backbone.forward).parameters


@contextmanager
def set_position_ids(backbone: nn.Module) -> Iterator[None]:
    """Add position ids to the forward passes of a transformer while the context lasts, if the caller passes none.

    TRL pads prompts on the left and passes no position ids. Rotary embeddings depend on distances only, but learned
    position embeddings, as in GPT-2, would be wrong.
    """

    def add_positions(
        _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if kwargs.get("position_ids") is None and kwargs.get("attention_mask") is not None:
            kwargs["position_ids"] = position_ids(kwargs["attention_mask"])
        return args, kwargs

    if not accepts_position_ids(backbone):
        yield
        return
    hook = backbone.register_forward_pre_hook(add_positions, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def choose_sequence_layout(
    model: Any, backbone: PreTrainedModel, pad_token_id: int, requested: LayoutName
) -> Layout | None:
    """Prepare a model for packed forward passes and return the layout, or None if it needs padding.

    Args:
        model: language model, which may be wrapped by PEFT, or transformer without a head.
        backbone: transformer inside the model.
        pad_token_id: padding token of the trial batch.
        requested: as in `choose_layout`.
    """

    def probe(model: Any, layout: Layout, texts: Sequence[Sequence[int]]) -> list[Tensor]:
        return [token_states(model, backbone, layout, texts)]

    padded = PaddedLayout(pad_token_id)
    layout = choose_layout(model, padded, requested, probe=probe)
    return None if layout is padded else layout


@torch.no_grad()
def token_states(
    model: Any, backbone: nn.Module, layout: Layout, texts: Sequence[Sequence[int]]
) -> Float[Tensor, "token hidden"]:
    """Return the last hidden states of a transformer at all tokens of some texts, from a forward pass of the model."""
    arranged = layout.arrange(texts)
    device = next(backbone.parameters()).device
    outputs: list[Tensor] = []
    hook = backbone.register_forward_hook(lambda _module, _inputs, output: outputs.append(output.last_hidden_state))
    was_training = model.training
    model.eval()
    try:
        model(**send_to_device(arranged.model_inputs, device), use_cache=False)
    finally:
        model.train(was_training)
        hook.remove()
    hidden = outputs[-1].flatten(0, 1).float()
    return torch.cat([hidden[torch.from_numpy(indices).to(device)] for indices in arranged.token_indices])


def choose_policy_layout(
    models: Sequence[Any], pad_token_id: int, requested: LayoutName, padding_reason: str | None = None
) -> Layout | None:
    """Prepare policy and reference for packed forward passes and return the layout, or None if one needs padding.

    Args:
        models: policy, and reference if there is one.
        pad_token_id: padding token of the trial batch.
        requested: as in `choose_layout`.
        padding_reason: reason of the trainer for the padded layout, as the end of a sentence.
    """
    if requested == "padded":
        return None
    if "logits_to_keep" not in inspect.signature(without_peft(models[0]).forward).parameters:
        padding_reason = padding_reason or "its forward method has no argument logits_to_keep"
    if padding_reason:
        level, name = logging.INFO if requested == "auto" else logging.WARNING, type(without_peft(models[0])).__name__
        logger.log(level, "Layout: padded. %s supports no other layout: %s.", name, padding_reason)
        return None
    layouts = [choose_sequence_layout(model, backbone_of(model), pad_token_id, requested) for model in models]
    return layouts[0] if all(layout is not None for layout in layouts) else None


def backbone_of(model: Any) -> PreTrainedModel:
    """Return the transformer of a language model, without its head and without PEFT."""
    backbone: PreTrainedModel = without_peft(model).base_model
    return backbone


def without_peft(model: Any) -> PreTrainedModel:
    """Return a model without its PEFT wrapper; adapters stay inside the model."""
    base: PreTrainedModel = model.get_base_model() if is_peft_model(model) else model
    return base
