"""Messages about layouts: one line for the layout in use, and an error for a wrong one."""

import logging

import pytest
import torch

from rlhf_losses import RewardConfig, RewardTrainer, Scorer
from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.layouts import PrefixSharedLayout, selection
from rlhf_losses.layouts.prefix_tree import PrefixTree

MESSAGE = r"prefix_shared differs from the padded one by \d\.\de-\d\d.*scores would be wrong\. Use layout='padded'"


def layout_messages(caplog) -> list[str]:
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("rlhf_losses")]
    return [line for line in messages if line.startswith("Layout")]


@pytest.mark.parametrize(
    ("requested", "line"),
    [
        ("auto", "Layout: prefix_shared, the fastest layout for LlamaForSequenceClassification."),
        ("prefix_shared", "Layout: prefix_shared, as requested."),
        ("packed", "Layout: packed, as requested."),
    ],
)
def test_a_message_names_the_layout_and_the_reason(
    language_model, reward_model, tokenizer, settings, pairs, requested, line, caplog
):
    with caplog.at_level(logging.INFO, "rlhf_losses"):
        Scorer(reward_model, tokenizer, layout=requested)
        assert layout_messages(caplog) == [line]
        caplog.clear()
        RewardTrainer(language_model, RewardConfig(**settings(layout=requested)), pairs)
        assert layout_messages(caplog) == [line]


def test_a_successful_check_logs_the_difference(language_model, settings, pairs, caplog):
    with caplog.at_level(logging.INFO, "rlhf_losses"):
        RewardTrainer(language_model, RewardConfig(**settings(check_layout=True)), pairs)
    selected, checked = layout_messages(caplog)
    assert selected.startswith("Layout: prefix_shared, the fastest")
    assert checked.startswith("Layout: prefix_shared differs from padded by ")
    assert checked.endswith(" on the first rows, within the rounding error.")


class CorrectInTrial(PrefixSharedLayout):
    """A layout that is correct for the texts of the trial, and wrong for more texts."""

    def arrange(self, texts):
        arranged = super().arrange(texts)
        if len(texts) > 4:
            self.spoil(arranged.model_inputs)
        return arranged


class ContinuedPositions(CorrectInTrial):
    """Position ids continue from text to text."""

    def spoil(self, inputs):
        inputs["position_ids"] = torch.arange(inputs["input_ids"].numel())[None]


class OneText(CorrectInTrial):
    """Each text attends to earlier texts; position ids are correct."""

    def spoil(self, inputs):
        inputs["tree"] = PrefixTree([inputs["input_ids"].numel()], [-1])


@pytest.mark.parametrize("wrong", [ContinuedPositions, OneText])
def test_a_layout_with_wrong_scores_on_the_first_rows_is_refused(language_model, settings, pairs, wrong, monkeypatch):
    monkeypatch.setattr(selection, "PrefixSharedLayout", wrong)
    unchecked = RewardTrainer(language_model, RewardConfig(**settings()), pairs)
    assert isinstance(unchecked.data_collator.layout, wrong)  # the trial does not detect it
    with pytest.raises(InvalidSettingError, match=MESSAGE):
        RewardTrainer(language_model, RewardConfig(**settings(check_layout=True)), pairs)
