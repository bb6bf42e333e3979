"""Bad input is refused before any model is loaded, with one message and exit code 2."""

import json

import pytest

TRAIN = "train --model {model} --dataset {pairs} --output_dir {out}"
PPO = "ppo --model {model} --reward_model {model} --dataset {pairs} --output_dir {out}"


@pytest.fixture
def refuse(cli, model_folder, pairs_file, tmp_path):
    """Run a command that must be refused, and return what it says."""

    def run(command, *more, **names):
        names = {"model": model_folder, "pairs": pairs_file, "out": tmp_path / "out"} | names
        answered = cli(*(word.format(**names) for word in command.split()), *more)
        assert answered.code == 2
        assert answered.out == ""
        assert "Traceback" not in answered.err
        assert not (tmp_path / "out" / "config.json").exists()
        return answered.err.splitlines()[-1]

    return run


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("bradly_terry", "No loss is called 'bradly_terry'. Did you mean 'bradley_terry'?"),
        ("bradley_terry + ", 'Cannot read "bradley_terry + " as a loss.'),
        ("-1 * bradley_terry", "A loss was multiplied by -1"),
        ("bradley_terry(label_smoothing=0.7)", "bradley_terry got label_smoothing=0.7."),
    ],
)
def test_a_loss_that_cannot_be_is_refused(refuse, loss, message):
    assert message in refuse(TRAIN, "--loss", loss)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("bradly_terry", "No loss is called 'bradly_terry'. Did you mean 'bradley_terry'?"),
        ("bradley_terry - centering", 'Cannot read "bradley_terry - centering" as a loss.'),
    ],
)
def test_a_demo_of_a_loss_that_cannot_be_is_refused(refuse, loss, message):
    assert message in refuse("demo --output_dir {out}", "--loss", loss)


def test_a_demo_does_not_overwrite_an_earlier_one(refuse, tmp_path):
    (tmp_path / "results.json").write_text("[]")
    assert "--output_dir" in refuse("demo --output_dir {out}", out=tmp_path)


def test_missing_arguments_are_named(refuse):
    assert "--model is missing" in refuse("train --dataset {pairs} --output_dir {out}")
    assert "No --dataset came." in refuse("train --model {model} --output_dir {out}")
    assert "--reward_model is missing" in refuse("ppo --model {model} --dataset {pairs} --output_dir {out}")


@pytest.mark.parametrize("command", [TRAIN, PPO])
def test_a_misspelt_argument_is_refused_with_the_nearest(refuse, command):
    assert "There is no argument '--max_step'. Did you mean '--max_steps'?" in refuse(command, "--max_step", "3")


@pytest.mark.parametrize("command", [TRAIN, PPO, "score --model {model} --dataset {pairs}"])
def test_a_missing_dataset_file_is_refused_with_the_nearest(refuse, tmp_path, pairs_file, command):
    told = refuse(command, pairs=tmp_path / "row.jsonl")
    assert "no file 'row.jsonl'" in told
    assert "Did you mean 'rows.jsonl'?" in told


def test_an_empty_dataset_is_refused(refuse, write_rows):
    assert "is empty" in refuse(TRAIN, pairs=write_rows(name="empty.jsonl"))


def test_columns_that_the_loss_does_not_read_are_refused_with_losses_that_do(refuse, write_rows):
    labels = write_rows({"prompt": "2 + 2 = ", "completion": "4", "label": True})
    told = refuse(TRAIN, pairs=labels)
    assert "columns prompt, completion, label, so it holds Labels" in told
    assert "cross_entropy" in told


@pytest.mark.parametrize("loss", ["centering", "length_decorrelation", "centering + score_decay"])
def test_a_loss_that_only_regularizes_is_refused_with_one_that_learns(refuse, loss):
    told = refuse(TRAIN, "--loss", loss)
    assert f"The loss '{loss}' costs the same whatever people said" in told
    assert f"'bradley_terry + {loss}'" in told


def test_impossible_values_are_refused_with_their_row(refuse, write_rows):
    rows = [{"prompt": "", "chosen": "4", "rejected": "5", "preference": p} for p in (1.0, 1.5)]
    assert "Row 1 of train data: Pairs got the preference 1.5" in refuse(TRAIN, pairs=write_rows(*rows))


def test_empty_steps_are_refused_with_their_row(refuse, write_rows):
    rows = [{"prompt": "2 + 2 = ", "completions": ["2 + 2", " "], "labels": [True, True]}]
    told = refuse(TRAIN, "--loss", "segment_hinge", pairs=write_rows(*rows))
    assert "Row 0 of train data:" in told
    assert "empty" in told


def test_prompts_are_needed_for_ppo(refuse, write_rows, tmp_path):
    told = refuse(PPO, pairs=write_rows({"question": "2 + 2 = "}))
    assert "columns question and no prompt" in told


def test_scores_need_a_folder(refuse, tmp_path):
    told = refuse("score --model {model} --dataset {pairs} --output", str(tmp_path / "nowhere" / "scores.jsonl"))
    assert f"There is no folder '{tmp_path / 'nowhere'}' for the scores. Make it" in told


@pytest.mark.parametrize(("flag", "value"), [("per_device_train_batch_size", 0), ("learning_rate", -1.0)])
def test_numbers_with_which_nothing_can_be_trained_are_refused(refuse, flag, value):
    assert f"{flag}={value} arrived" in refuse(TRAIN, f"--{flag}", str(value))


@pytest.mark.parametrize(
    "command", [TRAIN, PPO, "score --model {model} --dataset {pairs}", "evaluate --model {model} --dataset {pairs}"]
)
def test_a_missing_model_folder_is_refused_with_the_nearest(refuse, tmp_path, model_folder, command):
    told = refuse(command, model=tmp_path / "modle")
    assert f"no folder '{tmp_path / 'modle'}'" in told
    assert f"Did you mean '{model_folder}'?" in told


@pytest.mark.parametrize("flag", ["--model", "--reward_model"])
def test_a_file_of_rows_is_no_model(refuse, model_folder, pairs_file, flag):
    models = {"--model": model_folder, "--reward_model": model_folder} | {flag: pairs_file}
    told = refuse("ppo --dataset {pairs} --output_dir {out}", *(word for pair in models.items() for word in pair))
    assert f"'{pairs_file}' is a file, but a model is a folder" in told
    assert f"after {flag}; files with rows come after --dataset." in told


def test_a_folder_without_a_model_is_refused(refuse, tmp_path):
    assert "holds no model" in refuse(TRAIN, model=tmp_path)


def test_a_folder_of_checkpoints_is_refused_with_the_last_one(refuse, tmp_path):
    (tmp_path / "run" / "checkpoint-7").mkdir(parents=True)
    assert f"--model {tmp_path / 'run' / 'checkpoint-7'}" in refuse(TRAIN, model=tmp_path / "run")


@pytest.mark.parametrize("command", [TRAIN, PPO])
def test_a_folder_with_a_model_is_not_overwritten(refuse, model_folder, command):
    told = refuse(command, out=model_folder)
    assert "already holds a run (config.json)" in told
    assert f"another folder: --output_dir {model_folder}-2." in told


@pytest.mark.parametrize("command", [TRAIN, PPO])
def test_a_folder_with_checkpoints_may_be_resumed_or_left(refuse, tmp_path, command):
    (tmp_path / "run" / "checkpoint-7").mkdir(parents=True)
    told = refuse(command, out=tmp_path / "run")
    assert "already holds a run (checkpoint-7)" in told
    assert "--resume_from_checkpoint" in told
    assert "--output_dir" in told


@pytest.mark.parametrize("command", [TRAIN, PPO])
def test_an_output_folder_that_cannot_be_made_is_refused(refuse, pairs_file, command):
    assert f"'{pairs_file}' is a file" in refuse(command, out=pairs_file / "run")


@pytest.mark.parametrize("command", [TRAIN, PPO])
def test_quantization_without_bitsandbytes_is_refused(refuse, command, monkeypatch):
    monkeypatch.setattr("rlhf_losses.cli.arguments.is_bitsandbytes_available", lambda: False)
    assert "pip install bitsandbytes" in refuse(command, "--load_in_4bit")


def test_there_is_no_resuming_without_a_checkpoint(refuse, tmp_path):
    assert "holds no checkpoint to go on from" in refuse(TRAIN, "--resume_from_checkpoint")
    assert "holds no checkpoint to go on from" in refuse(TRAIN, "--resume_from_checkpoint", str(tmp_path))


def test_evaluating_on_a_split_that_is_not_there_is_refused(refuse):
    told = refuse(TRAIN, "--eval_strategy", "epoch")
    assert "has no split 'test'; it has train" in told
    assert "--eval_dataset FILE" in told


def test_a_dataset_and_a_mixture_exclude_each_other(refuse, tmp_path):
    (tmp_path / "run.yaml").write_text("datasets:\n  - path: json\n")
    assert "Both --dataset and a mixture" in refuse(TRAIN, "--config", str(tmp_path / "run.yaml"))


def test_rows_without_texts_cannot_be_scored(refuse, write_rows):
    told = refuse("score --model {model} --dataset {pairs}", pairs=write_rows({"question": "2 + 2 = "}))
    assert "columns question, and none of them holds texts to score" in told


def test_scores_do_not_overwrite_a_file(refuse, pairs_file):
    told = refuse("score --model {model} --dataset {pairs} --output {pairs}")
    assert f"'{pairs_file}' exists already" in told


@pytest.mark.parametrize("command", [TRAIN, PPO, "score --model {model} --dataset {pairs}"])
def test_an_unknown_architecture_is_told(refuse, model_folder, command):
    (model_folder / "config.json").write_text(json.dumps({"model_type": "nothing"}))
    told = refuse(command)
    assert f"'{model_folder}' cannot be loaded: " in told
    assert "Check the name after --model." in told


def test_a_folder_without_weights_is_no_reward_model(refuse, model_folder):
    told = refuse("score --model {model} --dataset {pairs}")
    assert f"'{model_folder}' cannot be loaded as a reward model" in told
    assert "Check --model." in told
