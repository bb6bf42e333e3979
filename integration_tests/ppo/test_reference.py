"""The reference of the KL penalty can be a model in memory."""

import copy
import math

import pytest
import torch
from ppo_runs import steps, trained
from transformers import AutoModelForCausalLM

from rlhf_losses.errors import InvalidArgumentError, InvalidSettingError, UnsupportedModelError

pytestmark = pytest.mark.upstream


@pytest.fixture
def policy(language_model):
    """Return a policy without a path."""
    model = AutoModelForCausalLM.from_pretrained(language_model)
    model.name_or_path = ""
    model.config._name_or_path = ""
    return model


@pytest.fixture
def first_step(make_trainer, tokenizer, policy):
    """Return a function that trains one step with a reference and returns its log."""

    def run(reference):
        changes = {"max_steps": 1, "beta": 0.1}
        trainer = make_trainer(changes=changes, model=policy, ref_model=reference, processing_class=tokenizer)
        assert trainer.accelerator.unwrap_model(trainer.ref_model) is reference
        [entry] = steps(trained(trainer))
        return entry

    return run


def test_the_kl_to_a_copy_is_0(first_step, policy):
    assert first_step(copy.deepcopy(policy))["kl"] == pytest.approx(0, abs=1e-6)


def test_the_kl_is_that_to_the_given_reference(first_step, policy, tokenizer):
    with torch.no_grad():
        policy.lm_head.weight.mul_(15)
    uniform = copy.deepcopy(policy)
    with torch.no_grad():
        uniform.lm_head.weight.zero_()
    entry = first_step(uniform)
    assert entry["kl"] == pytest.approx(math.log(len(tokenizer)) - entry["entropy"], rel=0.2)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, UnsupportedModelError, r"no path.*ref_model=copy\.deepcopy\(model\)"),
        ({"ref_model": "path"}, InvalidArgumentError, "`ref_model` has the type str.*from_pretrained"),
        ({"ref_model": "the policy"}, InvalidSettingError, "the policy itself.*copy"),
        ({"ref_model": "a copy", "model": "folder"}, InvalidSettingError, "model is the path 'folder'.*Pass model="),
    ],
    ids=str,
)
def test_wrong_references_are_refused(make_trainer, tokenizer, policy, language_model, arguments, error, message):
    values = {"the policy": policy, "a copy": copy.deepcopy(policy), "folder": language_model}
    given = {name: values.get(value, value) for name, value in arguments.items()}
    with pytest.raises(error, match=message.replace("folder", language_model)):
        make_trainer(**{"model": policy, "processing_class": tokenizer, "changes": {"beta": 0.1}, **given})
