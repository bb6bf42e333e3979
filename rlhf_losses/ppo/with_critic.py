"""A trainer that has a critic beside the policy: in one optimizer, clipped together, saved and loaded together."""

from pathlib import Path
from typing import Any

import trl
from accelerate.utils import is_peft_model
from torch import nn
from torch.optim import Optimizer
from transformers import PreTrainedModel
from trl.trainer.utils import disable_dropout_in_model

from rlhf_losses.ppo.callbacks import ZeroCriticGradients
from rlhf_losses.ppo.checkpoints import CRITIC_FOLDER
from rlhf_losses.ppo.config import PPOConfig
from rlhf_losses.ppo.critic import Critic, SeparateCritic
from rlhf_losses.ppo.critic_init import add_adapters


class TrainerWithCritic(trl.GRPOTrainer):
    """TRL's trainer with a second model; what it learns is up to the loss of a subclass.

    A subclass calls `train_beside` once the parent is made.
    """

    args: PPOConfig
    model: PreTrainedModel
    critic: nn.Module

    def train_beside(self, critic: Critic) -> None:
        """Take a critic into training, set up as TRL does the policy: adapters, dropout, device, processes."""
        self.critic = self._prepare_critic(critic)
        self.add_callback(ZeroCriticGradients(self.critic))

    def _prepare_critic(self, critic: Critic) -> nn.Module:
        if isinstance(critic, SeparateCritic) and is_peft_model(self.model):
            policy: Any = self.model
            add_adapters(critic, policy.peft_config[policy.active_adapter])
        else:
            critic.requires_grad_(True)
        if self.args.disable_dropout:
            disable_dropout_in_model(critic)
        if self.args.gradient_checkpointing:
            critic.checkpoint_activations(self._checkpointing() or {})
        return self.accelerator.prepare_model(critic)

    @property
    def _bare_critic(self) -> Critic:
        return self.accelerator.unwrap_model(self.critic)

    def _checkpointing(self) -> dict[str, Any] | None:
        settings: Any = self.args.gradient_checkpointing_kwargs
        return settings

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        """Create the optimizer with two groups more, for the parameters of the critic."""
        optimizer = super().create_optimizer(model)
        known = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        for group in self._critic_groups():
            if not known.issuperset(map(id, group["params"])):
                optimizer.add_param_group(group)
        return optimizer

    def _critic_groups(self) -> list[dict[str, Any]]:
        decays = set(self.get_decay_parameter_names(self.critic))
        trained = [(name, p) for name, p in self.critic.named_parameters() if p.requires_grad]
        return [
            {
                "params": [p for name, p in trained if (name in decays) == decayed],
                "weight_decay": self.args.weight_decay if decayed else 0.0,
                "lr": self.args.critic_learning_rate,
            }
            for decayed in (True, False)
        ]

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        return super()._clip_grad_norm(nn.ModuleList([model, self.critic]))

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        return super()._get_grad_norm(nn.ModuleList([model, self.critic]), grad_norm=grad_norm)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            folder, critic = Path(output_dir) / CRITIC_FOLDER, self._bare_critic
            critic.save(folder)
            if isinstance(critic, SeparateCritic) and critic.adapters is not None:
                self.processing_class.save_pretrained(critic.file_in(folder).parent)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self._bare_critic.load(Path(checkpoint) / CRITIC_FOLDER)
