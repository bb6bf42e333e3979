"""A trainer that records what happens in it: means over all processes, and where the time goes."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import trl
from accelerate.utils import gather
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlhf_losses.ppo.config import PPOConfig
from rlhf_losses.ppo.critic_init import is_switched
from rlhf_losses.ppo.phase_timer import PhaseTimer


class TrainerWithMetrics(trl.GRPOTrainer):
    """TRL's trainer with metrics of its own; a subclass calls `time_phases` once the parent is made."""

    args: PPOConfig
    model: PreTrainedModel

    def time_phases(self) -> None:
        """Measure what share of a step each phase takes, if that is asked for."""
        self._phase: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext()
        if self.args.log_phase_times:
            self._phase = PhaseTimer(self._record_shares, self.accelerator.print, self._now)
            self.add_callback(self._phase)

    def _total(self, sums: Tensor) -> Tensor:
        total: Any = self.accelerator.reduce(sums, reduction="sum")
        return total

    def _record(self, metrics: Mapping[str, Tensor]) -> None:
        recorded = self._metrics["train" if self.model.training else "eval"]
        for name, value in metrics.items():
            recorded[name].append(value.item())
        # The spread within groups says nothing here: PPO has no groups.
        recorded.pop("frac_reward_zero_std", None)

    def _show_advantages(self, means: Tensor) -> None:
        """Put the mean advantage of each completion into the table of completions, in place of the group's."""
        everywhere: Any = gather(means)
        shown, gathered = self._logs["advantages"], everywhere.tolist()
        for _ in range(min(len(shown), len(gathered))):
            shown.pop()
        shown.extend(gathered)

    def _phase_of_reading(self, model: nn.Module) -> AbstractContextManager[None]:
        """Return the phase of a pass of policy or reference over a rollout; a loss belongs to the update."""
        if torch.is_grad_enabled() or not self.model.training:
            return nullcontext()
        reference = self.ref_model is not None and model is self.accelerator.unwrap_model(self.ref_model)
        reference = reference or is_switched(model)
        return self._phase("reference" if reference else "policy")

    def _record_shares(self, shares: Mapping[str, float]) -> None:
        for name, share in shares.items():
            self._metrics["train"][name].append(share)

    def _now(self) -> float:
        if self.accelerator.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()
