"""What must hold before a model is loaded: the loss, the data, the tokenizer and the settings fit together."""

import logging
from copy import copy
from typing import Any

from peft import PeftConfig, TaskType
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from rlhf_losses.errors import UnreadableLoss, UnusableModel
from rlhf_losses.hooks import parse_loss
from rlhf_losses.losses import Centering, Loss, centering
from rlhf_losses.model import HEADS
from rlhf_losses.training.config import RewardConfig

logger = logging.getLogger(__name__)


def choose_loss(loss: Loss | str | None, args: RewardConfig) -> Loss:
    """Return the loss of the argument, or of the configuration, with TRL's centering coefficient added."""
    chosen = parse_loss(args.loss) if loss is None else parse_loss(loss) if isinstance(loss, str) else loss
    coefficient = args.center_rewards_coefficient
    if coefficient is None:
        return chosen
    if any(isinstance(term.loss, Centering) for term in chosen.terms):
        raise UnreadableLoss(
            f"center_rewards_coefficient={coefficient} and the loss '{chosen}' both center the scores. "
            "Keep one: the loss says it all."
        )
    return chosen + coefficient * centering


def require_one_label(model: str | PreTrainedModel, config: Any) -> None:
    """Raise `UnusableModel` for a sequence classifier with several labels."""
    trained_classifier = any("ForSequenceClassification" in name for name in config.architectures or [])
    if config.num_labels != 1 and (trained_classifier or not isinstance(model, str)):
        raise UnusableModel(
            f"The model has num_labels={config.num_labels}, but a reward model gives one score a text. "
            "Load it with AutoModelForSequenceClassification.from_pretrained(..., num_labels=1), or start from a "
            "language model."
        )


def load_config(model: str | PreTrainedModel, args: RewardConfig) -> Any:
    """Return the configuration of a model, without its weights."""
    if not isinstance(model, str):
        return model.config
    options = args.model_init_kwargs if isinstance(args.model_init_kwargs, dict) else {}
    return AutoConfig.from_pretrained(model, revision=options.get("revision"), trust_remote_code=args.trust_remote_code)


def load_tokenizer(model: str | PreTrainedModel, args: RewardConfig) -> PreTrainedTokenizerBase:
    """Return the tokenizer that belongs to a model."""
    options = args.model_init_kwargs if isinstance(args.model_init_kwargs, dict) else {}
    name = model if isinstance(model, str) else model.config._name_or_path
    if not name:
        raise UnusableModel(
            f"The {type(model).__name__} was made in memory, so its tokenizer cannot be found. "
            "Pass it: RewardTrainer(..., processing_class=tokenizer)."
        )
    return AutoTokenizer.from_pretrained(
        name, revision=options.get("revision"), trust_remote_code=args.trust_remote_code
    )


def mend_tokenizer(tokenizer: PreTrainedTokenizerBase, args: RewardConfig) -> None:
    """Set the tokens that the configuration names, and raise `UnusableModel` if padding would hide the end."""
    for name in ("eos_token", "pad_token"):
        token = getattr(args, name)
        if token is None:
            continue
        if token not in tokenizer.get_vocab():
            raise UnusableModel(
                f"{name}='{token}' is not in the tokenizer's vocabulary, so the model has no embedding for it. "
                f"Name one that is: {_candidates(tokenizer)}."
            )
        setattr(tokenizer, name, token)
    # TRL would warn about pad_token as deprecated; the tokenizer has it now.
    args.pad_token = None
    if tokenizer.eos_token is None:
        raise UnusableModel(
            "The tokenizer has no EOS token, so the end of a text, where its score is read, cannot be marked. "
            f"Name one: --eos_token TOKEN, for example {_candidates(tokenizer)}."
        )
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        arrived = "no pad token" if tokenizer.pad_token_id is None else f"pad = eos = '{tokenizer.eos_token}'"
        raise UnusableModel(
            f"The tokenizer has {arrived}. A sequence classifier reads its score at the last token that is not "
            "padding, so the EOS would be skipped and an untrained position read. "
            f"Name another token: --pad_token TOKEN (or RewardConfig(pad_token=...)), for example "
            f"{_candidates(tokenizer)}."
        )


def train_head(peft_config: PeftConfig | None) -> PeftConfig | None:
    """Return the PEFT configuration with the score head trained and saved."""
    if peft_config is None or not hasattr(peft_config, "modules_to_save"):
        return peft_config
    changed = copy(peft_config)
    changed.task_type = TaskType.SEQ_CLS
    saved = list(peft_config.modules_to_save or [])
    changed.modules_to_save = saved if set(saved) & set(HEADS) else [*saved, "score"]
    return changed


def _candidates(tokenizer: PreTrainedTokenizerBase) -> str:
    """Name tokens that could serve: special ones other than BOS and EOS first, then reserved ones."""
    vocabulary = tokenizer.get_vocab()
    taken = {tokenizer.eos_token, tokenizer.bos_token}
    special = [token for token in tokenizer.all_special_tokens if token not in taken]
    marks = ("pad", "unused", "reserved", "unk")
    reserved = [
        t for t in vocabulary if any(m in t.lower() for m in marks) and t.startswith(("<", "[")) and t not in taken
    ]
    found = list(dict.fromkeys([*special, *reserved]))[:3]
    return " or ".join(f"'{token}'" for token in found) or "a token added with tokenizer.add_special_tokens"
