"""Reading of logs of runs."""

import json
import math
from pathlib import Path

import pytest

from rlhf_losses.errors import InvalidFeedbackError, UnreadableDatasetError
from rlhf_losses.report.log_rows import parse_log
from rlhf_losses.report.metric_names import METRICS, meaning
from rlhf_losses.report.run_files import read_log, read_run
from rlhf_losses.report.run_log import RunLog

RUNS = Path(__file__).parents[3] / "shared" / "data" / "runs"
needs_runs = pytest.mark.skipif(
    not RUNS.is_dir(), reason="real logs are not part of the repository: ../shared/data/runs"
)

STATE = {"log_history": [{"step": 10, "loss": 0.7, "epoch": 0.5}, {"step": 10, "eval_loss": 0.6, "epoch": 0.5}]}
FORMS = {
    "trainer_state.json": json.dumps({"global_step": 10, **STATE}),
    "history.json": json.dumps(STATE["log_history"]).replace(",", ",\r\n"),
    "log.jsonl": "\n".join(map(json.dumps, STATE["log_history"])),
    "nested.jsonl": '{"step": 10, "data": {"loss": 0.7}}\n{"step": 10, "data": {"eval": {"loss": 0.6}}}\n',
    "log.csv": "Step,run - loss,run - eval_loss\n10,0.7,\n10,,0.6\n",
    "console.log": " 50%|#| 10/20 [00:10<00:10]\r   {'loss': '0.7', 'epoch': 0.5}\n"
    "100%|#| 3/3 [00:01<00:00]\n{'eval_loss': 0.6}\n 55%|#| 11/20 [00:11<00:09]\n{'no': 'metrics'}",
    "swift.jsonl": '{"loss": 0.7, "global_step/max_steps": "10/20", "elapsed_time": "1m 2s"}\n' + json.dumps(STATE),
    "columns.json": json.dumps({"train_steps": [10], "train_loss": [0.7], "val_loss": [0.6]}),
    "openrlhf.log": "INFO Global step 10: {'train/loss': 0.7, 'eval/eval_loss': tensor(0.6)}\n",
    "verl.log": "\x1b[36m(TaskRunner pid=12)\x1b[0m step:10 - loss:np.float64(0.7) - eval/loss:0.6\n",
    "by_step.json": '{"10": {"loss": 0.7, "eval_loss": 0.6}}',
}


@pytest.mark.parametrize("name", FORMS)
def test_the_same_run_in_every_form(name, tmp_path):
    (tmp_path / name).write_text(FORMS[name], encoding="utf-8")
    run = read_log(tmp_path / name)
    losses = {one.meaning.split.split()[0]: (one.steps.tolist(), one.values.tolist()) for one in run.find("loss")}
    assert losses == {"train": ([10.0], [0.7]), "eval": ([10.0], [0.6])}
    assert run.axis == "step"


def series(rows, name, text=None) -> tuple[list[float], list[float]]:
    one = RunLog.of(parse_log(text or "\n".join(map(json.dumps, rows)))).series[name]
    return one.steps.tolist(), one.values.tolist()


def test_after_a_resume_the_last_values_count():
    rows = [{"step": step, "reward": step} for step in (1, 2, 3, 4, 5)]
    rows += [{"step": step, "reward": 10 * step} for step in (3, 4)]
    assert series(rows, "reward") == ([1, 2, 3, 4], [1, 2, 30, 40])  # step 5 belongs to the run that was given up
    assert RunLog.of(parse_log(json.dumps(rows))).replaced == {3, 4, 5}


def test_metrics_that_are_logged_after_others_of_the_same_step_replace_nothing():
    rows = [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 2.0}, {"step": 2, "eval_loss": 3.0}, {"step": 3, "loss": 3.0}]
    assert series(rows, "loss") == ([1, 2, 3], [1.0, 2.0, 3.0])
    assert not RunLog.of(parse_log(json.dumps(rows))).replaced


def test_strings_of_nan_and_infinity_are_numbers_and_null_is_missing():
    text = '{"step": 1, "kl": "NaN"}\n{"step": 2, "kl": null}\n{"step": 3, "kl": "-inf"}\n{"step": 4, "kl": "0.5"}'
    steps, values = series(None, "kl", text)
    assert steps == [1, 3, 4]
    assert math.isnan(values[0])
    assert values[1:] == [-math.inf, 0.5]
    (row,) = parse_log("{'loss': nan, 'kl': -inf, 'note': 'nan inf'}").rows
    assert row == {"loss": "nan", "kl": "-inf", "note": "nan inf"}


def test_nothing_is_dropped_silently():
    text = (
        '{"step": 1, "my_metric": 2.0, "phase": "warm-up"}\n{"step": 2, "loss": 0.5, "elapsed_time": "0:01:03"}\n{"ste'
    )
    run = RunLog.of(parse_log(text))
    assert [one.name for one in run.unknown] == ["my_metric"]
    assert run.texts == {"phase": 1}
    assert run.unread == 1


def test_steps_of_a_log_without_steps():
    console = "{'loss': 0.5, 'epoch': 0.1}\n{'loss': 0.4, 'epoch': 0.1}"
    assert RunLog.of(parse_log(console)).axis == "row"  # two rows of one epoch
    assert series(None, "loss", console) == ([1, 2], [0.5, 0.4])
    assert RunLog.of(parse_log('[{"epoch": 1, "loss": 1}, {"epoch": 2, "loss": 2}]')).axis == "epoch"
    assert RunLog.of(parse_log("{'objective/kl': 0.5, 'episode': 96, 'eps': 1}")).axis == "episode"


@pytest.mark.parametrize(
    ("logged", "title"),
    [
        ("objective/kl", "KL to the reference per completion"),
        ("critic/kl", "KL to the reference per token"),
        ("train/kl", "KL to the reference per token"),
        ("response_length/clip_ratio", "share of truncated completions"),
        ("clip_ratio/region_mean", "share of clipped ratios"),
        ("rewards/accuracies", "accuracy"),
        ("eval_code_accuracy", "accuracy, eval code"),
        ("in_dist_val_accuracy", "accuracy, eval in_dist"),
        ("eval_token_acc", "accuracy of tokens, eval"),
        ("rewards/helpful/mean", "mean of a reward function (helpful)"),
        ("objective/scores", "reward before the KL penalty"),
        ("critic/rewards/mean", "reward after the KL penalty"),
        ("eps", None),
        ("noop_penalty", None),
    ],
)
def test_names_that_mislead(logged, title):
    found = meaning(logged)
    assert (None if found is None else found.title) == title


def test_no_name_has_two_meanings():
    names = [name for metric in METRICS for name in (metric.name, *metric.aliases)]
    assert len(names) == len(set(names))


def test_the_log_of_a_folder_and_its_other_files(tmp_path):
    for step in (9, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(
            json.dumps({"log_history": [{"step": step, "loss": 0.5}]})
        )
    (tmp_path / "config.json").write_text('{"hidden_size": 8}')
    run = read_run(tmp_path)
    assert run.file.parent.name == "checkpoint-10"
    assert [one.name for one in run.other_files] == ["config.json"]


def test_files_that_are_no_logs_are_refused(tmp_path):
    with pytest.raises(UnreadableDatasetError, match="has no log of a run"):
        read_run(tmp_path)
    with pytest.raises(UnreadableDatasetError, match="cannot be read"):
        read_run(tmp_path / "absent")
    (tmp_path / "config.json").write_text('{"hidden_size": 8}')
    with pytest.raises(InvalidFeedbackError, match="no row with a step or a known metric"):
        read_run(tmp_path / "config.json")
    with pytest.raises(UnreadableDatasetError, match="of 1 files none has metrics"):
        read_run(tmp_path)


def test_event_files(tmp_path):
    tensorboard = pytest.importorskip("tensorboard.summary.writer.event_file_writer", reason="needs TensorBoard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    writer = tensorboard.EventFileWriter(str(tmp_path))
    for step, value in ((1, 0.5), (2, 0.25)):
        scalar = Summary(value=[Summary.Value(tag="train/loss", simple_value=value)])
        writer.add_event(Event(step=step, summary=scalar))
    writer.close()
    (loss,) = read_run(tmp_path).log.find("loss")
    assert (loss.steps.tolist(), loss.values.tolist()) == ([1, 2], [0.5, 0.25])


REAL = {
    "trl_grpo_hotpotqa_v2": ("reward", 46, 20, 920),
    "trl_grpo_arith_v2": ("reward", 100, 1, 199),
    "verl_grpo_econ": ("reward", 78, 1, 300),
    "llamafactory_pref_trainer_log": ("accuracy", 202, 1, 202),
    "llamafactory_ppo_trainer_log": ("reward", 5, 10, 1260),
    "trl_ppo_console": ("kl_per_completion", 8, 96, 832),
    "tensorboard_ppo": ("loss/value", 15, 0, 14),
    "grpo_resumed_duplicates": ("reward", 150, 251, 400),
    "swift_sft_logging": ("loss", 44, 1, 430),
    "rm_risk_averse_ok": ("margin", 9, 15, 135),
}


@needs_runs
@pytest.mark.parametrize("name", REAL)
def test_real_logs(name):
    if name == "tensorboard_ppo":
        pytest.importorskip("tensorboard", reason="needs TensorBoard")
    metric, count, first, last = REAL[name]
    one = read_run(RUNS / name).log.find(metric)[0]
    assert (len(one.values), one.steps[0], one.steps[-1]) == (count, first, last)
