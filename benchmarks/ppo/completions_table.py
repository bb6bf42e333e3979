"""A picture of the table of completions that PPO prints with `log_completions=True`.

    python -m benchmarks.ppo.completions_table    # results/ppo/completions_table.svg

The picture is on the page docs/ppo.md. The run is that of the demo: a reward model of the synthetic task, and PPO on
its scores.
"""

import io
import os
import re
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import datasets
import transformers
from rich.console import Console
from rich.text import Text

from benchmarks._lib.policy_training import train_policy
from benchmarks._lib.study import RESULTS, argument_parser
from rlhf_losses import bradley_terry
from rlhf_losses.sandbox import build_synthetic_task
from rlhf_losses.sandbox.loop import train_reward_model

WIDTH = 110
"""In characters."""


def main() -> None:
    """Train a policy, and save the last table as a picture."""
    parser = argument_parser(__doc__)
    parser.add_argument("--rollouts", type=int, default=20, help="rollouts of 32 completions")
    parser.add_argument("--output", type=Path, default=RESULTS / "ppo", help="folder of the picture")
    args = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    os.environ |= {"FORCE_COLOR": "1", "COLUMNS": str(WIDTH)}
    printed = io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        task = build_synthetic_task(0)
        scorer = train_reward_model(task, bradley_terry, Path(folder) / "reward")
        with redirect_stdout(printed):
            train_policy(
                task,
                scorer,
                Path(folder) / "policy",
                args.rollouts,
                learning_rate=1.5e-3,
                logging_steps=2 * args.rollouts,
                log_completions=True,
                num_completions_to_print=4,
            )
    save_picture(printed.getvalue(), args.output / "completions_table.svg")


def save_picture(printed: str, file: Path) -> None:
    """Save the first table that was printed to a terminal as an SVG picture, which loads no fonts."""
    table = printed[printed.index("╭") : printed.index("╯") + 1]
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(table))
    file.parent.mkdir(parents=True, exist_ok=True)
    picture = console.export_svg(title="rlhf-losses ppo --log_completions")
    file.write_text(re.sub(r"@font-face {.*?}\n", "", picture, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()
