"""Write a loss: one method with the formula, and one hook that registers its name."""

from dataclasses import dataclass

from torch.nn.functional import relu

from rlhf_losses import LossProperty, PairwiseLoss, RewardConfig, RewardTrainer, hookimpl, loss_registry
from rlhf_losses.sandbox import build_synthetic_task
from rlhf_losses.testing import check_loss


@dataclass(frozen=True)
class SquaredHinge(PairwiseLoss):
    """Squared hinge loss on the score difference.

    Args:
        margin: score difference above which the loss is 0.
    """

    margin: float = 1.0

    properties = LossProperty.SHIFT_INVARIANT | LossProperty.MONOTONE | LossProperty.NON_NEGATIVE | LossProperty.CONVEX

    def per_pair(self, score_difference):
        return relu(self.margin - score_difference) ** 2


@hookimpl
def provide_losses():
    """Return the loss classes of this plugin."""
    return [SquaredHinge]


def main() -> None:
    """Check the loss, parse it by name, and train with it."""
    check_loss(SquaredHinge())
    loss = loss_registry(plugin_files=[__file__]).parse("squared_hinge(margin=2.0) + 0.01 * centering")
    task = build_synthetic_task(seed=0)
    trainer = RewardTrainer(
        model=task.reward_model(),
        args=RewardConfig(
            "runs/05_write_a_loss",
            max_steps=30,
            logging_steps=10,
            per_device_train_batch_size=16,
            learning_rate=3e-3,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
        ),
        train_dataset=task.feedback(loss),
        processing_class=task.tokenizer,
        loss=loss,
    )
    trainer.train()
    accuracy = [entry["accuracy"] for entry in trainer.state.log_history if "accuracy" in entry]
    print(f"trained with {loss}: accuracy {accuracy[0]:.2f} in the first ten steps, {accuracy[-1]:.2f} in the last ten")
    assert accuracy[-1] > accuracy[0]


if __name__ == "__main__":
    main()
