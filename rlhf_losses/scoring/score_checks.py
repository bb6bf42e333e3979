"""Checks of a reward model that compare its scores: batch size, padding, precision, layouts, plain classifier."""

import copy
from collections.abc import Iterator
from typing import get_args

import torch
from torch import Tensor

from rlhf_losses.layouts import LayoutName
from rlhf_losses.models.architectures import max_context_length
from rlhf_losses.models.scores import find_head, use_float32_head
from rlhf_losses.scoring.canaries import describe_change
from rlhf_losses.scoring.head_weights import head_sha256, head_weights
from rlhf_losses.scoring.identity import describe_other_head, describe_other_padding
from rlhf_losses.scoring.model_check import ExaminedModel, ModelCheck, raw_scores
from rlhf_losses.scoring.scorer import Scorer

LARGEST_ROUNDING = 0.1
"""Largest root mean square of the differences between bfloat16 and float32, in units of the spread of scores."""


ROUNDING = 1e-6
"""Relative rounding error of a score in float32."""

UNLIMITED = 10**9
"""Limits of tokenizers from this number on mean that there is none."""


def score_checks(model: ExaminedModel) -> Iterator[ModelCheck]:
    """Yield the results of all checks of scores.

    Args:
        model: the examined model.
    """
    yield check_spread(model)
    yield check_batch_size(model)
    yield check_plain_classifier(model)
    yield check_padding_side(model)
    yield check_bfloat16(model)
    yield from check_layouts(model)
    yield check_head(model)
    yield check_length_limit(model)
    yield from check_problem_type(model)
    yield from check_recorded(model)


def check_spread(model: ExaminedModel) -> ModelCheck:
    """Check that the score depends on the text by more than rounding."""
    smallest = ROUNDING * float(model.scores.abs().max())
    found = f"scores of {len(model.texts)} texts from {model.scores.min():.3g} to {model.scores.max():.3g}"
    remedy = "The score does not depend on the text: the head or other weights are lost. Download or save them again."
    return ModelCheck.of("spread of scores", model.spread > smallest, found, remedy)


def check_batch_size(model: ExaminedModel) -> ModelCheck:
    """Compare the scores of texts in one batch with those of single texts."""
    difference = _largest(raw_scores(model.scorer, model.texts), model.scores)
    remedy = "Use Scorer(..., batch_size=1), and report the name of the model as a bug."
    found = f"a batch of {len(model.texts)} differs from single texts by {model.in_spreads(difference)}"
    return ModelCheck.of("batch size", difference <= model.tolerance, found, remedy)


def check_plain_classifier(model: ExaminedModel) -> ModelCheck:
    """Compare the output of the classifier of transformers, padded on the right, with the scores."""
    if model.pad_token_id is None:
        found = "AutoModelForSequenceClassification cannot score several texts, because the model has no padding token"
        return ModelCheck("plain classifier", "failed", found, "Set pad_token_id in config.json.")
    difference = _largest(_plain_scores(model, "right"), model.scores)
    return ModelCheck.of(
        "plain classifier",
        difference <= model.tolerance,
        f"AutoModelForSequenceClassification differs from Scorer by {model.in_spreads(difference)}",
        "The padding token may end texts: use another one (pad_token in training), or score with Scorer.",
    )


def check_padding_side(model: ExaminedModel) -> ModelCheck:
    """Compare the output of the classifier of transformers with padding on both sides."""
    difference = _largest(_plain_scores(model, "left"), _plain_scores(model, "right"))
    return ModelCheck.of(
        "padding side",
        difference <= model.tolerance,
        f"padding on the left differs from padding on the right by {model.in_spreads(difference)}",
        "Outside Scorer, which does not depend on it, set tokenizer.padding_side = 'right'.",
    )


def check_bfloat16(model: ExaminedModel) -> ModelCheck:
    """Compare the scores in bfloat16 with those in float32."""
    half = copy.deepcopy(model.scorer.model).bfloat16()
    use_float32_head(half)
    head, exact = find_head(half), find_head(model.scorer.model)
    head.load_state_dict(exact.state_dict())
    scorer = Scorer(half, model.scorer.tokenizer, model.scorer.metadata, layout="padded")
    difference = (raw_scores(scorer, model.texts) - model.scores).square().mean().sqrt().item()
    return ModelCheck.of(
        "bfloat16",
        difference <= max(LARGEST_ROUNDING * model.spread, model.tolerance),
        f"scores in bfloat16 differ from float32 by {model.in_spreads(difference)} (limit {LARGEST_ROUNDING})",
        "Load the model in float32 or float16, or train it longer, so that scores differ more.",
    )


def check_layouts(model: ExaminedModel) -> Iterator[ModelCheck]:
    """Compare the scores in each layout with those in the padded one."""
    copied = copy.deepcopy(model.scorer.model)
    for name in (one for one in get_args(LayoutName) if one not in ("auto", "padded")):
        scorer = Scorer(copied, model.scorer.tokenizer, model.scorer.metadata, layout=name)
        if scorer.forward.layout.name != name:
            yield ModelCheck(f"layout {name}", "skipped", "the model does not support it, so padded is used")
            continue
        difference = _largest(raw_scores(scorer, model.texts), model.scores)
        found = f"differs from padded by {model.in_spreads(difference)}"
        remedy = "Use layout='padded', and report the name of the model as a bug."
        yield ModelCheck.of(f"layout {name}", difference <= model.tolerance, found, remedy)


def check_head(model: ExaminedModel) -> ModelCheck:
    """Check that the weights of the score head are in float32 and were not rounded to 16 bits."""
    weights = torch.cat([weight.detach().flatten() for weight in head_weights(model.scorer.model).values()])
    rounded = [
        dtype for dtype in (torch.bfloat16, torch.float16)
        if torch.equal(weights.to(dtype).float(), weights.float()) and weights.any()
    ]  # fmt: skip
    found = f"{weights.numel()} weights in {str(weights.dtype).removeprefix('torch.')}"
    if rounded:
        found += f", all of them values of {str(rounded[0]).removeprefix('torch.')}"
    remedy = "Save the model with its head in float32: trainer.save_merged() does."
    return ModelCheck.of("head in float32", weights.dtype == torch.float32 and not rounded, found, remedy)


def check_length_limit(model: ExaminedModel) -> ModelCheck:
    """Check that programs which truncate texts to the limit of the tokenizer do not exceed the context."""
    context, trained = max_context_length(model.scorer.model.config), model.scorer.metadata.max_length
    own = model.scorer.tokenizer.model_max_length
    limit = own if own < UNLIMITED else None
    found = f"context {context or 'unlimited'}, tokenizer {limit or 'unlimited'}, training {trained or 'not recorded'}"
    if context is not None and trained is not None and trained > context:
        found += f" (texts had at most {context} tokens)"
    passed = context is None or limit is None or limit <= context
    remedy = f"Set model_max_length to {context} in tokenizer_config.json."
    return ModelCheck.of("length limit", passed, found, remedy)


def check_problem_type(model: ExaminedModel) -> Iterator[ModelCheck]:
    """Check that other programs treat the output as a number, not as the logit of a class."""
    problem = getattr(model.scorer.model.config, "problem_type", None)
    remedy = "Set problem_type to 'regression' in config.json: other programs apply a sigmoid or a softmax to logits."
    yield ModelCheck.of("problem_type", problem in (None, "regression"), f"problem_type is {problem}", remedy)


def check_recorded(model: ExaminedModel) -> Iterator[ModelCheck]:
    """Compare tokens and scores of the recorded inputs, the head and the padding token with the recorded ones."""
    scorer, metadata = model.scorer, model.scorer.metadata
    remedy = "Save the model again, or download all files of its folder."
    for form in ("text", "conversation"):
        name, canaries = f"canary {form}", [one for one in metadata.canaries if one.form == form]
        if not canaries:
            yield ModelCheck(name, "not recorded", "reward_model.json has no such input")
            continue
        change = describe_change(scorer.model, scorer.tokenizer, canaries, scorer.encoder.end_of_texts)
        same = f"{len(canaries)} recorded inputs have their tokens and scores"
        yield ModelCheck.of(name, change is None, change or same, remedy)
    changes = {
        "recorded head": (metadata.head_sha256, describe_other_head(scorer.model, metadata)),
        "recorded padding": (
            metadata.pad_token_id, describe_other_padding(scorer.model, scorer.tokenizer, metadata, model.path)
        ),
    }  # fmt: skip
    for name, (recorded, change) in changes.items():
        if recorded is None:
            yield ModelCheck(name, "not recorded", "reward_model.json does not have it")
        else:
            same = f"SHA-256 {(head_sha256(scorer.model) or '')[:12]}" if name == "recorded head" else f"id {recorded}"
            yield ModelCheck.of(name, change is None, change or same, remedy)


@torch.no_grad()
def _plain_scores(model: ExaminedModel, side: str) -> Tensor:
    """Return the output of the classifier for all texts, padded on one side, in float64."""
    pad = model.scorer.model.config.get_text_config().pad_token_id
    width = max(len(text.ids) for text in model.texts)
    rows, masks = [], []
    for text in model.texts:
        fill = width - len(text.ids)
        row, mask = [pad] * fill, [0] * fill
        rows.append(row + text.ids if side == "left" else text.ids + row)
        masks.append(mask + [1] * len(text.ids) if side == "left" else [1] * len(text.ids) + mask)
    device = model.scorer.model.device
    output = model.scorer.model(torch.tensor(rows).to(device), attention_mask=torch.tensor(masks).to(device))
    scores: Tensor = output.logits.squeeze(-1).double().cpu()
    return scores


def _largest(scores: Tensor, expected: Tensor) -> float:
    return float((scores - expected).abs().max())
