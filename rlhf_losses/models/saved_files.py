"""Files of a saved model in its two forms, a whole model or an adapter: a folder or a repository has one of them.

transformers loads an adapter wherever it finds one, so an adapter beside merged weights would be added a second time.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationDelete, HfApi
from peft import PeftModel
from peft.utils import CONFIG_NAME as ADAPTER_CONFIG
from peft.utils import SAFETENSORS_WEIGHTS_NAME, WEIGHTS_NAME
from transformers import PreTrainedTokenizerBase, Trainer
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.messages.setting_names import setting
from rlhf_losses.models.finite import require_finite_weights
from rlhf_losses.models.peft import merge_adapters

ADAPTER_FILES = (ADAPTER_CONFIG, SAFETENSORS_WEIGHTS_NAME, WEIGHTS_NAME)
"""Files of an adapter."""

CONFIGURATION_FILES = ("config.json", "generation_config.json")
WHOLE_WEIGHTS = ("model.safetensors",)
SHARDED_WEIGHTS = ("model.safetensors.index.json", "model-*-of-*.safetensors")
PICKLED_WEIGHTS = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin")
MODEL_FILES = (*CONFIGURATION_FILES, *WHOLE_WEIGHTS, *SHARDED_WEIGHTS, *PICKLED_WEIGHTS)
"""Patterns of the files of a whole model."""

ADAPTER_WEIGHTS = (SAFETENSORS_WEIGHTS_NAME, WEIGHTS_NAME)
MODEL_WEIGHTS = (*WHOLE_WEIGHTS, *SHARDED_WEIGHTS, *PICKLED_WEIGHTS)

RESUMED_FILES = ("scheduler.pt", "optimizer*", "rng_state*.pth")
"""Patterns of files that only checkpoints have; `Trainer.save_state` writes `trainer_state.json` elsewhere too."""


def save_merged(
    model: Any, tokenizer: PreTrainedTokenizerBase, folder: Path, save_metadata: Callable[[Any, Path], None]
) -> None:
    """Save a model with its adapters merged, and its tokenizer, as the only model of a folder.

    The weights come last, so a folder with a model is complete even if the process is ended while it writes.

    Args:
        model: a transformers model, bare or wrapped by PEFT. It stays unchanged.
        tokenizer: the tokenizer of the model.
        folder: the folder to write to.
        save_metadata: writes further files beside the merged model.

    Raises:
        InvalidSettingError: the folder has the base of the adapters, or is a checkpoint with adapters.
        NonFiniteError: a weight is NaN or infinite.
    """
    require_other_folder(model, folder)
    require_form_of_checkpoint(folder, adapters=False)
    merged = merge_adapters(model)
    require_finite_weights(merged, f"'{folder}' is not written")
    folder.mkdir(parents=True, exist_ok=True)
    save_metadata(merged, folder)
    tokenizer.save_pretrained(folder)
    merged.save_pretrained(folder)
    remove_stale_files(merged, folder)


@contextmanager
def one_form_per_folder(
    model: Any, folder: Path, state_dict: Mapping[str, Any] | None = None, writes: bool = True
) -> Iterator[None]:
    """Check a model before the `with` block saves it, and remove the weights of its other form afterwards.

    Args:
        model: a transformers model, bare or wrapped by PEFT.
        folder: the folder that the block writes to.
        state_dict: the weights to save, if they are not those of `model`.
        writes: whether this process writes files.

    Raises:
        InvalidSettingError: the folder has the base of the adapters.
        NonFiniteError: a weight is NaN or infinite.
    """
    require_other_folder(model, folder)
    require_finite_weights(model if state_dict is None else state_dict, f"'{folder}' is not written")
    yield
    if writes:
        remove_stale_files(model, folder)


def remove_stale_files(model: Any, folder: Path) -> None:
    """Remove the weights of an earlier save: those of the other form, and those in another number of files.

    Args:
        model: the model that was saved in the folder last.
        folder: the folder.
    """
    if isinstance(model, PeftModel):
        stale = MODEL_FILES
    else:
        whole, index = folder / WHOLE_WEIGHTS[0], folder / SHARDED_WEIGHTS[0]
        both = whole.is_file() and index.is_file()
        older = WHOLE_WEIGHTS if both and whole.stat().st_mtime_ns < index.stat().st_mtime_ns else SHARDED_WEIGHTS
        stale = (*ADAPTER_FILES, *PICKLED_WEIGHTS, *(older if both else ()))
    for name in matching_names(_names(folder), stale):
        (folder / name).unlink()


def remove_stale_files_from_hub(trainer: Trainer, token: str | None = None, revision: str | None = None) -> None:
    """Remove model files from the repository of a trainer that are not in its output folder, which it pushes.

    Args:
        trainer: the trainer, after it has saved into its output folder.
        token: token with write permission, instead of `hub_token`.
        revision: branch of the repository, instead of `hub_revision`.
    """
    if not trainer.is_world_process_zero():
        return
    api, repository = HfApi(token=token or trainer.args.hub_token), str(trainer.hub_model_id)
    revision = revision or trainer.args.hub_revision
    pushed = set(_names(Path(str(trainer.args.output_dir))))
    remote = matching_names(api.list_repo_files(repository, revision=revision), (*ADAPTER_FILES, *MODEL_FILES))
    stale = [CommitOperationDelete(name) for name in remote if name not in pushed]
    if stale:
        api.create_commit(repository, stale, commit_message="Remove the model of an earlier push", revision=revision)


def require_other_folder(model: Any, folder: Path) -> None:
    """Raise `InvalidSettingError` if a folder is the one that the base of a model's adapters was loaded from.

    Merged weights would replace the base of every checkpoint, and adapters would be loaded with the base and again.

    Args:
        model: a transformers model, bare or wrapped by PEFT.
        folder: the folder to save into.
    """
    base = model.peft_config[model.active_adapter].base_model_name_or_path if isinstance(model, PeftModel) else None
    if base is not None and Path(base).resolve() == folder.resolve():
        raise InvalidSettingError(
            f"'{folder}' has the base model of the adapters, so saving into it would change the model that every "
            "checkpoint loads. Choose another folder: "
            f"{setting('output_dir', 'FOLDER')}, or trainer.save_merged(FOLDER)."
        )


def require_form_of_checkpoint(folder: Path, adapters: bool) -> None:
    """Raise `InvalidSettingError` for a save that replaces the model of a checkpoint by its other form.

    A run that resumes from the checkpoint trains the form that the checkpoint had.

    Args:
        folder: the folder to save into.
        adapters: whether adapters are saved, or a whole model.
    """
    if _is_checkpoint(folder) and _has_other_form(folder, adapters):
        saved, present = _forms(adapters)
        raise InvalidSettingError(
            f"'{folder}' is a checkpoint with {present}, and {saved} saved there would replace them, so the run could "
            f"not be resumed from it. Choose another folder, for example '{folder.parent / 'model'}'."
        )


def require_resumable(model: Any, checkpoint: str | Path) -> None:
    """Raise `InvalidSettingError` if a checkpoint has the model in the other form than the run that resumes from it.

    transformers would load no adapter and report nothing.

    Args:
        model: a transformers model, bare or wrapped by PEFT.
        checkpoint: folder of the checkpoint.
    """
    adapters = isinstance(model, PeftModel)
    if _has_other_form(Path(checkpoint), adapters):
        trained, present = _forms(adapters)
        raise InvalidSettingError(
            f"'{checkpoint}' has {present}, but this run trains {trained}, which would start untrained. Resume from "
            f"another checkpoint of the run, or {'load the folder as the model' if adapters else 'pass peft_config'}."
        )


def _forms(adapters: bool) -> tuple[str, str]:
    """Return the name of a form and of the other one."""
    names = ("the weights of a whole model", "the weights of adapters")
    return (names[1], names[0]) if adapters else names


def _has_other_form(folder: Path, adapters: bool) -> bool:
    """Return whether a folder has a model, but in the other form."""
    names = _names(folder) if folder.is_dir() else []
    own, other = (ADAPTER_WEIGHTS, MODEL_WEIGHTS) if adapters else (MODEL_WEIGHTS, ADAPTER_WEIGHTS)
    return bool(matching_names(names, other)) and not matching_names(names, own)


def _is_checkpoint(folder: Path) -> bool:
    names = _names(folder) if folder.is_dir() else []
    is_marked = folder.resolve().name.startswith(PREFIX_CHECKPOINT_DIR) or matching_names(names, RESUMED_FILES)
    return TRAINER_STATE_NAME in names and bool(is_marked)


def matching_names(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """Return the names that match a pattern.

    Examples:
        >>> matching_names(["model-00001-of-00002.safetensors", "model_card.md"], MODEL_FILES)
        ['model-00001-of-00002.safetensors']
    """
    patterns = tuple(patterns)
    return [name for name in names if any(fnmatch(name, pattern) for pattern in patterns)]


def _names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if file.is_file()]
