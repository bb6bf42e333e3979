"""What must hold before training: the loss, the tokenizer, the adapter, the model and the settings fit together."""

import logging
from collections.abc import Sequence
from copy import copy
from typing import Any

from peft import LoraConfig, PeftConfig, TaskType
from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from torch import nn
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from rlhf_losses.errors import InvalidLossError, UnsupportedModelError
from rlhf_losses.feedback import STEPWISE_TYPES, Feedback
from rlhf_losses.hooks import parse_loss
from rlhf_losses.losses import Centering, Loss, centering
from rlhf_losses.models.architectures import HEAD_OF_TEXTS, is_encoder, longrope_threshold, require_single_stack
from rlhf_losses.models.scores import HEADS
from rlhf_losses.training.config import RewardConfig

logger = logging.getLogger(__name__)

BEFORE_HEADS = ("pooler", "pre_classifier")
"""Parts of the heads of encoders that stand apart, and that a language model need not have."""

BEFORE_HEADS_OF = {"modernbert": ("head",), "modernbert-decoder": ("head",), "eurobert": ("dense",)}
"""The same where the name alone says too little: in other models it is that of other layers."""

PAD_MARKS = ("pad", "unused", "reserved", "unk")
"""What the name of a token says that could serve as padding."""

END_MARKS = ("eos", "end", "eot", "sep", "</s>", "stop")
"""What the name of a token says that could close a text."""


def choose_loss(loss: Loss | str | None, args: RewardConfig) -> Loss:
    """Return the loss of the argument, or of the configuration, with TRL's centering coefficient added."""
    chosen = parse_loss(args.loss) if loss is None else parse_loss(loss) if isinstance(loss, str) else loss
    coefficient = args.center_rewards_coefficient
    if coefficient is None:
        return chosen
    if any(isinstance(term.loss, Centering) for term in chosen.terms):
        raise InvalidLossError(
            f"center_rewards_coefficient={coefficient} and the loss '{chosen}' both center the scores. "
            "Keep one: the loss says it all."
        )
    return chosen + coefficient * centering


def require_one_label(model: str | PreTrainedModel, config: Any) -> None:
    """Raise `UnsupportedModelError` for a sequence classifier with several labels, and for one with a decoder, like T5."""
    require_single_stack(config)
    trained_classifier = any("ForSequenceClassification" in name for name in config.architectures or [])
    if config.num_labels != 1 and (trained_classifier or not isinstance(model, str)):
        raise UnsupportedModelError(
            f"The model has num_labels={config.num_labels}, but a reward model gives one score a text. Put a new head "
            """on it: --model_init_kwargs '{"ignore_mismatched_sizes": true}', in Python """
            "AutoModelForSequenceClassification.from_pretrained(..., num_labels=1, ignore_mismatched_sizes=True). "
            "Or start from a language model."
        )


def load_config(model: str | PreTrainedModel, args: RewardConfig) -> Any:
    """Return the configuration that a model will have, without its weights; a head of other labels may be replaced."""
    if not isinstance(model, str):
        return model.config
    options = args.model_init_kwargs if isinstance(args.model_init_kwargs, dict) else {}
    new_head = {"num_labels": 1} if options.get("ignore_mismatched_sizes") else {}
    return AutoConfig.from_pretrained(
        model, revision=options.get("revision"), trust_remote_code=args.trust_remote_code, **new_head
    )


def warn_of_positions(config: Any, args: RewardConfig) -> None:
    """Warn where texts may be so long that they change the positions of those beside them."""
    change = longrope_threshold(config)
    if (args.max_length or float("inf")) > change:
        logger.warning(
            "Where a text has more than %d tokens, this model counts the positions of all texts of its pass in another "
            "way (longrope), so that shorter ones score differently than by themselves. Keep texts below: "
            "--max_length %d.",
            change, change,
        )  # fmt: skip


def load_tokenizer(model: str | PreTrainedModel, args: RewardConfig) -> PreTrainedTokenizerBase:
    """Return the tokenizer that belongs to a model."""
    options = args.model_init_kwargs if isinstance(args.model_init_kwargs, dict) else {}
    name = model if isinstance(model, str) else model.config._name_or_path
    if not name:
        raise UnsupportedModelError(
            f"The {type(model).__name__} was made in memory, so its tokenizer cannot be found. "
            "ForwardPass it: RewardTrainer(..., processing_class=tokenizer)."
        )
    return AutoTokenizer.from_pretrained(
        name, revision=options.get("revision"), trust_remote_code=args.trust_remote_code
    )


def configure_special_tokens(tokenizer: PreTrainedTokenizerBase, args: RewardConfig) -> None:
    """Set the tokens that the configuration names, and raise `UnsupportedModelError` if padding would hide the end."""
    for name, marks in (("eos_token", END_MARKS), ("pad_token", PAD_MARKS)):
        token = getattr(args, name)
        if token is None:
            continue
        if token not in tokenizer.get_vocab():
            raise UnsupportedModelError(
                f"{name}='{token}' is not in the tokenizer's vocabulary, so the model has no embedding for it. "
                f"Name one that is: {_candidates(tokenizer, marks)}."
            )
        setattr(tokenizer, name, token)
    # TRL would warn about pad_token as deprecated; the tokenizer has it now.
    args.pad_token = None
    if tokenizer.eos_token is None and not closes_texts(tokenizer):
        raise UnsupportedModelError(
            "The tokenizer has no EOS token, so the end of a text, where its score is read, cannot be marked. "
            f"Name one: --eos_token TOKEN, for example {_candidates(tokenizer, END_MARKS)}."
        )
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        arrived = "no pad token" if tokenizer.pad_token_id is None else f"pad = eos = '{tokenizer.eos_token}'"
        raise UnsupportedModelError(
            f"The tokenizer has {arrived}. A sequence classifier reads its score at the last token that is not "
            "padding, so the EOS would be skipped and an untrained position read. "
            f"Name another token: --pad_token TOKEN (or RewardConfig(pad_token=...)), for example "
            f"{_candidates(tokenizer, PAD_MARKS)}."
        )


def closes_texts(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Tell whether a tokenizer puts a token of its own after every text, as BERT's puts [SEP]."""
    inside = tokenizer("a", add_special_tokens=False)["input_ids"]
    return list(tokenizer("a")["input_ids"])[-1:] != list(inside)[-1:]


def require_scores_inside(model: nn.Module, loss: Loss, kinds: Sequence[type[Feedback]]) -> None:
    """Raise `UnsupportedModelError` where a loss reads steps inside a text, and the model has one score for all of it."""
    stepwise = [kind.__name__ for kind in kinds if kind in STEPWISE_TYPES]
    if stepwise and is_encoder(model):
        raise UnsupportedModelError(f"The loss '{loss}' reads {' and '.join(stepwise)}, but this {HEAD_OF_TEXTS}")


def complete_adapter(peft_config: PeftConfig | None, config: Any) -> PeftConfig | None:
    """Return the PEFT configuration with the score head, and what of it stands apart, trained and saved.

    LoRA goes to all linear layers of a model for which PEFT has no layers in mind, like ModernBERT.
    """
    if peft_config is None or not hasattr(peft_config, "modules_to_save"):
        return peft_config
    changed = copy(peft_config)
    changed.task_type = TaskType.SEQ_CLS
    saved = list(peft_config.modules_to_save or [])
    head = [] if set(saved) & set(HEADS) else ["score"]
    apart = BEFORE_HEADS + BEFORE_HEADS_OF.get(config.model_type, ())
    changed.modules_to_save = list(dict.fromkeys([*saved, *head, *apart]))
    if isinstance(changed, LoraConfig) and not (changed.target_modules or changed.target_parameters):
        known = config.model_type in TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
        changed.target_modules = None if known else "all-linear"
    return changed


def _candidates(tokenizer: PreTrainedTokenizerBase, marks: tuple[str, ...]) -> str:
    """Name tokens that could serve, by what their names say: special ones first, BOS, EOS and padding never."""
    taken = {tokenizer.eos_token, tokenizer.bos_token, tokenizer.pad_token}
    named = [token for token in tokenizer.get_vocab() if token.startswith(("<", "["))]
    fitting = [
        token
        for token in (*tokenizer.all_special_tokens, *named)
        if token not in taken and any(mark in token.lower() for mark in marks)
    ]
    found = list(dict.fromkeys(fitting))[:3]
    return " or ".join(f"'{token}'" for token in found) or "a token added with tokenizer.add_special_tokens"
