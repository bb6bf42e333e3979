"""The tokenizer of a run, and a model with an embedding for each of its tokens."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import PeftConfig, PeftModel
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from rlhf_losses.data.special_tokens import configure_special_tokens
from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.models.embeddings import count_embeddings, require_embeddings, resize_embeddings, train_embeddings
from rlhf_losses.models.loading_errors import explain_loading
from rlhf_losses.training.config import RewardConfig
from rlhf_losses.training.validation import create_model, load_config, model_name


@dataclass(frozen=True)
class ModelWithTokenizer:
    """A model, and the tokenizer with which texts are checked before its weights are loaded.

    Args:
        model: path of a model, or a model.
        peft_config: adapters to train.
        tokenizer: tokenizer with a padding token and EOS.
        is_final: whether the tokenizer is complete; else TRL adds tokens from another tokenizer's chat template.
        num_embeddings: number of tokens with an embedding, if it is known before the weights are loaded.
    """

    model: str | PreTrainedModel | PeftModel
    peft_config: PeftConfig | None
    tokenizer: PreTrainedTokenizerBase
    is_final: bool
    num_embeddings: int | None


def prepare_tokenizer(
    tokenizer: PreTrainedTokenizerBase | None,
    path_or_model: str | PreTrainedModel | PeftModel,
    model: str | PreTrainedModel | PeftModel,
    args: RewardConfig,
    peft_config: PeftConfig | None,
    trl_arguments: dict[str, Any],
) -> ModelWithTokenizer:
    """Return the tokenizer of a run, with the special tokens and the chat template of the settings.

    Args:
        tokenizer: the tokenizer, which changes in place; by default the one saved with the model.
        path_or_model: the model as the user passed it.
        model: the same, with adapters loaded.
        args: the configuration; `pad_token` is used and removed.
        peft_config: adapters to train.
        trl_arguments: further arguments of `trl.RewardTrainer`; `quantization_config` is used and removed if the
            embeddings are resized.

    Raises:
        UnsupportedModelError: a tokenizer cannot be loaded, or a token has no embedding.
    """
    tokenizer = tokenizer or _load_tokenizer(path_or_model, args)
    is_final = set_chat_template(tokenizer, args.chat_template_path)
    count = _count_embeddings(model, args)
    room = len(tokenizer) + 1 if args.resize_embeddings else 0  # for a new padding token
    configure_special_tokens(tokenizer, args.eos_token, args.pad_token, max(count or 0, room) or None)
    args.pad_token = None  # deprecated in TRL; the tokenizer has the token now
    if args.resize_embeddings:
        model, peft_config = _with_embeddings(model, args, tokenizer, peft_config, trl_arguments)
    else:
        require_embeddings(tokenizer, count, model_name(model))
    # TRL adds embeddings for the tokens of another model's chat template.
    count = _count_embeddings(model, args) if is_final else None
    return ModelWithTokenizer(model, peft_config, tokenizer, is_final, count)


def _count_embeddings(model: str | PreTrainedModel | PeftModel, args: RewardConfig) -> int | None:
    return count_embeddings(load_config(model, args) if isinstance(model, str) else model)


def _load_tokenizer(model: str | PreTrainedModel | PeftModel, args: RewardConfig) -> PreTrainedTokenizerBase:
    """Return the tokenizer saved with a model.

    Raises:
        UnsupportedModelError: the model was created in memory and has no path.
    """
    options = args.model_init_kwargs if isinstance(args.model_init_kwargs, dict) else {}
    path = model if isinstance(model, str) else model.config._name_or_path
    if not path:
        raise UnsupportedModelError(
            f"The {type(model).__name__} was created in memory and has no path, so its tokenizer cannot be loaded. "
            "Pass it: RewardTrainer(..., processing_class=tokenizer)."
        )
    with explain_loading(path, "a tokenizer"):
        return AutoTokenizer.from_pretrained(
            path, revision=options.get("revision"), trust_remote_code=args.trust_remote_code
        )


def set_chat_template(tokenizer: PreTrainedTokenizerBase, path: str | None) -> bool:
    """Set the chat template of a tokenizer, and return whether the tokenizer is final.

    TRL copies a template from another tokenizer after it has loaded the model, because it may add tokens to both.

    Args:
        tokenizer: tokenizer of the model; it changes in place.
        path: `chat_template_path`: a Jinja file, the name of another tokenizer, or None for no change.

    Raises:
        UnsupportedModelError: the other tokenizer cannot be loaded without executing code.
    """
    if path is None:
        return True
    if not (Path(path).is_file() and path.endswith((".jinja", ".j2"))):
        with explain_loading(path, "a tokenizer with a chat template"):
            AutoTokenizer.from_pretrained(path, trust_remote_code=False)  # TRL would ask on the terminal
        return False
    tokenizer.chat_template = Path(path).read_text(encoding="utf-8")
    return True


def _with_embeddings(
    model: str | PreTrainedModel | PeftModel,
    args: RewardConfig,
    tokenizer: PreTrainedTokenizerBase,
    peft_config: PeftConfig | None,
    trl_arguments: dict[str, Any],
) -> tuple[str | PreTrainedModel | PeftModel, PeftConfig | None]:
    """Return the model with an embedding for every token, and adapters that train and save the new ones.

    A path is returned unchanged if its model has enough embeddings. Else the model is loaded, as TRL does.

    Args:
        model: path of a model, or a model, which changes in place.
        args: the configuration.
        tokenizer: the tokenizer.
        peft_config: adapters to train.
        trl_arguments: further arguments of `trl.RewardTrainer`; `quantization_config` is used and removed.
    """
    if isinstance(model, str):
        count = count_embeddings(load_config(model, args))
        if count is None or max(tokenizer.get_vocab().values()) < count:
            return model, peft_config
        model = create_model(model, args, trl_arguments)
    return model, train_embeddings(peft_config, model, resize_embeddings(model, tokenizer))
