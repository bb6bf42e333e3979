"""What is said about layouts: one line for the one that is taken, and a refusal where it turns out wrong."""

import logging

import pytest
import torch

from rlhf_losses import RewardConfig, RewardTrainer, Scorer
from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.layouts import PrefixSharedLayout, selection
from rlhf_losses.layouts.prefix_tree import TokenTree

REFUSAL = (
    r"^On the first rows the layout prefix_shared differs from the padded one by \d\.\de-\d\d, which rounding does not "
    r"explain, so its scores would be wrong\. Take layout='padded', and tell us the model's name\.$"
)


def lines_about_layouts(caplog) -> list[str]:
    said = [record.getMessage() for record in caplog.records if record.name.startswith("rlhf_losses")]
    return [line for line in said if line.startswith("Layout")]


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        ("auto", "Layout: prefix_shared, the fastest that LlamaForSequenceClassification takes."),
        ("prefix_shared", "Layout: prefix_shared, as asked for."),
        ("packed", "Layout: packed, as asked for."),
    ],
)
def test_a_line_says_which_layout_is_taken_and_why(
    language_model, reward_model, tokenizer, settings, pairs, wanted, line, caplog
):
    with caplog.at_level(logging.INFO, "rlhf_losses"):
        Scorer(reward_model, tokenizer, layout=wanted)
        assert lines_about_layouts(caplog) == [line]
        caplog.clear()
        RewardTrainer(language_model, RewardConfig(**settings(layout=wanted)), pairs)
        assert lines_about_layouts(caplog) == [line]


def test_a_check_that_finds_nothing_says_what_it_found(language_model, settings, pairs, caplog):
    with caplog.at_level(logging.INFO, "rlhf_losses"):
        RewardTrainer(language_model, RewardConfig(**settings(check_layout=True)), pairs)
    taken, checked = lines_about_layouts(caplog)
    assert taken.startswith("Layout: prefix_shared, the fastest")
    assert checked.startswith("Layout: prefix_shared differs from padded by ")
    assert checked.endswith(" on the first rows, which is rounding.")


class RightForFew(PrefixSharedLayout):
    """A layout that is right for as many texts as the trial has, and wrong for more."""

    def arrange(self, texts):
        arrangement = super().arrange(texts)
        if len(texts) > 4:
            self.spoil(arrangement.model_inputs)
        return arrangement


class CountsOn(RightForFew):
    """Positions go on from text to text."""

    def spoil(self, inputs):
        inputs["position_ids"] = torch.arange(inputs["input_ids"].numel())[None]


class SeesAll(RightForFew):
    """Each text sees those before it; positions are right."""

    def spoil(self, inputs):
        inputs["tree"] = TokenTree([inputs["input_ids"].numel()], [-1])


@pytest.mark.parametrize("wrong", [CountsOn, SeesAll])
def test_a_layout_that_is_wrong_on_the_first_rows_is_refused(language_model, settings, pairs, wrong, monkeypatch):
    monkeypatch.setattr(selection, "PrefixSharedLayout", wrong)
    unchecked = RewardTrainer(language_model, RewardConfig(**settings()), pairs)
    assert isinstance(unchecked.data_collator.layout, wrong)  # the trial does not find it
    with pytest.raises(InvalidSettingError, match=REFUSAL):
        RewardTrainer(language_model, RewardConfig(**settings(check_layout=True)), pairs)
