"""All checks of a reward model, also of one that was not trained with this package."""

from pathlib import Path

import torch
from transformers import AutoTokenizer

from rlhf_losses.errors import RlhfLossesError
from rlhf_losses.models.loading_errors import explain_loading
from rlhf_losses.models.model_argument import existing_path
from rlhf_losses.scoring.identity import ADAPTER_CONFIG
from rlhf_losses.scoring.loading import load_reward_model
from rlhf_losses.scoring.metadata import RewardModelMetadata
from rlhf_losses.scoring.model_check import ExaminedModel, ModelCheck
from rlhf_losses.scoring.score_checks import score_checks
from rlhf_losses.scoring.scorer import Scorer
from rlhf_losses.scoring.tokenizer_checks import policy_checks, tokenizer_checks


def examine(path: str | Path, policy: str | Path | None = None) -> list[ModelCheck]:
    """Return the results of the checks of a reward model: `rlhf-losses doctor`.

    The model is loaded in float32 and copied once for each comparison with another precision or layout. Code that comes
    with the model is not executed.

    Args:
        path: folder or Hub id of a sequence classifier, or folder of an adapter.
        policy: folder or Hub id of a language model, whose tokenizer is compared.

    Returns:
        One result per check. A model that cannot be loaded has one failed check.

    Raises:
        UnsupportedModelError: there is no such model, or the tokenizer of the policy cannot be loaded.
    """
    path = existing_path(path)
    other = None if policy is None else _load_tokenizer(existing_path(policy))
    try:
        model, tokenizer = load_reward_model(path, torch.float32)
        pad_token_id = getattr(model.config.get_text_config(), "pad_token_id", None)
        scorer = Scorer(model, tokenizer, RewardModelMetadata.load(path), layout="padded")
        scorer.rename(str(path))
        if Path(path, ADAPTER_CONFIG).is_file():  # an adapter has no configuration of its own
            pad_token_id = scorer.model.config.get_text_config().pad_token_id
        examined = ExaminedModel.of(scorer, path, pad_token_id)
    except RlhfLossesError as error:
        return [ModelCheck("loads", "failed", str(error), "See the message.")]
    count = sum(weight.numel() for weight in model.parameters())
    found = f"{type(model).__name__}, one label, {count:,} finite weights, spread of scores {examined.spread:.3g}"
    checks = [ModelCheck("loads", "passed", found), *score_checks(examined), *tokenizer_checks(examined)]
    return checks if other is None else [*checks, *policy_checks(tokenizer, other)]


def _load_tokenizer(path: str) -> AutoTokenizer:
    with explain_loading(path, "the tokenizer of a policy"):
        return AutoTokenizer.from_pretrained(path, trust_remote_code=False)
