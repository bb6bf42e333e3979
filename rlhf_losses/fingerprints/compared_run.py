"""`ComparedRun`: the part of a trainer that writes fingerprints, and compares them when a run resumes."""

from typing import Any

import transformers
from torch import nn

from rlhf_losses.fingerprints.changed_settings import group_settings, use_settings
from rlhf_losses.fingerprints.run_identity import RunIdentity


class ComparedRun(transformers.Trainer):
    """A trainer whose checkpoints have a fingerprint. Subclasses set `identity` and record what they know.

    Attributes:
        identity: what decides the result of the run.
    """

    identity: RunIdentity

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            self.identity.save(output_dir)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        self.identity.require_same(resume_from_checkpoint)
        super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Load the state of a checkpoint without the settings in it that have changed."""
        if checkpoint is None:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        if self.is_deepspeed_enabled:  # which has loaded the model by itself
            self.identity.require_same(checkpoint)
        settings: Any = [] if self.is_deepspeed_enabled else group_settings(self.optimizer)
        super()._load_optimizer_and_scheduler(checkpoint)
        if settings and self.identity.changes:
            use_settings(self.optimizer, self.lr_scheduler, settings)
        # The state has the intervals of the checkpoint.
        self.state.compute_steps(self.args, self.state.max_steps)
