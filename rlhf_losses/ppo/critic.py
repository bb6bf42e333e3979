"""The critic: a linear head on hidden states that estimates the return before every token."""

import copy
import re
from abc import ABC, abstractmethod
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from peft import PeftConfig
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.ppo.forward import HiddenStates, SequenceForward
from rlhf_losses.ppo.rollout import Rollout, SequenceIds
from rlhf_losses.scoring.metadata import RewardModelMetadata

CRITIC_FOLDER = "critic"
"""Folder of the critic in a checkpoint."""

TRAINED_PARAMETERS = "critic.safetensors"
"""File with every trained parameter of a critic without adapters."""

ADAPTER_FOLDER = "adapter"
"""Folder with the trained parameters of a critic with adapters, inside the critic's folder."""

ADAPTER_NAME = "default"
"""Name of the adapter inside a critic, equal to PEFT's name of the first adapter."""

StateValues = Float[Tensor, "completion token+1"]
"""Values before each token of a completion, and after the last one."""


class Critic(nn.Module, ABC):
    """A linear head on hidden states, in float32 even under autocast.

    Args:
        head: linear layer from hidden states to one number.

    Attributes:
        sequence_forward: forward passes of the critic's transformer; padded by default.
        shared_backbone: the policy's transformer if the critic has no separate transformer, else None.
        shift: constant that is added to the output of the head.
    """

    shared_backbone: PreTrainedModel | None = None
    shift: float = 0.0

    def __init__(self, head: nn.Linear) -> None:
        super().__init__()
        self.head = head.float()
        self.sequence_forward = SequenceForward()

    def forward(
        self,
        input_ids: SequenceIds,
        attention_mask: SequenceIds,
        num_tokens: int,
        policy_states: HiddenStates | None = None,
    ) -> StateValues:
        """Return the value before each of the last `num_tokens` tokens, and the value after them.

        The value before token t is computed from the hidden state at token t - 1, so the value of the first token of
        a completion is computed at the last token of its prompt.

        Args:
            input_ids: prompts padded on the left, with completions padded on the right.
            attention_mask: 0 at padding.
            num_tokens: length of the longest completion.
            policy_states: hidden states of the policy at the same tokens, if they are available; a `SharedCritic` uses
                them instead of another forward pass.
        """
        hidden = self.hidden_states(input_ids, attention_mask, num_tokens, policy_states)
        with torch.autocast(hidden.device.type, enabled=False):
            values: Tensor = self.head(hidden.float()).squeeze(-1)
        return values + self.shift

    @torch.no_grad()
    def rescale(self, slope: float, intercept: float) -> None:
        """Replace all values $V$ by `slope` times $V$ plus `intercept`."""
        self.head.weight.mul_(slope)
        if self.head.bias is not None:
            self.head.bias.mul_(slope)
        self.shift = slope * self.shift + intercept

    @abstractmethod
    def hidden_states(
        self,
        input_ids: SequenceIds,
        attention_mask: SequenceIds,
        num_tokens: int,
        policy_states: HiddenStates | None = None,
    ) -> HiddenStates:
        """Return the hidden states from which `forward` computes the values."""

    def enable_gradient_checkpointing(self, settings: Mapping[str, Any]) -> None:
        """Enable gradient checkpointing in the transformer of the critic, if it has a separate one."""

    def add_to_optimizer(
        self, optimizer: Optimizer, decay_parameters: Container[str], weight_decay: float, learning_rate: float
    ) -> None:
        """Add the trained parameters to an optimizer, unless it has them.

        Args:
            optimizer: optimizer of the policy.
            decay_parameters: names of the parameters with weight decay.
            weight_decay: weight decay of these parameters; 0 for others.
            learning_rate: peak learning rate.
        """
        known = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        trained = [(name, parameter) for name, parameter in self.named_parameters() if parameter.requires_grad]
        for decay, weight in ((True, weight_decay), (False, 0.0)):
            parameters = [parameter for name, parameter in trained if (name in decay_parameters) == decay]
            if not known.issuperset(map(id, parameters)):
                optimizer.add_param_group({"params": parameters, "weight_decay": weight, "lr": learning_rate})

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """Return every trained parameter by its name in the saved file."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def file_in(self, folder: Path) -> Path:
        """Return the file of the trained parameters in a folder."""
        return folder / TRAINED_PARAMETERS

    def save(self, folder: str | Path, tokenizer: PreTrainedTokenizerBase | None = None) -> None:
        """Save every trained parameter.

        Args:
            folder: folder to write to.
            tokenizer: saved with the adapter of a critic with adapters.
        """
        path = self.file_in(Path(folder))
        path.parent.mkdir(parents=True, exist_ok=True)
        parameters = self.trained_parameters()
        save_file({name: parameter.detach().contiguous() for name, parameter in parameters.items()}, path)

    def load(self, folder: str | Path) -> None:
        """Load parameters that `save` has written.

        Raises:
            UnsupportedModelError: `folder` has no critic, or one with other parameters.
        """
        path = self.file_in(Path(folder))
        if not path.is_file():
            raise UnsupportedModelError(
                f"{path} does not exist, so the critic cannot be resumed: the checkpoint comes from another trainer or "
                "was saved with save_only_model. Resume from a checkpoint of PPOTrainer."
            )
        saved, trained = load_file(path), self.trained_parameters()
        if {n: p.shape for n, p in saved.items()} != {n: p.shape for n, p in trained.items()}:
            raise UnsupportedModelError(
                f"{path} has the parameters of another critic, so they do not fit this one. "
                "Resume with the same model, critic and LoRA settings as at the start of the run."
            )
        with torch.no_grad():
            for name, parameter in trained.items():
                parameter.copy_(saved[name])


class SeparateCritic(Critic):
    """A critic with a separate transformer.

    The transformer has the same name as inside its model, so that LoRA settings of the policy match the same layers.

    A critic with adapters saves adapters and head as a PEFT adapter of a sequence classifier. The head of a classifier
    has no bias. The head of a critic that was initialized from a standardized reward model has one; it is saved, with
    `shift`, in `reward_model.json` as the mean of `standardize`, so that
    `Scorer.from_pretrained(folder).with_transforms("standardize")` returns the values of the critic.

    Args:
        backbone: causal transformer without a head.
        head: linear layer from hidden states to one number.
        adapters: settings of the adapters in the transformer, if there are any.
    """

    def __init__(self, backbone: PreTrainedModel, head: nn.Linear, adapters: PeftConfig | None = None) -> None:
        super().__init__(head)
        self.adapters = adapters
        self.backbone_name = backbone.base_model_prefix
        self.add_module(self.backbone_name, backbone)

    @property
    def backbone(self) -> PreTrainedModel:
        """The transformer under the head."""
        return self.get_submodule(self.backbone_name)

    def hidden_states(
        self,
        input_ids: SequenceIds,
        attention_mask: SequenceIds,
        num_tokens: int,
        policy_states: HiddenStates | None = None,
    ) -> HiddenStates:
        """Run the critic's transformer."""
        return self.sequence_forward.hidden_states(self.backbone, input_ids, attention_mask, num_tokens)

    def enable_gradient_checkpointing(self, settings: Mapping[str, Any]) -> None:
        """Enable gradient checkpointing in the transformer.

        Args:
            settings: `gradient_checkpointing_kwargs` of the trainer.
        """
        backbone: Any = self.backbone
        enable = getattr(backbone, "activation_checkpointing_enable", None) or backbone.gradient_checkpointing_enable
        kwargs = dict(settings)
        options = {name: kwargs.pop(name) for name in ("every_n_layers", "offload") if name in kwargs}
        enable(kwargs or None, **options)
        backbone.enable_input_require_grads()  # else frozen embeddings end the graph before the first adapter

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """Return every trained parameter; with adapters under PEFT's names for a classifier."""
        trained = super().trained_parameters()
        return trained if self.adapters is None else {peft_name(name): p for name, p in trained.items()}

    def file_in(self, folder: Path) -> Path:
        """Return the file of the trained parameters; with adapters a PEFT file.

        The PEFT file is in a subfolder because transformers loads every adapter directly inside a folder of a
        checkpoint into the policy.
        """
        return super().file_in(folder) if self.adapters is None else folder / ADAPTER_FOLDER / SAFETENSORS_WEIGHTS_NAME

    def save(self, folder: str | Path, tokenizer: PreTrainedTokenizerBase | None = None) -> None:
        """Save every trained parameter; with adapters as a PEFT adapter with its settings and the tokenizer."""
        super().save(folder)
        if self.adapters is None:
            return
        adapter_folder = self.file_in(Path(folder)).parent
        settings: Any = copy.deepcopy(self.adapters)
        settings.task_type, settings.modules_to_save, settings.inference_mode = "SEQ_CLS", ["score"], True
        settings.base_model_name_or_path = self.backbone.name_or_path
        settings.save_pretrained(adapter_folder)
        constant = self.shift + (0.0 if self.head.bias is None else self.head.bias.item())
        if constant:
            transforms = {"standardize": {"mean": -constant, "std": 1.0}}
            RewardModelMetadata("PPO's value loss", [], transforms=transforms).save(adapter_folder)
        if tokenizer is not None:
            tokenizer.save_pretrained(adapter_folder)


class SharedCritic(Critic):
    """A critic on the hidden states of the policy; its loss also trains the policy's transformer.

    Args:
        backbone: transformer of the policy; it is not a submodule of the critic.
        head: linear layer from hidden states to one number.
    """

    def __init__(self, backbone: PreTrainedModel, head: nn.Linear) -> None:
        super().__init__(head)
        object.__setattr__(self, "shared_backbone", backbone)  # nn.Module would register it as a submodule

    def hidden_states(
        self,
        input_ids: SequenceIds,
        attention_mask: SequenceIds,
        num_tokens: int,
        policy_states: HiddenStates | None = None,
    ) -> HiddenStates:
        """Return the given hidden states of the policy; without them, run the policy's transformer."""
        if policy_states is not None:
            return policy_states
        assert self.shared_backbone is not None
        return self.sequence_forward.hidden_states(self.shared_backbone, input_ids, attention_mask, num_tokens)


class ZeroCriticGradients(TrainerCallback):
    """Set the critic's gradients to None after each optimizer step; the trainer does so for the policy only.

    Args:
        critic: critic of the run.
    """

    def __init__(self, critic: nn.Module) -> None:
        self.critic = critic

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        """Set the gradients to None."""
        self.critic.zero_grad()


@torch.no_grad()
def predict_values(critic: nn.Module, rollout: Rollout, batch_size: int) -> StateValues:
    """Return the values of all states of a rollout, without gradient and in evaluation mode.

    Args:
        critic: critic, which may be wrapped for data parallelism; it stays in evaluation mode.
        rollout: prompts and completions.
        batch_size: number of sequences per forward pass.
    """
    critic.eval()  # also disables gradient checkpointing
    chunks = zip(rollout.input_ids.split(batch_size), rollout.attention_mask.split(batch_size), strict=True)
    return torch.cat([critic(ids, mask, rollout.num_tokens) for ids, mask in chunks])


def peft_name(name: str) -> str:
    """Return PEFT's name of a critic's parameter in a saved adapter of a sequence classifier.

    Examples:
        >>> peft_name("model.layers.0.mlp.up_proj.lora_A.default.weight")
        'base_model.model.model.layers.0.mlp.up_proj.lora_A.weight'
        >>> peft_name("head.weight")
        'base_model.model.score.weight'
    """
    name = name.replace(f".{ADAPTER_NAME}.", ".").removesuffix(f".{ADAPTER_NAME}")
    return "base_model.model." + re.sub(r"^head\.", "score.", name)
