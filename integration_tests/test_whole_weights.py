"""Reward models load whole in a run with ZeRO-3, and merged models are written from gathered weights."""

import copy
from types import SimpleNamespace

import pytest
import torch
from accelerate.utils import DistributedType
from peft import LoraConfig, get_peft_model
from transformers.integrations import deepspeed, is_deepspeed_zero3_enabled

from rlhf_losses import Scorer
from rlhf_losses.models.peft import merge_adapters
from rlhf_losses.models.scores import use_float32_head
from rlhf_losses.models.whole_weights import gather_weights, load_whole, whole_copy

pytestmark = pytest.mark.upstream

TEXTS = ["A text.", "Another text!"]


class ZeroStage3:
    """Stands for the settings of a run with ZeRO-3; DeepSpeed need not be installed."""

    config = {"zero_optimization": {"stage": 3}}  # noqa: RUF012

    def is_zero3(self):
        return True


@pytest.fixture
def zero3():
    settings = ZeroStage3()
    deepspeed.set_hf_deepspeed_config(settings)
    yield settings
    deepspeed.unset_hf_deepspeed_config()


def test_a_scorer_loads_whole_in_a_run_with_zero_3(trained, tmp_path, request):
    trained.save_model(str(tmp_path / "adapters"))
    folders = [trained.save_merged(tmp_path / "merged"), tmp_path / "adapters"]
    expected = Scorer.from_pretrained(folders[0]).score(TEXTS)
    request.getfixturevalue("zero3")  # from_pretrained divides the weights from here on
    for folder in folders:
        assert Scorer.from_pretrained(folder).score(TEXTS) == pytest.approx(expected, abs=1e-6)
    assert is_deepspeed_zero3_enabled()


def test_after_an_error_the_settings_are_restored(zero3):
    def fail():
        with load_whole():
            assert not is_deepspeed_zero3_enabled()
            raise OSError("unreadable")

    with pytest.raises(OSError, match="unreadable"):
        fail()
    assert is_deepspeed_zero3_enabled()


@pytest.mark.parametrize("adapters", [False, True])
def test_a_whole_copy_has_the_scores_and_the_dtypes_of_the_model(reward_model, tokenizer, adapters):
    model = reward_model.bfloat16()
    if adapters:
        model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", init_lora_weights=False))
    use_float32_head(model)
    main = SimpleNamespace(distributed_type=DistributedType.DEEPSPEED, is_main_process=True)
    other = SimpleNamespace(distributed_type=DistributedType.DEEPSPEED, is_main_process=False)
    assert gather_weights(model, other) == {}
    made = whole_copy(model, gather_weights(model, main))
    weights, expected = made.state_dict(), copy.deepcopy(model.state_dict())
    torch.testing.assert_close(weights, expected)  # values and dtypes
    scores, as_before = (Scorer(merge_adapters(one), tokenizer).score(TEXTS) for one in (made, model))
    assert scores == pytest.approx(as_before, abs=1e-6)
