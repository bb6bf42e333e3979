"""The critic: a linear head that says, before every token, what return it expects from there on."""

import copy
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from peft import PeftConfig
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.layouts import Layout
from rlhf_losses.ppo.formulas import PerToken
from rlhf_losses.ppo.forward import States, in_a_row, read_states, states_of
from rlhf_losses.ppo.position_ids import Sequences
from rlhf_losses.scoring.metadata import RewardModelMetadata

TRAINED_PARAMETERS = "critic.safetensors"
"""File of a checkpoint's `critic` folder: every parameter that training changes, and no other."""

ADAPTER_NAME = "default"
"""Name of the adapter inside a critic, as PEFT names the first one."""


class Critic(nn.Module, ABC):
    """A linear head on hidden states, in float32, also under autocast.

    Args:
        head: a linear layer from hidden states to one number.
    """

    layout: Layout | None = None
    """AttentionOptions texts are read; None is padded on both sides, as they come."""

    def __init__(self, head: nn.Linear) -> None:
        super().__init__()
        self.head = head.float()

    def forward(
        self, input_ids: Sequences, attention_mask: Sequences, length: int
    ) -> Float[Tensor, "completion token+1"]:
        """Return the value of the state before each of the last `length` tokens, and of the state after them.

        The state before token t is what the transformer knows at token t - 1: the value of the first token of
        a completion is read at the last token of its prompt.
        """
        hidden = self.hidden_states(input_ids, attention_mask, length)
        with torch.autocast(hidden.device.type, enabled=False):
            return self.head(hidden.float()).squeeze(-1)

    @abstractmethod
    def hidden_states(self, input_ids: Sequences, attention_mask: Sequences, length: int) -> States:
        """Return what the transformer knows before each of the last `length` tokens, and after them."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take note of what the policy reads meanwhile, where that spares reading it again."""
        yield

    def checkpoint_activations(self, settings: Mapping[str, Any]) -> None:
        """Trade time for memory in a transformer of the critic's own."""

    def save(self, folder: str | Path) -> None:
        """Write every trained parameter to `folder`."""
        path = self.file_in(Path(folder))
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: p.detach().contiguous() for name, p in self.trained().items()}, path)

    def file_in(self, folder: Path) -> Path:
        """Return the file of a folder in which trained parameters are saved."""
        return folder / TRAINED_PARAMETERS

    def trained(self) -> dict[str, nn.Parameter]:
        """Return every parameter that is trained, by the name under which it is saved."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def load(self, folder: str | Path) -> None:
        """Read back what `save` wrote.

        Raises:
            UnsupportedModelError: there is no critic in `folder`, or one with other parameters.
        """
        path = self.file_in(Path(folder))
        if not path.is_file():
            raise UnsupportedModelError(
                f"There is no {path}, so the critic cannot go on where it was; the checkpoint was written by another "
                "trainer or with save_only_model. Resume from a checkpoint of PPOTrainer."
            )
        saved, trained = load_file(path), self.trained()
        if {n: p.shape for n, p in saved.items()} != {n: p.shape for n, p in trained.items()}:
            raise UnsupportedModelError(
                f"{path} holds the parameters of another critic, so it cannot be put into this one. "
                "Resume with the model, the critic and the LoRA settings that the run began with."
            )
        with torch.no_grad():
            for name, parameter in trained.items():
                parameter.copy_(saved[name])


class SeparateCritic(Critic):
    """A critic with a transformer of its own.

    The backbone keeps the name it has inside its model, so that a LoRA configuration written for the policy
    finds the same layers here.

    With adapters, adapters and head are saved as a PEFT adapter of a sequence classifier, which PEFT loads. The head
    of a classifier has no bias; that of a critic that began as a standardised reward model does, and is told in
    `reward_model.json` as the mean to take away: `StandardizedScorer(Scorer.from_pretrained(folder))` gives the values.

    Args:
        backbone: a causal transformer without a head.
        head: a linear layer from hidden states to one number.
        adapters: settings of the adapters in the backbone, if there are any.
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

    def hidden_states(self, input_ids: Sequences, attention_mask: Sequences, length: int) -> States:
        """Run the critic's transformer."""
        return read_states(self.backbone, self.layout, input_ids, attention_mask, length)

    def file_in(self, folder: Path) -> Path:
        """Return the file for trained parameters: with adapters, that of an adapter.

        It lies a folder deeper, because transformers takes every adapter in a folder of a checkpoint for one of the
        policy.
        """
        return super().file_in(folder) if self.adapters is None else folder / "adapter" / SAFETENSORS_WEIGHTS_NAME

    def trained(self) -> dict[str, nn.Parameter]:
        """Return every parameter that is trained, with adapters by the names that PEFT gives them in a classifier."""
        trained = super().trained()
        return trained if self.adapters is None else {published_name(name): p for name, p in trained.items()}

    def save(self, folder: str | Path) -> None:
        """Write every trained parameter to `folder`, with adapters their settings too."""
        super().save(folder)
        if self.adapters is not None:
            settings: Any = copy.deepcopy(self.adapters)
            settings.task_type, settings.modules_to_save, settings.inference_mode = "SEQ_CLS", ["score"], True
            settings.base_model_name_or_path = self.backbone.name_or_path
            settings.save_pretrained(self.file_in(Path(folder)).parent)
        if self.adapters is not None and self.head.bias is not None:
            told = RewardModelMetadata("PPO's value loss", [], reference_mean=-self.head.bias.item(), reference_std=1.0)
            told.save(self.file_in(Path(folder)).parent)

    def checkpoint_activations(self, settings: Mapping[str, Any]) -> None:
        """Trade time for memory in the backbone, under the name that the installed transformers has for it."""
        backbone: Any = self.backbone
        enable = getattr(backbone, "activation_checkpointing_enable", None) or backbone.gradient_checkpointing_enable
        how = dict(settings)
        which = {name: how.pop(name) for name in ("every_n_layers", "offload") if name in how}
        enable(how or None, **which)
        backbone.enable_input_require_grads()  # else frozen embeddings end the graph before the first adapter


class SharedCritic(Critic):
    """A critic that reads the policy's hidden states; its loss trains the policy's transformer too.

    In the loss it takes the hidden states that the policy has just computed, so it costs one linear layer.

    Args:
        backbone: the policy's transformer, which stays the policy's: it is no submodule of the critic.
        head: a linear layer from hidden states to one number.
    """

    def __init__(self, backbone: PreTrainedModel, head: nn.Linear) -> None:
        super().__init__(head)
        self._of_policy = (backbone,)
        self._noted: Float[Tensor, "line token hidden"] | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take note of the hidden states that the policy computes meanwhile."""
        (backbone,) = self._of_policy
        hook = backbone.register_forward_hook(self._note)
        try:
            yield
        finally:
            hook.remove()

    def hidden_states(self, input_ids: Sequences, attention_mask: Sequences, length: int) -> States:
        """Return the hidden states that were taken note of, once; else run the policy's transformer."""
        noted, self._noted = self._noted, None
        if noted is None:
            return read_states(self._of_policy[0], self.layout, input_ids, attention_mask, length)
        row = None if self.layout is None else in_a_row(self.layout, input_ids, attention_mask, length)
        return states_of(noted, length, row)

    def _note(self, _module: nn.Module, _inputs: Any, outputs: Any) -> None:
        self._noted = outputs.last_hidden_state


def published_name(name: str) -> str:
    """Return the name that PEFT gives to a parameter of a critic, in a saved adapter of a sequence classifier.

    >>> published_name("model.layers.0.mlp.up_proj.lora_A.default.weight")
    'base_model.model.model.layers.0.mlp.up_proj.lora_A.weight'
    >>> published_name("head.weight")
    'base_model.model.score.weight'
    """
    name = name.replace(f".{ADAPTER_NAME}.", ".").removesuffix(f".{ADAPTER_NAME}")
    return "base_model.model." + re.sub(r"^head\.", "score.", name)


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
