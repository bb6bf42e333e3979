"""`RunIdentity`: a run resumes from a checkpoint of the same run, or with the changes that are allowed."""

import importlib.metadata
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase, TrainingArguments

from rlhf_losses.errors import InvalidSettingError, did_you_mean
from rlhf_losses.fingerprints.content import Content
from rlhf_losses.fingerprints.fingerprint import FILE, Change, RunFingerprint, changed_length, find_changes, is_longer
from rlhf_losses.fingerprints.model_content import adapter_settings, config_settings, model_content
from rlhf_losses.fingerprints.run_settings import METRIC_SCHEDULES, default_settings, plain, result_settings
from rlhf_losses.fingerprints.setting_effects import SettingEffects
from rlhf_losses.fingerprints.tokenizer_content import template_content, tokenizer_content
from rlhf_losses.messages.setting_names import setting

logger = logging.getLogger(__name__)

MODEL_NAMES = ("adapters", "chat_template", "model", "model_config", "peft_config", "tokenizer")
"""Names that `record_model` records."""

TRAINER_NAMES = ("train_dataset", "eval_dataset", "early_stopping", "optimizers", "compute_metrics")
"""Names of what both trainers record of their arguments."""

LIBRARIES = ("rlhf-losses", "torch", "transformers", "trl", "peft", "accelerate", "tokenizers")
"""Libraries whose versions are recorded."""

UNCHANGEABLE = {
    "adapters": "the weights in the checkpoint are those of the other kind of model",
    "num_processes": "each process continues its own rollout",
    "optim": "the state in the checkpoint is that of the other optimizer",
    "optim_target_modules": "the state in the checkpoint is that of other parameters",
    "peft_config.r": "the weights in the checkpoint have another shape",
    "peft_config.target_modules": "the checkpoint has no weights for other modules",
    "trainer": "its state is that of the other trainer",
    "shared_critic": "the checkpoint has the weights of the other critic",
}
"""What cannot change in a run that resumes, and why."""

REMARKS = {
    "critic": "its weights are those of the checkpoint, so the change has no effect",
    "model": "the weights that are trained are those of the checkpoint",
    "seed": "the order of rows follows the new seed, and other random numbers continue from the checkpoint",
}
"""What an allowed change means where it has less effect than its name says."""


class RunIdentity:
    """What decides the result of a run, and its comparison with a checkpoint.

    Settings and contents are compared as soon as they are known if `args.resume_from_checkpoint` is a checkpoint, and
    all together when training resumes.

    Args:
        args: the configuration.
        effects: effects of its settings.
        names: further names that `record` gets.
        trainer: name of the trainer.
        first: values that are compared before the settings, because a change of them cannot be allowed.

    Attributes:
        fingerprint: what is known so far.
        changes: changes that were allowed, after `require_same`.

    Raises:
        InvalidSettingError: `args.allow_changed` has an unknown name, or a setting differs from the checkpoint.
    """

    def __init__(
        self,
        args: TrainingArguments,
        effects: SettingEffects,
        names: Iterable[str],
        trainer: str = "Trainer",
        first: Mapping[str, Any] | None = None,
    ) -> None:
        self._effects, self._defaults = effects, default_settings(args)
        self._schedule = str(plain(args.lr_scheduler_type))
        self._allowed = self._allowed_names(
            args, [*names, *MODEL_NAMES, *TRAINER_NAMES, *self._defaults, *effects.known]
        )
        self.changes: tuple[Change, ...] = ()
        self.fingerprint = RunFingerprint(versions=_versions())
        checkpoint = args.resume_from_checkpoint
        self._checkpoint = str(checkpoint or "")
        self._saved = RunFingerprint.load(checkpoint) if Path(self._checkpoint, FILE).is_file() else None
        self.record({"trainer": trainer, **(first or {})})
        self.record(result_settings(args, effects))

    def record(
        self, settings: Mapping[str, Any] | None = None, content: Mapping[str, Content | None] | None = None
    ) -> None:
        """Add what is known, and compare it with the checkpoint in the configuration.

        Args:
            settings: values by name.
            content: contents of data, models and code by name.

        Raises:
            InvalidSettingError: a value differs from that in the checkpoint.
        """
        new = RunFingerprint({name: plain(value) for name, value in (settings or {}).items()}, dict(content or {}))
        known = self.fingerprint
        self.fingerprint = replace(
            known, settings={**known.settings, **new.settings}, content={**known.content, **new.content}
        )
        if self._saved is not None:
            self._allowed_changes(self._saved, new.names, self._checkpoint)

    def require_same(self, checkpoint: str | Path) -> None:
        """Compare everything with a checkpoint; log allowed changes, and what is unknown.

        Args:
            checkpoint: folder of the checkpoint from which training resumes.

        Raises:
            InvalidSettingError: something differs that is not allowed to.
        """
        saved = RunFingerprint.load(checkpoint)
        if saved is None:
            logger.warning(
                "'%s' has no %s, because an earlier version wrote it, so its settings, data and model cannot be "
                "compared with those of this run.", checkpoint, FILE,
            )  # fmt: skip
            return
        self.changes = tuple(self._allowed_changes(saved, saved.names | self.fingerprint.names, str(checkpoint)))
        if self.changes:
            logger.warning("Resuming with allowed changes: %s.", "; ".join(map(_with_remark, self.changes)))
        length = changed_length(saved, self.fingerprint)
        if length is not None and is_longer(length):
            self.changes += (length,)
            logger.warning("%s", self._longer(length))
        _log_unknown(saved, self.fingerprint)

    def is_changed(self, name: str) -> bool:
        """Return whether a setting differs from the checkpoint from which the run has resumed."""
        return any(change.name == name for change in self.changes)

    def save(self, folder: str | Path) -> None:
        """Write `fingerprint.json` into a checkpoint."""
        self.fingerprint.save(folder)

    def _allowed_names(self, args: TrainingArguments, known: Iterable[str]) -> set[str]:
        given: Any = getattr(args, "allow_changed", None) or ()
        names = [given] if isinstance(given, str) else list(given)
        known = sorted(set(known))
        for name in names:
            if str(name).partition(".")[0] not in known:
                raise InvalidSettingError(
                    f"{setting('allow_changed')} has the name '{name}', which is no setting of this run and nothing "
                    f"else that a checkpoint records.{did_you_mean(name, known)} Use the names in the message about "
                    "the changes."
                )
        return {self._effects.elsewhere.get(name, name) for name in names}

    def _allowed_changes(self, saved: RunFingerprint, names: Iterable[str], checkpoint: str) -> list[Change]:
        """Return the changes of some names, and raise `InvalidSettingError` for one that is not allowed."""
        changes = find_changes(saved, self.fingerprint, self._effects, self._defaults, names)
        for change in changes:
            reason = self._unchangeable(change)
            if reason is not None:
                raise InvalidSettingError(
                    f"This run cannot resume from '{checkpoint}': {change}, and {reason}. Resume with the original "
                    "value, or start a new run from its weights: the checkpoint as the model, in another output_dir."
                )
        refused = [change for change in changes if not self._is_allowed(change.name)]
        if refused:
            others = [change.name for change in changes if self._is_allowed(change.name)]
            raise InvalidSettingError(
                f"This run differs from the one that wrote '{checkpoint}': {'; '.join(map(str, refused))}. The result "
                "would be that of neither run. Resume with the original values, or allow the changes that are meant: "
                f"{_allow([*others, *(change.name for change in refused)])}."
            )
        return changes

    def _is_allowed(self, name: str) -> bool:
        return name in self._allowed or name.partition(".")[0] in self._allowed

    def _unchangeable(self, change: Change) -> str | None:
        if change.name == "lr_scheduler_type" and {change.saved, change.now} & set(METRIC_SCHEDULES):
            return "a schedule that depends on evaluation has another state"
        return UNCHANGEABLE.get(change.name)

    def _longer(self, length: Change) -> str:
        independent = self._schedule.startswith(("constant", "inverse_sqrt", *METRIC_SCHEDULES))
        schedule = (
            f"does not depend on it, unless {setting('warmup_steps')} is a ratio"
            if independent
            else "is that of the longer run from here on; a run of this length from the start had other learning rates"
        )
        return f"Resuming for longer: {length}. The schedule '{self._schedule}' {schedule}."


def record_model(
    identity: RunIdentity, model: Any, tokenizer: PreTrainedTokenizerBase, has_weights: bool = True
) -> None:
    """Record the model that a run starts from, its adapters and its tokenizer.

    Args:
        identity: identity of the run.
        model: the model before training, bare or wrapped by PEFT.
        tokenizer: its tokenizer.
        has_weights: whether this process has loaded the weights; with FSDP only the main process may have them.
    """
    adapters = adapter_settings(model)
    settings = {f"peft_config.{name}": value for name, value in adapters.items()}
    settings |= {f"model_config.{name}": value for name, value in config_settings(model).items()}
    identity.record(
        settings | {"adapters": str(plain(adapters.get("peft_type", "none")))},
        {
            "tokenizer": tokenizer_content(tokenizer),
            "chat_template": template_content(tokenizer),
            "model": model_content(model) if has_weights else None,
        },
    )


def _with_remark(change: Change) -> str:
    remark = REMARKS.get(change.name)
    return str(change) if remark is None else f"{change} ({remark})"


def _allow(names: list[str]) -> str:
    names = list(dict.fromkeys(names))
    return setting("allow_changed", " ".join(names), python=f"allow_changed={names!r}")


def _log_unknown(saved: RunFingerprint, now: RunFingerprint) -> None:
    """Log what could not be compared, and versions of libraries that differ."""
    unknown = [name for name, one in now.content.items() if one is None or saved.content.get(name, one) is None]
    if unknown:
        logger.warning("Not compared with the checkpoint, because it is unknown: %s.", ", ".join(unknown))
    versions = [
        f"{name} {saved.versions[name]}, now {version}"
        for name, version in now.versions.items()
        if saved.versions.get(name, version) != version
    ]
    if versions:
        logger.warning("The checkpoint was written with %s; results can differ.", "; ".join(versions))


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in LIBRARIES}
