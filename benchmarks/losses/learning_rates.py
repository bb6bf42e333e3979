"""Accuracy of reward models over the learning rate, with all weights or with LoRA adapters trained.

    python -m benchmarks.losses.learning_rates --model FOLDER --data TRAIN TEST --loss LOSS --loss LOSS ...

`FOLDER` has a language model. Each `--data` names a file of feedback for training and one for evaluation, for example
pairs or votes, and each `--loss` the loss for it. The table has the accuracy on the training and the evaluation data
at the end of three epochs, as means over seeds. Results are in results/losses/learning_rates.csv. The table is on the
page docs/measured.md.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import peft
from datasets import Dataset, disable_progress_bars, load_dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.trainer_callback import PrinterCallback

from benchmarks._lib.study import Rows, add_study_arguments, argument_parser, run_study
from benchmarks._lib.tables import print_markdown
from rlhf_losses.sandbox.loop import CPU_SETTINGS
from rlhf_losses.scoring import Scorer, evaluate
from rlhf_losses.training import RewardConfig, RewardTrainer

TRAINED = ("all weights", "LoRA")


def main() -> None:
    """Train a model for each learning rate, print the table, and save the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("--model", help="folder of a language model")
    parser.add_argument("--data", nargs=2, action="append", metavar=("TRAIN", "TEST"), help="files of feedback")
    parser.add_argument("--loss", action="append", help="loss for each --data")
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2])
    parser.add_argument("--rows", type=int, default=600, help="largest number of rows for training")
    parser.add_argument("--seeds", type=int, default=2, help="number of seeds")
    add_study_arguments(parser, "losses")
    args = parser.parse_args()
    disable_progress_bars()
    run_study("learning_rates", args, lambda: measure(args), report)


def measure(args: argparse.Namespace) -> Iterator[Rows]:
    """Yield the accuracies of each model."""
    for (train_file, test_file), loss in zip(args.data, args.loss, strict=True):
        train, test = (load_dataset("json", data_files=file, split="train") for file in (train_file, test_file))
        train = train.select(range(min(args.rows, len(train))))
        name = Path(train_file).parent.name
        for seed in range(args.seeds):
            for trained in TRAINED:
                for rate in args.rates:
                    found = train_and_evaluate(args.model, train, test, loss, trained, rate, seed)
                    run = {"data": name, "loss": loss, "trained": trained, "learning_rate": rate, "seed": seed}
                    yield [run | found]
                    print(run | found, flush=True)


def train_and_evaluate(
    model: str, train: Dataset, test: Dataset, loss: str, trained: str, rate: float, seed: int
) -> dict[str, float]:
    """Return the accuracy of a new reward model on its training data and on other data."""
    lora = peft.LoraConfig(task_type="SEQ_CLS", r=16, lora_alpha=32, target_modules="all-linear")
    classifier = AutoModelForSequenceClassification.from_pretrained(model, num_labels=1, dtype="float32")
    tokenizer = AutoTokenizer.from_pretrained(model)
    with tempfile.TemporaryDirectory() as folder:
        trainer = RewardTrainer(
            classifier,
            RewardConfig(
                folder,
                num_train_epochs=3,
                per_device_train_batch_size=16,
                learning_rate=rate,
                max_length=400,
                overlong="truncate_prompt",
                logging_strategy="no",
                seed=seed,
                **CPU_SETTINGS,
            ),
            train,
            processing_class=tokenizer,
            peft_config=lora if trained == "LoRA" else None,
            loss=loss,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        scorer = Scorer(trainer.model, tokenizer, overlong="truncate_prompt")
        return {
            "train_accuracy": evaluate(scorer, train)["accuracy"],
            "test_accuracy": evaluate(scorer, test)["accuracy"],
        }


def report(results: pd.DataFrame) -> None:
    """Print the accuracies over the learning rate."""
    means = results.groupby(["data", "loss", "trained", "learning_rate"], sort=False)
    lines = [
        (*names[:3], f"{names[3]:g}", f"{row.train_accuracy:.3f}", f"{row.test_accuracy:.3f}")
        for names, row in means[["train_accuracy", "test_accuracy"]].mean().iterrows()
    ]
    print_markdown(["data", "loss", "trained", "learning rate", "accuracy, training", "accuracy, other data"], lines)


if __name__ == "__main__":
    main()
