"""Over-optimisation: gold against proxy over the KL divergence, for PPO and best-of-n, per loss and amount of feedback.

python benchmarks/ppo_overoptimization.py           # results/ppo_overoptimization.csv and .png
python benchmarks/ppo_overoptimization.py --draw    # the table and the picture from the CSV

For each loss and each number of prompts with feedback (sixteen stories of each) a reward model is trained in the
sandbox, for more epochs the less feedback there is (2 to `--epochs`). A policy is trained on its scores for long with
no price on KL, and looked at on held-out prompts; beside it the best of n of 1,024 stories. The laws of `laws.py` are
fitted to the gains of gold, over all seeds at once.
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import laws
import numpy as np
from datasets import Dataset
from ppo_best_of_n import best_of_n
from study import add_output, conduct
from transformers.trainer_callback import PrinterCallback
from watch import Watch, column, spread

from rlhf_losses import parse_loss
from rlhf_losses.ppo import PPOConfig, PPOTrainer
from rlhf_losses.sandbox.annotators import Sample
from rlhf_losses.sandbox.loop import SMALL_MACHINE, lora, train_on_feedback
from rlhf_losses.sandbox.world import MAX_COMPLETION_LENGTH, World, build_world
from rlhf_losses.scoring import Scorer, kl_of_best_of

ROLLOUT, PASSES = 32, 2
PPO, BEST_OF = "PPO", "best of n"
COLOURS = ("tab:red", "tab:orange", "tab:green", "tab:blue")


def main() -> None:
    """Train, score, print, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--losses", type=parse_loss, nargs="+", default=["bradley_terry", "plackett_luce", "squared_error"]
    )
    parser.add_argument("--prompts", type=int, nargs="+", default=[4, 16, 192], help="with feedback")
    parser.add_argument("--epochs", type=int, default=20, help="of a reward model, at most")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rollouts", type=int, default=60)
    parser.add_argument("--completions", type=int, default=1024, help="the largest n")
    parser.add_argument("--beta", type=float, default=0.0)
    add_output(parser)
    args = parser.parse_args()
    conduct("ppo_overoptimization", args, lambda: [measure(args)], report, draw)


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what was seen of every reward model, with PPO and with best-of-n."""
    rows = []
    for seed in range(args.seeds):
        world = build_world(seed)
        stories = world.sample(world.heldout_prompts[:8], args.completions, seed=seed + 3)
        for loss in map(parse_loss, map(str, args.losses)):
            for prompts in args.prompts:
                with tempfile.TemporaryDirectory() as folder:
                    little = dataclasses.replace(world, train_prompts=world.train_prompts[:prompts])
                    said = little.feedback(loss, count=16, seed=seed)
                    epochs = min(args.epochs, max(2, 2 * len(world.train_prompts) // prompts))
                    scorer = train_on_feedback(world, loss, said, Path(folder) / "reward", epochs)
                    of = {"loss": str(loss), "prompts": prompts, "seed": seed}
                    rows += best_of(world, scorer, stories, of)
                    rows += train(world, scorer, Path(folder) / "policy", args).rows(**of, method=PPO)
                print(f"{rows[-1]}", flush=True)
    return rows


def best_of(world: World, scorer: Scorer, stories: list[Sample], of: dict[str, Any]) -> list[dict[str, Any]]:
    """Return rows of the best of n by the score, for n = 1, 2, 4, ..."""
    gold = world.gold(stories).numpy()
    proxy = np.array([scorer([s.prompt] * len(s.completions), s.completions) for s in stories])
    ns = [2**k for k in range(11) if 2**k <= gold.shape[1]]
    return [
        of
        | {"method": BEST_OF, "completions": n}
        | {"gold": float(best_of_n(proxy, gold, n).mean()), "proxy": float(best_of_n(proxy, proxy, n).mean())}
        | {"kl": float(kl_of_best_of(n))}
        for n in ns
    ]


def train(world: World, scorer: Scorer, folder: Path, args: argparse.Namespace) -> Watch:
    """Train a policy on scores of mean 0 and variance 1, and return what was seen of it."""
    steps = args.rollouts * PASSES
    watch = Watch(world, scorer, spread(2, steps, 18), ROLLOUT, PASSES, prompts=64, count=3)
    trainer = PPOTrainer(
        world.policy(),
        scorer,
        PPOConfig(
            str(folder),
            max_steps=steps,
            num_iterations=PASSES,
            per_device_train_batch_size=ROLLOUT,
            beta=args.beta,
            learning_rate=3e-3,
            score_normalization="running",
            max_completion_length=MAX_COMPLETION_LENGTH,
            logging_strategy="no",
            sanity_check=False,
            seed=world.seed,
            **SMALL_MACHINE,
        ),
        Dataset.from_dict({"prompt": list(world.train_prompts)}),
        processing_class=world.tokenizer,
        peft_config=lora(),
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return watch


def curve(rows: list[dict[str, Any]], **of: Any) -> dict[str, np.ndarray]:
    """Return distances, gains of gold and proxy, and gold, of all seeds of one method, loss and amount."""
    found: dict[str, list[np.ndarray]] = {"d": [], "gain": [], "gold": [], "proxy": []}
    for seed in sorted({row["seed"] for row in rows}):
        gold, proxy, kl = (column(rows, name, **of, seed=seed) for name in ("gold", "proxy", "kl"))
        found["d"].append(np.sqrt(np.maximum(kl, 0)))
        found["gain"].append(gold - gold[0])
        found["gold"].append(gold)
        found["proxy"].append(proxy)
    return {name: np.array(values) for name, values in found.items()}


def report(rows: list[dict[str, Any]]) -> None:
    """Print, for each curve, where gold began, was highest and ended, and the fitted law."""
    print(f"\n{'loss':<18}{'prompts':>8}  {'method':<10}{'gold: first':>12}{'highest':>9}{'at d':>6}", end="")
    print(f"{'last':>8}{'at d':>6}{'proxy: first':>14}{'last':>8}{'alpha':>8}{'beta':>8}{'R²':>8}{'peak d':>9}")
    for loss, prompts in dict.fromkeys((row["loss"], row["prompts"]) for row in rows):
        for method in (BEST_OF, PPO):
            found = curve(rows, loss=loss, prompts=prompts, method=method)
            law = fitted(found, method)
            mean = {name: values.mean(0) for name, values in found.items()}
            top = int(mean["gold"].argmax())
            print(
                f"{loss:<18}{prompts:>8.0f}  {method:<10}{mean['gold'][0]:>12.3f}{mean['gold'][top]:>9.3f}"
                f"{mean['d'][top]:>6.2f}{mean['gold'][-1]:>8.3f}{mean['d'][-1]:>6.2f}{mean['proxy'][0]:>14.2f}"
                f"{mean['proxy'][-1]:>8.2f}{law.alpha:>8.3f}{law.beta:>8.3f}{law.r_squared:>8.3f}{law.peak:>9.3g}"
            )


def fitted(found: dict[str, np.ndarray], method: str) -> laws.Law:
    """Return the saved_merged law of the method, fitted to all points but the first, which is 0 by definition."""
    return laws.fit(found["d"][:, 1:].ravel(), found["gain"][:, 1:].ravel(), logarithmic=method == PPO)


def draw(rows: list[dict[str, Any]], picture: Path) -> None:
    """Draw gold and proxy over the root of KL, a column a loss: PPO as dots and its law, best-of-n as a line."""
    from matplotlib.figure import Figure

    losses, amounts = (list(dict.fromkeys(row[name] for row in rows)) for name in ("loss", "prompts"))
    figure = Figure(figsize=(4 * len(losses), 7), layout="constrained")
    panels = figure.subplots(2, len(losses), sharex=True, sharey="row", squeeze=False)
    for index, loss in enumerate(losses):
        above, below = panels[:, index]
        above.set_title(loss)
        for prompts, colour in zip(amounts, COLOURS, strict=False):
            chosen, best = (curve(rows, loss=loss, prompts=prompts, method=m) for m in (PPO, BEST_OF))
            line = np.linspace(1e-3, chosen["d"].max(), 200)
            law = fitted(chosen, PPO)(line) + chosen["gold"][:, 0].mean()
            above.plot(line, law, color=colour, label=f"PPO, {prompts:.0f} prompts")
            above.plot(chosen["d"].T, chosen["gold"].T, ".", color=colour, alpha=0.5)
            above.plot(best["d"].mean(0), best["gold"].mean(0), "--", color=colour, label=f"best of n, {prompts:.0f}")
            below.plot(chosen["d"].T, standardized(chosen).T, ".-", color=colour, alpha=0.6, linewidth=0.8)
            below.plot(best["d"].mean(0), standardized(best).mean(0), "--", color=colour)
        below.set_xlabel("√KL to the reference (KL in nats)")
        above.set_ylim(-1.05, 1.05)
        for panel in (above, below):
            panel.grid(alpha=0.3)
    panels[0][0].set_ylabel("gold reward (−1 to 1)")
    panels[1][0].set_ylabel("gain of the proxy (its highest = 1)")
    panels[0][0].legend(fontsize=8, title="lines: fitted law; dots: measured", title_fontsize=8)
    figure.savefig(picture, dpi=130)


def standardized(found: dict[str, np.ndarray]) -> np.ndarray:
    """Return the gain of the proxy as a share of the highest of its seed."""
    gain = found["proxy"] - found["proxy"][:, :1]
    return gain / np.abs(gain).max(axis=1, keepdims=True)


if __name__ == "__main__":
    main()
