"""Layouts in bfloat16 are as close to float32 as the padded layout in bfloat16.

Layouts round differently, so they are compared by their error against float32: the error of a correct layout is about
as large as that of the padded one, and the error of a wrong layout much larger.
"""

import pytest
import torch
from peft import LoraConfig
from ragged import ragged_lists, ragged_steps, short_and_long
from thorough_cases import with_thorough
from torch import Tensor

from rlhf_losses import RewardConfig, RewardTrainer

LORA = LoraConfig(r=4, lora_dropout=0.0, target_modules=["q_proj", "v_proj", "up_proj"], init_lora_weights=False)
CASES = {
    "pairs, lora": (short_and_long, "bradley_terry", LORA),
    "lists": (ragged_lists, "plackett_luce + 0.01 * score_decay", None),
    "steps": (ragged_steps, "segment_hinge", None),
}


@pytest.mark.parametrize("case", with_thorough(["pairs, lora"], ["lists", "steps"]))
def test_training_under_autocast_differs_by_rounding_only(language_model, settings, case):
    """Compare ten losses, ten gradient norms and the change of the weights.

    With SGD, because Adam amplifies gradients near 0, whose sign depends on rounding.
    """
    data, loss, peft_config = CASES[case]

    def trained(**changes) -> dict[str, Tensor]:
        torch.manual_seed(0)
        arguments = settings(max_steps=10, learning_rate=1e-3, optim="sgd", lr_scheduler_type="constant", **changes)
        trainer = RewardTrainer(
            language_model, RewardConfig(**arguments), train_dataset=data(), loss=loss, peft_config=peft_config
        )
        use_large_weights(trainer.model)
        before = flat(trainer.model)
        trainer.train()
        log = trainer.state.log_history[:-1]
        assert trainer.accelerator.mixed_precision == ("bf16" if changes.get("bf16") else "no")
        return {
            "layout": trainer.data_collator.layout.name,
            "losses": torch.tensor([entry["loss"] for entry in log]),
            "norms": torch.tensor([entry["grad_norm"] for entry in log]),
            "change": flat(trainer.model) - before,
        }

    exact = trained(layout="padded")
    padded = trained(layout="padded", bf16=True)
    for layout in ("packed", "prefix_shared"):
        ours = trained(layout=layout, bf16=True)
        assert ours["layout"] == layout
        for quantity in ("losses", "norms", "change"):
            rounding = (padded[quantity] - exact[quantity]).norm()
            assert (ours[quantity] - exact[quantity]).norm() < 1.5 * rounding, (layout, quantity)


def use_large_weights(model: torch.nn.Module) -> None:
    """Draw large weights: with the small initial ones attention has little effect."""
    torch.manual_seed(0)
    for name, weight in model.named_parameters():
        if weight.dim() > 1 and "score" not in name:
            torch.nn.init.normal_(weight, std=0.25)


def flat(model: torch.nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters() if weight.requires_grad])
