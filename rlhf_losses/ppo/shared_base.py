"""One frozen base for all four models of PPO: policy, critic and reward model are adapters, the reference is the base.

Each model has its own modules, whose frozen weights are the same tensors. No adapter is ever enabled or disabled, so
gradient checkpointing, data parallelism and saving work for each model as usual.
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
from rlhf_losses.models.loading_errors import explain_loading
from rlhf_losses.scoring.loading import ADAPTER, require_head_in
from rlhf_losses.scoring.scorer import Scorer

LORA = "lora_"
"""Part of the name of every parameter of a LoRA adapter."""


def tied_copy(module: Any) -> Any:
    """Return a copy of a module that shares its weights, except for adapters and modules trained in full with them."""
    shared = [p for name, p in module.named_parameters() if not any(part in name for part in (LORA, "modules_to_save"))]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in chain(shared, module.buffers())})


def scorer_on_base(
    base: PreTrainedModel,
    adapter: str | Path,
    device: str | torch.device | None = None,
    **scorer_options: Any,
) -> Scorer:
    """Return a scorer with a LoRA adapter on the weights of `base`.

    The weights of `base` are frozen. With the same `base` as policy, and a `peft_config`, all models of PPO share one
    copy of the weights:

    ```python
    base = AutoModelForCausalLM.from_pretrained("my-model")
    PPOTrainer(base, scorer_on_base(base, "reward/checkpoint-500"), peft_config=LoraConfig())
    ```

    Args:
        base: language model on which the reward model was trained.
        adapter: folder of the adapter, such as a checkpoint of `RewardTrainer`.
        device: device of the scorer; by default the accelerator, if there is one.
        scorer_options: other arguments of `Scorer`.

    Raises:
        UnsupportedModelError: the folder has no adapter with a score head, or one of another base.
    """
    require_adapter(Path(adapter))
    base.requires_grad_(False).to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    with explain_loading(adapter, "an adapter of a reward model"):
        tokenizer = AutoTokenizer.from_pretrained(adapter, trust_remote_code=False)
        model = PeftModel.from_pretrained(_classifier(base, tokenizer), str(adapter)).to(base.device)
    return Scorer.from_loaded(model, tokenizer, adapter, **scorer_options)


def require_adapter(folder: Path) -> None:
    """Raise `UnsupportedModelError` unless a folder has an adapter with a score head."""
    if not (folder / ADAPTER).is_file():
        raise UnsupportedModelError(
            f"'{folder}' has no {ADAPTER}, so it cannot share a base: a reward model from save_merged has its adapter "
            f"merged. Use the checkpoint of its training, like {folder}/checkpoint-500."
        )
    require_head_in(folder)


def _classifier(base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """Return a sequence classifier whose transformer shares the weights of a language model."""
    config = copy.deepcopy(base.config)
    config.num_labels = 1
    config.get_text_config().pad_token_id = tokenizer.pad_token_id
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config)
    setattr(model, model.base_model_prefix, tied_copy(base.base_model))
    model.score = nn.Linear(config.get_text_config().hidden_size, 1, bias=False)
    model.name_or_path = base.name_or_path
    return model


def weight_bytes(modules: Iterable[nn.Module]) -> int:
    """Return the size of the weights of several modules in bytes; shared tensors count once."""
    tensors: dict[int, Tensor] = {}
    for module in modules:
        tensors |= {p.untyped_storage().data_ptr(): p for p in chain(module.parameters(), module.buffers())}
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors.values())
