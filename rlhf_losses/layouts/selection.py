"""`choose_layout`: check whether a model supports a layout, by its class and configuration and by a trial forward pass.

A model that does not support the requested layout uses the padded layout, and one log message states the reason.
"""

import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch
from peft import PeftModel
from torch import Tensor, nn

from rlhf_losses.errors import InvalidSettingError, UnknownNameError, did_you_mean
from rlhf_losses.layouts.attention import BIDIRECTIONAL, TREE_ATTENTION
from rlhf_losses.layouts.base import Layout, Texts, UnsupportedLayoutError
from rlhf_losses.layouts.packed import PackedLayout
from rlhf_losses.layouts.padded import PaddedLayout
from rlhf_losses.layouts.prefix_shared import PrefixSharedLayout
from rlhf_losses.models.architectures import first_position, is_encoder, unpack_first_tokens
from rlhf_losses.models.scores import capture_head, find_head

logger = logging.getLogger(__name__)

LayoutName = Literal["auto", "padded", "packed", "prefix_shared"]

Probe = Callable[[nn.Module, Layout, Texts], list[Tensor]]
"""A function that runs texts through a model in a layout, without gradients and in evaluation mode.

It returns tensors that must not depend on the layout, such as hidden states of all tokens in the order of the texts.
"""

TREE_LAYER_TYPES = {"full_attention", "sliding_attention"}
"""Layer types that prefix trees support. Others (recurrent, chunked, sparse) depend on neighbouring tokens."""


def choose_layout(
    model: nn.Module,
    padded: PaddedLayout,
    requested: LayoutName = "auto",
    trial: bool = True,
    probe: Probe | None = None,
) -> Layout:
    """Return the requested layout, or the padded one if the model does not support it.

    The attention implementation of the model is set to `rlhf_losses_tree`, unless its name begins with that already.
    The model keeps it for padded texts too, with the same results.

    Args:
        model: a transformers model, bare or wrapped by PEFT.
        padded: fallback, and reference of the trial.
        requested: name of a layout; `"auto"` selects the fastest one: `prefix_shared`, or `packed` for an encoder.
        trial: compare both layouts in a forward pass over four short texts.
        probe: function for the trial of a model without a score head; default is `head_inputs`.
    """
    if requested == "padded":
        return padded
    base: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    layout = _tree_layout(base, requested)
    probe = probe or head_inputs
    before = base.config._attn_implementation
    texts = _trial_texts(base.config.get_text_config().vocab_size, padded.pad_token_id)
    try:
        _require_compatible(model, base, layout)
        expected = probe(model, padded, texts) if trial else None
        if not str(before).startswith(TREE_ATTENTION):
            base.set_attn_implementation(TREE_ATTENTION)
        if expected is not None:
            _require_same(probe, model, layout, texts, expected)
    except UnsupportedLayoutError as reason:
        base.set_attn_implementation(before)
        logger.log(
            logging.INFO if requested == "auto" else logging.WARNING,
            "Layout: padded. %s does not support %s: %s.", type(base).__name__, layout.name, reason,
        )  # fmt: skip
        return padded
    reason_to_use = f"the fastest layout for {type(base).__name__}" if requested == "auto" else "as requested"
    logger.info("Layout: %s, %s.", layout.name, reason_to_use)
    return layout


def _tree_layout(base: nn.Module, requested: LayoutName) -> Layout:
    """Return a layout with all texts in one row, which needs attention along a prefix tree."""
    encoder = is_encoder(base)
    if requested == "prefix_shared" or (requested == "auto" and not encoder):
        return PrefixSharedLayout()
    return PackedLayout(bidirectional=True, first_position=first_position(base)) if encoder else PackedLayout()


def require_layout(name: str) -> None:
    """Raise `UnknownNameError` unless `name` is the name of a layout."""
    names = get_args(LayoutName)
    if name not in names:
        raise UnknownNameError(f"Unknown layout '{name}'.{did_you_mean(name, names)} Use one of {', '.join(names)}.")


def require_same_scores(model: nn.Module, layout: Layout, padded: PaddedLayout, texts: Texts) -> None:
    """Check that a layout and the padded one give the same head inputs at all tokens of some texts.

    Args:
        model: a model with a score head, for which `choose_layout` returned `layout`.
        layout: the layout to check.
        padded: the reference.
        texts: token ids of each text.

    Raises:
        InvalidSettingError: the difference exceeds the rounding error of the model's dtype.
    """
    difference = _max_difference(head_inputs(model, layout, texts), head_inputs(model, padded, texts))
    if not difference <= rounding_tolerance(model):
        raise InvalidSettingError(
            f"On the first rows the layout {layout.name} differs from the padded one by {difference:.1e}, more than "
            "the rounding error, so its scores would be wrong. Use layout='padded', and report the name of the model "
            "as a bug."
        )
    logger.info(
        "Layout: %s differs from padded by %.1e on the first rows, within the rounding error.", layout.name, difference
    )


def rounding_tolerance(model: nn.Module) -> float:
    """Return the relative rounding error that is accepted for the dtype of a model."""
    full_precision = next(model.parameters()).dtype in (torch.float32, torch.float64)
    return 1e-4 if full_precision else 3e-2


def _require_compatible(model: nn.Module, base: Any, layout: Layout) -> None:
    """Raise `UnsupportedLayoutError` if the class or the configuration of a model excludes a layout."""
    if getattr(base.config, "classifier_pooling", "cls") != "cls":
        raise UnsupportedLayoutError("its head averages over the tokens of a text")
    if is_encoder(base) and layout.name == "prefix_shared":
        raise UnsupportedLayoutError(f"{BIDIRECTIONAL}; packed is supported")
    if not base._supports_attention_backend or not base._supports_flash_attn:
        raise UnsupportedLayoutError("its attention does not use transformers' AttentionInterface with all options")
    arguments = inspect.signature(base.forward).parameters
    takes_more = any(argument.kind is argument.VAR_KEYWORD for argument in arguments.values())
    if "position_ids" not in arguments or not takes_more:
        raise UnsupportedLayoutError("its forward has no argument position_ids, or no **kwargs for its attention")
    other_types = set(getattr(base.config.get_text_config(), "layer_types", None) or ()) - TREE_LAYER_TYPES
    if other_types:
        raise UnsupportedLayoutError(f"it has layers of type {', '.join(sorted(other_types))}")
    if isinstance(model, PeftModel) and model.active_peft_config.is_prompt_learning:
        raise UnsupportedLayoutError("its adapter adds virtual tokens to each sequence")


def _require_same(probe: Probe, model: nn.Module, layout: Layout, texts: Texts, expected: list[Tensor]) -> None:
    try:
        difference = _max_difference(probe(model, layout, texts), expected)
    except UnsupportedLayoutError:
        raise
    except Exception as error:
        raise UnsupportedLayoutError(f"a trial pass failed with {type(error).__name__}: {error}") from error
    if not difference <= rounding_tolerance(model):
        raise UnsupportedLayoutError(f"a trial pass differs by {difference:.1e} from the padded one")


def _max_difference(found: list[Tensor], expected: list[Tensor]) -> float:
    """Return the largest difference relative to the norm; NaN if there is one."""
    differences = [(a - b).norm() / b.norm().clamp(min=1e-30) for a, b in zip(found, expected, strict=True)]
    return float(torch.stack(differences).max())


def _trial_texts(vocabulary: int, pad_token_id: int) -> list[list[int]]:
    """Return texts with common prefixes at two levels and one without; none contains the padding token."""
    drawn = torch.randint(vocabulary, (240,), generator=torch.Generator().manual_seed(0)).tolist()
    tokens = [token for token in drawn if token != pad_token_id][:60]
    prompt, step = tokens[:12], tokens[12:24]
    return [prompt + tokens[24:31], prompt + step + tokens[31:36], prompt + step + tokens[36:44], tokens[44:]]


@torch.no_grad()
def head_inputs(model: nn.Module, layout: Layout, texts: Texts) -> list[Tensor]:
    """Return the inputs of the score head for some texts. This is the default probe of `choose_layout`.

    For a decoder the result is one tensor of shape (token, hidden), with the tokens in the order of the texts. For an
    encoder it is the input at the first token of each text, and the scores, because a head may select another token.

    Args:
        model: a model with a score head.
        layout: layout of the texts.
        texts: token ids of each text.

    Raises:
        UnsupportedLayoutError: the head of a decoder reduces a text to one vector.
    """
    arranged = layout.arrange(texts)
    device = next(model.parameters()).device
    inputs = {name: value.to(device) for name, value in arranged.model_inputs.items()}
    with _evaluation_mode(model), capture_head(find_head(model)) as calls, unpack_first_tokens(model, inputs):
        output = model(**inputs, use_cache=False)
    features, scores = calls[-1]
    if is_encoder(model):
        return [(features if features.dim() == 2 else features[:, 0]).float(), output.logits.float()]
    if scores.dim() != 3:
        raise UnsupportedLayoutError("its head gives one score per text, not per token")
    hidden = features.flatten(0, 1).float()
    return [torch.cat([hidden[torch.from_numpy(indices).to(device)] for indices in arranged.token_indices])]


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
