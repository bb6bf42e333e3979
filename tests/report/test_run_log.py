"""Reading of logs of runs."""

import bz2
import gzip
import json
import lzma
import math
import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from rlhf_losses.errors import InvalidFeedbackError, UnreadableDatasetError
from rlhf_losses.report.console_logs import parse_console
from rlhf_losses.report.json_logs import parse_json_log
from rlhf_losses.report.log_rows import LogRows
from rlhf_losses.report.metric_names import METRICS, meaning
from rlhf_losses.report.run_files import read_log, read_run, read_runs
from rlhf_losses.report.run_log import RunLog

RUNS = Path(__file__).parents[3] / "shared" / "data" / "runs"
needs_runs = pytest.mark.skipif(
    not RUNS.is_dir(), reason="real logs are not part of the repository: ../shared/data/runs"
)


def parse_log(text: str) -> LogRows:
    return parse_json_log(text) or parse_console(text)


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
    "semicolons.csv": "\ufeffStep;Train Loss;Eval Loss\r\n10;0.7;0.6\r\n",
    "long.csv": "step,metric,value\n10,loss,0.7\n10,eval_loss,0.6\n",
    "wandb.jsonl": '{"train/loss": 0.7, "_step": 10, "_timestamp": 1.5}\n{"eval/loss": 0.6, "_step": 10}\n',
    "pandas.json": '{"step": {"0": 10}, "loss": {"0": 0.7}, "eval_loss": {"0": 0.6}}',
    "nested.json": json.dumps({"config": {"lr": 1}, "run": {"history": [{"step": 10, "loss": 0.7, "val_loss": 0.6}]}}),
    "unfinished.json": json.dumps({"best": None, **STATE}, indent=2).rsplit("]", 1)[0] + ', {"step": 20, "lo',
    "bar.log": "Train:  50%|#| 10/20 [00:10<00:10, 1.2it/s, loss=0.7, eval_loss=0.6]\r",
    "words.log": "2026-01-02 03:04:05 INFO Step 10 | loss 0.7 | eval_loss 0.6 | 12.5 s\n",
}


@pytest.mark.parametrize("name", FORMS)
def test_the_same_run_in_every_form(name, tmp_path):
    (tmp_path / name).write_text(FORMS[name], encoding="utf-8")
    run = read_log(tmp_path / name)
    losses = {one.meaning.split.split()[0]: (one.steps.tolist(), one.values.tolist()) for one in run.find("loss")}
    assert losses == {"train": ([10.0], [0.7]), "eval": ([10.0], [0.6])}
    assert run.axis == "step"


def test_compressed_logs(tmp_path):
    for suffix, compress in ((".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)):
        file = tmp_path / f"log.csv{suffix}"
        file.write_bytes(compress(b"step,loss\n10,0.7\n"))
        assert read_log(file).series["loss"].values.tolist() == [0.7]
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b"{}" * 1000)[:20])
    with pytest.raises(UnreadableDatasetError, match="cannot be read"):
        read_log(tmp_path / "cut.jsonl.gz")


def test_a_table_of_tensorboard_has_the_metric_of_its_name(tmp_path):
    (tmp_path / "loss.csv").write_text("Wall time,Step,Value\n1.5,10,0.7\n2.5,20,0.6\n")
    assert read_log(tmp_path / "loss.csv").series["loss"].steps.tolist() == [10, 20]


def test_a_parquet_file_and_the_database_of_trackio(tmp_path):
    rows = [{"run_name": name, "step": step, "loss": step / 10} for name in ("one", "two") for step in (1, 2)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "log.parquet")
    with closing(sqlite3.connect(tmp_path / "project.db")) as database:
        database.execute("CREATE TABLE metrics (id INTEGER PRIMARY KEY, run_name TEXT, step INTEGER, metrics TEXT)")
        values = [(row["run_name"], row["step"], json.dumps({"loss": row["loss"]})) for row in rows]
        database.executemany("INSERT INTO metrics (run_name, step, metrics) VALUES (?, ?, ?)", values)
        database.commit()
    for name in ("log.parquet", "project.db"):
        runs = read_runs(tmp_path / name)
        assert [run.name for run in runs] == ["one", "two"]
        assert [run.log.series["loss"].values.tolist() for run in runs] == [[0.1, 0.2]] * 2
        (tmp_path / name).write_text("no table")
        with pytest.raises(UnreadableDatasetError, match="is no"):
            read_runs(tmp_path / name)


def test_several_runs_below_one_folder_are_shown_side_by_side(tmp_path):
    for name, loss in (("a", 0.7), ("b", 0.6)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.jsonl").write_text(json.dumps({"step": 1, "loss": loss}))
    runs = read_runs(tmp_path)
    assert [(run.name, run.log.series["loss"].values[0]) for run in runs] == [("a", 0.7), ("b", 0.6)]


def test_several_attempts_in_one_folder_are_shown_side_by_side(tmp_path):
    for name in ("train.log", "train_2.log"):
        (tmp_path / name).write_text("{'loss': 0.5, 'step': 1}")
    (tmp_path / "settings.json").write_text('{"lr": 0.1}')
    runs = read_runs(tmp_path)
    assert [Path(run.name).name for run in runs] == ["train.log", "train_2.log"]
    assert [file.name for file in runs[0].other_files] == ["settings.json"]


def test_progress_bars_of_several_epochs_count_on():
    text = "".join(f"Epoch {e}: {n}/2 [00:01<00:00, loss={e}.{n}]\r" for e in (1, 2) for n in (1, 2))
    assert series(None, "loss", text) == ([1, 2, 3, 4], [1.1, 1.2, 2.1, 2.2])


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


def test_trainable_parameters_of_losses_are_known():
    assert meaning("loss_parameters/rao_kupper.log_tie_width").title.startswith("logarithm of the tie width")
    assert meaning("loss_parameters/ordinal_rating.first_cut").part == "ordinal_rating.first_cut"


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
