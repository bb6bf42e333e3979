"""`Rollout`: a read-only view of the dictionary in which TRL keeps a rollout."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from rlhf_losses.ppo.formulas import PerToken, ends_with

SequenceIds = Int[Tensor, "completion sequence"]
"""Token ids, or an attention mask, of prompts with their completions, padded on both sides."""


@dataclass(frozen=True)
class Rollout:
    """Typed read-only view of TRL's rollout dictionary: prompts, completions, and results of PPO for each token.

    TRL shuffles and splits the dictionary, so the tensors stay there. Create a view with `Rollout.view`.

    Attributes:
        data: the dictionary of TRL.
        end_token_ids: tokens that end a completion.
    """

    data: Mapping[str, Any]
    end_token_ids: tuple[int, ...] = ()

    @classmethod
    def view(cls, data: Mapping[str, Any], end_token_ids: Sequence[int] = ()) -> "Rollout":
        """Return a view of a rollout.

        Args:
            data: rollout of `trl.GRPOTrainer`, or one of the batches that it is split into.
            end_token_ids: tokens that end a completion; needed for `ended` only.
        """
        return cls(MappingProxyType(data), tuple(end_token_ids))

    @property
    def completion_ids(self) -> Int[Tensor, "completion token"]:
        """Token ids of the completions, padded on the right."""
        return self._tensor("completion_ids")

    @property
    def completion_mask(self) -> Int[Tensor, "completion token"]:
        """1 at the tokens of the completions, including the output of tools; 0 at padding."""
        return self._tensor("completion_mask")

    @property
    def action_mask(self) -> Bool[Tensor, "completion token"]:
        """True at the tokens that the policy generated; False at padding and at the output of tools."""
        mask = self.completion_mask.bool()
        return mask & self._tensor("tool_mask").bool() if "tool_mask" in self.data else mask

    @property
    def num_tokens(self) -> int:
        """Length of the longest completion."""
        return self.completion_ids.shape[1]

    @property
    def input_ids(self) -> SequenceIds:
        """Token ids of the prompts, padded on the left, with their completions."""
        return torch.cat([self._tensor("prompt_ids"), self.completion_ids], dim=1)

    @property
    def attention_mask(self) -> SequenceIds:
        """1 at the tokens of prompts and completions; 0 at padding."""
        return torch.cat([self._tensor("prompt_mask"), self.completion_mask], dim=1)

    @property
    def ended(self) -> Bool[Tensor, "completion"]:
        """Whether the last token of each completion is an end token."""
        return ends_with(self.completion_ids, self.action_mask, self.end_token_ids)

    @property
    def logps(self) -> PerToken | None:
        """Log-probabilities of the policy at rollout; None if TRL did not compute them."""
        return self._optional_tensor("old_per_token_logps")

    @property
    def ref_logps(self) -> PerToken | None:
        """Log-probabilities of the reference model; None without a KL penalty."""
        return self._optional_tensor("ref_per_token_logps")

    @property
    def values(self) -> PerToken:
        """Values of the critic at rollout, before each token."""
        return self._tensor("values")

    @property
    def returns(self) -> PerToken:
        """Regression targets of the critic."""
        return self._tensor("returns")

    @property
    def advantages(self) -> PerToken:
        """Advantages, whitened if configured."""
        return self._tensor("advantages")

    @property
    def num_tokens_in_rollout(self) -> Tensor:
        """Number of completion tokens in the whole rollout, over all processes."""
        return self._tensor("num_items_in_batch")

    def _tensor(self, name: str) -> Tensor:
        tensor: Tensor = self.data[name]
        return tensor

    def _optional_tensor(self, name: str) -> Tensor | None:
        tensor: Tensor | None = self.data.get(name)
        return tensor
