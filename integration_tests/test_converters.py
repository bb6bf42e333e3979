"""Every dataset format can be trained on and evaluated from the command line; its converter is detected."""

import json

import pytest
from datasets import Dataset, IterableDataset
from known_formats import EXAMPLES, HH, TREE
from thorough_cases import with_thorough

from rlhf_losses import RewardConfig, RewardTrainer, convert_dataset, loss_registry
from rlhf_losses.converters import OpenAssistant
from rlhf_losses.feedback import feedback_types_in_columns

FAST = (
    "--max_steps 1 --per_device_train_batch_size 2 --disable_tqdm true --no_gradient_checkpointing "
    "--save_strategy no --report_to none"
)


def rows_of(converter):
    return TREE if converter is OpenAssistant else [EXAMPLES[converter]] * 2


def feedback_types_of(converter):
    return feedback_types_in_columns(convert_dataset(Dataset.from_list(rows_of(converter))).column_names)


def one_per_feedback():
    """Return a converter for each combination of feedback types, and all others."""
    first = {tuple(feedback_types_of(converter)): converter for converter in reversed(EXAMPLES)}
    return list(first.values()), [converter for converter in EXAMPLES if converter not in first.values()]


@pytest.mark.parametrize("converter", with_thorough(*one_per_feedback()), ids=lambda converter: converter.name())
def test_every_format_trains_and_is_evaluated(done, write_rows, converter, language_model, tmp_path):
    file = write_rows(*rows_of(converter))
    feedback_types = feedback_types_of(converter)
    loss = loss_registry().for_feedback(feedback_types[0])[0].name
    model = ["--model", language_model, "--output_dir", tmp_path / "run"]
    log = done("train", *model, "--dataset", file, "--loss", loss, *FAST.split()).err
    names = " and ".join(feedback_type.__name__ for feedback_type in feedback_types)
    assert f"train data: read as {converter.name()} ({names}), detected from the columns" in log
    result = done("evaluate", "--model", tmp_path / "run", "--dataset", file, "--json")
    assert json.loads(result.out)["rows"] > 0
    assert f"evaluation data: read as {converter.name()}" in result.err


def test_a_converter_can_be_named_on_the_command_line_and_in_the_config_file(cli, write_rows, language_model, tmp_path):
    model = ["--model", language_model, "--dataset", write_rows(HH, HH), "--loss", "bradley_terry", *FAST.split()]
    result = cli("train", *model, "--converter", "native", "--output_dir", tmp_path / "one")
    assert result.code == 0
    assert "train data: read as native (Pairs), as requested." in result.err
    (tmp_path / "run.yaml").write_text("converter: hh-rlhf\n")
    result = cli("train", *model, "--config", tmp_path / "run.yaml", "--output_dir", tmp_path / "two")
    assert result.code == 2
    assert "Unknown converter 'hh-rlhf'. Did you mean 'hh_rlhf'?" in result.err


def test_transcripts_have_the_same_loss_with_and_without_conversion(language_model, tmp_path):
    def first_loss(rows):
        args = RewardConfig(
            str(tmp_path), max_steps=1, logging_steps=1, bf16=False, gradient_checkpointing=False, seed=0, report_to=[]
        )
        trainer = RewardTrainer(model=language_model, args=args, train_dataset=rows)
        trainer.train()
        return trainer.state.log_history[0]["loss"]

    rows = Dataset.from_list([HH] * 2)
    assert first_loss(convert_dataset(rows)) == pytest.approx(first_loss(rows), rel=1e-6)


def test_streams_can_be_trained_on(language_model, tmp_path):
    stream = convert_dataset(IterableDataset.from_generator(lambda: iter([HH] * 4)))
    args = RewardConfig(str(tmp_path), max_steps=1, bf16=False, gradient_checkpointing=False, report_to=[])
    trainer = RewardTrainer(model=language_model, args=args, train_dataset=stream)
    assert trainer.train().global_step == 1
