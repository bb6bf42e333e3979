"""A trainer whose policy and reference read prompts with completions in a row, where they can."""

import inspect
import logging
from typing import Any

import torch
import trl
from torch import Tensor
from transformers import PreTrainedModel

from rlhf_losses.layouts import Layout
from rlhf_losses.ppo.config import PPOConfig
from rlhf_losses.ppo.critic_init import backbone_of, without_peft
from rlhf_losses.ppo.forward import choose_row, read_log_probabilities
from rlhf_losses.ppo.position_ids import true_positions

logger = logging.getLogger(__name__)


class TrainerInRows(trl.GRPOTrainer):
    """TRL's trainer with other forward passes; a subclass calls `choose_layout` once the parent is made."""

    args: PPOConfig
    model: PreTrainedModel
    layout: Layout | None = None
    """AttentionOptions policy and reference read; None is padded, as TRL does."""

    def choose_layout(self) -> None:
        """Choose the layout of policy and reference, and prepare both for it."""
        if self.args.layout == "padded":
            return
        if obstacle := self._obstacle():
            level = logging.INFO if self.args.layout == "auto" else logging.WARNING
            logger.log(level, "Layout: padded. %s takes no other: %s.", type(self.model).__name__, obstacle)
            return
        policy, *reference = [self.model] if self.ref_model is None else [self.model, self.ref_model]
        self.layout = self.layout_in(policy, backbone_of(policy))
        for model in map(self.accelerator.unwrap_model, reference):
            if self.layout_in(model, backbone_of(model)) is None:
                self.layout = None

    def layout_in(self, model: Any, backbone: PreTrainedModel) -> Layout | None:
        """Return the layout that one model takes, prepared in it."""
        return choose_row(model, backbone, self._tokenizer.pad_token_id, self.args.layout)

    def _obstacle(self) -> str | None:
        """Return what keeps the run from rows, as the end of a sentence."""
        if self.aux_loss_enabled:
            return "the loss that balances its experts counts tokens in padded lines"
        if getattr(self, "use_transformers_continuous_batching", False):
            return "continuous batching generates with attention functions of its own"
        if "logits_to_keep" not in inspect.signature(without_peft(self.model).forward).parameters:
            return "its forward takes no logits_to_keep"
        return None

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        """Read in a row; where the layout is padded, as the parent does, and tell the model positions."""
        if self.layout is not None:
            return self._read_in_rows(*args, **kwargs)
        with true_positions(backbone_of(self.accelerator.unwrap_model(args[0]))):
            return super()._get_per_token_logps_and_entropies(*args, **kwargs)

    def _read_in_rows(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        length: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **_: Any,
    ) -> tuple[Tensor, Tensor | None, None]:
        assert self.layout is not None
        size = batch_size or len(input_ids)
        with self.accelerator.autocast():
            read = [
                read_log_probabilities(model, self.layout, ids, mask, length, self.temperature)
                for ids, mask in zip(input_ids.split(size), attention_mask.split(size), strict=True)
            ]
        logps, entropies = (torch.cat(parts) for parts in zip(*read, strict=True))
        return logps, entropies if compute_entropy else None, None
