"""Arguments of other types than a function accepts: refused with the conversion, or accepted as TRL's users expect."""

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
import trl
from datasets import Dataset, DatasetDict

from rlhf_losses import (
    BradleyTerry,
    Ensemble,
    InvalidArgumentError,
    InvalidFeedbackError,
    InvalidLossError,
    InvalidSettingError,
    Pairs,
    PPOConfig,
    PPOTrainer,
    RewardConfig,
    RewardTrainer,
    RlhfLossesError,
    Scorer,
    UnreadableDatasetError,
    UnsupportedModelError,
    bradley_terry,
    centering,
    fit_estimate,
    fit_reference,
    load_rows,
    loss_registry,
    parse_loss,
    rename_columns,
)
from rlhf_losses.checks.optional_packages import require_reporting
from rlhf_losses.data import convert_dataset
from rlhf_losses.feedback.base import Answer
from rlhf_losses.inspection import inspect_dataset
from rlhf_losses.messages.setting_names import command_flags
from rlhf_losses.models import bfloat16
from rlhf_losses.scoring import best_of, evaluate

ROWS = [{"prompt": "2 + 2 = ", "chosen": "4", "rejected": "5"}] * 4
COLUMNS = {"prompt": ["2 + 2 = "], "chosen": ["4"], "rejected": ["5"]}


class Indexed(torch.utils.data.Dataset):
    """A dataset of torch."""

    def __len__(self):
        return len(ROWS)

    def __getitem__(self, index):
        return ROWS[index]


NO_DATASETS = [
    (ROWS, "has the type list", "Dataset.from_list("),
    ([], "has the type list", "Dataset.from_list("),
    (iter(ROWS), "has the type list_iterator", "Dataset.from_list("),
    (Indexed(), "has the type Indexed", "Dataset.from_list("),
    (pd.DataFrame(ROWS), "has the type DataFrame", "Dataset.from_pandas("),
    (COLUMNS, "has the type dict", "Dataset.from_dict("),
    (DatasetDict(train=Dataset.from_list(ROWS)), "has the type DatasetDict", "['train']"),
    ("pairs.jsonl", "has the type str", "datasets.load_dataset('pairs.jsonl')"),
    (Path("pairs.jsonl"), "has the type PosixPath", "Dataset.from_json('pairs.jsonl')"),
    (None, "is None", "Pass "),
]


@pytest.fixture
def scorer(reward_model, tokenizer) -> Scorer:
    return Scorer(reward_model, tokenizer)


@pytest.mark.parametrize(("data", "received", "remedy"), NO_DATASETS, ids=lambda value: type(value).__name__)
def test_data_of_other_libraries_are_refused_with_the_conversion(
    scorer, settings, language_model, data, received, remedy
):
    ppo = PPOConfig(**settings(max_completion_length=8))
    entries = [
        lambda: RewardTrainer("no/such-model", RewardConfig(**settings()), data, loss=bradley_terry),
        lambda: PPOTrainer(language_model, scorer, ppo, data),
        lambda: evaluate(scorer, data),
        lambda: convert_dataset(data),
        lambda: inspect_dataset(data, loss_registry()),
        lambda: rename_columns(data, "chosen=rejected"),
    ]
    for entry in entries if data is not None else entries[1:]:
        with pytest.raises(InvalidArgumentError) as caught:
            entry()
        assert received in str(caught.value)
        assert remedy in str(caught.value)


@pytest.mark.parametrize("data", [ROWS, pd.DataFrame(ROWS), "pairs.jsonl", {"held_out": ROWS}])
def test_evaluation_data_of_other_libraries_are_refused(settings, pairs, data):
    with pytest.raises(InvalidArgumentError, match="`eval_dataset` has the type"):
        RewardTrainer("no/such-model", RewardConfig(**settings()), pairs, data, loss=bradley_terry)


@pytest.mark.parametrize("config", [trl.RewardConfig, transformers.TrainingArguments])
def test_the_configuration_of_trl_is_accepted_with_all_its_values(settings, language_model, pairs, config):
    given = config(**settings(learning_rate=3e-4, lr_scheduler_type="cosine", warmup_steps=2, hub_token="secret"))
    trainer = RewardTrainer(language_model, given, pairs, loss="bradley_terry")
    same = [f.name for f in dataclasses.fields(config) if f.init and f.name != "accelerator_config"]
    assert {name: getattr(trainer.args, name) for name in same} == {name: getattr(given, name) for name in same}
    assert isinstance(trainer.args, RewardConfig)
    trainer.train()
    assert trainer.state.global_step == 3


@pytest.mark.parametrize("make", [dict, lambda **values: values["output_dir"], PPOConfig, trl.SFTConfig])
def test_other_configurations_are_refused(settings, pairs, make):
    with pytest.raises(InvalidArgumentError, match="`args` has the type"):
        RewardTrainer("no/such-model", make(**settings()), pairs, loss="bradley_terry")


@pytest.mark.parametrize(
    ("name", "value"),
    [("overlong", "cut"), ("average_over", "rows"), ("segmentation", "words"), ("hidden_state_cache_gib", -1)],
)
def test_settings_outside_their_values_are_refused(settings, name, value):
    with pytest.raises(InvalidSettingError, match=f"{name}={value!r}"):
        RewardConfig(**settings(), **{name: value})


def test_evaluation_refuses_an_unknown_treatment_of_long_texts(scorer, pairs):
    with pytest.raises(InvalidSettingError, match="overlong='cut'"):
        evaluate(scorer, pairs, overlong="cut")


def test_a_path_object_is_a_model(settings, language_model, pairs):
    RewardTrainer(Path(language_model), RewardConfig(**settings()), pairs, loss="bradley_terry")


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (None, InvalidArgumentError, "`model` is None"),
        (torch.nn.Linear(1, 1), InvalidArgumentError, "`model` has the type Linear"),
        (transformers.AutoModelForSequenceClassification, InvalidArgumentError, "is the class Auto"),
        ("./nowhere", UnsupportedModelError, "no folder './nowhere'"),
        (Path("nowhere"), UnsupportedModelError, "no folder 'nowhere'"),
    ],
)
def test_other_models_are_refused(settings, pairs, scorer, model, error, message):
    with pytest.raises(error, match=message):
        RewardTrainer(model, RewardConfig(**settings()), pairs, loss="bradley_terry")
    with pytest.raises(error, match=message):
        PPOTrainer(model, scorer, PPOConfig(**settings()), pairs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tokenizer": None}, "argument tokenizer, which it does not have. Pass it as processing_class"),
        ({"dataset": None}, "Pass it as train_dataset"),
        ({"eval_datset": None}, "Did you mean 'eval_dataset'"),
        ({"data_collator": print}, "argument data_collator"),
        ({"processing_class": "gpt2"}, "`processing_class` has the type str"),
        ({"peft_config": {"r": 8}}, "`peft_config` has the type dict"),
    ],
)
def test_arguments_of_other_trainers_are_refused(settings, pairs, arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        RewardTrainer("no/such-model", RewardConfig(**settings()), train_dataset=pairs, loss="hinge", **arguments)


@pytest.mark.parametrize("reward", [Scorer, 5, ("a", "b")])
def test_reward_functions_are_functions(settings, language_model, pairs, reward):
    with pytest.raises(InvalidArgumentError, match="A reward function"):
        PPOTrainer(language_model, [reward] if isinstance(reward, int) else reward, PPOConfig(**settings()), pairs)


@pytest.mark.parametrize("loss", [BradleyTerry, lambda scores, feedback: scores.sum(), torch.nn.MSELoss(), ["hinge"]])
def test_a_loss_is_an_object_or_a_string(settings, pairs, scorer, loss):
    with pytest.raises(InvalidLossError, match="`loss`"):
        RewardTrainer("no/such-model", RewardConfig(**settings()), pairs, loss=loss)
    with pytest.raises(InvalidLossError, match="`loss`"):
        evaluate(scorer, pairs, loss=loss)


def test_evaluation_accepts_the_string_form_of_a_loss(scorer, pairs):
    assert evaluate(scorer, pairs, loss="bradley_terry") == evaluate(scorer, pairs, loss=bradley_terry)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bradley_terry(label_smoothing=0.1), r"construct it: BradleyTerry\(label_smoothing=0.1\)"),
        (lambda: bradley_terry(), "missing a required argument"),
        (lambda: (bradley_terry + centering)(temperature=2), "construct its terms"),
        (lambda: bradley_terry([1.0, 0.0], Pairs([0], [1])), r"Pass torch.tensor\(scores\)"),
        (lambda: bradley_terry(np.ones(2), Pairs([0], [1])), "`scores` has the type ndarray"),
        (lambda: bradley_terry(torch.ones(2), {"chosen": [0], "rejected": [1]}), "`feedback` has the type dict"),
        (lambda: bradley_terry(torch.ones(1), torch.zeros(1)), "`feedback` has the type Tensor"),
        (lambda: BradleyTerry + centering, r"Write BradleyTerry\(\)"),
        (lambda: bradley_terry + "centering", r"Write parse_loss\('centering'\)"),
        (lambda: parse_loss(bradley_terry), "`text` has the type BradleyTerry"),
        (lambda: parse_loss(None), "`text` is None"),
        (lambda: loss_registry("my_loss.py"), r"plugin_files=\['my_loss.py'\]"),
        (lambda: loss_registry().lookup(None), "`name` is None"),
        (lambda: convert_dataset(Dataset.from_list(ROWS), converter=5), "the name of a converter"),
    ],
)
def test_a_loss_is_called_with_scores_and_feedback(call, message):
    with pytest.raises(InvalidArgumentError, match=message):
        call()


def test_positions_outside_the_scores_are_refused():
    with pytest.raises(InvalidFeedbackError, match="contains the position 2, but there are 2 scores"):
        bradley_terry(torch.ones(2), Pairs([0], [2]))


def test_values_that_are_no_numbers_are_refused():
    with pytest.raises(InvalidFeedbackError, match="chosen='a', which is no vector of numbers"):
        Pairs("a", "b")


def test_losses_can_be_summed():
    assert sum([bradley_terry, 0.5 * centering]) == bradley_terry + 0.5 * centering


MESSAGE = {"role": "user", "content": "2 + 2 ="}
NO_TEXTS = [
    ("one text", "`{}` is one text, but it must be a list"),
    (None, "`{}` is None"),
    (["4", 5], r"`{}\[1\]` has the type int"),
    ([float("nan"), "4"], r"`{}\[0\]` has the type float"),
    ([[1, 2], [3]], r"`{}\[0\]` has the type list"),
    ([MESSAGE, MESSAGE], r"`{}\[0\]` is a single message"),
]


@pytest.mark.parametrize(("texts", "message"), NO_TEXTS)
def test_a_scorer_refuses_what_are_no_lists_of_texts(scorer, texts, message):
    calls = {
        "prompts": lambda: scorer(texts, ["4", "4"]),
        "completions": lambda: scorer(["2 + 2 = ", "2 + 2 = "], texts),
        "texts": lambda: scorer.score(texts),
        "steps": lambda: scorer.score_steps("2 + 2 = ", texts),
    }
    for name, call in calls.items():
        with pytest.raises(InvalidArgumentError, match=message.format(name)):
            call()


def test_a_missing_completion_is_refused_and_not_scored(scorer):
    with pytest.raises(InvalidFeedbackError, match=r"`completions\[1\]` is None"):
        scorer(["2 + 2 = ", "2 + 2 = "], ["4", None])


def test_prompts_and_completions_have_the_same_number(scorer):
    for call in (scorer, lambda *texts: fit_reference(scorer, *texts), lambda *texts: best_of(scorer, *texts)):
        with pytest.raises(InvalidFeedbackError, match="1 prompts and 2 completions"):
            call(["2 + 2 = "], ["4", "5"])


@pytest.mark.parametrize(
    "convert", [np.array, pd.Series, iter, tuple, lambda texts: Dataset.from_dict({"a": texts})["a"]]
)
def test_any_sequence_of_texts_is_scored(scorer, convert):
    prompts, completions = ["2 + 2 = ", "3 + 3 = "], ["4", "5"]
    assert scorer(convert(prompts), convert(completions)) == scorer(prompts, completions)
    assert scorer.score(convert(completions)) == scorer.score(completions)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda scorer: Scorer("gpt2", scorer.tokenizer), InvalidArgumentError, "Scorer.from_pretrained"),
        (lambda scorer: Scorer(scorer.model, None), InvalidArgumentError, "`tokenizer` is None"),
        (lambda scorer: Scorer(scorer.model, scorer.tokenizer, "x"), InvalidArgumentError, "`metadata` has the type"),
        (lambda scorer: Scorer(scorer.model, scorer.tokenizer, batch_size=0), InvalidSettingError, "batch_size=0"),
        (lambda scorer: Scorer.from_pretrained(scorer.model), InvalidArgumentError, "`path` has the type"),
        (lambda scorer: Scorer.from_pretrained("/no/where"), UnsupportedModelError, "no folder '/no/where'"),
        (lambda scorer: scorer.with_transforms(None), InvalidArgumentError, "`transforms` is None"),
        (lambda scorer: scorer.score_answers([("p", ("a",))]), InvalidArgumentError, "Answer"),
        (lambda scorer: Ensemble(scorer), InvalidArgumentError, "`members` has the type Scorer"),
        (lambda scorer: Ensemble(["gpt2"]), InvalidArgumentError, "has the type str, which is no function"),
        (lambda scorer: Ensemble([scorer], max), InvalidArgumentError, "`combine`"),
        (lambda scorer: best_of(scorer, ["p"], ["ab"]), InvalidArgumentError, "the candidates of each prompt"),
    ],
)
def test_arguments_of_scorers_are_checked(scorer, call, error, message):
    with pytest.raises(error, match=message):
        call(scorer)


def test_representations_name_what_is_trained_and_scored(scorer, settings, language_model, pairs):
    trainer = RewardTrainer(language_model, RewardConfig(**settings()), pairs, loss="bradley_terry + 0.01 * centering")
    assert (
        repr(trainer)
        == "RewardTrainer(LlamaForSequenceClassification, loss='bradley_terry + 0.01 * centering', step=0)"
    )
    assert repr(scorer) == "Scorer('reward_model', LlamaForSequenceClassification, loss='unknown')"
    assert repr(Ensemble([scorer])) == f"Ensemble([{scorer!r}], 'mean')"
    assert repr(bradley_terry + centering) == "WeightedSum('bradley_terry + centering')"
    catalogue = loss_registry()
    assert repr(catalogue).startswith(f"<LossRegistry of {len(catalogue)}: bradley_terry, ")
    ppo = PPOTrainer(language_model, scorer, PPOConfig(**settings(max_completion_length=8)), pairs)
    assert repr(ppo) == "PPOTrainer(LlamaForCausalLM, rewards=[reward_model], step=0)"


def test_a_tracker_that_is_not_installed_is_refused_before_the_model_is_loaded(settings, pairs, monkeypatch):
    monkeypatch.setattr(transformers.integrations, "get_available_reporting_integrations", lambda: ["tensorboard"])
    require_reporting(["tensorboard"])
    with pytest.raises(ImportError, match="report_to='wandb' needs the package wandb, which is not installed"):
        RewardTrainer("no/such-model", RewardConfig(**settings(report_to="wandb")), pairs, loss="hinge")


@pytest.mark.parametrize(
    ("capabilities", "computes"),
    [({"avx512_bf16": True, "amx_bf16": False}, True), ({"avx512_bf16": False, "amx_bf16": False}, False), ({}, True)],
)
def test_bfloat16_without_instructions_of_the_cpu_is_reported_at_the_start(
    settings, language_model, pairs, scorer, monkeypatch, caplog, capabilities, computes
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert bfloat16.cpu_has_bfloat16() is computes
    with caplog.at_level(logging.WARNING):
        Scorer(scorer.model, scorer.tokenizer)
        RewardTrainer(language_model, RewardConfig(**settings()), pairs, loss="hinge")
    assert "bfloat16" not in caplog.text
    with caplog.at_level(logging.WARNING):
        RewardTrainer(language_model, RewardConfig(**settings(bf16=True)), pairs, loss="hinge")
        Scorer(scorer.model.bfloat16(), scorer.tokenizer)
    assert ("many times slower than float32. Use bf16=False." in caplog.text) is not computes
    assert ("many times slower than float32. Use model.float()." in caplog.text) is not computes


def test_a_missing_chat_template_is_added_by_a_flag_only_where_a_command_has_it(reward_model, other_tokenizer):
    other_tokenizer.chat_template = None
    scorer = Scorer(reward_model, other_tokenizer)
    for flags, advice in ((["--chat_template_path"], "--chat_template_path"), ([], "tokenizer.chat_template")):
        with command_flags(flags), pytest.raises(UnsupportedModelError) as caught:
            scorer.score_answers([Answer([MESSAGE], ([{"role": "assistant", "content": "4"}],))])
        assert advice in str(caught.value)
        assert ("--" in str(caught.value)) is bool(flags)


@pytest.mark.parametrize("path_type", [str, Path])
def test_a_path_of_a_language_model_is_no_reward_function(settings, language_model, pairs, path_type):
    with pytest.raises(UnsupportedModelError, match="its scores would be random"):
        PPOTrainer(language_model, [path_type(language_model)], PPOConfig(**settings()), pairs)


@pytest.mark.parametrize("path_type", [str, Path])
def test_a_path_of_a_reward_model_is_loaded_as_a_scorer(settings, language_model, trained, pairs, path_type):
    folder = trained.save_merged()
    config = PPOConfig(**settings(max_completion_length=8))
    trainer = PPOTrainer(language_model, path_type(folder), config, pairs)
    (loaded,) = trainer.reward_funcs
    expected = Scorer.from_pretrained(folder)(["2 + 2 = "], ["4"])
    assert loaded(["2 + 2 = "], ["4"]) == expected


def test_none_is_no_reward_function(settings, language_model, scorer, pairs):
    with pytest.raises(InvalidArgumentError, match=r"`reward_funcs\[1\]` is None"):
        PPOTrainer(language_model, [scorer, None], PPOConfig(**settings()), pairs)


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_no_dataset(name):
    with pytest.raises(UnreadableDatasetError, match="The name of the dataset is empty"):
        load_rows(name)


@pytest.mark.parametrize("name", [ROWS, None, 3, Dataset.from_list(ROWS)], ids=lambda value: type(value).__name__)
def test_a_dataset_is_loaded_from_a_name(name):
    with pytest.raises(InvalidArgumentError, match="`name`"):
        load_rows(name)


@pytest.mark.parametrize("columns", ["prompt=question", {"prompt": "question"}])
def test_columns_are_renamed_with_a_string_or_a_mapping(tmp_path, columns):
    data = Dataset.from_list([{"question": "2 + 2 = ", "chosen": "4", "rejected": "5"}])
    file = tmp_path / "rows.jsonl"
    data.to_json(file)
    expected = [{"chosen": "4", "rejected": "5", "prompt": "2 + 2 = "}]
    assert list(rename_columns(data, columns)) == expected
    assert list(load_rows(file, columns=columns)) == expected


@pytest.mark.parametrize("columns", [None, [("prompt", "question")], {"a": None}, {1: "prompt"}, 3])
def test_other_renamings_are_refused(columns):
    with pytest.raises(InvalidArgumentError, match="`columns`"):
        rename_columns(Dataset.from_list(ROWS), columns)


def test_a_scorer_is_required_for_evaluation_and_estimates(scorer, trained):
    data = Dataset.from_list(ROWS)
    received = [
        ("runs/rm", r"has the type str.*from_pretrained\('runs/rm'\)"),
        (trained, r"has the type RewardTrainer.*trainer.save_merged"),
        (data, "has the type Dataset"),
        (None, "is None"),
    ]
    for value, message in received:
        for call in (lambda value=value: evaluate(value, data), lambda value=value: fit_estimate(value, data, "x")):
            with pytest.raises(InvalidArgumentError, match=message):
                call()
    with pytest.raises(InvalidArgumentError, match="`estimate` has the type int"):
        fit_estimate(scorer, data, 3)


def test_a_report_needs_the_registry_and_a_tokenizer():
    data = Dataset.from_list(ROWS)
    with pytest.raises(InvalidArgumentError, match="`registry` has the type list"):
        inspect_dataset(data, ["hinge"])
    with pytest.raises(InvalidArgumentError, match="`tokenizer` has the type str"):
        inspect_dataset(data, loss_registry(), "model-name")


def test_prediction_prepares_a_dataset_as_evaluation_does(settings, language_model, pairs):
    trained = RewardTrainer(language_model, RewardConfig(**settings()), pairs, loss="bradley_terry")
    predicted = trained.predict(pairs, metric_key_prefix="eval")
    evaluated = trained.evaluate(pairs)
    same = [name for name in evaluated if name in predicted.metrics and "per_second" not in name and "time" not in name]
    assert "eval_accuracy" in same
    assert {name: predicted.metrics[name] for name in same} == {name: evaluated[name] for name in same}
    assert predicted.predictions.shape == (len(pairs), 2)
    with pytest.raises(InvalidArgumentError, match="`test_dataset` has the type list"):
        trained.predict(ROWS)


@pytest.mark.parametrize("form", ["pandas", "numpy", "torch"])
def test_the_format_of_a_dataset_does_not_matter(settings, language_model, scorer, pairs, form):
    formatted = pairs.with_format(form)
    assert evaluate(scorer, formatted) == evaluate(scorer, pairs)
    assert inspect_dataset(formatted, loss_registry()) == inspect_dataset(pairs, loss_registry())
    assert list(rename_columns(formatted, {}).with_format(None)) == list(pairs)
    trainer = RewardTrainer(language_model, RewardConfig(**settings()), formatted, loss="bradley_terry")
    assert len(trainer.train_dataset) == len(pairs)
    PPOTrainer(language_model, scorer, PPOConfig(**settings(max_completion_length=8)), formatted)


REWARD_SETTINGS = [
    *(("max_length", value) for value in ("512", 0, -1, 1.5, True)),
    *(("max_tokens_per_forward", value) for value in ("2k", 0)),
    *(("hidden_state_cache_gib", value) for value in ("1", -1, float("nan"), None)),
    *(("loss_parameters_learning_rate", value) for value in ("a", -1)),
    *(("check_layout", "maybe"), ("resize_embeddings", "yes"), ("loss", 3), ("step_separator", 1)),
    *(("skip_nonfinite", "1"), ("overlong", None), ("pad_token", 0)),
]
PPO_SETTINGS = [
    *((name, "1") for name in ("gamma", "beta", "lam", "score_clip", "kl_target", "critic_warmup_steps")),
    *(("max_completion_length", value) for value in ("32", 0)),
    *(("critic_learning_rate", "a"), ("missing_eos_score", "a"), ("whiten_rewards", "no")),
    *(("num_generations", 0), ("num_iterations", 0), ("temperature", 0), ("epsilon", -1), ("gamma", 1.5)),
]


@pytest.mark.parametrize(
    ("config", "name", "value"),
    [*((RewardConfig, *one) for one in REWARD_SETTINGS), *((PPOConfig, *one) for one in PPO_SETTINGS)],
)
def test_settings_have_types_and_ranges(settings, config, name, value):
    with pytest.raises(InvalidSettingError, match=f"{name}="):
        config(**settings(**{name: value}))


@pytest.mark.parametrize("config", [RewardConfig, PPOConfig])
def test_a_layout_is_not_none(settings, config):
    with pytest.raises(RlhfLossesError, match="layout"):
        config(**settings(layout=None))


def test_numbers_of_numpy_are_numbers(settings):
    config = RewardConfig(**settings(max_length=np.int64(64), hidden_state_cache_gib=np.float32(0.5)))
    assert (type(config.max_length), type(config.hidden_state_cache_gib)) == (int, float)
    assert BradleyTerry(label_smoothing=np.float64(0.1)) == BradleyTerry(label_smoothing=0.1)
    for value in (np.float32(0.25), np.float64(0.25)):
        assert str(BradleyTerry(label_smoothing=value)) == "bradley_terry(label_smoothing=0.25)"


def test_a_loss_is_not_given_twice(settings, language_model, pairs):
    with pytest.raises(InvalidLossError, match=r"args\.loss is 'hinge' and loss is 'bradley_terry'"):
        RewardTrainer("no/such-model", RewardConfig(**settings(loss="hinge")), pairs, loss="bradley_terry")
    config = RewardConfig(**settings())
    for loss in ("hinge", centering + bradley_terry):  # a configuration can be used again
        trainer = RewardTrainer(language_model, config, pairs, loss=loss)
        assert trainer.args.loss == str(trainer.loss) == str(loss)
    assert str(RewardTrainer(language_model, RewardConfig(**settings(loss="hinge")), pairs).loss) == "hinge"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "gpu"}, "device='gpu' is no device"),
        ({"dtype": "float99"}, "dtype='float99' is no dtype"),
        ({"overlong": "x"}, "overlong='x'"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_options_of_a_scorer_are_refused_before_the_model_is_loaded(options, message):
    with pytest.raises(InvalidSettingError, match=message):
        Scorer.from_pretrained("no/such-model", **options)


def test_a_model_is_a_folder_or_on_the_hub(tmp_path):
    file = tmp_path / "pairs.jsonl"
    file.write_text("{}")
    for path, message in ((file, "is a file"), ("", "is empty"), ("no-such-model", "cannot be loaded")):
        with pytest.raises(UnsupportedModelError, match=message):
            Scorer.from_pretrained(path)


def test_a_language_model_in_memory_is_no_reward_model(settings, language_model, pairs):
    model = transformers.AutoModelForCausalLM.from_pretrained(language_model)
    with pytest.raises(UnsupportedModelError, match="has a language-modelling head"):
        RewardTrainer(model, RewardConfig(**settings()), pairs, loss="hinge")


@pytest.mark.skipif(transformers.utils.is_torch_bf16_gpu_available(), reason="this machine has bfloat16")
@pytest.mark.parametrize("config", [RewardConfig, PPOConfig])
def test_bfloat16_is_the_default_only_where_it_is_available(tmp_path, config):
    assert config(str(tmp_path)).bf16 is False
    assert config(str(tmp_path), bf16=True, use_cpu=True).bf16 is True
    with pytest.raises(InvalidSettingError, match=r"bf16=True needs an accelerator.*bf16=False, or use_cpu=True"):
        config(str(tmp_path), bf16=True)


def test_names_of_trackers_are_not_joined():
    with pytest.raises(InvalidSettingError, match=r"\['tensorboard', 'trackio'\]"):
        require_reporting("tensorboard,trackio")
