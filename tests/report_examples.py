"""A report of two runs, an evaluation and a dataset, whose texts try to run scripts."""

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
from datasets import Dataset
from scored_datasets import pair, scored_data

from rlhf_losses.evaluation.output_folder import write_evaluation
from rlhf_losses.evaluation.result import Evaluation
from rlhf_losses.evaluation.scored_data import DroppedRows
from rlhf_losses.hooks import loss_registry
from rlhf_losses.report.dataset_sections import InspectedDataset
from rlhf_losses.report.report_file import Report
from rlhf_losses.report.report_paths import read_report

ATTACK = "</script><script>document.title = 'attacked'</script><img src=x onerror=\"document.title='attacked'\">"


def policy_run(folder: Path) -> Path:
    """Return the folder of a PPO run with NaN, unknown names and completions."""
    (folder / "completions").mkdir(parents=True)
    rows = [
        {"step": step, "reward": step / 10, "kl_per_completion": step**2 / 100, "entropy": "NaN" if step == 3 else 1.0,
         "value/explained_variance": 0.5, "completions/clipped_ratio": 0.0, "time/update": 0.25,
         "time/generation": 0.75,
         f"<b>{ATTACK}": 1.0}
        for step in range(1, 101)
    ]  # fmt: skip
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": rows}))
    for step in (1, 50, 100):
        table = {"step": [step], "prompt": ["Once"], "completion": [f"{ATTACK} at {step}"], "reward": [0.5]}
        pyarrow.parquet.write_table(pyarrow.table(table), folder / "completions" / f"completions_{step:05d}.parquet")
    return folder


def model_run(folder: Path) -> Path:
    """Return the folder of a reward model whose loss on the evaluation data rises."""
    folder.mkdir(parents=True)
    rows = [{"step": step, "loss": 0.7 / step, "accuracy": 1 - 0.5 / step, "margin": step} for step in range(1, 21)]
    rows += [{"step": step, "eval_loss": 0.6 + abs(step - 5) / 20} for step in (1, 5, 10, 20)]
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, sorted(rows, key=lambda row: row["step"]))))
    return folder


def attacking_pairs() -> list[dict]:
    """Return seven pairs, of which two contradict each other and one has an empty answer."""
    long = f"{ATTACK} {'and so on ' * 9}"
    worse = ["worse 0", "worse 1", "worse 2", "", "worse 4", "worse 5"]
    rows = [pair(f"{long} {n}", f"better {n} {ATTACK}", text, subset=ATTACK) for n, text in enumerate(worse)]
    return [*rows, pair(f"{long} 0", "worse 0", f"better 0 {ATTACK}", subset="other")]


def evaluation(folder: Path) -> Path:
    """Return the folder of an evaluation of these pairs, of which three are ranked wrong."""
    scores = [2.0, 1.0, 3.0, 0.0, 1.0, 1.5, 0.5, 4.0, 2.0, 1.0, 1.0, 0.0, 1.0, 2.0]
    data = scored_data(attacking_pairs(), scores, by=["subset"])
    found = Evaluation.of(data, DroppedRows(given=7), {"accuracy": 4 / 7}, False)
    write_evaluation(folder, {"model": ATTACK, **found.to_dict()}, found.rows)
    return folder


def example_report(folder: Path) -> Report:
    """Return the report.

    Args:
        folder: where logs and results are written.
    """
    paths = [policy_run(folder / "ppo"), model_run(folder / "reward"), evaluation(folder / "model")]
    found = read_report(paths)
    data = InspectedDataset.of(Dataset.from_list(attacking_pairs()), loss_registry(), ATTACK)
    return Report(found.runs, found.evaluations, [data])
