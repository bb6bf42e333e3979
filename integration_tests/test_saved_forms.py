"""A folder has one form of a model, merged or adapters, and so has what is pushed to the Hub."""

import fnmatch
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub import HfApi
from peft import AutoPeftModelForCausalLM, LoraConfig
from thorough_cases import with_thorough
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from rlhf_losses import InvalidSettingError, PPOConfig, PPOTrainer, RewardConfig, RewardTrainer, Scorer
from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.models.saved_files import ADAPTER_FILES, MODEL_FILES, matching_names, remove_stale_files

pytestmark = pytest.mark.xdist_group("saved forms")

PROMPTS, COMPLETIONS = ["Q "] * 3, ["yes", "no", "perhaps so"]


def names(folder: Path) -> set[str]:
    """Return the files of a model in a folder."""
    return set(matching_names([file.name for file in folder.iterdir()], (*ADAPTER_FILES, *MODEL_FILES)))


def lora() -> LoraConfig:
    return LoraConfig(r=4, lora_alpha=16, lora_dropout=0.0, target_modules="all-linear", init_lora_weights=False)


MERGED = {"config.json", "model.safetensors"}
ADAPTERS = {"adapter_config.json", "adapter_model.safetensors"}


def reward_trainer(language_model, settings, pairs, **changes) -> RewardTrainer:
    return RewardTrainer(language_model, RewardConfig(**settings(**changes)), pairs, peft_config=lora())


def ppo_trainer(language_model, settings, **changes) -> PPOTrainer:
    from datasets import Dataset

    def count(completions, **_):
        return [float(len(text)) for text in completions]

    prompts = Dataset.from_dict({"prompt": ["a", "bc", "d", "e"]})
    config = PPOConfig(**settings(max_completion_length=4, **changes))
    return PPOTrainer(language_model, count, config, prompts, peft_config=lora())


@pytest.fixture(params=["reward", "ppo"])
def make_trainer(request, language_model, settings, pairs):
    if request.param == "reward":
        return lambda **changes: reward_trainer(language_model, settings, pairs, **changes)
    return lambda **changes: ppo_trainer(language_model, settings, **changes)


def outputs(model: Any) -> torch.Tensor:
    """Return the logits of a model for a fixed text."""
    ids = torch.tensor([[1, 40, 50, 60, 2]])
    with torch.no_grad():
        return model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.float()


def load(folder: Path, trainer: Any) -> torch.Tensor:
    """Return the logits of the model that transformers or PEFT loads from a folder."""
    if isinstance(trainer, RewardTrainer):
        return outputs(Scorer.from_pretrained(folder).model)
    has_adapters = (folder / "adapter_config.json").is_file()
    return outputs((AutoPeftModelForCausalLM if has_adapters else AutoModelForCausalLM).from_pretrained(folder))


@pytest.mark.upstream
@pytest.mark.parametrize("order", [("save_merged", "save_model"), ("save_model", "save_merged")], ids="-".join)
def test_the_last_save_is_what_loads(make_trainer, order, tmp_path):
    trainer = make_trainer()
    expected = outputs(trainer.model)
    for method in (*order, *order):
        getattr(trainer, method)(str(tmp_path / "model"))
        form = ADAPTERS if method == "save_model" else MERGED
        assert form <= names(tmp_path / "model") <= form | {"generation_config.json"}
        torch.testing.assert_close(load(tmp_path / "model", trainer), expected, rtol=1e-4, atol=1e-4)


def test_shards_and_pickled_weights_of_an_earlier_save_are_removed(make_trainer, language_model, tmp_path):
    trainer, folder = make_trainer(), tmp_path / "model"
    AutoModelForCausalLM.from_pretrained(language_model).save_pretrained(folder, max_shard_size="20KB")
    shards = [file.name for file in folder.glob("model-*-of-*.safetensors")]
    assert len(shards) > 1
    stale = ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"]
    for name in stale:
        (folder / name).write_bytes(b"")
    trainer.save_model(str(folder))
    assert names(folder) == ADAPTERS

    (folder / "adapter_model.bin").write_bytes(b"")
    AutoModelForCausalLM.from_pretrained(language_model).save_pretrained(folder, max_shard_size="20KB")
    trainer.save_merged(folder)
    assert MERGED <= names(folder) <= MERGED | {"generation_config.json"}


def test_other_files_stay(make_trainer, tmp_path):
    trainer, folder = make_trainer(), tmp_path / "model"
    trainer.save_merged(folder)
    for name in ("notes.md", "estimate_laplace.safetensors", "tokenizer.model"):
        (folder / name).write_text("")
    before = {file.name for file in folder.iterdir()} - names(folder)
    trainer.save_model(str(folder))
    assert before <= {file.name for file in folder.iterdir()}


@pytest.mark.parametrize("method", ["save_merged", "save_model"])
def test_nothing_is_saved_into_the_folder_of_the_base(make_trainer, language_model, method):
    """transformers loads an adapter in the folder of its base with the base, and PEFT adds it again."""
    trainer, before = make_trainer(), names(Path(language_model))
    with pytest.raises(InvalidSettingError, match=r"base model of the adapters.*another folder"):
        getattr(trainer, method)(language_model)
    assert names(Path(language_model)) == before


def test_adapters_with_the_folder_of_their_base_as_output_are_refused_before_training(make_trainer, language_model):
    with pytest.raises(InvalidSettingError, match=r"base model of the adapters.*output_dir='FOLDER'"):
        make_trainer(output_dir=language_model)


class Repository:
    """A repository of the Hub in memory, in place of the functions that send requests."""

    def __init__(self, monkeypatch, files=()) -> None:
        self.files = dict.fromkeys(files, b"earlier")
        for name in ("create_repo", "list_repo_files", "create_commit", "upload_folder"):
            monkeypatch.setattr(HfApi, name, getattr(self, name))

    def create_repo(self, repo_id, **_):
        return SimpleNamespace(repo_id=repo_id, url=f"https://huggingface.co/{repo_id}")

    def list_repo_files(self, _repo_id, **_):
        return list(self.files)

    def create_commit(self, _repo_id, operations, **_):
        for one in operations:
            del self.files[one.path_in_repo]

    def upload_folder(self, *, folder_path, ignore_patterns=(), path_in_repo="", run_as_future=False, **_):
        for file in Path(folder_path).rglob("*"):
            name = str(file.relative_to(folder_path))
            if file.is_file() and not any(fnmatch.fnmatch(name, pattern) for pattern in ignore_patterns):
                self.files[str(Path(path_in_repo) / name)] = file.read_bytes()
        return SimpleNamespace(is_done=lambda: True, done=lambda: True, result=lambda: None)

    def download(self, folder: Path) -> Path:
        for name, content in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return folder


@pytest.mark.parametrize(
    ("saved", "earlier"),
    with_thorough(
        [("save_merged", "adapters"), ("save_model", "whole"), (None, "none")],
        [("save_merged", "whole"), ("save_merged", "none"), ("save_model", "adapters"), ("save_model", "none")],
    ),
)
def test_a_push_has_the_form_that_was_saved_last_and_no_file_of_an_earlier_push(
    make_trainer, monkeypatch, tmp_path, saved, earlier
):
    stale = {"adapters": ["adapter_config.json", "adapter_model.safetensors"], "none": []}
    stale["whole"] = ["config.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json"]
    repository = Repository(monkeypatch, [*stale[earlier], "README.md"])
    trainer = make_trainer(push_to_hub=False, hub_model_id="me/model")
    expected = outputs(trainer.model)
    if saved:
        getattr(trainer, saved)()
    trainer.push_to_hub()
    form = MERGED if saved == "save_merged" else ADAPTERS
    downloaded = repository.download(tmp_path / "downloaded")
    assert form <= names(downloaded) <= form | {"generation_config.json"}
    assert names(Path(trainer.args.output_dir)) == names(downloaded)
    torch.testing.assert_close(load(downloaded, trainer), expected, rtol=1e-4, atol=1e-4)


def test_a_push_in_training_removes_merged_weights_of_an_earlier_run(
    language_model, settings, pairs, monkeypatch, tmp_path
):
    repository = Repository(monkeypatch, ["model.safetensors", "config.json"])
    changes = {"push_to_hub": True, "hub_model_id": "me/model", "hub_strategy": "every_save", "save_strategy": "steps"}
    trainer = reward_trainer(language_model, settings, pairs, **changes, save_steps=1, max_steps=2)
    trainer.save_merged()
    trainer.train()
    assert names(repository.download(tmp_path / "downloaded")) == ADAPTERS
    assert names(Path(trainer.args.output_dir)) == ADAPTERS


def test_a_model_without_adapters_removes_adapters_of_an_earlier_run(language_model, settings, pairs, tmp_path):
    reward_trainer(language_model, settings, pairs).save_model(str(tmp_path / "model"))
    full = RewardTrainer(language_model, RewardConfig(**settings()), pairs)
    full.save_model(str(tmp_path / "model"))
    assert names(tmp_path / "model") == MERGED
    torch.testing.assert_close(
        outputs(AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")), outputs(full.model)
    )


def test_one_file_of_weights_does_not_hide_newer_shards(language_model, settings, pairs, tmp_path):
    """transformers loads `model.safetensors` where there is one, also beside newer shards."""
    folder = tmp_path / "model"
    first, second = (RewardTrainer(language_model, RewardConfig(**settings(seed=seed)), pairs) for seed in (0, 1))
    first.save_model(str(folder))
    second.model.save_pretrained(folder, max_shard_size="20KB")
    assert "model.safetensors" in names(folder)
    remove_stale_files(second.model, folder)
    loaded = AutoModelForSequenceClassification.from_pretrained(folder)
    torch.testing.assert_close(outputs(loaded), outputs(second.model))


@pytest.mark.parametrize("command", ["train", "ppo"])
def test_the_command_line_pushes_the_merged_model(command, language_model, pairs, tmp_path, monkeypatch):
    from rlhf_losses.cli.main import main

    repository = Repository(monkeypatch, ["adapter_config.json", "adapter_model.safetensors"])
    pairs.to_json(tmp_path / "pairs.jsonl")
    arguments = ["--model", language_model, "--dataset", str(tmp_path / "pairs.jsonl"), "--output_dir", "out"]
    arguments += ["--max_steps", "1", "--push_to_hub", "True", "--hub_model_id", "me/model", "--use_cpu", "True"]
    arguments += ["--bf16", "False", "--report_to", "none"]
    if command == "ppo":
        scorer = RewardTrainer(language_model, RewardConfig(str(tmp_path / "r"), use_cpu=True), pairs).save_merged()
        arguments += ["--reward_model", str(scorer), "--max_completion_length", "4"]
    else:
        arguments += ["--loss", "bradley_terry"]
    monkeypatch.chdir(tmp_path)
    assert main([command, *arguments]) in (0, None)
    downloaded = repository.download(tmp_path / "downloaded")
    assert MERGED <= names(downloaded) <= MERGED | {"generation_config.json"}
    assert (downloaded / "README.md").is_file()


@pytest.fixture
def checkpoint(make_trainer) -> tuple[Any, Path]:
    """Return a trainer that has trained adapters, and its checkpoint."""
    trainer = make_trainer(save_strategy="steps", save_steps=2, max_steps=2, learning_rate=1e-2)
    trainer.train()
    return trainer, Path(trainer.args.output_dir) / "checkpoint-2"


@pytest.mark.upstream
def test_a_checkpoint_keeps_the_form_that_its_run_resumes(checkpoint, make_trainer, tmp_path):
    trainer, folder = checkpoint
    expected = outputs(trainer.model)
    copied = shutil.copytree(folder, tmp_path / "copy")
    for target in (folder, copied):
        with pytest.raises(InvalidSettingError, match=r"is a checkpoint with the weights of adapters.*another folder"):
            trainer.save_merged(target)
        assert names(target) == ADAPTERS
    resumed = make_trainer(max_steps=2, learning_rate=1e-2, output_dir=str(tmp_path / "resumed"))
    resumed.train(resume_from_checkpoint=str(folder))
    torch.testing.assert_close(outputs(resumed.model), expected)
    trainer.save_model(str(folder))  # the same form
    trainer.save_state()
    trainer.save_merged()  # the output folder is no checkpoint


def test_a_checkpoint_in_the_other_form_is_neither_resumed_nor_replaced_by_adapters(checkpoint, make_trainer, tmp_path):
    trainer, folder = checkpoint
    merged = trainer.save_merged(tmp_path / "merged")
    for name in (*ADAPTERS, "manifest.json"):
        (folder / name).unlink()
    for name in names(merged):
        shutil.copy(merged / name, folder)
    with pytest.raises(InvalidSettingError, match=r"the weights of a whole model, but this run trains.*another checkp"):
        make_trainer(max_steps=4).train(resume_from_checkpoint=str(folder))
    with pytest.raises(InvalidSettingError, match=r"is a checkpoint with the weights of a whole model"):
        trainer.save_model(str(folder))
    assert names(folder) >= MERGED


def test_a_run_replaces_checkpoints_of_an_earlier_run_in_the_other_form(language_model, settings, pairs, tmp_path):
    changes = {"save_strategy": "steps", "save_steps": 2, "max_steps": 2, "output_dir": str(tmp_path)}
    RewardTrainer(language_model, RewardConfig(**settings(**changes)), pairs).train()
    assert names(tmp_path / "checkpoint-2") >= MERGED
    reward_trainer(language_model, settings, pairs, **changes).train()
    assert names(tmp_path / "checkpoint-2") == ADAPTERS


@pytest.mark.upstream
def test_a_folder_of_adapters_is_trained_further(language_model, settings, pairs, tmp_path):
    first = reward_trainer(language_model, settings, pairs, max_steps=2, learning_rate=1e-2)
    first.train()
    first.save_model(str(tmp_path / "adapters"))
    saved, shown = tmp_path / "adapters", outputs(first.model)
    further = RewardTrainer(saved, RewardConfig(**settings(max_steps=2, learning_rate=1e-2)), pairs)
    torch.testing.assert_close(outputs(further.model), shown)
    trained = {name for name, weight in further.model.named_parameters() if weight.requires_grad}
    assert trained == {name for name, weight in first.model.named_parameters() if weight.requires_grad}
    further.train()
    assert not torch.allclose(outputs(further.model), shown)
    further.save_model(str(tmp_path / "further"))
    torch.testing.assert_close(load(tmp_path / "further", further), outputs(further.model), rtol=1e-4, atol=1e-4)
    with pytest.raises(InvalidSettingError, match=r"has adapters, and peft_config describes other ones.*save_merged"):
        RewardTrainer(saved, RewardConfig(**settings()), pairs, peft_config=lora())


def test_adapters_of_a_language_model_are_not_trained_further(language_model, settings, pairs, tmp_path):
    ppo_trainer(language_model, settings).save_model(str(tmp_path / "policy"))
    with pytest.raises(UnsupportedModelError, match=r"without a score head.*no head would be trained.*Merge them"):
        RewardTrainer(tmp_path / "policy", RewardConfig(**settings()), pairs)
