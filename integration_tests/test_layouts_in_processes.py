"""Two processes in any layout and split agree with one process in the padded layout, in every step and weight."""

from itertools import product
from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from ragged import ragged_lists, ragged_steps, run_in_processes, short_and_long

from rlhf_losses import RewardConfig, RewardTrainer

FEEDBACK_TYPES = {  # rows, a loss, and a max_tokens_per_forward that splits some batches
    "pairs": (short_and_long, "bradley_terry + 0.1 * centering", 300),
    "lists": (ragged_lists, "plackett_luce + 0.01 * score_decay", 90),
    "steps": (ragged_steps, "segment_hinge", None),
}
TRAINED = ("full", "lora")
LAYOUTS = ("packed", "prefix_shared")


def train(
    model: str, feedback_type: str, trained: str, layout: str, rows: int, folder: str, backend=None
) -> RewardTrainer:
    """Return a trainer after four steps with `rows` rows per process, in float64 to exclude rounding errors."""
    data, loss, max_tokens = FEEDBACK_TYPES[feedback_type]
    targets = ["q_proj", "v_proj", "up_proj"]
    lora = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=targets, init_lora_weights=False)
    config = RewardConfig(
        folder, max_steps=4, per_device_train_batch_size=rows, learning_rate=1e-3, logging_steps=1, layout=layout,
        max_tokens_per_forward=None if layout == "padded" else max_tokens, save_strategy="no", report_to="none",
        bf16=False, gradient_checkpointing=False, use_cpu=True, disable_tqdm=True, ddp_backend=backend, seed=7,
    )  # fmt: skip
    torch.manual_seed(7)
    trainer = Counting(model, config, data(), loss=loss, peft_config=lora if trained == "lora" else None)
    assert trainer.data_collator.layout.name == layout
    trainer.model.double()
    trainer.train()
    return trainer


class Counting(RewardTrainer):
    """A trainer that records the number of forward passes of each step."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.passes = []

    def training_step(self, model, inputs, *others):
        self.passes.append(len(inputs["passes"]))
        return super().training_step(model, inputs, *others)


def weights_of(trainer: RewardTrainer) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}


SCRIPT = """
import json, sys, torch
sys.path.insert(0, sys.argv[1])
from accelerate.utils import gather_object
from test_layouts_in_processes import FEEDBACK_TYPES, LAYOUTS, TRAINED, train, weights_of

found = {}
for feedback_type in FEEDBACK_TYPES:
    for trained in TRAINED:
        for layout in LAYOUTS:
            trainer = train(sys.argv[2], feedback_type, trained, layout, 4, sys.argv[3], backend="gloo")
            case = f"{feedback_type} {trained} {layout}"
            found[case] = {"log": trainer.state.log_history[:-1], "passes": gather_object([trainer.passes])}
            if trainer.is_world_process_zero():
                torch.save(weights_of(trainer), f"{sys.argv[3]}/{case}.pt")
if trainer.is_world_process_zero():
    print("RESULT" + json.dumps(found), flush=True)
"""


@pytest.mark.thorough
def test_four_steps_of_two_processes_agree_with_one_padded_process(language_model, tmp_path):
    """All cases run in one launch; in some, one process has one pass and the other several."""
    here = str(Path(__file__).parent)
    found = run_in_processes(SCRIPT, tmp_path, 2, here, language_model, str(tmp_path))
    for feedback_type, trained in product(FEEDBACK_TYPES, TRAINED):
        alone = train(language_model, feedback_type, trained, "padded", 8, str(tmp_path))
        for case in (f"{feedback_type} {trained} {layout}" for layout in LAYOUTS):
            for ours, one in zip(found[case]["log"], alone.state.log_history[:-1], strict=True):
                for name in ("loss", "grad_norm", "accuracy", "num_tokens"):
                    assert ours[name] == pytest.approx(one[name], rel=1e-4, abs=1e-6), (case, one["epoch"], name)
            assert_same_weights(torch.load(tmp_path / f"{case}.pt"), weights_of(alone), case)
    first, second = found["pairs full prefix_shared"]["passes"]
    assert len(first) == len(second) == 4
    assert first != second


def assert_same_weights(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], case: str) -> None:
    assert ours.keys() == theirs.keys()
    for name, weight in theirs.items():
        differs = (ours[name] - weight).abs().max()
        assert differs < 1e-6, (case, name, differs)
