"""Four roles on one base: policy, critic and reward model are adapters, the reference is what is under them.

Each role has modules of its own, whose frozen weights are the same tensors. So no role is ever switched on or
off: activation checkpointing, data parallelism and saving work for each as if it were alone.
"""

import copy
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.scoring.loading import ADAPTER, require_head_in
from rlhf_losses.scoring.metadata import RewardModelMetadata, require_same_head
from rlhf_losses.scoring.scorer import Scorer

LORA = "lora_"
"""Stands in the name of every parameter of a LoRA adapter."""


def tied_copy(module: Any) -> Any:
    """Return a copy of a module whose weights are the very tensors of the original, but for its adapters.

    ConverterRegistry, and modules that are trained in full beside them, are copied.
    """
    common = [p for name, p in module.named_parameters() if not any(part in name for part in (LORA, "modules_to_save"))]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in chain(common, module.buffers())})


def scorer_on_base(
    base: PreTrainedModel,
    adapter: str | Path,
    device: str | torch.device | None = None,
    **scorer_options: Any,
) -> Scorer:
    """Return the scorer of a LoRA adapter, on the weights of `base`, which are frozen.

    Give the same `base` as the policy, with a `peft_config`, and all roles hold one copy of the weights::

        base = AutoModelForCausalLM.from_pretrained("my-model")
        PPOTrainer(base, scorer_on_base(base, "reward/checkpoint-500"), peft_config=LoraConfig())

    Args:
        base: the language model that the reward model was trained on.
        adapter: folder of the adapter, as a checkpoint of `RewardTrainer` is one.
        device: where to compute; by default the accelerator, if there is one.
        scorer_options: the other arguments of `Scorer`.

    Raises:
        UnsupportedModelError: the folder holds no adapter with a score head, or one of another base.
    """
    require_head(Path(adapter))
    base.requires_grad_(False).to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    model = PeftModel.from_pretrained(_classifier(base, tokenizer), str(adapter)).to(base.device)
    description = RewardModelMetadata.load(adapter)
    scorer = Scorer(model, tokenizer, description, **scorer_options)
    scorer.folder, scorer.__name__ = Path(adapter), Path(adapter).name
    require_same_head(scorer.model, tokenizer, scorer.metadata)
    return scorer


def require_head(adapter: Path) -> None:
    """Raise `UnsupportedModelError` unless a folder holds an adapter together with a score head."""
    if not (adapter / ADAPTER).is_file():
        raise UnsupportedModelError(
            f"'{adapter}' holds no {ADAPTER}, so it is no reward model on another base; saved_merged reward models have "
            f"their adapter merged. Give the checkpoint that it was trained in, like {adapter}/checkpoint-500."
        )
    require_head_in(adapter)


def _classifier(base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """Return a sequence classifier whose transformer is tied to that of a language model."""
    config = copy.deepcopy(base.config)
    config.num_labels = 1
    config.get_text_config().pad_token_id = tokenizer.pad_token_id
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config)
    setattr(model, model.base_model_prefix, tied_copy(base.base_model))
    model.score = nn.Linear(config.get_text_config().hidden_size, 1, bias=False)
    model.name_or_path = base.name_or_path
    return model


def held_bytes(modules: Iterable[nn.Module]) -> int:
    """Return how many bytes the weights of several modules take together, each tensor counted once."""
    tensors: dict[int, Tensor] = {}
    for module in modules:
        tensors |= {p.untyped_storage().data_ptr(): p for p in chain(module.parameters(), module.buffers())}
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors.values())
