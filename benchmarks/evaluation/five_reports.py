"""Five reports for readers who do not know what is wrong: do the pages tell?

    python -m benchmarks.evaluation.five_reports
    python -m benchmarks.evaluation.five_reports --output /tmp/reports

Five reward models of the synthetic task are trained: a good one, one at chance, one with length bias, one with label
noise and one that is overfitted. Each gets a report with its training data, its run and its evaluation on held-out
pairs, under a neutral name. The key, with the findings of each page, is printed.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import Dataset
from datasets.utils.logging import disable_progress_bar
from transformers.trainer_callback import PrinterCallback

from benchmarks._lib.study import argument_parser
from rlhf_losses.evaluation.output_folder import EvaluationFolder
from rlhf_losses.hooks import loss_registry
from rlhf_losses.report.dataset_sections import InspectedDataset
from rlhf_losses.report.report_file import Report
from rlhf_losses.report.run_files import read_run
from rlhf_losses.sandbox import build_synthetic_task
from rlhf_losses.sandbox.annotators import Sample
from rlhf_losses.sandbox.loop import CPU_SETTINGS, lora_config
from rlhf_losses.sandbox.synthetic_task import SyntheticTask
from rlhf_losses.scoring import Scorer, evaluate
from rlhf_losses.training import RewardConfig, RewardTrainer

Judge = Callable[[float, float], bool]
"""Whether the first answer is preferred, by the differences of gold rewards and of lengths in words."""


@dataclass(frozen=True)
class Case:
    """A reward model.

    Attributes:
        truth: what is wrong with it.
        judge: annotator of the training and validation data.
        held_out_judge: annotator of the held-out data of the evaluation.
        annotators: number of annotators of each pair.
        training_pairs: largest number of pairs for training.
        epochs: number of epochs.
        learning_rate: learning rate.
    """

    truth: str
    judge: Judge
    held_out_judge: Judge
    annotators: int = 1
    training_pairs: int = 600
    epochs: float = 2.0
    learning_rate: float = 5e-3


def gold(reward: float, _length: float) -> bool:
    """Return the preference of an annotator without errors."""
    return reward > 0


def longer(reward: float, length: float) -> bool:
    """Return the preference of an annotator who likes long answers."""
    return reward + 0.25 * length > 0


def flipping(share: float, seed: int = 0) -> Judge:
    """Return an annotator who errs in a share of the pairs."""
    draws = random.Random(seed)
    return lambda reward, _length: (reward > 0) != (draws.random() < share)


def cases() -> dict[str, Case]:
    """Return the five models by the neutral names of their reports."""
    return {
        "a": Case("label noise", flipping(0.3), flipping(0.3, seed=1), annotators=3, training_pairs=300),
        "b": Case("good", gold, gold),
        "c": Case("overfitted", flipping(0.2), gold, training_pairs=64, epochs=40),
        "d": Case("length bias", longer, gold),
        "e": Case("at chance", flipping(0.5), gold),
    }


def judged_pairs(samples: Iterable[Sample], task: SyntheticTask, judge: Judge, annotators: int = 1) -> Dataset:
    """Return pairs of completions with different gold rewards, one row for each annotator.

    Args:
        samples: prompts with completions.
        task: the synthetic task.
        judge: the annotator.
        annotators: number of annotators.
    """
    rows: list[dict[str, Any]] = []
    for prompt, completions in samples:
        for first, second in zip(completions[::2], completions[1::2], strict=True):
            rewards = task.gold_rewards([prompt] * 2, [first, second])
            length = len(first.split()) - len(second.split())
            for annotator in range(annotators if rewards[0] != rewards[1] else 0):
                chosen, rejected = (first, second) if judge(rewards[0] - rewards[1], length) else (second, first)
                rows.append({"prompt": prompt, "chosen": chosen, "rejected": rejected, "annotator": annotator})
    return Dataset.from_list(rows)


def train(task: SyntheticTask, case: Case, rows: Dataset, held_out: Dataset, folder: Path) -> Scorer:
    """Train a reward model with losses on validation data, save its log, and load it as a scorer.

    Args:
        task: the synthetic task.
        case: what to train.
        rows: training data.
        held_out: validation data.
        folder: output folder.
    """
    steps = int(case.epochs * len(rows) / 32)
    settings = {**CPU_SETTINGS, "logging_steps": max(steps // 30, 1), "eval_steps": max(steps // 10, 1)}
    config = RewardConfig(
        str(folder), num_train_epochs=case.epochs, per_device_train_batch_size=32, learning_rate=case.learning_rate,
        warmup_steps=5, eval_strategy="steps", seed=task.seed, **settings,
    )  # fmt: skip
    trainer = RewardTrainer(
        task.reward_model(), config, rows, held_out, task.tokenizer, loss="bradley_terry",
        peft_config=lora_config("embed_tokens"),
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.save_state()
    return Scorer.from_pretrained(trainer.save_merged(), batch_size=128)


def case_report(task: SyntheticTask, name: str, case: Case, folder: Path) -> Report:
    """Return the report of a case.

    Args:
        task: the synthetic task.
        name: neutral name.
        case: what to train.
        folder: folder of the model and its log.
    """
    half = len(task.heldout_prompts) // 2
    prompts = task.train_prompts, task.heldout_prompts[:half], task.heldout_prompts[half:]
    samples = [task.sample(part, 12, task.seed + number) for number, part in enumerate(prompts)]
    rows = judged_pairs(samples[0], task, case.judge, case.annotators)
    rows = rows.select(range(min(case.training_pairs * case.annotators, len(rows))))
    validation, held_out = (
        judged_pairs(part, task, judge, case.annotators)
        for part, judge in ((samples[1], case.judge), (samples[2], case.held_out_judge))
    )
    scorer = train(task, case, rows, validation, folder / name)
    found = evaluate(scorer, held_out)
    evaluation = EvaluationFolder(Path("test pairs"), {"model": name, **found.to_dict()}, found.rows)
    data = InspectedDataset.of(rows, loss_registry(), "training data")
    return Report([read_run(folder / name)], [evaluation], [data])


def main(arguments: list[str] | None = None) -> None:
    """Write the reports and print the key."""
    parser = argument_parser(__doc__)
    parser.add_argument("--output", type=Path, default=Path("five-reports"), help="folder of the reports")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=list(cases()), help="names of the reports")
    args = parser.parse_args(arguments)
    disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    task = build_synthetic_task(args.seed)
    for name in args.only:
        case = cases()[name]
        report = case_report(task, name, case, args.output / "runs")
        report.write(args.output / f"{name}.html")
        print(f"\n{name}.html: {case.truth}")
        for finding in report.findings:
            print(f"  {finding.severity}. {finding.subject}: {finding.text}")


if __name__ == "__main__":
    main()
