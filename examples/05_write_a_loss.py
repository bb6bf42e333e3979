"""Write a loss of your own: one method with the mathematics, and one hook that gives it a name."""

from dataclasses import dataclass

from torch.nn.functional import relu

from rlhf_losses import LossProperty, PairwiseLoss, RewardConfig, RewardTrainer, hookimpl, loss_registry
from rlhf_losses.sandbox import build_world
from rlhf_losses.testing import check_loss


@dataclass(frozen=True)
class SquaredHinge(PairwiseLoss):
    """Square of the shortfall of the score_difference: small shortfalls hardly count."""

    margin: float = 1.0

    properties = LossProperty.SHIFT_INVARIANT | LossProperty.MONOTONE | LossProperty.NON_NEGATIVE | LossProperty.CONVEX

    def per_pair(self, score_difference):
        return relu(self.margin - score_difference) ** 2


@hookimpl
def provide_losses():
    return [SquaredHinge]


def main() -> None:
    """Check the loss, find it by name, and train with it."""
    check_loss(SquaredHinge())
    loss = loss_registry(plugin_files=[__file__]).parse("squared_hinge(margin=2.0) + 0.01 * centering")
    world = build_world(seed=0)
    trainer = RewardTrainer(
        model=world.reward_model(),
        args=RewardConfig(
            "runs/05_write_a_loss",
            max_steps=30,
            per_device_train_batch_size=16,
            learning_rate=3e-3,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
        ),
        train_dataset=world.feedback(loss),
        processing_class=world.tokenizer,
        loss=loss,
    )
    trainer.train()
    print(f"trained with {loss}")


if __name__ == "__main__":
    main()
