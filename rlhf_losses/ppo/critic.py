"""The critic: a transformer with one number a token, the return it expects from there on."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlhf_losses.errors import UnusableModel
from rlhf_losses.ppo.advantages import PerToken

TRAINED_PARAMETERS = "critic.safetensors"
"""File of a checkpoint's `critic` folder: every parameter that training changes, and no other."""


class Critic(nn.Module):
    """A backbone and a linear head, read before every token of a completion.

    The backbone keeps the name it has inside its model, so that a LoRA configuration written for the policy
    finds the same layers here. The head computes in float32, also under autocast.

    Args:
        backbone: a causal transformer without a head.
        head: a linear layer from hidden states to one number.
    """

    def __init__(self, backbone: PreTrainedModel, head: nn.Linear) -> None:
        super().__init__()
        self.backbone_name = backbone.base_model_prefix
        self.add_module(self.backbone_name, backbone)
        self.head = head.float()
        self.takes_positions = "position_ids" in inspect.signature(backbone.forward).parameters

    @property
    def backbone(self) -> PreTrainedModel:
        """The transformer under the head."""
        return self.get_submodule(self.backbone_name)

    def forward(
        self,
        input_ids: Int[Tensor, "completion sequence"],
        attention_mask: Int[Tensor, "completion sequence"],
        length: int,
    ) -> PerToken:
        """Return the value of the state before each of the last `length` tokens.

        The state before token t is what the transformer knows at token t - 1: the value of the first token of
        a completion is read at the last token of its prompt.
        """
        positions = (attention_mask.cumsum(1) - 1).clamp(min=0)
        placed = {"position_ids": positions} if self.takes_positions else {}
        hidden = self.backbone(
            input_ids=input_ids, attention_mask=attention_mask, use_cache=False, **placed
        ).last_hidden_state
        return self._values(hidden[:, -length - 1 : -1])

    def _values(self, hidden: Float[Tensor, "completion token hidden"]) -> PerToken:
        with torch.autocast(hidden.device.type, enabled=False):
            return self.head(hidden.float()).squeeze(-1)

    def checkpoint_activations(self, settings: Mapping[str, Any]) -> None:
        """Trade time for memory in the backbone, under the name that the installed transformers has for it."""
        backbone: Any = self.backbone
        enable = getattr(backbone, "activation_checkpointing_enable", None) or backbone.gradient_checkpointing_enable
        how = dict(settings)
        which = {name: how.pop(name) for name in ("every_n_layers", "offload") if name in how}
        enable(how or None, **which)
        backbone.enable_input_require_grads()  # else frozen embeddings end the graph before the first adapter

    def save(self, folder: str | Path) -> None:
        """Write every trained parameter to `folder`.

        It is not written as a PEFT adapter: on resuming, transformers takes every adapter in a folder of a
        checkpoint for one of the policy.
        """
        Path(folder).mkdir(parents=True, exist_ok=True)
        trained = {name: p.detach().contiguous() for name, p in self.named_parameters() if p.requires_grad}
        save_file(trained, Path(folder) / TRAINED_PARAMETERS)

    def load(self, folder: str | Path) -> None:
        """Read back what `save` wrote.

        Raises:
            UnusableModel: there is no critic in `folder`, or one with other parameters.
        """
        path = Path(folder) / TRAINED_PARAMETERS
        if not path.is_file():
            raise UnusableModel(
                f"There is no {path}, so the critic cannot go on where it was; the checkpoint was written by another "
                "trainer or with save_only_model. Resume from a checkpoint of PPOTrainer."
            )
        saved = load_file(path)
        trained = {name: p for name, p in self.named_parameters() if p.requires_grad}
        if {n: p.shape for n, p in saved.items()} != {n: p.shape for n, p in trained.items()}:
            raise UnusableModel(
                f"{path} holds the parameters of another critic, so it cannot be put into this one. "
                "Resume with the model, the critic and the LoRA settings that the run began with."
            )
        self.load_state_dict(saved, strict=False)


def clipped_value_error(values: PerToken, old_values: PerToken, returns: PerToken, cliprange: float) -> PerToken:
    r"""Return the squared error of each value, which does not fall any further once a value has moved `cliprange`.

    .. math:: \tfrac12 \max\left((V - R)^2,\ (V_\text{old} + \operatorname{clip}(V - V_\text{old}, \pm c) - R)^2\right)

    Reference:
        Huang et al. (2024), https://arxiv.org/abs/2403.17031

    Example:
        >>> new, old, returns = torch.tensor([[0.5]]), torch.tensor([[0.0]]), torch.tensor([[1.0]])
        >>> clipped_value_error(new, old, returns, cliprange=0.25) == 0.5 * (0.25 - 1.0) ** 2
        tensor([[True]])
    """
    near = torch.clamp(values, old_values - cliprange, old_values + cliprange)
    return 0.5 * torch.max((values - returns).square(), (near - returns).square())
