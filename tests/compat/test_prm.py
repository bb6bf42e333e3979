"""Settings and data of TRL's process reward models."""

import inspect
from dataclasses import fields

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from ppo_runs import byte_tokenizer
from tiny_llama import SHAPE, tiny_classifier
from transformers import (
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    LlamaConfig,
    LlamaForTokenClassification,
    TrainingArguments,
)

from rlhf_losses.compat.trl import PRMConfig, PRMTrainer
from rlhf_losses.compat.trl.labelled_steps import StepLimits, cut_steps
from rlhf_losses.compat.trl.prm_settings import PRM_SETTINGS
from rlhf_losses.compat.trl.token_classifier import as_sequence_classifier
from rlhf_losses.errors import FeedbackMismatchError, InvalidArgumentError, InvalidSettingError, UnsupportedModelError

pytestmark = pytest.mark.upstream

TRL_DEFAULTS = {
    "learning_rate": 1e-5,
    "max_length": 1024,
    "max_completion_length": None,
    "disable_dropout": True,
    "step_separator": "\n",
    "train_on_last_step_only": False,
    "dataset_num_proc": None,
}
"""The settings that TRL 1.13's `PRMConfig` defines, with their defaults."""

TRL_ARGUMENTS = [
    "model", "args", "data_collator", "train_dataset", "eval_dataset", "processing_class", "model_init",
    "compute_metrics", "callbacks", "optimizers", "preprocess_logits_for_metrics", "peft_config",
]  # fmt: skip
"""The arguments of TRL 1.13's `PRMTrainer`, in order."""

ROW = {"prompt": "ab", "completions": ["cd", "efg", "h"], "labels": [True, True, False]}


@pytest.fixture(scope="module")
def tokenizer():
    return byte_tokenizer()


@pytest.fixture
def config(tmp_path):
    return lambda **settings: PRMConfig(str(tmp_path), report_to="none", use_cpu=True, bf16=False, **settings)


def token_classifier(labels=2, **changes):
    torch.manual_seed(0)
    return LlamaForTokenClassification(LlamaConfig(**SHAPE | changes, num_labels=labels)).eval()


def test_settings_and_arguments_are_those_of_trl(config):
    table = {one.name: one.default for one in PRM_SETTINGS}
    assert TRL_DEFAULTS.items() <= table.items()
    assert TRL_DEFAULTS.items() <= vars(config()).items()
    assert list(inspect.signature(PRMTrainer).parameters)[: len(TRL_ARGUMENTS)] == TRL_ARGUMENTS


def test_recorded_names_are_those_of_trl(monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    prm = pytest.importorskip("trl.experimental.prm", reason="TRL 1.13 or earlier is not installed")
    general = {one.name for one in fields(TrainingArguments)} - {"learning_rate"}
    assert {one.name: one.default for one in fields(prm.PRMConfig) if one.name not in general} == TRL_DEFAULTS
    assert list(inspect.signature(prm.PRMTrainer).parameters) == TRL_ARGUMENTS


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_prompt_length": 8}, "max_prompt_length=8 has no place here.*overlong='truncate_prompt'"),
        ({"max_completion_length": 0}, "max_completion_length=0 .*at least 1"),
        ({"warmup_ratio": 0.1}, "warmup_ratio=0.1 has no place here.*warmup_steps"),
        ({"label_smoothing_factor": 0.1}, r"label_smoothing_factor=0.1 .*bradley_terry\(label_smoothing=0.1\)"),
        ({"train_on_last_step_only": "yes"}, "train_on_last_step_only='yes' .*True or False"),
    ],
)
def test_wrong_settings_are_refused(config, settings, message):
    with pytest.raises(InvalidSettingError, match=message):
        config(**settings)


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        ((None, None), 3),
        ((11, None), 3),
        ((10, None), 2),
        ((8, None), 1),
        ((5, None), 1),
        ((4, None), 0),
        ((None, 9), 3),
        ((None, 8), 2),
        ((None, 6), 1),
        ((None, 2), 0),
        ((10, 3), 1),
    ],
)
def test_steps_are_kept_while_they_fit(limits, kept, tokenizer):
    """The tokens are `ab` `cd\\n` `efg\\n` `h<eos>`: the steps end after 3, 7 and 9 tokens of the completion."""
    assert StepLimits(tokenizer, "\n", *limits).num_fitting(ROW) == kept


def test_labels_of_cut_steps_are_cut_and_reported(tokenizer, caplog):
    limits, data = StepLimits(tokenizer, "\n", 10, None), Dataset.from_list([ROW])
    assert cut_steps({"eval": data}, limits, None)["eval"][0] == {
        "prompt": "ab",
        "completions": ["cd", "efg"],
        "labels": [True, True],
    }
    assert "1 of 3 steps do not fit" in caplog.text
    assert cut_steps(data, StepLimits(tokenizer, "\n", None, None), None, last_only=True)[0]["labels"] == [
        None,
        None,
        False,
    ]
    (nothing,) = cut_steps(data, StepLimits(tokenizer, "\n", None, 1), None)
    assert nothing["labels"] == [None]


def test_tokenized_rows_are_refused(tokenizer):
    data = Dataset.from_dict({"input_ids": [[5]], "labels": [[1]]})
    with pytest.raises(FeedbackMismatchError, match=r"input_ids, labels, tokenized for TRL.*Pass the texts"):
        cut_steps(data, StepLimits(tokenizer, "\n", None, None), None)


def test_the_score_is_the_difference_of_the_two_logits():
    model, ids = token_classifier(), torch.tensor([[5, 6, 7]])
    logits = model(ids).logits
    converted = as_sequence_classifier(model)
    scores = converted.score(converted.model(ids).last_hidden_state).squeeze(-1)
    torch.testing.assert_close(scores, logits[..., 1] - logits[..., 0])
    torch.testing.assert_close(scores.sigmoid(), logits.softmax(-1)[..., 1])
    assert converted.config.num_labels == 1
    assert not any(parameter.is_meta for parameter in converted.parameters())


def test_other_models_are_unchanged():
    model = tiny_classifier()
    assert as_sequence_classifier(model) is model
    assert as_sequence_classifier("a path") == "a path"


def test_models_that_are_no_score_are_refused():
    with pytest.raises(UnsupportedModelError, match=r"num_labels=3 .*AutoModelForSequenceClassification"):
        as_sequence_classifier(token_classifier(labels=3))
    model = token_classifier()
    model.score.bias.data = torch.tensor([0.0, 1.0])
    with pytest.raises(UnsupportedModelError, match=r"bias \[0.0, 1.0\], which prefers a label"):
        as_sequence_classifier(model)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model_init": tiny_classifier}, "`model_init` has the type function.*model=model_init"),
        ({"compute_metrics": len}, "`compute_metrics` .*eval_accuracy"),
        ({"preprocess_logits_for_metrics": max}, "`preprocess_logits_for_metrics` .*Omit it"),
        ({"data_collator": list}, "`data_collator` .*Omit it"),
        ({"args": None}, "`args` is None.*the PRMConfig of rlhf_losses.compat.trl"),
        ({"processing_class": None}, "`processing_class` is None"),
        ({"tokens": 1}, "PRMTrainer received the argument tokens.*Did you mean 'tokenizer'"),
    ],
)
def test_arguments_without_a_place_are_refused(config, tokenizer, arguments, message):
    given = {"model": tiny_classifier(), "args": config(), "processing_class": tokenizer} | arguments
    with pytest.raises(InvalidArgumentError, match=message):
        PRMTrainer(train_dataset=Dataset.from_list([ROW]), **given)


def test_optimizers_of_parameters_that_are_not_trained_are_refused(config, tokenizer):
    data = Dataset.from_list([ROW])
    for model, message in (
        (token_classifier(vocab_size=258), "head is replaced"),
        (tiny_classifier(vocab_size=258), "0 are trained"),
    ):
        parameters = (tiny_classifier() if model.config.num_labels == 1 else model).parameters()
        with pytest.raises(InvalidSettingError, match=message):
            PRMTrainer(
                model, config(), None, data, None, tokenizer, optimizers=(torch.optim.SGD(parameters, 0.1), None)
            )


def test_adapters_that_are_loaded_for_inference_are_refused(config, tokenizer, tmp_path):
    adapters = LoraConfig(r=2, target_modules=["q_proj"], task_type="SEQ_CLS")
    trained = get_peft_model(tiny_classifier(vocab_size=258), adapters)
    trained.save_pretrained(tmp_path / "adapters", save_embedding_layers=False)
    model = PeftModel.from_pretrained(tiny_classifier(vocab_size=258), tmp_path / "adapters")
    with pytest.raises(InvalidArgumentError, match=r"All weights of `model` are frozen.*is_trainable=True"):
        PRMTrainer(model, config(), None, Dataset.from_list([ROW]), None, tokenizer)


def test_trls_collator_and_the_old_name_of_the_tokenizer_are_accepted(config, tokenizer):
    trainer = PRMTrainer(
        tiny_classifier(vocab_size=len(tokenizer)),
        config(train_on_last_step_only=True),
        DataCollatorForTokenClassification(tokenizer),
        Dataset.from_list([ROW]),
        tokenizer=tokenizer,
    )
    assert [len(row["score_position"]) for row in trainer.train_dataset] == [1]
    with pytest.raises(InvalidArgumentError, match="`data_collator`"):
        PRMTrainer(tiny_classifier(), config(), DataCollatorWithPadding(tokenizer), processing_class=tokenizer)
