"""Does it help to pay each step where it ends? The same reward, paid step by step or at the end of the story.

python benchmarks/ppo_dense.py --seeds 8        # results/ppo_dense.csv and .png
python benchmarks/ppo_dense.py --draw           # the tables and the picture from the CSV

For each seed of the sandbox a reward model learns from labelled steps, and policies learn from its scores of the steps
of a story: each is paid at the end of its step, or all of them at the end. A score is divided by the number of steps,
so that a story is worth the mean; with `--pay sum` it is not, and a policy may earn by writing more steps. Each
has a critic that starts from the reward model, which can already tell a good beginning from a bad one, or one that
starts from the policy and says 0. Gold is measured beside, and counts for nothing.

The tables have the mean gold of the completions of a rollout, averaged over five rollouts, the paired difference with a
95 % t-interval over seeds, and how many completions were needed to reach a gold: the geometric mean over seeds of the
ratio, by step to at the end, with its interval.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from seeds import interval, told
from study import add_output, conduct
from transformers.trainer_callback import PrinterCallback
from watch import column

from rlhf_losses import segment_hinge
from rlhf_losses.ppo import PPOConfig, PPOTrainer, StepMeanRewards, StepRewards
from rlhf_losses.sandbox.loop import SMALL_MACHINE, lora, train_reward_model
from rlhf_losses.sandbox.world import MAX_COMPLETION_LENGTH, World, build_world
from rlhf_losses.scoring import Scorer

BATCH = 32
WINDOW = 5
"""Rollouts over which gold is averaged: that of a single one is noisy."""
PLACEMENTS = ("by step", "at the end")
CRITICS = {"reward model": "a critic from the reward model", "nothing": "a critic that starts from nothing"}
GOLDS = (0.4, 0.6, 0.8)


def main() -> None:
    """Train the policies of every seed, print, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--rollouts", type=int, default=20)
    parser.add_argument("--beta", type=float, default=0.05)
    parser.add_argument("--pay", choices=["mean", "sum"], default="mean", help="what a story is worth")
    parser.add_argument("--critics", nargs="+", choices=list(CRITICS), default=list(CRITICS))
    add_output(parser)
    args = parser.parse_args()
    conduct("ppo_dense", args, lambda: (measure(seed, args) for seed in range(args.seeds)), report, draw)


def measure(seed: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what was logged of every policy of a seed."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        world = build_world(seed)
        scorer = train_reward_model(world, segment_hinge, Path(folder) / "reward")
        for critic in args.critics:
            for placement in PLACEMENTS:
                log = train(world, scorer, critic, placement, Path(folder) / critic / placement, args)
                rows += [{"critic": critic, "placement": placement, "seed": seed, **entry} for entry in log]
                print(rows[-1], flush=True)
    return rows


def train(
    world: World, scorer: Scorer, critic: str, placement: str, folder: Path, args: argparse.Namespace
) -> list[dict[str, float]]:
    """Return gold, proxy and KL of each rollout while a policy is trained."""
    paid_by_step = StepMeanRewards(scorer) if args.pay == "mean" else StepRewards(scorer)

    def at_the_end(**columns: Any) -> list[float]:
        return paid_by_step(**columns)

    pays = paid_by_step if placement == "by step" else at_the_end
    trainer = PPOTrainer(
        world.policy(),
        [pays, world.gold_rewards],
        PPOConfig(
            str(folder),
            reward_weights=[1.0, 0.0],
            max_steps=2 * args.rollouts,
            num_iterations=2,
            per_device_train_batch_size=BATCH,
            beta=args.beta,
            learning_rate=1.5e-3,
            max_completion_length=MAX_COMPLETION_LENGTH,
            logging_steps=1,
            sanity_check=False,
            seed=world.seed,
            **SMALL_MACHINE,
        ),
        Dataset.from_dict({"prompt": list(world.train_prompts)}),
        processing_class=world.tokenizer,
        peft_config=lora(),
        critic=scorer.model if critic == "reward model" else ignorant(world),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "objective" in entry]
    return [
        {
            "completions": (index + 1) * BATCH,
            "gold": entry["rewards/gold_rewards/mean"],
            "proxy": entry[f"rewards/{pays.__name__}/mean"],
            "kl": entry["kl_per_completion"],
            "tokens": entry["completions/mean_length"],
            "explained": entry["value/explained_variance"],
        }
        for index, entry in enumerate(logged)
    ]


def ignorant(world: World) -> Any:
    """Return a critic on the language model's body that says 0."""
    critic = world.reward_model()
    critic.score.weight.data.zero_()
    return critic


def curves(rows: list[dict[str, Any]], critic: str) -> dict[str, np.ndarray]:
    """Return the gold of each placement, averaged over a window, of shape (seed, rollout)."""
    seeds = sorted({row["seed"] for row in rows})
    return {
        placement: np.array(
            [smooth(column(rows, "gold", critic=critic, placement=placement, seed=seed)) for seed in seeds]
        )
        for placement in PLACEMENTS
    }


def smooth(gold: np.ndarray) -> np.ndarray:
    """Return the mean of every `WINDOW` rollouts in a row."""
    window = min(WINDOW, len(gold))
    return np.convolve(gold, np.ones(window) / window, mode="valid")


def seen(rollout: int) -> int:
    """Return the completions seen at the end of a window."""
    return (rollout + WINDOW) * BATCH


def report(rows: list[dict[str, Any]]) -> None:
    """Print gold by completions seen, and completions by gold reached."""
    for critic in dict.fromkeys(row["critic"] for row in rows):
        step, end = curves(rows, critic).values()
        print(f"\n{CRITICS[critic]}\n{'completions':>11}{'by step':>9}{'at end':>9}   difference (95 %)")
        for rollout in dict.fromkeys(np.linspace(0, step.shape[1] - 1, 8).astype(int)):
            pair = step[:, rollout], end[:, rollout]
            print(f"{seen(rollout):>11}{pair[0].mean():>9.3f}{pair[1].mean():>9.3f}   {told(pair[0] - pair[1])}")
        print(f"{'all':>11}{step.mean():>9.3f}{end.mean():>9.3f}   {told((step - end).mean(1))}")
        for gold in GOLDS:
            print(ratio(reached(step, gold), reached(end, gold), gold))
        for placement in PLACEMENTS:
            last = {"critic": critic, "placement": placement, "completions": max(row["completions"] for row in rows)}
            print(
                f"last rollout by seed, paid {placement}: "
                + ", ".join(
                    f"{name} " + " ".join(f"{x:.3g}" for x in column(rows, name, **last))
                    for name in ("gold", "proxy", "kl", "tokens")
                )
            )


def reached(found: np.ndarray, gold: float) -> np.ndarray:
    """Return how many completions each seed saw before its gold was this high, on the line between two looks, or NaN.

    >>> reached(np.array([[0.0, 0.5, 1.0], [0.0, 0.1, 0.2]]), 0.75)
    array([208.,  nan])
    """
    return np.array([_crossing(one, gold) for one in found])


def _crossing(curve: np.ndarray, gold: float) -> float:
    if not (curve >= gold).any():
        return float("nan")
    after = int(np.argmax(curve >= gold))
    if after == 0:
        return float(seen(0))
    share = (gold - curve[after - 1]) / (curve[after] - curve[after - 1])
    return float(seen(0) + (after - 1 + share) * BATCH)


def ratio(step: np.ndarray, end: np.ndarray, gold: float) -> str:
    """Return the geometric mean of the ratio over the seeds that reached the gold both ways, with its interval."""
    both = ~np.isnan(step) & ~np.isnan(end)
    told_seeds = " ".join(f"{a:.0f}/{b:.0f}" for a, b in zip(step, end, strict=True))
    if not both.any():
        return f"gold {gold}: no seed reached it both ways ({told_seeds})"
    mean, half = interval(np.log(step[both] / end[both]))
    low, middle, high = np.exp([mean - half, mean, mean + half])
    return f"gold {gold}: ratio {middle:.2f} [{low:.2f}, {high:.2f}], {both.sum()} seeds ({told_seeds})"


def draw(rows: list[dict[str, Any]], picture: Path) -> None:
    """Draw gold over completions, a panel a critic: seeds thin, their mean thick."""
    from matplotlib.figure import Figure

    critics = list(dict.fromkeys(row["critic"] for row in rows))
    figure = Figure(figsize=(4.8 * len(critics), 4), layout="constrained")
    panels = figure.subplots(1, len(critics), sharey=True, squeeze=False)[0]
    for axis, critic in zip(panels, critics, strict=True):
        for (placement, found), colour in zip(curves(rows, critic).items(), ("tab:blue", "tab:orange"), strict=True):
            x = [seen(rollout) for rollout in range(found.shape[1])]
            axis.plot(x, found.T, color=colour, alpha=0.25, linewidth=0.8)
            axis.plot(x, found.mean(0), color=colour, linewidth=2, label=f"paid {placement}")
        axis.set_title(CRITICS[critic], fontsize=10)
        axis.set_xlabel("completions seen in training")
        axis.grid(alpha=0.3)
    panels[0].set_ylabel("gold reward, mean of five rollouts (−1 to 1)")
    panels[0].legend(title=f"mean of {len(found)} seeds", loc="lower right")
    figure.savefig(picture, dpi=130)


if __name__ == "__main__":
    main()
