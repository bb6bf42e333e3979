"""Further training of saved adapters: the folder of an adapter as the model of a run."""

from pathlib import Path
from typing import Any

from peft import PeftConfig, PeftModel
from peft.utils import CONFIG_NAME, WEIGHTS_NAME
from transformers import PreTrainedModel

from rlhf_losses.errors import InvalidSettingError, UnsupportedModelError
from rlhf_losses.models.embeddings import count_embeddings
from rlhf_losses.models.loading_errors import explain_loading
from rlhf_losses.models.weight_files import require_readable_weights
from rlhf_losses.scoring.loading import ADAPTER, count_saved_embeddings, has_head
from rlhf_losses.training.config import RewardConfig
from rlhf_losses.training.validation import create_model


def load_adapters(
    model: str | PreTrainedModel | PeftModel,
    args: RewardConfig,
    peft_config: PeftConfig | None,
    trl_arguments: dict[str, Any],
) -> str | PreTrainedModel | PeftModel:
    """Return the trainable model of a folder of adapters: their base, and the adapters with their head.

    Other models and paths are returned unchanged.

    Args:
        model: a path, or a model.
        args: the configuration.
        peft_config: adapters to train.
        trl_arguments: further arguments of `trl.RewardTrainer`; `quantization_config` is used and removed.

    Raises:
        InvalidSettingError: the folder has adapters, and `peft_config` describes other ones.
        UnsupportedModelError: the adapters are those of a language model.
    """
    if not isinstance(model, str) or not Path(model, CONFIG_NAME).is_file():
        return model
    if peft_config is not None:
        raise InvalidSettingError(
            f"'{model}' has adapters, and peft_config describes other ones, which would be saved without those of "
            f"'{model}' and their head. Omit peft_config to train the adapters further, or merge them first: "
            "trainer.save_merged(FOLDER) writes a whole model."
        )
    if Path(model, ADAPTER).is_file() and not has_head(Path(model)):
        raise UnsupportedModelError(
            f"'{model}' has adapters without a score head, so they are those of a language model, and no head would be "
            "trained. Merge them first, and train the folder: "
            f"AutoPeftModelForCausalLM.from_pretrained('{model}').merge_and_unload().save_pretrained(FOLDER)."
        )
    with explain_loading(model, "adapters"):
        settings = PeftConfig.from_pretrained(model)
    # The adapters have their own head, so the head of the base may have another number of labels.
    options = {"revision": settings.revision, "ignore_mismatched_sizes": True}
    require_readable_weights(model, (ADAPTER, WEIGHTS_NAME))
    require_readable_weights(str(settings.base_model_name_or_path))
    base = create_model(str(settings.base_model_name_or_path), args, trl_arguments, **options)
    if (trained := count_saved_embeddings(Path(model), settings, base)) > (count_embeddings(base) or 0):
        base.resize_token_embeddings(trained)
    with explain_loading(model, "adapters"):
        return PeftModel.from_pretrained(base, model, is_trainable=True)
