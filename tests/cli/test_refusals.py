"""Invalid input is refused before a model is loaded, with one message and exit code 2."""

import json

import pytest
from transformers import integrations

TRAIN = "train --model {model} --dataset {pairs} --loss bradley_terry --output_dir {out}"
PPO = "ppo --model {model} --reward_model {model} --dataset {pairs} --output_dir {out}"


@pytest.fixture
def refuse(cli, model_folder, pairs_file, tmp_path):
    """Run a command that must fail, and return its message."""

    def run(command, *more, **names):
        names = {"model": model_folder, "pairs": pairs_file, "out": tmp_path / "out"} | names
        result = cli(*(word.format(**names) for word in command.split()), *more)
        assert result.code == 2
        assert result.out == ""
        assert "Traceback" not in result.err
        assert not (tmp_path / "out" / "config.json").exists()
        return result.err.splitlines()[-1]

    return run


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("bradly_terry", "Unknown loss 'bradly_terry'. Did you mean 'bradley_terry'?"),
        ("bradley_terry + ", "'bradley_terry + ' is not a valid loss"),
        ("-1 * bradley_terry", "weight -1"),
        ("bradley_terry(label_smoothing=0.7)", "label_smoothing=0.7"),
    ],
)
def test_an_invalid_loss_is_refused(refuse, loss, message):
    assert message in refuse(TRAIN, "--loss", loss)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("bradly_terry", "Unknown loss 'bradly_terry'. Did you mean 'bradley_terry'?"),
        ("bradley_terry - centering", "'bradley_terry - centering' is not a valid loss"),
    ],
)
def test_a_demo_of_an_invalid_loss_is_refused(refuse, loss, message):
    assert message in refuse("demo --output_dir {out}", "--loss", loss)


def test_a_demo_does_not_overwrite_an_earlier_one(refuse, tmp_path):
    (tmp_path / "results.json").write_text("[]")
    assert "--output_dir" in refuse("demo --output_dir {out}", out=tmp_path)


def test_all_missing_arguments_are_named_at_once(refuse, pairs_file):
    text = refuse("train --dataset {pairs}")
    assert "--model, --loss and --output_dir are missing, but this command needs them. Add for example --model " in text
    assert f"'rlhf-losses inspect --dataset {pairs_file}' lists the losses that fit" in text
    assert "--dataset is missing, but" in refuse("train --model {model} --loss hinge --output_dir {out}")
    assert "--model and --dataset are missing, but this command needs them. Run 'rlhf-losses score -" in refuse("score")
    assert "--estimate is missing, but this command needs it." in refuse("fit --model {model} --dataset {pairs}")
    assert "--reward_model and --output_dir are missing, but" in refuse("ppo --model {model} --dataset {pairs}")


@pytest.mark.parametrize("command", [TRAIN, PPO])
@pytest.mark.parametrize("more", [["--bf16"], ["--bf16", "--report_to", "none"], ["--fp16", "--plugin", "no.py"]])
def test_an_argument_needs_no_value_where_trl_has_none(refuse, command, more):
    assert "expected one argument" not in refuse(command, *more, "--dataset", "nowhere.jsonl")


@pytest.mark.parametrize("command", [TRAIN, PPO])
def test_a_tracker_that_is_not_installed_is_refused_before_the_model_is_loaded(refuse, monkeypatch, command):
    monkeypatch.setattr(integrations, "get_available_reporting_integrations", lambda: ["tensorboard"])
    text = refuse(command, "--report_to", "tensorboard", "wandb")
    assert "--report_to wandb needs the package wandb, which is not installed. Run: pip install wandb" in text


def test_an_unknown_tracker_is_refused_with_all_names(refuse):
    text = refuse(TRAIN, "--report_to", "tensorbord")
    assert "--report_to tensorbord names a tracker that transformers does not have" in text
    assert "tensorboard, " in text


def test_a_demo_is_not_resumed(refuse, tmp_path):
    (tmp_path / "out" / "checkpoint-7").mkdir(parents=True)
    text = refuse("demo --output_dir {out}")
    assert "contains an earlier run" in text
    assert "--resume_from_checkpoint" not in text


@pytest.mark.parametrize("command", [TRAIN, PPO])
def test_a_misspelt_argument_is_refused_with_the_nearest_name(refuse, command):
    assert "Unknown argument '--max_step'. Did you mean '--max_steps'?" in refuse(command, "--max_step", "3")


@pytest.mark.parametrize("command", [TRAIN, PPO, "score --model {model} --dataset {pairs}"])
def test_a_missing_dataset_file_is_refused_with_the_nearest_name(refuse, tmp_path, pairs_file, command):
    text = refuse(command, pairs=tmp_path / "row.jsonl")
    assert "no file 'row.jsonl'" in text
    assert "Did you mean 'rows.jsonl'?" in text
    assert "Did you mean" not in refuse(command, pairs=tmp_path / "nothere.jsonl")


def test_an_empty_dataset_is_refused(refuse, write_rows):
    assert "is empty" in refuse(TRAIN, pairs=write_rows(name="empty.jsonl"))


def test_columns_of_another_feedback_type_are_refused_with_fitting_losses(refuse, write_rows):
    labels = write_rows({"prompt": "2 + 2 = ", "completion": "4", "label": True})
    text = refuse(TRAIN, pairs=labels)
    assert "columns prompt, completion, label" in text
    assert "Labels" in text
    assert "cross_entropy" in text


@pytest.mark.parametrize("loss", ["centering", "length_decorrelation", "centering + score_decay"])
def test_a_regularizer_alone_is_refused_with_an_alternative(refuse, loss):
    text = refuse(TRAIN, "--loss", loss)
    assert f"The loss '{loss}' does not depend on the labels" in text
    assert f"'bradley_terry + {loss}'" in text


def test_invalid_values_are_refused_with_their_row(refuse, write_rows):
    rows = [{"prompt": "", "chosen": "4", "rejected": "5", "preference": p} for p in (1.0, 1.5)]
    text = refuse(TRAIN, pairs=write_rows(*rows))
    assert "Row 1 of train data: " in text
    assert "preference 1.5" in text


def test_empty_steps_are_refused_with_their_row(refuse, write_rows):
    rows = [{"prompt": "2 + 2 = ", "completions": ["2 + 2", " "], "labels": [True, True]}]
    text = refuse(TRAIN, "--loss", "segment_hinge", pairs=write_rows(*rows))
    assert "Row 0 of train data:" in text
    assert "empty" in text


def test_ppo_needs_prompts(refuse, write_rows, tmp_path):
    text = refuse(PPO, pairs=write_rows({"question": "2 + 2 = "}))
    assert "columns question and no column 'prompt'" in text


def test_the_folder_of_the_scores_must_exist(refuse, tmp_path):
    text = refuse("score --model {model} --dataset {pairs} --output", str(tmp_path / "nowhere" / "scores.jsonl"))
    assert f"There is no folder '{tmp_path / 'nowhere'}' for the scores. Create it" in text
    for name, suffix in (("scores.xlsx", ".xlsx"), ("scores.csv.gz", ".gz"), ("scores.JSON", ".JSON")):
        text = refuse("score --model {model} --dataset {pairs} --output", str(tmp_path / name))
        assert f"not written in the format of '{suffix}'. End the name in .jsonl (JSON Lines), .csv or .tsv" in text


@pytest.mark.parametrize(("flag", "value"), [("per_device_train_batch_size", 0), ("learning_rate", -1.0)])
def test_numbers_below_the_minimum_are_refused(refuse, flag, value):
    assert f"{flag} is {value}, but it must be at least" in refuse(TRAIN, f"--{flag}", str(value))


@pytest.mark.parametrize(
    "command", [TRAIN, PPO, "score --model {model} --dataset {pairs}", "evaluate --model {model} --dataset {pairs}"]
)
def test_a_missing_model_folder_is_refused_with_the_nearest_name(refuse, tmp_path, model_folder, command):
    text = refuse(command, model=tmp_path / "modle")
    assert f"no model folder '{tmp_path / 'modle'}'" in text
    assert f"Did you mean '{model_folder}'?" in text


@pytest.mark.parametrize("flag", ["--model", "--reward_model"])
def test_a_file_is_not_a_model(refuse, model_folder, pairs_file, flag):
    models = {"--model": model_folder, "--reward_model": model_folder} | {flag: pairs_file}
    text = refuse("ppo --dataset {pairs} --output_dir {out}", *(word for pair in models.items() for word in pair))
    assert f"'{pairs_file}' is a file, but a model is a folder" in text
    assert f"Pass a model with {flag}; a file with rows is a dataset." in text


def test_a_folder_without_a_model_is_refused(refuse, tmp_path):
    assert "contains no model" in refuse(TRAIN, model=tmp_path)


def test_a_folder_of_checkpoints_is_refused_with_the_last_one(refuse, tmp_path):
    (tmp_path / "run" / "checkpoint-7").mkdir(parents=True)
    assert f"--model {tmp_path / 'run' / 'checkpoint-7'}" in refuse(TRAIN, model=tmp_path / "run")


@pytest.mark.parametrize("command", [TRAIN, PPO])
def test_a_folder_with_a_model_is_not_overwritten(refuse, model_folder, command):
    text = refuse(command, out=model_folder)
    assert "contains an earlier run (config.json)" in text
    assert f"another folder: --output_dir {model_folder}-2." in text


@pytest.mark.parametrize("command", [TRAIN, PPO])
def test_a_folder_with_checkpoints_can_be_resumed_or_replaced(refuse, tmp_path, command):
    (tmp_path / "run" / "checkpoint-7").mkdir(parents=True)
    text = refuse(command, out=tmp_path / "run")
    assert "contains an earlier run (checkpoint-7)" in text
    assert "--resume_from_checkpoint" in text
    assert "--output_dir" in text


@pytest.mark.parametrize("command", [TRAIN, PPO])
def test_an_output_folder_that_cannot_be_created_is_refused(refuse, pairs_file, command):
    assert f"'{pairs_file}' is a file" in refuse(command, out=pairs_file / "run")


@pytest.mark.parametrize("command", [TRAIN, PPO])
def test_quantization_without_bitsandbytes_is_refused(refuse, command, monkeypatch):
    monkeypatch.setattr("rlhf_losses.cli.arguments.is_bitsandbytes_available", lambda: False)
    assert "pip install bitsandbytes" in refuse(command, "--load_in_4bit")


def test_resuming_needs_a_checkpoint(refuse, tmp_path):
    assert "has no checkpoint to resume from" in refuse(TRAIN, "--resume_from_checkpoint")
    assert "is not a checkpoint" in refuse(TRAIN, "--resume_from_checkpoint", str(tmp_path))


def test_a_missing_evaluation_split_is_refused(refuse):
    text = refuse(TRAIN, "--eval_strategy", "epoch")
    assert "has no split 'test'. Choose one of: train" in text
    assert "--eval_dataset FILE" in text


def test_a_dataset_and_a_mixture_exclude_each_other(refuse, tmp_path):
    (tmp_path / "run.yaml").write_text("datasets:\n  - path: json\n")
    assert "--dataset and a mixture of datasets are both set" in refuse(TRAIN, "--config", str(tmp_path / "run.yaml"))


def test_rows_without_texts_cannot_be_scored(refuse, write_rows):
    text = refuse("score --model {model} --dataset {pairs}", pairs=write_rows({"question": "2 + 2 = "}))
    assert "columns question, and none of them contains texts to score" in text


def test_scores_do_not_overwrite_a_file(refuse, pairs_file):
    text = refuse("score --model {model} --dataset {pairs} --output {pairs}")
    assert f"'{pairs_file}' exists" in text


@pytest.mark.parametrize("command", [TRAIN, PPO, "score --model {model} --dataset {pairs}"])
def test_an_unknown_architecture_is_refused(refuse, model_folder, command):
    (model_folder / "config.json").write_text(json.dumps({"model_type": "nothing"}))
    text = refuse(command)
    assert f"'{model_folder}' cannot be loaded: " in text
    assert "Check the name after --model." in text


def test_a_folder_without_weights_is_refused(refuse, model_folder):
    text = refuse("score --model {model} --dataset {pairs}")
    assert f"'{model_folder}' cannot be loaded as a reward model" in text
    assert "Check the folder or the Hub id." in text


def test_an_unknown_transform_is_refused_with_the_nearest_name(refuse):
    text = refuse("score --model {model} --dataset {pairs} --transforms standardise")
    assert "'standardise'. Did you mean 'standardize'?" in text


@pytest.mark.parametrize(
    "command",
    [
        TRAIN,
        PPO,
        "evaluate --model {model} --dataset {pairs}",
        "score --model {model} --dataset {pairs}",
        "inspect --dataset {pairs}",
    ],
)
def test_renaming_a_column_that_does_not_exist_is_refused_with_the_nearest_name(refuse, command):
    text = refuse(command, "--columns", "chosen=choosen")
    assert "prompt, chosen, rejected, and none is 'choosen'. Did you mean 'chosen'?" in text
    assert "--columns NEW=OLD" in text


def test_an_invalid_renaming_is_refused(refuse):
    assert "columns is 'chosen', but it needs one NEW=OLD pair" in refuse(TRAIN, "--columns", "chosen")


def test_unknown_columns_are_refused_with_a_renaming(refuse, write_rows):
    pairs = write_rows({"question": "2 + 2 = ", "text_chosen": "4", "text_rejected": "5"})
    text = refuse(TRAIN, pairs=pairs)
    assert "--columns prompt=question,chosen=text_chosen,rejected=text_rejected" in text
    assert "--converter NAME" in text
    assert "--plugin FILE" in text


def test_evaluation_data_need_the_old_or_the_new_names(refuse, write_rows):
    other = write_rows({"prompt": "2 + 2 = ", "winner": "4", "loser": "5"}, name="other.jsonl")
    text = refuse(TRAIN, "--columns", "chosen=rejected,rejected=chosen", "--eval_dataset", str(other))
    assert "The columns of eval data are prompt, winner, loser, and none is 'rejected'" in text


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        ("train --batch_size 4", "--per_device_train_batch_size"),
        ("train --lr 1", "--learning_rate"),
        ("ppo --epochs 2", "--num_train_epochs"),
        ("train --device cpu", "--use_cpu"),
        ("train --learning_rat 1", "--learning_rate"),
        ("train --foo 1", None),
        ("score --model {model} --dataset {pairs} --loss hinge", None),
    ],
)
def test_an_unknown_flag_suggests_one_of_the_same_meaning(refuse, words, flag):
    text = refuse(words)
    assert "Unknown argument" in text
    assert f"'{flag}'" in text if flag else "Did you mean" not in text


@pytest.mark.parametrize("flag", ["--dataset", "--eval_dataset"])
def test_an_empty_name_of_a_dataset_is_refused(refuse, flag):
    words = f"train --model {{model}} --dataset {{pairs}} --loss hinge --output_dir {{out}} {flag}"
    assert "--dataset is missing" in (text := refuse(words, "")) or "The name of the dataset is empty" in text


def test_bfloat16_on_a_cpu_names_the_flags(refuse):
    text = refuse("train --model {model} --dataset {pairs} --loss hinge --output_dir {out} --bf16")
    assert "--bf16 false, or" in text
    assert "--use_cpu" in text
