"""Defaults of TRL, which no user chose, give no warnings."""

import warnings

import pytest
from peft import LoraConfig, get_peft_model
from tiny_llama import tiny_policy

from rlhf_losses import PPOConfig, RewardConfig
from rlhf_losses.models.inherited_defaults import earlier_names_accepted


@pytest.mark.parametrize("configuration", [RewardConfig, PPOConfig])
@pytest.mark.parametrize("checkpointing", [True, False])
def test_a_configuration_gives_no_warning(tmp_path, recwarn, configuration, checkpointing):
    args = configuration(str(tmp_path), gradient_checkpointing=checkpointing)
    assert [str(one.message) for one in recwarn if "deprecated" in str(one.message)] == []
    assert args.gradient_checkpointing is getattr(args, "activation_checkpointing", checkpointing) is checkpointing


def test_adapters_give_no_warning():
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        with earlier_names_accepted():
            get_peft_model(tiny_policy(), LoraConfig(r=2))
    assert [str(one.message) for one in found if "checkpointing" in str(one.message)] == []
