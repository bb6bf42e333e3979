"""Which layout a model takes: rules that its class and configuration answer, then a trial on a few tokens.

A layout that is faster and wrong is worse than none, so a model that breaks a rule, or whose trial comes out
differently, gets the padded layout and one line that says why.
"""

import inspect
import logging
from typing import Any, Literal, get_args

import torch
from peft import PeftModel
from torch import Tensor, nn

from rlhf_losses.errors import InvalidSettingError, UnknownNameError, did_you_mean
from rlhf_losses.layouts.attention import TREE_ATTENTION, WHOLE_TEXT
from rlhf_losses.layouts.base import Layout, Texts, UnsupportedLayout
from rlhf_losses.layouts.packed import PackedLayout
from rlhf_losses.layouts.padded import PaddedLayout
from rlhf_losses.layouts.prefix_shared import PrefixSharedLayout
from rlhf_losses.models.architectures import encoder_head_inputs, first_position, is_encoder
from rlhf_losses.models.scores import capture_head, find_head

logger = logging.getLogger(__name__)

LayoutName = Literal["auto", "padded", "packed", "prefix_shared"]
TREE_LAYERS = {"full_attention", "sliding_attention"}
"""Kinds of layers that attend as the tree says; others (recurrent, chunked, sparse) mix what lies side by side."""


def choose_layout(model: nn.Module, padded: PaddedLayout, wanted: LayoutName = "auto", trial: bool = True) -> Layout:
    """Return the wanted layout, prepared in `model`, or the padded one where the model cannot take it.

    Args:
        model: a sequence classifier, bare or wrapped by PEFT; its attention function is set.
        padded: the layout to fall back to, and to compare with.
        wanted: a layout's name; `"auto"` is the fastest: `prefix_shared`, or `packed` for an encoder.
        trial: run a few tokens through both layouts and compare; without it, only the rules are asked.
    """
    if wanted == "padded":
        return padded
    base: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    layout = _row_layout(base, wanted)
    before = base.config._attn_implementation
    texts = _trial_texts(base.config.get_text_config().vocab_size, padded.pad_token_id)
    try:
        _require_rules(model, base, layout)
        expected = head_inputs(model, padded, texts) if trial else None
        if not str(before).startswith(TREE_ATTENTION):
            base.set_attn_implementation(TREE_ATTENTION)
        if expected is not None:
            _require_same(model, layout, texts, expected)
    except UnsupportedLayout as reason:
        base.set_attn_implementation(before)
        logger.log(
            logging.INFO if wanted == "auto" else logging.WARNING,
            "Layout: padded. %s cannot take %s: %s.", type(base).__name__, layout.name, reason,
        )  # fmt: skip
        return padded
    why = f"the fastest that {type(base).__name__} takes" if wanted == "auto" else "as asked for"
    logger.info("Layout: %s, %s.", layout.name, why)
    return layout


def _row_layout(base: nn.Module, wanted: LayoutName) -> Layout:
    """Return a layout that puts all texts into one row; it needs attention along a tree."""
    encoder = is_encoder(base)
    if wanted == "prefix_shared" or (wanted == "auto" and not encoder):
        return PrefixSharedLayout()
    return PackedLayout(both_ways=True, first_position=first_position(base)) if encoder else PackedLayout()


def require_layout(name: str) -> None:
    """Raise `UnknownNameError` unless there is a layout of that name."""
    names = get_args(LayoutName)
    if name not in names:
        raise UnknownNameError(
            f"There is no layout '{name}', so the texts have no place.{did_you_mean(name, names)} "
            f"Take one of {', '.join(names)}."
        )


def require_same_scores(model: nn.Module, layout: Layout, padded: PaddedLayout, texts: Texts) -> None:
    """Raise `InvalidSettingError` unless a layout gives every token of `texts` what the padded layout gives it."""
    differs = _difference(head_inputs(model, layout, texts), head_inputs(model, padded, texts))
    if not differs <= tolerance(model):
        raise InvalidSettingError(
            f"On the first rows the layout {layout.name} differs from the padded one by {differs:.1e}, which rounding "
            f"does not explain, so its scores would be wrong. Take layout='padded', and tell us the model's name."
        )
    logger.info("Layout: %s differs from padded by %.1e on the first rows, which is rounding.", layout.name, differs)


def tolerance(model: nn.Module) -> float:
    """Return the difference that rounding explains in the precision of a model."""
    exact = next(model.parameters()).dtype in (torch.float32, torch.float64)
    return 1e-4 if exact else 3e-2


def _require_rules(model: nn.Module, base: Any, layout: Layout) -> None:
    if getattr(base.config, "classifier_pooling", "cls") != "cls":
        raise UnsupportedLayout("its head reads the mean over a text")
    if is_encoder(base) and layout.name == "prefix_shared":
        raise UnsupportedLayout(f"{WHOLE_TEXT}; it may take packed")
    if not base._supports_attention_backend or not base._supports_flash_attn:
        raise UnsupportedLayout(
            "its attention is not entered through transformers' AttentionInterface with all that matters"
        )
    arguments = inspect.signature(base.forward).parameters
    takes_more = any(argument.kind is argument.VAR_KEYWORD for argument in arguments.values())
    if "position_ids" not in arguments or not takes_more:
        raise UnsupportedLayout("its forward takes no position_ids, or no further arguments for its attention")
    kinds = set(getattr(base.config.get_text_config(), "layer_types", None) or ()) - TREE_LAYERS
    if kinds:
        raise UnsupportedLayout(f"it has layers of the kind {', '.join(sorted(kinds))}")
    if isinstance(model, PeftModel) and model.active_peft_config.is_prompt_learning:
        raise UnsupportedLayout("its adapter puts virtual tokens before every line")


def _require_same(model: nn.Module, layout: Layout, texts: Texts, expected: list[Tensor]) -> None:
    try:
        differs = _difference(head_inputs(model, layout, texts), expected)
    except UnsupportedLayout:
        raise
    except Exception as error:
        raise UnsupportedLayout(f"a trial pass failed with {type(error).__name__}: {error}") from error
    if not differs <= tolerance(model):
        raise UnsupportedLayout(f"a trial pass differs by {differs:.1e} from the padded one")


def _difference(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """Return the largest difference as a share of the norm; NaN if there is one."""
    shares = [(a - b).norm() / b.norm().clamp(min=1e-30) for a, b in zip(ours, theirs, strict=True)]
    return float(torch.stack(shares).max())


def _trial_texts(vocabulary: int, pad_token_id: int) -> list[list[int]]:
    """Return texts that share beginnings at two levels, and one that shares nothing; none has the padding token."""
    drawn = torch.randint(vocabulary, (240,), generator=torch.Generator().manual_seed(0)).tolist()
    tokens = [token for token in drawn if token != pad_token_id][:60]
    prompt, step = tokens[:12], tokens[12:24]
    return [prompt + tokens[24:31], prompt + step + tokens[31:36], prompt + step + tokens[36:44], tokens[44:]]


@torch.no_grad()
def head_inputs(model: nn.Module, layout: Layout, texts: Texts) -> list[Tensor]:
    """Return what the head reads at every token of every text; for an encoder, at first tokens, and its scores too.

    A head that makes its own choice among the tokens of a text may choose others than the first.
    """
    arrangement = layout.arrange(texts)
    device = next(model.parameters()).device
    inputs = {k: v.to(device) for k, v in arrangement.model_inputs.items()}
    was_training = model.training
    model.eval()
    try:
        with capture_head(find_head(model)) as seen, encoder_head_inputs(model, inputs):
            output = model(**inputs, use_cache=False)
    finally:
        model.train(was_training)
    read, scores = seen[-1]
    if is_encoder(model):
        return [(read if read.dim() == 2 else read[:, 0]).float(), output.logits.float()]
    if scores.dim() != 3:
        raise UnsupportedLayout("its head reads whole texts, not tokens")
    hidden = read.flatten(0, 1).float()
    return [torch.cat([hidden[torch.from_numpy(places).to(device)] for places in arrangement.places])]
